import type { Approval } from "../../lib/contract";
import { flat } from "../../lib/escape";
import { useTitle } from "../../lib/hooks";
import type { PageProps } from "../../lib/route";
import { useStore } from "../../lib/store";
import { session } from "../../state/session";
import { Chip, Loading, Note, Refused, Time, TimeLeft } from "../../ui/parts";
import { Untrusted } from "../../ui/untrusted";
import { AnswerPanel } from "./answer-panel";
import { Asked } from "./asked";
import { History } from "./history";
import { actors, isOver, outcome, targetWords } from "./model";
import { Standing } from "./standing";
import { useApproval } from "./use-approval";
import { Binding, Who } from "./who";

export function ApprovalPage({ params }: PageProps<"/approvals/:id">) {
  const reading = useApproval(params.id);
  const { read, now, error, reload } = reading;
  const signedIn = useStore(session);
  useTitle(read ? `${flat(actors(read).acts)} on ${flat(targetWords(read))}` : "Approval");
  const audit = signedIn.phase === "in" && signedIn.info.audit;
  return (
    <article>
      <Head read={read} now={now} />
      {error ? (
        <Refused error={error} retry={reload} what={read ? "What you see may be old" : "The request cannot be read"} />
      ) : null}
      {!read && !error ? <Loading what="Asking for the request…" /> : null}
      {read && now ? (
        <>
          <Changed read={read} now={now} onReadAgain={reading.readAgain} />
          <div class="two">
            <div class="two-main">
              <Asked approval={read} />
              <Who approval={read} audit={audit} />
              <Binding approval={read} />
            </div>
            <div class="two-side">
              <Standing approval={now} audit={audit} />
              <AnswerPanel read={read} now={now} onAnswered={reading.answered} />
            </div>
            <div class="two-below">
              <History principal={read.principal} audit={audit} except={read.approval_id} />
            </div>
          </div>
        </>
      ) : null}
    </article>
  );
}

/** There from the first moment on, and the same element: the focus of whoever arrives rests on the heading. */
function Head({ read, now }: { read: Approval | null; now: Approval | null }) {
  return (
    <header class="approval-head">
      <p class="crumb">
        <a href="#/approvals">Approvals</a>
      </p>
      <h1 tabIndex={-1}>{read ? <Title approval={read} /> : "Approval"}</h1>
      {now ? <State approval={now} /> : null}
    </header>
  );
}

function Title({ approval }: { approval: Approval }) {
  const { acts, onBehalf } = actors(approval);
  return (
    <>
      <Untrusted class="clip" text={acts} />
      {onBehalf ? (
        <>
          {" for "}
          <Untrusted class="clip" text={onBehalf} />
        </>
      ) : null}
      {" on "}
      <Untrusted class="clip" text={targetWords(approval)} />
    </>
  );
}

function State({ approval }: { approval: Approval }) {
  const { label, tone, says } = outcome(approval);
  const ended = approval.ended_at;
  return (
    <p class="approval-state" data-testid="state" data-state={approval.state}>
      <Chip tone={tone}>{label}</Chip> <Untrusted text={says} />
      {isOver(approval) ? null : <TimeLeft until={approval.stands_until} />}
      {isOver(approval) && ended ? (
        <span class="quiet">
          <Time at={ended} />
        </span>
      ) : null}
    </p>
  );
}

/** What happened while somebody was reading. */
function Changed({ read, now, onReadAgain }: { read: Approval; now: Approval; onReadAgain: () => void }) {
  if (read.digest !== now.digest) {
    return (
      <Note tone="bad" title="What is asked for is not what you read any more" live="alert">
        <p>Its digest changed while this page was open. Read what is asked now before you answer.</p>
        <button type="button" class="button small" onClick={onReadAgain}>
          Show what is asked now
        </button>
      </Note>
    );
  }
  if (read.state !== now.state) {
    return (
      <Note tone="warn" title={`While you were reading: ${now.state}`} live="alert">
        <Untrusted text={outcome(now).says} />
      </Note>
    );
  }
  const more = now.answers.length - read.answers.length;
  if (more > 0) {
    return (
      <Note live="status">
        {more === 1 ? "Somebody answered" : `${more} people answered`} while you were reading.
      </Note>
    );
  }
  return null;
}
