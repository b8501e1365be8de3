import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Refusal } from "./http";
import { NotALiteral } from "./sql";

export interface Loaded<T> {
  value: T | null;
  error: Refusal | null;
  loading: boolean;
  reload: () => void;
}

/** Loads when `keys` change or on demand; what came before stays visible meanwhile, and of two answers the later counts. */
export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, keys: readonly unknown[]): Loaded<T> {
  const [value, setValue] = useState<T | null>(null);
  const [error, setError] = useState<Refusal | null>(null);
  const [loading, setLoading] = useState(true);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const ended = new AbortController();
    setLoading(true);
    load(ended.signal)
      .then((loaded) => {
        if (ended.signal.aborted) return;
        setValue(() => loaded);
        setError(null);
        setLoading(false);
      })
      .catch((reason: unknown) => {
        if (ended.signal.aborted) return;
        setError(asRefusal(reason));
        setLoading(false);
      });
    return () => ended.abort();
  }, [...keys, round]);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  return { value, error, loading, reload };
}

/** What went wrong, in words that can be shown. */
export function asRefusal(reason: unknown): Refusal {
  if (reason instanceof Refusal) return reason;
  if (reason instanceof NotALiteral) return new Refusal(400, "not_a_literal", reason.message);
  return new Refusal(0, "internal", "Something in this page went wrong; reload it.");
}

/** The page's title, with how many requests wait. */
export function useTitle(title: string): void {
  useEffect(() => {
    pageTitle = title;
    showTitle();
  }, [title]);
}

let pageTitle = "";
let waiting = 0;

export function titleCount(count: number): void {
  waiting = count;
  showTitle();
}

function showTitle(): void {
  const count = waiting > 0 ? `(${waiting}) ` : "";
  document.title = pageTitle ? `${count}${pageTitle} · Tallyport` : `${count}Tallyport`;
}

/** Keeps the newest function without renewing what uses it. */
export function useLatest<T>(value: T): { readonly current: T } {
  const latest = useRef(value);
  latest.current = value;
  return latest;
}
