// What a request says, in the words of the page. Pure.

import type { Approval, AskedCommand, ColumnRef, ObjectRef, Principal, Requirement, TargetRef } from "../../lib/contract";
import { duration } from "../../lib/time";
import type { Tone } from "../../ui/parts";

export interface Effect {
  label: string;
  tone: Tone;
  title?: string;
}

/** Kinds that change rows that are there already. */
const CHANGES_ROWS = new Set(["update", "delete", "truncate", "merge"]);
/** Kinds that change anything. */
const WRITES = new Set([...CHANGES_ROWS, "insert", "copy_in", "ddl", "call", "maintenance"]);
/** From so many rows on, the number is a warning. */
const MANY_ROWS = 1_000;

export function listed(requirements: Requirement[]): string {
  return requirements.map(({ quorum, group }) => `${quorum} of ${group}`).join(", ");
}

/** Who acts, and for whom: the outermost actor of a chain, else the principal (as `actor`, `on_behalf_of` in the audit). */
export function actors(approval: Approval): { acts: string; onBehalf: string | null; how: string } {
  const name = approval.principal?.display_name ?? "somebody unknown";
  const outermost = approval.delegation[0];
  if (outermost) return { acts: outermost.subject, onBehalf: name, how: "by delegation" };
  return { acts: name, onBehalf: approval.principal?.owner ?? null, how: "its owner" };
}

export function agentWords(approval: Approval): string {
  return [approval.agent.agent, approval.agent.model].filter((word) => word).join(" · ");
}

export function targetWords(approval: Approval): string {
  const { target } = approval;
  if (!target) return "";
  return target.database ? `${target.name}/${target.database}` : target.name;
}

export function object({ schema, name }: ObjectRef): string {
  return schema === undefined ? name : `${schema}.${name}`;
}

export function column({ schema, table, column: name }: ColumnRef): string {
  return schema === undefined ? `${table}.${name}` : `${schema}.${table}.${name}`;
}

/** Whether what is asked of it is SQL, and not a request or a tool's call. */
export function isSql(target?: TargetRef | null): boolean {
  return !target || target.kind === "postgresql";
}

/** What a reviewer must not overlook, the gravest first. */
export function effects(command: AskedCommand, target?: TargetRef | null): Effect[] {
  const kinds = command.kinds ?? [];
  const changes = kinds.some((kind) => CHANGES_ROWS.has(kind));
  const found: Effect[] = [...new Set(kinds)].map((kind) => ({
    label: kind.replaceAll("_", " "),
    tone: CHANGES_ROWS.has(kind) || kind === "ddl" ? "bad" : WRITES.has(kind) ? "warn" : "plain",
    title: "What it does",
  }));
  if (kinds.some((kind) => kind === "update" || kind === "delete")) {
    found.push(reach(command));
  }
  if (command.opaque) {
    found.push(
      isSql(target)
        ? { label: "opaque", tone: "bad", title: "It runs code whose effect its text does not show" }
        : { label: "may change", tone: "warn", title: "It may change what is there: its target alone knows what it does" },
    );
  }
  const rows = rowsEffect(command, changes);
  if (rows) found.push(rows);
  for (const label of command.labels ?? []) found.push({ label, tone: "warn", title: "A label of what it touches" });
  if (command.read_only) found.push({ label: "read only", tone: "good", title: "It provably changes nothing" });
  return found;
}

/** How far an UPDATE or DELETE reaches. */
function reach({ has_where, by_key }: AskedCommand): Effect {
  if (!has_where) return { label: "no WHERE", tone: "bad", title: "It changes whole tables" };
  if (!by_key) return { label: "not by key", tone: "warn", title: "It does not name one row by a unique key" };
  return { label: "one row by key", tone: "good", title: "It names one row by a whole unique key" };
}

