// A session as it passed: page after page, as far as somebody reads.

import { useEffect, useRef, useState } from "preact/hooks";
import type { ReplayStep } from "../../lib/contract";
import { asRefusal, useLatest } from "../../lib/hooks";
import type { Refusal } from "../../lib/http";
import { moveFocus, useKeys } from "../../lib/keys";
import { Note, Refused } from "../../ui/parts";
import { readReplay } from "./api";
import { Step } from "./replay-step";

/** Steps on one page of the browser; beyond, the command line. */
const MAX_STEPS = 5_000;

interface Pages {
  steps: ReplayStep[];
  /** Where the next page begins; null after the last one. */
  next: number | null;
  whole: boolean;
  begun: boolean;
}

export function Replay({ id, startedAt, live }: { id: string; startedAt: string; live: boolean }) {
  const list = useRef<HTMLOListElement>(null);
  useKeys({ j: () => moveFocus(list.current, 1), k: () => moveFocus(list.current, -1) });
  const { pages, busy, error, more } = useReplay(id);
  const { steps, next, whole, begun } = pages;
  const full = steps.length >= MAX_STEPS;
  return (
    <section class="card" data-testid="replay" aria-busy={busy}>
      <div class="card-head">
        <h2>Replay</h2>
        {begun ? (
          <span class="quiet">
            {steps.length.toLocaleString("en")} steps{next === null ? "" : " so far"}, results as the agent saw them: masked
          </span>
        ) : null}
      </div>
      <ol class="steps" ref={list}>
        {steps.map((step, index) => (
          <Step key={`${step.seq ?? "-"} ${index}`} step={step} startMs={Date.parse(startedAt)} />
        ))}
      </ol>
      {error ? <Refused error={error} retry={more} what="The session cannot be read" /> : null}
      {busy ? (
        <p class="loading" role="status">
          Reading the session…
        </p>
      ) : null}
      {begun && steps.length === 0 && !busy ? <p class="quiet">Nothing of it can be shown.</p> : null}
      {!whole || full ? (
        <Note tone="warn">
          It is longer than this page shows: <code>tallyport sessions replay {id}</code> shows all of it.
        </Note>
      ) : null}
      <More next={next} live={live} shown={begun && !busy && !error && !full} onMore={more} />
    </section>
  );
}

function More({ next, live, shown, onMore }: { next: number | null; live: boolean; shown: boolean; onMore: () => void }) {
  if (!shown || (next === null && !live)) return null;
  return (
    <button type="button" class="button" data-testid="load-more" onClick={onMore}>
      {next === null ? "Look for newer steps" : "Load more"}
    </button>
  );
}

function useReplay(id: string) {
  const [pages, setPages] = useState<Pages>({ steps: [], next: null, whole: true, begun: false });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Refusal | null>(null);
  const latest = useLatest(pages);
  const ended = useRef<AbortController | null>(null);
  const more = async () => {
    const { signal } = (ended.current ??= new AbortController());
    setBusy(true);
    setError(null);
    try {
      const { steps, next } = latest.current;
      const page = await readReplay(id, next ?? lastSeq(steps), signal);
      if (signal.aborted) return;
      setPages((before) => ({
        steps: [...before.steps, ...page.steps].slice(0, MAX_STEPS),
        next: page.next,
        whole: page.whole ?? true,
        begun: true,
      }));
    } catch (reason) {
      if (!signal.aborted) setError(asRefusal(reason));
    } finally {
      if (!signal.aborted) setBusy(false);
    }
  };
  useEffect(() => {
    void more();
    return () => {
      ended.current?.abort();
      ended.current = null;
    };
  }, [id]);
  return { pages, busy, error, more: () => void more() };
}

function lastSeq(steps: ReplayStep[]): number | null {
  return steps.findLast((step) => step.seq !== null)?.seq ?? null;
}
