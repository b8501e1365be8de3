import { describe, expect, it } from "vitest";
import { isId, NotALiteral, quote, quoteId, quoteTime } from "./sql";

describe("quote", () => {
  it("doubles quotes and leaves the rest as it is", () => {
    expect(quote("plain")).toBe("'plain'");
    expect(quote("O'Neil'; DROP TABLE x --")).toBe("'O''Neil''; DROP TABLE x --'");
    expect(quote("a\\'b")).toBe("'a\\''b'");
    expect(quote("$$ \u202e $1")).toBe("'$$ \u202e $1'");
  });

  it("takes no text that a parser might read otherwise", () => {
    for (const bad of ["a\u0000b", "a\nb", "\ud800", "x".repeat(3_000)]) {
      expect(() => quote(bad)).toThrow(NotALiteral);
    }
  });
});

describe("ids and times", () => {
  it("takes ids alone", () => {
    const id = "0195a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    expect(isId(id)).toBe(true);
    expect(quoteId(id)).toBe(`'${id}'`);
    for (const bad of ["", `${id} `, id.toUpperCase(), `${id}' OR '1'='1`, `x${id}`, `${id}\n`]) {
      expect(isId(bad), bad).toBe(false);
      expect(() => quoteId(bad)).toThrow(NotALiteral);
    }
  });

  it("writes moments in UTC", () => {
    expect(quoteTime(new Date(0))).toBe("TIMESTAMP '1970-01-01T00:00:00.000Z'");
  });
});