function rowsEffect(command: AskedCommand, changes: boolean): Effect | null {
  const rows = command.estimated_rows;
  const title = "About how many rows it changes at most, by the target's statistics";
  if (rows !== undefined) {
    const label = `~${rows.toLocaleString("en")} ${rows === 1 ? "row" : "rows"}`;
    return { label, tone: rows >= MANY_ROWS ? "bad" : "plain", title };
  }
  return changes ? { label: "rows unknown", tone: "warn", title: "The target's statistics say nothing of it" } : null;
}

export interface Progress {
  group: string;
  quorum: number;
  agreed: number;
}

export function progress(approval: Approval): Progress[] {
  return approval.requirements.map(({ group, quorum }) => {
    const missing = approval.missing.find((it) => it.group === group)?.quorum ?? 0;
    return { group, quorum, agreed: Math.max(0, quorum - missing) };
  });
}

export function isOver(approval: Approval): boolean {
  return approval.state !== "pending" && approval.state !== "approved";
}

/** Whether it was this very person that asked. */
export function isOwn(approval: Approval, who: Principal): boolean {
  return approval.principal?.issuer === who.issuer && approval.principal.subject === who.subject;
}

/** Those that the reader may answer first, the soonest to end before others; then the rest, as they came: newest first. */
export function inOrder(approvals: Approval[]): Approval[] {
  const mine = approvals.filter((approval) => approval.you.may_answer);
  const rest = approvals.filter((approval) => !approval.you.may_answer);
  mine.sort((a, b) => Date.parse(a.stands_until) - Date.parse(b.stands_until));
  return [...mine, ...rest];
}

export function accessWords(approval: Approval): string {
  return `access for ${duration(approval.access?.seconds ?? 0)}`;
}

/** How often what is approved may run. */
export function scopeWords(approval: Approval): string {
  if (approval.kind === "access") {
    const period = duration(approval.access?.seconds ?? 0);
    return `sessions to ${targetWords(approval)} for ${period}, from the moment that enough agreed`;
  }
  if (approval.scope === "session") return "again and again in the session that asked, until that ends";
  return approval.session_bound ? "once, in the session that asked" : "once, in any session of the same principal";
}

const CAUSES: Record<string, string> = {
  cancelled: "the agent cancelled it",
  session_ended: "its session ended",
  given_back: "whoever asked gave it back",
  superseded: "policy or catalog changed what it means; another request may have taken its place",
  revoked: "an administrator ended it",
};

export interface Outcome {
  label: string;
  tone: Tone;
  /** In a sentence. */
  says: string;
}

export function outcome(approval: Approval): Outcome {
  const missing = listed(approval.missing);
  switch (approval.state) {
    case "pending":
      return { label: "pending", tone: "info", says: missing ? `It waits for ${missing}.` : "It waits." };
    case "approved":
      return { label: "approved", tone: "good", says: approvedWords(approval) };
    case "used":
      return { label: "used", tone: "good", says: "It was approved, and ran." };
    case "denied":
      return { label: "denied", tone: "bad", says: deniedWords(approval) };
    case "expired":
      return {
        label: "expired",
        tone: "plain",
        says: missing ? `Its time ran out; ${missing} had not agreed.` : "Its time ran out.",
      };
    case "withdrawn": {
      const cause = approval.cause ?? "";
      return { label: "withdrawn", tone: "plain", says: `Withdrawn: ${CAUSES[cause] ?? cause}.` };
    }
  }
}

function approvedWords(approval: Approval): string {
  if (approval.kind === "access") return "It is approved: sessions may open.";
  const times = approval.uses === 1 ? "once" : `${approval.uses} times`;
  if (approval.scope === "session") {
    return `It is approved for its session, and ${approval.uses === 0 ? "has not run yet" : `ran ${times}`}.`;
  }
  return "It is approved, and has not run yet.";
}

function deniedWords(approval: Approval): string {
  const denial = approval.answers.find((answer) => !answer.agrees);
  return denial ? `${denial.reviewer.display_name} denied it.` : "It was denied.";
}
