// What this principal asked for and did before, out of the audit.

import type { Principal } from "../../lib/contract";
import { text, type Row } from "../../lib/audit";
import { firstLine } from "../../lib/escape";
import { useLoaded } from "../../lib/hooks";
import { Chip, Loading, Note, Refused, Time, type Tone } from "../../ui/parts";
import { Untrusted } from "../../ui/untrusted";
import { HISTORY_DAYS, pastApprovals, pastCommands, pastOutcome } from "./history-sql";

const MAX_LINE_CHARACTERS = 120;

export function History({ principal, audit, except }: { principal: Principal | null; audit: boolean; except: string }) {
  return (
    <section class="card" data-testid="history">
      <div class="card-head">
        <h2>History of this principal</h2>
        <span class="quiet">the last {HISTORY_DAYS} days</span>
      </div>
      {!audit ? <Note>This gateway has no query service: there is no history to show.</Note> : null}
      {audit && principal ? (
        <div class="halves">
          <Part
            title="Requests"
            empty="It asked for nothing before."
            ask={(signal) => pastApprovals(principal, except, signal)}
            row={PastRequest}
            of={principal}
          />
          <Part
            title="Commands"
            empty="It ran nothing before."
            ask={(signal) => pastCommands(principal, signal)}
            row={PastCommand}
            of={principal}
          />
        </div>
      ) : null}
    </section>
  );
}

function Part({ title, empty, ask, row: Line, of }: {
  title: string;
  empty: string;
  ask: (signal: AbortSignal) => Promise<Row[]>;
  row: (props: { row: Row }) => preact.JSX.Element;
  of: Principal;
}) {
  const { value, error, reload } = useLoaded(ask, [of.issuer, of.subject]);
  return (
    <div>
      <h3>{title}</h3>
      {error ? <Refused error={error} retry={reload} what="The audit does not say" /> : null}
      {!value && !error ? <Loading what="Asking the audit…" /> : null}
      {value?.length === 0 ? <p class="quiet">{empty}</p> : null}
      {value && value.length > 0 ? (
        <ol class="past">
          {value.map((row, index) => (
            <Line key={index} row={row} />
          ))}
        </ol>
      ) : null}
    </div>
  );
}

function PastRequest({ row }: { row: Row }) {
  const { label, tone } = pastOutcome(row);
  const id = text(row, "approval_id");
  const { line, cut, more } = firstLine(text(row, "statement") || text(row, "reason"), MAX_LINE_CHARACTERS);
  return (
    <li>
      <div class="past-head">
        <Time at={text(row, "asked_at")} /> <Chip tone={tone}>{label}</Chip>
        {text(row, "reviewer") ? (
          <span class="quiet">
            by <Untrusted text={text(row, "reviewer")} />
          </span>
        ) : null}
      </div>
      <a href={`#/approvals/${encodeURIComponent(id)}`}>
        <Untrusted class="mono" text={line || "request"} />
        {cut || more > 0 ? "…" : ""}
      </a>
    </li>
  );
}

const DISPOSITIONS: Record<string, Tone> = { forwarded: "plain", refused: "bad", abandoned: "warn" };

function PastCommand({ row }: { row: Row }) {
  const { line, cut, more } = firstLine(text(row, "statement"), MAX_LINE_CHARACTERS);
  const disposition = text(row, "disposition");
  const session = text(row, "session_id");
  return (
    <li>
      <div class="past-head">
        <Time at={text(row, "time")} /> <Chip tone={DISPOSITIONS[disposition] ?? "plain"}>{disposition}</Chip>
        <span class="quiet">
          <Untrusted text={text(row, "target")} />
        </span>
      </div>
      <a href={`#/sessions/${encodeURIComponent(session)}`}>
        <Untrusted class="mono" text={line} />
        {cut || more > 0 ? "…" : ""}
      </a>
    </li>
  );
}
