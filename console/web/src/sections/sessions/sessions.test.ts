import { describe, expect, it } from "vitest";
import { sessionRow } from "./api";
import { parted } from "./step-text";

describe("steps", () => {
  it("part a statement from the words about it, and nothing else", () => {
    expect(parted({ kind: "command", text: "forwarded query: SELECT 1\n: x" })).toEqual({ verb: "forwarded query", rest: "SELECT 1\n: x", isCode: true });
    expect(parted({ kind: "command", text: "forwarded data of COPY" })).toEqual({ verb: "", rest: "forwarded data of COPY", isCode: false });
    expect(parted({ kind: "notice", text: "forwarded query: x" }).isCode).toBe(false);
  });
});

describe("rows", () => {
  it("name who acts, also where the audit has no actor", () => {
    const row = sessionRow({ session_id: "x", principal_name: "bot", target: "orders", database: "shop", commands: 3, refused: null });
    expect([row.actor, row.target, row.commands, row.refused, row.endedAt]).toEqual(["bot", "orders/shop", 3, 0, ""]);
  });
});
