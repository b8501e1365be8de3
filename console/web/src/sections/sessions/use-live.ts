// Live sessions, asked for again and again while somebody looks.

import { useEffect, useState } from "preact/hooks";
import { asRefusal } from "../../lib/hooks";
import type { Refusal } from "../../lib/http";
import { backoffMs, pause, visible } from "../../lib/wait";
import { liveSessions, type SessionRow } from "./api";

const EVERY_MS = 5_000;
/** The audit is not kept busy for more than a fifth of the time: each question reads what is on record, and is on record. */
const REST_FACTOR = 4;
const MAX_REST_MS = 60_000;

export interface Live {
  rows: SessionRow[] | null;
  error: Refusal | null;
  reload: () => void;
}

export function useLiveSessions(): Live {
  const [live, setLive] = useState<{ rows: SessionRow[] | null; error: Refusal | null }>({ rows: null, error: null });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const ended = new AbortController();
    void follow(ended.signal, setLive);
    return () => ended.abort();
  }, [round]);
  return { ...live, reload: () => setRound((before) => before + 1) };
}

type Set = (change: (before: { rows: SessionRow[] | null; error: Refusal | null }) => {
  rows: SessionRow[] | null;
  error: Refusal | null;
}) => void;

async function follow(signal: AbortSignal, set: Set): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    await visible(signal);
    if (signal.aborted) return;
    const began = Date.now();
    try {
      const rows = await liveSessions(signal);
      if (signal.aborted) return;
      failures = 0;
      set(() => ({ rows, error: null }));
    } catch (reason) {
      if (signal.aborted) return;
      failures += 1;
      set((before) => ({ ...before, error: asRefusal(reason) }));
      // Policy says no: it would say no every five seconds, each time on record.
      if (asRefusal(reason).status === 403) return;
    }
    const rest = Math.min(MAX_REST_MS, Math.max(EVERY_MS, REST_FACTOR * (Date.now() - began)));
    await pause(failures > 0 ? Math.max(rest, backoffMs(failures, Math.random())) : rest, signal);
  }
}
