import { askAudit, number, text, type Row } from "../../lib/audit";
import type { ReplayPage } from "../../lib/contract";
import { ask } from "../../lib/http";
import { isId, NotALiteral, quoteId } from "../../lib/sql";
import type { Tone } from "../../ui/parts";

/** Sessions that are shown at most: of those that are live, and of all. */
export const LIVE_LIMIT = 500;
export const PAST_LIMIT = 100;

const COLUMNS = `session_id, opened_at, ended_at, state, closed_by, cause, message, expires_at, commands, refused, rows, bytes,
  application, principal_issuer, principal_subject, principal_name, principal_kind, actor, on_behalf_of, delegation,
  agent_model, agent_name, agent_task, client_ip, target, database`;

export interface SessionRow {
  id: string;
  openedAt: string;
  endedAt: string;
  state: string;
  /** How it ended, as far as it is said. */
  ending: string;
  expiresAt: string;
  commands: number;
  refused: number;
  rows: number;
  bytes: number;
  application: string;
  issuer: string;
  subject: string;
  name: string;
  kind: string;
  actor: string;
  onBehalf: string;
  delegation: string;
  agent: string;
  task: string;
  clientIp: string;
  target: string;
}

const CLOSED_BY: Record<string, string> = {
  client: "the client said goodbye",
  target: "the target closed",
  shutdown: "the gateway shut down",
  refused: "policy refused it at the door",
};

export async function liveSessions(signal: AbortSignal): Promise<SessionRow[]> {
  const sql = `SELECT ${COLUMNS} FROM sessions WHERE state = 'open' ORDER BY opened_at DESC LIMIT ${LIVE_LIMIT}`;
  return (await askAudit(sql, signal)).map(sessionRow);
}

export async function pastSessions(signal: AbortSignal): Promise<SessionRow[]> {
  const sql = `SELECT ${COLUMNS} FROM sessions WHERE opened_at IS NOT NULL ORDER BY opened_at DESC LIMIT ${PAST_LIMIT}`;
  return (await askAudit(sql, signal)).map(sessionRow);
}

/** Apart from the others: whoever is refused comes again and again. */
export async function refusedSessions(signal: AbortSignal): Promise<SessionRow[]> {
  const sql = `SELECT ${COLUMNS} FROM sessions WHERE opened_at IS NULL ORDER BY ended_at DESC NULLS LAST LIMIT ${PAST_LIMIT}`;
  return (await askAudit(sql, signal)).map(sessionRow);
}

export async function oneSession(id: string, signal: AbortSignal): Promise<SessionRow | null> {
  const sql = `SELECT ${COLUMNS} FROM sessions WHERE session_id = ${quoteId(id)} LIMIT 1`;
  const row = (await askAudit(sql, signal))[0];
  return row ? sessionRow(row) : null;
}

export function sessionRow(row: Row): SessionRow {
  const join = (separator: string, ...names: string[]) =>
    names.map((name) => text(row, name)).filter((word) => word !== "").join(separator);
  return {
    id: text(row, "session_id"),
    openedAt: text(row, "opened_at"),
    endedAt: text(row, "ended_at"),
    state: text(row, "state"),
    ending: [CLOSED_BY[text(row, "closed_by")] ?? text(row, "closed_by"), join(": ", "cause", "message")]
      .filter((words) => words !== "")
      .join("; "),
    expiresAt: text(row, "expires_at"),
    commands: number(row, "commands"),
    refused: number(row, "refused"),
    rows: number(row, "rows"),
    bytes: number(row, "bytes"),
    application: text(row, "application"),
    issuer: text(row, "principal_issuer"),
    subject: text(row, "principal_subject"),
    name: text(row, "principal_name"),
    kind: text(row, "principal_kind"),
    actor: text(row, "actor") || text(row, "principal_name"),
    onBehalf: text(row, "on_behalf_of"),
    delegation: text(row, "delegation"),
    agent: join(" · ", "agent_name", "agent_model"),
    task: text(row, "agent_task"),
    clientIp: text(row, "client_ip"),
    target: join("/", "target", "database"),
  };
}

export async function endSession(id: string, reason: string): Promise<void> {
  if (!isId(id)) throw new NotALiteral("That is no id of a session.");
  const body = { revoked: { kind: "session", session_id: id }, reason: reason.trim() };
  await ask<unknown>("/api/revocations", { method: "POST", body });
}

/** The query service reads the whole session for it. */
const REPLAY_TIMEOUT_MS = 80_000;

export async function readReplay(id: string, after: number | null, signal: AbortSignal): Promise<ReplayPage> {
  if (!isId(id)) throw new NotALiteral("That is no id of a session.");
  const query = after === null ? "" : `?after=${after}`;
  return ask<ReplayPage>(`/sessions/${id}/replay${query}`, { signal, timeoutMs: REPLAY_TIMEOUT_MS });
}

const TONES: Record<string, Tone> = { open: "good", revoked: "bad", lost: "warn", expired: "warn" };

export function stateTone(state: string): Tone {
  return TONES[state] ?? "plain";
}
