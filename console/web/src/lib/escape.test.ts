import { describe, expect, it } from "vitest";
import { afterEmptyLines, findings, firstLine, flat, mixedScripts, reveal } from "./escape";

const marks = (text: string, lines = true) => reveal(text, lines).flatMap(({ hidden }) => (hidden ? [hidden.code] : []));

describe("reveal", () => {
  it("leaves plain text in one piece, whatever its script", () => {
    for (const text of ["SELECT 1", "größe = 'naïve'", "日本語", "שלום", "emoji 🎉", "<script>alert(1)</script>"]) {
      expect(reveal(text, true)).toEqual([{ text }]);
    }
    expect(reveal("", true)).toEqual([]);
  });

  it("marks what cannot be seen and what turns text around", () => {
    const hidden: [string, string][] = [
      ["\u0000", "U+0000"], ["\u001b", "U+001B"], ["\u007f", "U+007F"], ["\u009b", "U+009B"], ["\r", "U+000D"],
      ["\u00a0", "U+00A0"], ["\u00ad", "U+00AD"], ["\u034f", "U+034F"], ["\u061c", "U+061C"], ["\u115f", "U+115F"],
      ["\u180e", "U+180E"], ["\u200b", "U+200B"], ["\u200d", "U+200D"], ["\u200f", "U+200F"], ["\u2028", "U+2028"],
      ["\u202e", "U+202E"], ["\u2063", "U+2063"], ["\u2066", "U+2066"], ["\u2069", "U+2069"], ["\u2800", "U+2800"],
      ["\u3000", "U+3000"], ["\u3164", "U+3164"], ["\ufe0f", "U+FE0F"], ["\ufeff", "U+FEFF"], ["\ufff9", "U+FFF9"],
      ["\ue000", "U+E000"], ["\ud800", "U+D800"], ["\u{e0041}", "U+E0041"], ["\u{e0100}", "U+E0100"],
    ];
    for (const [character, code] of hidden) {
      expect(marks(`a${character}b`), code).toEqual([code]);
    }
  });

  it("keeps line feeds and tabs where lines are shown, and marks them where not", () => {
    expect(reveal("a\n\tb", true)).toEqual([{ text: "a\n\tb" }]);
    expect(marks("a\n\tb", false)).toEqual(["U+000A", "U+0009"]);
  });

  it("loses no character and makes one mark of a run", () => {
    const text = "a\u200b\u200b\u200bb\u202ec";
    const pieces = reveal(text, true);
    const whole = pieces.map((piece) => piece.text.repeat(piece.hidden?.count ?? 1)).join("");
    expect(whole).toBe(text);
    expect(pieces[1]?.hidden).toEqual({ code: "U+200B", name: "zero-width space", count: 3 });
  });

  it("makes a bounded number of elements of hostile text", () => {
    const pieces = reveal("\u200b\u202e".repeat(30_000), true);
    expect(pieces.length).toBeLessThan(2_100);
    const words = pieces.at(-1)?.text ?? "";
    // None is lost: those beyond the bound are words.
    expect(words.split("‹U+202E›").length - 1 + 1_000).toBe(30_000);
  });
});

describe("flat", () => {
  it("is one line of words that nothing acts on", () => {
    expect(flat("a\nb\tc")).toBe("a b c");
    expect(flat("x\u202ey\u200b\u200b\u001b[31m")).toBe("x‹U+202E›y‹U+200B ×2›‹U+001B›[31m");
  });
});

describe("findings", () => {
  it("tells each kind once, with its number and first line", () => {
    expect(findings("a\nb\u202ec\u202e\nd\u200b")).toEqual([
      { code: "U+202E", name: "right-to-left override", count: 2, line: 2 },
      { code: "U+200B", name: "zero-width space", count: 1, line: 3 },
    ]);
  });

  it("is silent about the line ends of Windows, and not about other carriage returns", () => {
    expect(findings("a\r\nb")).toEqual([]);
    expect(findings("a\rb").map((it) => it.code)).toEqual(["U+000D"]);
  });
});

describe("what misleads without being hidden", () => {
  it("finds words of mixed scripts", () => {
    expect(mixedScripts("SELECT p\u0430ypal FROM \u0434\u0430\u043d\u043d\u044b\u0435, paypal")).toEqual(["p\u0430ypal"]);
  });

  it("finds text behind many empty lines", () => {
    expect(afterEmptyLines(`SELECT 1${"\n".repeat(12)}DROP TABLE x`)).toBe(13);
    expect(afterEmptyLines("SELECT 1\n\n\nFROM x")).toBeNull();
    expect(afterEmptyLines(`SELECT 1${"\n".repeat(40)}`)).toBeNull();
  });
});

describe("firstLine", () => {
  it("says how much it leaves out", () => {
    expect(firstLine("\n  SELECT 1\nFROM x\n\nWHERE y", 100)).toEqual({ line: "SELECT 1", cut: false, more: 2 });
    expect(firstLine("🎉🎉🎉", 2)).toEqual({ line: "🎉🎉", cut: true, more: 0 });
    expect(firstLine("", 5)).toEqual({ line: "", cut: false, more: 0 });
  });
});
