import type { Approval } from "../../lib/contract";
import { firstLine } from "../../lib/escape";
import { Chip, Time, TimeLeft } from "../../ui/parts";
import { Untrusted } from "../../ui/untrusted";
import { accessWords, actors, agentWords, effects, isOver, listed, outcome, targetWords } from "./model";

/** Of the statement, or the reason: the rest is on the request's own page. */
const MAX_LINE_CHARACTERS = 160;
/** Effects of one row; a list of labels has no end. */
const MAX_CHIPS = 8;

export function InboxRow({ approval }: { approval: Approval }) {
  return (
    <li class={approval.you.may_answer ? "row mine" : "row"} data-testid="inbox-row" data-id={approval.approval_id}>
      <div class="row-main">
        <Who approval={approval} />
        <a class="row-link" data-item href={`#/approvals/${approval.approval_id}`}>
          <What approval={approval} />
        </a>
        <Effects approval={approval} />
      </div>
      <Standing approval={approval} />
    </li>
  );
}

function Who({ approval }: { approval: Approval }) {
  const { acts, onBehalf } = actors(approval);
  const agent = agentWords(approval);
  // The kind is the principal's: an actor of a chain has none of its own.
  const delegated = approval.delegation.length > 0;
  const kind = <Chip>{approval.principal?.kind ?? "unknown"}</Chip>;
  return (
    <p class="row-who">
      <Untrusted class="strong clip" text={acts} />
      {delegated ? <Chip>delegated</Chip> : kind}
      {agent ? <Untrusted class="quiet clip" text={agent} /> : null}
      {onBehalf ? (
        <span class="for">
          for <Untrusted class="clip" text={onBehalf} /> {delegated ? kind : null}
        </span>
      ) : null}
      <span class="for">
        on <Untrusted class="strong clip" text={targetWords(approval)} />
      </span>
    </p>
  );
}

function What({ approval }: { approval: Approval }) {
  const access = approval.kind === "access";
  const { line, cut, more } = firstLine(
    (access ? approval.access?.reason : approval.command?.statement) ?? "",
    MAX_LINE_CHARACTERS,
  );
  return (
    <>
      {access ? <span class="strong">{accessWords(approval)}: </span> : null}
      <Untrusted class={access ? "" : "mono"} text={line} />
      {cut ? "…" : ""}
      {more > 0 ? <span class="quiet"> +{more} {more === 1 ? "line" : "lines"}</span> : null}
    </>
  );
}

function Effects({ approval }: { approval: Approval }) {
  const all = approval.command ? effects(approval.command, approval.target) : [];
  if (all.length === 0) return null;
  return (
    <p class="chips">
      {all.slice(0, MAX_CHIPS).map(({ label, tone, title }) => (
        <Chip key={label} tone={tone} {...(title ? { title } : {})}>
          <Untrusted text={label} />
        </Chip>
      ))}
      {all.length > MAX_CHIPS ? <Chip>+{all.length - MAX_CHIPS}</Chip> : null}
    </p>
  );
}

function Standing({ approval }: { approval: Approval }) {
  const { label, tone } = outcome(approval);
  const missing = listed(approval.missing);
  return (
    <div class="row-side">
      <span class="row-state">
        {approval.you.may_answer ? <Chip tone="info">your answer</Chip> : null}
        <Chip tone={tone}>{label}</Chip>
      </span>
      {approval.state === "pending" && missing ? (
        <span class="quiet">
          needs <Untrusted text={missing} />
        </span>
      ) : null}
      {isOver(approval) ? <Time at={approval.ended_at ?? approval.asked_at} /> : <TimeLeft until={approval.stands_until} />}
    </div>
  );
}
