// Times as people read them: local, to the second; UTC stands beside it.

/** `2026-11-12 14:03:22`, in the reader's time zone. */
export function local(text: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** `14:03`, in the reader's time zone. */
export function clock(text: string): string {
  return local(text).slice(11, 16);
}

/** `2026-11-12T13:03:22.123Z`. */
export function utc(text: string): string {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? text : at.toISOString();
}

/** `2 d 3 h`, `4 min 05 s`, `12 s`: two parts at most. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const [days, hours] = [Math.floor(whole / 86_400), Math.floor(whole / 3_600) % 24];
  const [minutes, rest] = [Math.floor(whole / 60) % 60, whole % 60];
  if (days > 0) return hours > 0 ? `${days} d ${hours} h` : `${days} d`;
  if (hours > 0) return minutes > 0 ? `${hours} h ${two(minutes)} min` : `${hours} h`;
  if (minutes > 0) return rest > 0 ? `${minutes} min ${two(rest)} s` : `${minutes} min`;
  return `${rest} s`;
}

/** `+00:12.345`, `+1:02:03.004`: since the start of a session. */
export function offset(startMs: number, atMs: number): string {
  const ms = Math.max(0, Math.round(atMs - startMs));
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(ms / 3_600_000);
  const head = hours > 0 ? `${hours}:` : "";
  const seconds = `${two(Math.floor(ms / 1_000) % 60)}.${String(ms % 1_000).padStart(3, "0")}`;
  return `+${head}${two(Math.floor(ms / 60_000) % 60)}:${seconds}`;
}

/** Seconds from `nowMs` until then; negative once it has passed. */
export function secondsUntil(text: string, nowMs: number): number {
  return (Date.parse(text) - nowMs) / 1_000;
}
