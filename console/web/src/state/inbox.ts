// The requests that are open, live: one long poll for all pages of this tab. Each request is a token check on record, so
// pages listen here instead of asking for themselves.

import type { Approval, ApprovalList } from "../lib/contract";
import { ask, Refusal } from "../lib/http";
import { store } from "../lib/store";
import { backoffMs, pause, visible } from "../lib/wait";

/** Requests that are shown at most. */
export const INBOX_LIMIT = 200;
const WAIT_S = 25;
const TIMEOUT_MS = 40_000;
/** Between answers, however fast news come. */
const MIN_GAP_MS = 1_000;
/** A tab that nobody looked at for so long asks no more until somebody does. */
const MAX_HIDDEN_MS = 10 * 60_000;

export interface Inbox {
  /** Null before the first answer. */
  approvals: Approval[] | null;
  /** Changes with everything that may change a request. */
  seen: number | null;
  error: Refusal | null;
}

const EMPTY: Inbox = { approvals: null, seen: null, error: null };

export const inbox = store<Inbox>(EMPTY);

/** Begins to follow; the function that it gives ends that. */
export function followInbox(): () => void {
  const ended = new AbortController();
  inbox.set(EMPTY);
  void follow(ended.signal);
  return () => ended.abort();
}

export function listApprovals(state: "open" | "all", signal: AbortSignal): Promise<ApprovalList> {
  return ask<ApprovalList>(`/api/approvals?state=${state}&limit=${INBOX_LIMIT}`, { signal });
}

async function follow(signal: AbortSignal): Promise<void> {
  let failures = 0;
  let looked = Date.now();
  while (!signal.aborted) {
    if (!document.hidden) looked = Date.now();
    else if (Date.now() - looked > MAX_HIDDEN_MS) await visible(signal);
    if (signal.aborted) return;
    const began = Date.now();
    try {
      const { approvals, seen } = await news(signal);
      failures = 0;
      inbox.set({ approvals, seen, error: null });
    } catch (error) {
      if (signal.aborted || !(error instanceof Refusal)) return;
      failures += 1;
      inbox.set({ ...inbox.get(), error });
    }
    await pause(failures > 0 ? backoffMs(failures, Math.random()) : gap(began), signal);
  }
}

function news(signal: AbortSignal): Promise<ApprovalList> {
  const { seen } = inbox.get();
  if (seen === null) return listApprovals("open", signal);
  // A hidden tab does not hold a connection open: over HTTP/1.1 a browser has six of them for all tabs.
  const wait = document.hidden ? 0 : WAIT_S;
  const query = `state=open&limit=${INBOX_LIMIT}&after=${seen}&wait=${wait}`;
  return ask<ApprovalList>(`/api/approvals?${query}`, { signal, timeoutMs: TIMEOUT_MS });
}

function gap(began: number): number {
  if (document.hidden) return WAIT_S * 1_000;
  return Math.max(0, MIN_GAP_MS - (Date.now() - began));
}
