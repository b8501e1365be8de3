import { describe, expect, it } from "vitest";
import { sessionRow } from "./api";
import { parted } from "./step-text";

describe("steps", () => {
  it("part a statement from the words about it, and nothing else", () => {
    const command = (text: string) => parted({ kind: "command", text });
    expect(command("forwarded query: SELECT 1\n: x")).toEqual({ verb: "forwarded query", rest: "SELECT 1\n: x", isCode: true });
    expect(command("forwarded data of COPY")).toEqual({ verb: "", rest: "forwarded data of COPY", isCode: false });
    expect(parted({ kind: "notice", text: "forwarded query: x" }).isCode).toBe(false);
  });
});

describe("rows", () => {
  it("say how a session ended", () => {
    const ending = (row: Record<string, string>) => sessionRow(row).ending;
    expect(ending({ closed_by: "client" })).toBe("the client said goodbye");
    expect(ending({ cause: "target_unreachable", message: "no route" })).toBe("target_unreachable: no route");
    expect(ending({ closed_by: "another" })).toBe("another");
    expect(ending({})).toBe("");
  });

  it("name who acts, also where the audit has no actor", () => {
    const found = { session_id: "x", principal_name: "bot", target: "orders", database: "shop", commands: 3, refused: null };
    const row = sessionRow(found);
    expect([row.actor, row.target, row.commands, row.refused, row.endedAt]).toEqual(["bot", "orders/shop", 3, 0, ""]);
  });
});
