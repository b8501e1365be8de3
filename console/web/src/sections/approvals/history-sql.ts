import { askAudit, number, text, type Row } from "../../lib/audit";
import { serverNow } from "../../lib/clock";
import type { Principal } from "../../lib/contract";
import { quote, quoteId, quoteTime } from "../../lib/sql";
import type { Tone } from "../../ui/parts";

/** Without a bound, each look at a request would read the whole lake. */
export const HISTORY_DAYS = 30;
const LIMIT = 20;

export function approvalsSql(principal: Principal, except: string, since: Date): string {
  const of = (activity: string, column: string) => `max(CASE WHEN activity = '${activity}' THEN ${column} END)`;
  const count = (activity: string) => `count(CASE WHEN activity = '${activity}' THEN 1 END)`;
  return `SELECT approval_id, ${of("requested", "time")} AS asked_at, ${of("requested", "statement")} AS statement,
  ${of("requested", "reason")} AS reason, max(target) AS target, max(reviewer_name) AS reviewer,
  ${count("granted")} AS granted, ${count("denied")} AS denied, ${count("used")} AS used,
  ${of("requested", "expires_at")} AS expires_at, ${count("expired")} AS expired, ${of("withdrawn", "cause")} AS withdrawn
FROM approvals
WHERE ${whose(principal, since)} AND approval_id <> ${quoteId(except)}
GROUP BY approval_id
HAVING ${count("requested")} > 0
ORDER BY asked_at DESC LIMIT ${LIMIT}`;
}

export function commandsSql(principal: Principal, since: Date): string {
  return `SELECT time, disposition, statement, session_id, target FROM commands
WHERE ${whose(principal, since)} AND statement IS NOT NULL AND coalesce(chunk, 0) = 0
ORDER BY time DESC LIMIT ${LIMIT}`;
}

function whose({ issuer, subject }: Principal, since: Date): string {
  return `time >= ${quoteTime(since)} AND principal_issuer = ${quote(issuer)} AND principal_subject = ${quote(subject)}`;
}

function since(): Date {
  return new Date(serverNow() - HISTORY_DAYS * 86_400_000);
}

export async function pastApprovals(principal: Principal, except: string, signal: AbortSignal): Promise<Row[]> {
  return askAudit(approvalsSql(principal, except, since()), signal);
}

export async function pastCommands(principal: Principal, signal: AbortSignal): Promise<Row[]> {
  return askAudit(commandsSql(principal, since()), signal);
}

/** What became of a request, by its steps. The first that holds counts: a denial ends what others granted. */
export function pastOutcome(row: Row): { label: string; tone: Tone } {
  if (number(row, "denied") > 0) return { label: "denied", tone: "bad" };
  if (number(row, "used") > 0) return { label: "used", tone: "good" };
  if (text(row, "withdrawn") !== "") return { label: `withdrawn: ${text(row, "withdrawn")}`, tone: "plain" };
  if (number(row, "expired") > 0) return { label: "expired", tone: "plain" };
  if (number(row, "granted") > 0) return { label: "granted", tone: "good" };
  // Of one that nobody waits for any more, nobody puts the end on record.
  const until = text(row, "expires_at");
  if (until !== "" && Date.parse(until) < serverNow()) return { label: "expired", tone: "plain" };
  return { label: "asked", tone: "info" };
}
