// What an agent wrote is shown so that no character of it can hide, act, or read otherwise than it is written.

/** A character that people cannot see, or that turns the text around it. */
export interface Hidden {
  code: string;
  name: string;
  count: number;
}

/** A part of a text: as it is, or a run of one hidden character. */
export interface Piece {
  text: string;
  hidden?: Hidden;
}

/** A kind of hidden character in a text. */
export interface Finding extends Hidden {
  /** Of its first appearance, from 1. */
  line: number;
}

/** More marks than this in one text become plain words: each mark is an element of the page. */
const MAX_MARKS = 2_000;
/** Words of mixed scripts that are named. */
const MAX_MIXED = 5;
/** So many empty lines push what follows out of sight. */
const MANY_EMPTY_LINES = 8;

// Default_Ignorable: zero-width, joiners, bidi, variation selectors, tags, fillers. Zs: spaces that are not the space.
const HIDDEN =
  /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/u;

const NAMES: Record<number, string> = {
  0x00: "null", 0x07: "bell", 0x08: "backspace", 0x09: "tab", 0x0a: "line feed", 0x0b: "vertical tab",
  0x0c: "form feed", 0x0d: "carriage return", 0x1b: "escape", 0x7f: "delete", 0x85: "next line",
  0x9b: "control sequence introducer", 0xa0: "no-break space", 0xad: "soft hyphen",
  0x061c: "Arabic letter mark", 0x200b: "zero-width space", 0x200c: "zero-width non-joiner",
  0x200d: "zero-width joiner", 0x200e: "left-to-right mark", 0x200f: "right-to-left mark",
  0x2028: "line separator", 0x2029: "paragraph separator", 0x202a: "left-to-right embedding",
  0x202b: "right-to-left embedding", 0x202c: "pop directional formatting", 0x202d: "left-to-right override",
  0x202e: "right-to-left override", 0x2060: "word joiner", 0x2066: "left-to-right isolate",
  0x2067: "right-to-left isolate", 0x2068: "first strong isolate", 0x2069: "pop directional isolate",
  0xfeff: "zero-width no-break space", 0x3164: "Hangul filler", 0x2800: "blank Braille pattern",
};

/** The text in pieces. With `lines`, line feeds and tabs stay as they are; without, they are marked as well. */
export function reveal(text: string, lines: boolean): Piece[] {
  const pieces: Piece[] = [];
  let plain = "";
  let last: Hidden | undefined;
  const flush = () => {
    if (plain !== "") pieces.push({ text: plain });
    plain = "";
  };
  for (const character of text) {
    if (!isHidden(character, lines)) {
      plain += character;
      last = undefined;
      continue;
    }
    const code = codeOf(character);
    if (last?.code === code) {
      last.count += 1;
    } else if (pieces.length >= MAX_MARKS) {
      plain += `‹${code}›`;
      last = undefined;
    } else {
      flush();
      last = { code, name: nameOf(character), count: 1 };
      pieces.push({ text: character, hidden: last });
    }
  }
  flush();
  return pieces;
}

/** One line of words alone, for places that take no elements: titles, labels, announcements. */
export function flat(text: string): string {
  const shown = ({ text, hidden }: Piece) => {
    if (!hidden) return text;
    if (hidden.code === "U+000A" || hidden.code === "U+0009") return " ";
    return hidden.count > 1 ? `‹${hidden.code} ×${hidden.count}›` : `‹${hidden.code}›`;
  };
  return reveal(text, false).map(shown).join("");
}

/** What is hidden in a text of several lines, each kind once, in the order of appearance. */
export function findings(text: string): Finding[] {
  const found = new Map<string, Finding>();
  let line = 1;
  // The line ends of Windows are no surprise to anybody.
  for (const character of text.replaceAll("\r\n", "\n")) {
    if (character === "\n") line += 1;
    if (!isHidden(character, true)) continue;
    const code = codeOf(character);
    const known = found.get(code);
    if (known) known.count += 1;
    else found.set(code, { code, name: nameOf(character), count: 1, line });
  }
  return [...found.values()];
}

/** Words that have letters of Latin and of a script that looks like it: `pаypal`. */
export function mixedScripts(text: string): string[] {
  const words = text.match(/[\p{L}\p{M}\p{N}_]+/gu) ?? [];
  const mixed = words.filter(
    (word) => /\p{Script=Latin}/u.test(word) && /[\p{Script=Cyrillic}\p{Script=Greek}\p{Script=Armenian}]/u.test(word),
  );
  return [...new Set(mixed)].slice(0, MAX_MIXED);
}

/** The line that follows a run of empty lines long enough to hide it. */
export function afterEmptyLines(text: string): number | null {
  let empty = 0;
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") {
      empty += 1;
      continue;
    }
    if (empty >= MANY_EMPTY_LINES && index > empty) return index + 1;
    empty = 0;
  }
  return null;
}

/** The first line that says something, at most so many characters of it, and how many lines come after it. */
export function firstLine(text: string, maxCharacters: number): { line: string; cut: boolean; more: number } {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const characters = [...(lines[0] ?? "")];
  const cut = characters.length > maxCharacters;
  return {
    line: characters.slice(0, maxCharacters).join(""),
    cut,
    more: Math.max(0, lines.length - 1),
  };
}

function isHidden(character: string, lines: boolean): boolean {
  if (lines && (character === "\n" || character === "\t")) return false;
  return HIDDEN.test(character);
}

function codeOf(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
}

function nameOf(character: string): string {
  const known = NAMES[character.codePointAt(0) ?? 0];
  if (known) return known;
  if (/\p{Cc}/u.test(character)) return "control character";
  if (/\p{Zs}/u.test(character)) return "unusual space";
  if (/\p{Cs}/u.test(character)) return "half of a character";
  if (/[\p{Co}\p{Cn}]/u.test(character)) return "character without a meaning of its own";
  return "invisible character";
}
