// The server's clock: what is left of a request is a matter of its time, not of the reader's computer.

/** Less is the network and the header's full seconds. */
const IGNORED_SKEW_MS = 2_500;

let skewMs = 0;

/** Learns from the `Date` field of an answer. */
export function noteServerDate(value: string | null): void {
  if (value === null) return;
  const skew = Date.parse(value) - Date.now();
  if (!Number.isNaN(skew)) skewMs = Math.abs(skew) > IGNORED_SKEW_MS ? skew : 0;
}

export function serverNow(): number {
  return Date.now() + skewMs;
}
