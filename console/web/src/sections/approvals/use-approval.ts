// One request, kept as it was when the reviewer began to read, beside what it is now.

import { useEffect, useState } from "preact/hooks";
import type { Approval } from "../../lib/contract";
import type { Refusal } from "../../lib/http";
import { asRefusal } from "../../lib/hooks";
import { serverNow } from "../../lib/clock";
import { useStore } from "../../lib/store";
import { secondsUntil } from "../../lib/time";
import { inbox } from "../../state/inbox";
import { readApproval } from "./api";

/** After the end of its time, so that the gateway agrees that it has come. */
const AFTER_END_MS = 1_500;
/** The longest that a browser's timer takes. */
const MAX_TIMER_MS = 2_000_000_000;

export interface Reading {
  /** What is on the screen, and what an approval will be of. */
  read: Approval | null;
  now: Approval | null;
  error: Refusal | null;
  reload: () => void;
  /** Takes the answer to an answer. */
  answered: (approval: Approval) => void;
  /** Reads anew what is asked now. */
  readAgain: () => void;
}

export function useApproval(id: string): Reading {
  const { seen } = useStore(inbox);
  const [read, setRead] = useState<Approval | null>(null);
  const [now, setNow] = useState<Approval | null>(null);
  const [error, setError] = useState<Refusal | null>(null);
  const [round, setRound] = useState(0);
  const reload = () => setRound((before) => before + 1);
  useEffect(() => {
    const ended = new AbortController();
    const load = async () => {
      try {
        const loaded = await readApproval(id, ended.signal);
        if (ended.signal.aborted) return;
        setRead((before) => before ?? loaded);
        setNow(loaded);
        setError(null);
      } catch (reason) {
        if (!ended.signal.aborted) setError(asRefusal(reason));
      }
    };
    void load();
    return () => ended.abort();
  }, [id, seen, round]);
  useEndOfTime(now, reload);
  const answered = (approval: Approval) => {
    setRead(approval);
    setNow(approval);
    setError(null);
  };
  return { read, now, error, reload, answered, readAgain: () => setRead(now) };
}

/** That time runs out is no event until somebody looks. */
function useEndOfTime(now: Approval | null, reload: () => void): void {
  const until = now && (now.state === "pending" || now.state === "approved") ? now.stands_until : null;
  useEffect(() => {
    if (until === null) return;
    const wait = secondsUntil(until, serverNow()) * 1_000;
    // Where the clocks differ, once more is enough: the next news bring the rest.
    if (wait < 0) return;
    const timer = setTimeout(reload, Math.min(wait + AFTER_END_MS, MAX_TIMER_MS));
    return () => clearTimeout(timer);
  }, [until]);
}
