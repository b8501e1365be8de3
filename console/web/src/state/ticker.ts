// One clock for all that ticks.

import { useEffect, useState } from "preact/hooks";
import { serverNow } from "../lib/clock";

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

/** The server's time in milliseconds, anew every second. */
export function useNow(): number {
  const [now, setNow] = useState(serverNow());
  useEffect(() => {
    const told = () => setNow(serverNow());
    listeners.add(told);
    timer ??= setInterval(() => listeners.forEach((each) => each()), 1_000);
    return () => {
      listeners.delete(told);
      if (listeners.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    };
  }, []);
  return now;
}
