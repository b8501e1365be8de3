// Approve, deny, withdraw. The first press asks once more, in the page; the second one sends.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Approval } from "../../lib/contract";
import { asRefusal } from "../../lib/hooks";
import { Refusal } from "../../lib/http";
import { useKeys } from "../../lib/keys";
import { proseFault } from "../../lib/prose";
import { useStore } from "../../lib/store";
import { session } from "../../state/session";
import { Note, Refused } from "../../ui/parts";
import { ProseField } from "../../ui/prose-field";
import { Untrusted } from "../../ui/untrusted";
import { approve, deny, readApproval, withdraw } from "./api";
import { Confirm } from "./confirm";
import { isOver, isOwn } from "./model";

export type Verb = "approve" | "deny" | "withdraw";

interface Props {
  read: Approval;
  now: Approval;
  onAnswered: (approval: Approval) => void;
}

export function AnswerPanel({ read, now, onAnswered }: Props) {
  const signedIn = useStore(session);
  const [comment, setComment] = useState("");
  const [asked, setAsked] = useState<Verb | null>(null);
  const [stepped, setStepped] = useState<Verb | null>(null);
  const sending = useSending(read, comment, (approval) => {
    setAsked(null);
    setComment("");
    onAnswered(approval);
  });
  const own = signedIn.phase === "in" && isOwn(now, signedIn.who.principal);
  const mayWithdraw = own && !isOver(now);
  const { done } = sending;
  if (!now.you.may_answer && !mayWithdraw) {
    return (
      <section class="card" aria-label="Your answer">
        <Done done={done} />
        <WhyNot approval={now} />
      </section>
    );
  }
  const changed = read.digest !== now.digest;
  return (
    <section class="card answer" aria-labelledby="your-answer">
      <h2 id="your-answer">Your answer</h2>
      <Done done={done} />
      {now.you.may_answer ? (
        <ProseField
          label="Comment"
          hint="It goes on record, and the agent is told of a denial."
          testid="comment"
          value={comment}
          onChange={setComment}
          disabled={sending.busy}
        />
      ) : (
        <WhyNot approval={now} />
      )}
      {sending.error ? <Refused error={sending.error} what="It is not answered" /> : null}
      {asked && !(changed && asked === "approve") ? (
        <Confirm
          verb={asked}
          approval={read}
          busy={sending.busy}
          onBack={() => {
            setStepped(asked);
            setAsked(null);
          }}
          onConfirm={() => void sending.send(asked)}
        />
      ) : (
        <Buttons
          now={now}
          own={mayWithdraw}
          changed={changed}
          faulty={proseFault(comment) !== null}
          stepped={stepped}
          onAsk={setAsked}
        />
      )}
    </section>
  );
}

interface Sending {
  busy: boolean;
  error: Refusal | null;
  done: Verb | null;
  send: (verb: Verb) => Promise<void>;
}

function useSending(read: Approval, comment: string, onAnswered: (approval: Approval) => void): Sending {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Refusal | null>(null);
  const [done, setDone] = useState<Verb | null>(null);
  const send = async (verb: Verb) => {
    if (busy) return;
    setBusy(true);
    setError(null);
    try {
      onAnswered(await sent(verb, read, comment));
      setDone(verb);
    } catch (reason) {
      setError(asRefusal(reason));
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, done, send };
}

async function sent(verb: Verb, read: Approval, comment: string): Promise<Approval> {
  const id = read.approval_id;
  try {
    if (verb === "approve") return await approve(id, read.digest, comment);
    return await (verb === "deny" ? deny(id, comment) : withdraw(id));
  } catch (reason) {
    const error = asRefusal(reason);
    // Whether an answer counts is not known then: the log's order decides, so the request itself is looked at.
    if (error.status !== 503 && error.status !== 0) throw error;
    const now = await readApproval(id, new AbortController().signal).catch(() => null);
    if (now && (isOver(now) || now.answers.length > read.answers.length) && !now.you.may_answer) return now;
    throw error;
  }
}

const DONE: Record<Verb, string> = {
  approve: "Your approval is on record.",
  deny: "Your denial is on record.",
  withdraw: "It is withdrawn.",
};

function Done({ done }: { done: Verb | null }) {
  const said = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // The button that had the focus is gone.
    if (done) said.current?.focus();
  }, [done]);
  if (!done) return null;
  return (
    <div ref={said} tabIndex={-1} data-testid="answered">
      <Note tone="good" live="status">
        {DONE[done]}
      </Note>
    </div>
  );
}

function WhyNot({ approval }: { approval: Approval }) {
  const why = approval.you.why_not;
  return (
    <div class="why-not" data-testid="why-not">
      <h3>You cannot answer this</h3>
      <p>
        {why ? <Untrusted text={`${why.charAt(0).toUpperCase()}${why.slice(1)}.`} /> : "The gateway does not say why."}
      </p>
    </div>
  );
}

function Buttons({ now, own, changed, faulty, stepped, onAsk }: {
  now: Approval;
  own: boolean;
  changed: boolean;
  faulty: boolean;
  /** What was about to be done before somebody stepped back. */
  stepped: Verb | null;
  onAsk: (verb: Verb) => void;
}) {
  const yes = useRef<HTMLButtonElement>(null);
  const no = useRef<HTMLButtonElement>(null);
  const back = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    // The focus goes back to where it came from.
    if (stepped) ({ approve: yes, deny: no, withdraw: back })[stepped].current?.focus();
  }, []);
  const to = (button: HTMLButtonElement | null) => {
    button?.focus();
    button?.scrollIntoView({ block: "center" });
  };
  useKeys({ a: () => to(yes.current), d: () => to(no.current) });
  return (
    <div class="actions">
      {now.you.may_answer ? (
        <>
          <button
            ref={yes}
            type="button"
            class="button primary"
            data-testid="approve"
            disabled={changed || faulty}
            onClick={() => onAsk("approve")}
          >
            Approve…
          </button>
          <button
            ref={no}
            type="button"
            class="button danger"
            data-testid="deny"
            disabled={faulty}
            onClick={() => onAsk("deny")}
          >
            Deny…
          </button>
        </>
      ) : null}
      {own ? (
        <button ref={back} type="button" class="button" data-testid="withdraw" onClick={() => onAsk("withdraw")}>
          {now.kind === "access" && now.state === "approved" ? "Give back…" : "Withdraw…"}
        </button>
      ) : null}
    </div>
  );
}
