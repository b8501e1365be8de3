import type { Approval } from "../../lib/contract";
import { ask } from "../../lib/http";
import { isId, NotALiteral } from "../../lib/sql";

function path(id: string, verb?: string): string {
  if (!isId(id)) throw new NotALiteral("That is no id of a request.");
  return `/api/approvals/${id}${verb ? `/${verb}` : ""}`;
}

export async function readApproval(id: string, signal: AbortSignal): Promise<Approval> {
  return ask<Approval>(path(id), { signal });
}

/** The digest is that of what was on the screen: the gateway takes no approval of anything else. */
export async function approve(id: string, digest: string, comment: string): Promise<Approval> {
  return ask<Approval>(path(id, "approve"), { method: "POST", body: { digest, ...said(comment) } });
}

export async function deny(id: string, comment: string): Promise<Approval> {
  return ask<Approval>(path(id, "deny"), { method: "POST", body: said(comment) });
}

export async function withdraw(id: string): Promise<Approval> {
  return ask<Approval>(path(id, "withdraw"), { method: "POST", body: {} });
}

function said(comment: string): { comment?: string } {
  const text = comment.trim();
  return text === "" ? {} : { comment: text };
}
