// What people write along with an answer; bounds as the gateway has them.

export const MAX_PROSE_BYTES = 2_000;

const encoder = new TextEncoder();

export function byteLength(text: string): number {
  return encoder.encode(text).length;
}

/** What is wrong with it, or null. */
export function proseFault(text: string): string | null {
  if (byteLength(text) > MAX_PROSE_BYTES) return `At most ${MAX_PROSE_BYTES.toLocaleString("en")} bytes.`;
  if (/(?!\n)\p{Cc}/u.test(text)) return "Tabs and other control characters are not taken.";
  return null;
}
