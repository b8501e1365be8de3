import { describe, expect, it } from "vitest";
import { named, number, text } from "./audit";
import { Refusal } from "./http";
import { byteLength, proseFault } from "./prose";
import { matches, parseHash } from "./route";
import { duration, local, offset, secondsUntil, utc } from "./time";
import { backoffMs } from "./wait";

describe("time", () => {
  it("tells durations in two parts at most", () => {
    const said = [-5, 0, 59, 60, 61, 3_600, 3_725, 86_400, 90_061].map(duration);
    expect(said).toEqual(["0 s", "0 s", "59 s", "1 min", "1 min 01 s", "1 h", "1 h 02 min", "1 d", "1 d 1 h"]);
  });

  it("tells offsets to the millisecond", () => {
    expect(offset(0, 12_345)).toBe("+00:12.345");
    expect(offset(1_000, 3_724_004 + 1_000)).toBe("+1:02:04.004");
    expect(offset(5, 0)).toBe("+00:00.000");
  });

  it("reads microseconds, and leaves alone what is no time", () => {
    expect(utc("2026-01-02T03:04:05.678901Z")).toBe("2026-01-02T03:04:05.678Z");
    expect(local("2026-01-02T03:04:05Z")).toMatch(/^2026-01-0\d \d\d:\d\d:05$/);
    expect([utc("soon"), local("soon")]).toEqual(["soon", "soon"]);
    expect(secondsUntil("1970-01-01T00:01:00Z", 1_500)).toBe(58.5);
  });
});

describe("prose", () => {
  it("counts bytes as the gateway does", () => {
    expect(byteLength("aé🎉")).toBe(7);
    expect(proseFault("é".repeat(1_000))).toBeNull();
    expect(proseFault("é".repeat(1_001))).toContain("2,000");
    expect(proseFault("two\nlines")).toBeNull();
    expect(proseFault("a\tb")).not.toBeNull();
  });
});

describe("routes", () => {
  it("reads an address", () => {
    expect(parseHash("#/approvals/x?show=all").path).toBe("/approvals/x");
    expect(parseHash("#/approvals?show=all").query.get("show")).toBe("all");
    expect(parseHash("").path).toBe("/");
    expect(parseHash("#main").path).toBe("/");
  });

  it("fits paths to patterns", () => {
    expect(matches("/approvals", "/approvals/")).toEqual({});
    expect(matches("/approvals/:id", "/approvals/a%20b")).toEqual({ id: "a b" });
    for (const bad of ["/approvals", "/approvals/", "/approvals/a/b", "/sessions/a", "/approvals/%E0%A4%A"]) {
      expect(matches("/approvals/:id", bad), bad).toBeNull();
    }
  });
});

describe("answers of the audit", () => {
  const columns = [{ name: "a", type: "text" }, { name: "n", type: "bigint" }];

  it("names cells", () => {
    const [row] = named({ columns, rows: [["x", 3]], row_count: 1 });
    expect(row && [text(row, "a"), number(row, "n"), text(row, "missing")]).toEqual(["x", 3, ""]);
  });

  it("takes no answer that is not whole", () => {
    expect(() => named({ columns, rows: [["x", 3]] })).toThrow(Refusal);
    expect(() => named({ columns, rows: [["x", 3]], row_count: 2 })).toThrow(Refusal);
    expect(() => named({ columns, rows: [], error: { code: "timed_out", message: "no" } })).toThrow("no");
  });
});

describe("backoff", () => {
  it("grows to its bound and never beyond", () => {
    expect([1, 2, 3, 6, 1_000].map((failures) => backoffMs(failures, 1))).toEqual([1_000, 2_000, 4_000, 30_000, 30_000]);
    expect(backoffMs(1, 0)).toBe(750);
  });
});
