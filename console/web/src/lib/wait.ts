// Waiting that ends: by time, by a signal, or by news from the browser.

const FIRST_BACKOFF_MS = 1_000;
const MAX_BACKOFF_MS = 30_000;

/** How long to wait after so many failures in a row (from 1); `random` in 0..1 keeps many pages apart. */
export function backoffMs(failures: number, random: number): number {
  const whole = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(failures - 1, 10));
  return Math.round(whole * (0.75 + 0.25 * random));
}

/** Waits, and wakes early where the browser is online again or the page is looked at again. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      window.removeEventListener("online", done);
      document.removeEventListener("visibilitychange", looked);
      resolve();
    };
    const looked = () => {
      if (!document.hidden) done();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
    window.addEventListener("online", done);
    document.addEventListener("visibilitychange", looked);
    if (signal.aborted) done();
  });
}

/** Resolves once the page is looked at, or the signal says stop. */
export function visible(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", check);
      signal.removeEventListener("abort", check);
      resolve();
    };
    document.addEventListener("visibilitychange", check);
    signal.addEventListener("abort", check);
    check();
  });
}
