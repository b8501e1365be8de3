import { describe, expect, it } from "vitest";
import type { Approval, AskedCommand } from "../../lib/contract";
import { approvalsSql, commandsSql, pastOutcome } from "./history-sql";
import { actors, effects, inOrder, isOwn, outcome, progress, scopeWords } from "./model";

const command: AskedCommand = {
  command_id: "c", statement: "DELETE FROM app.orders", kinds: ["delete"], read_only: false, opaque: false,
  has_where: false, by_key: false,
};

function approval(changed: Partial<Approval> = {}): Approval {
  return {
    approval_id: "a", state: "pending", digest: "d", asked_at: "2026-01-01T00:00:00Z", expires_at: "2026-01-01T00:15:00Z",
    stands_until: "2026-01-01T00:15:00Z",
    principal: { issuer: "https://i", subject: "s", display_name: "bot", kind: "agent", owner: "team" },
    delegation: [], agent: {}, target: { name: "orders", kind: "postgresql", database: "shop" }, session_id: "x",
    session_bound: false, scope: "once", requirements: [{ group: "dba", quorum: 2 }, { group: "security", quorum: 1 }],
    missing: [{ group: "dba", quorum: 1 }], reasons: [], policy_ids: [], policy_version: "v", kind: "command", command,
    answers: [], uses: 0, you: { may_answer: false }, ...changed,
  };
}

const labels = (changed: Partial<AskedCommand>) => effects({ ...command, ...changed }).map(({ label }) => label);

describe("effects", () => {
  it("says first what is gravest", () => {
    expect(labels({})).toEqual(["delete", "no WHERE", "rows unknown"]);
    expect(labels({ has_where: true })).toContain("not by key");
    expect(labels({ has_where: true, by_key: true, estimated_rows: 1 })).toEqual(["delete", "one row by key", "~1 row"]);
    const all = labels({ opaque: true, labels: ["pii"], estimated_rows: 12_000 });
    expect(all).toEqual(["delete", "no WHERE", "opaque", "~12,000 rows", "pii"]);
  });

  it("does not call a request or a tool's call code", () => {
    const call = effects({ ...command, kinds: [], opaque: true }, { name: "crm", kind: "http" });
    expect(call.map(({ label, tone }) => [label, tone])).toEqual([["may change", "warn"]]);
  });

  it("says nothing of keys where no row is changed", () => {
    expect(labels({ kinds: ["select", "select"], read_only: true })).toEqual(["select", "read only"]);
  });
});

describe("who", () => {
  it("is the outermost actor, for the principal; else the principal, for its owner", () => {
    expect(actors(approval())).toMatchObject({ acts: "bot", onBehalf: "team" });
    const chain = approval({ delegation: [{ subject: "outer" }, { subject: "inner" }] });
    expect(actors(chain)).toMatchObject({ acts: "outer", onBehalf: "bot" });
  });

  it("is the reader only where issuer and subject are both theirs", () => {
    const me = { issuer: "https://i", subject: "s", display_name: "other", kind: "human" as const };
    expect(isOwn(approval(), me)).toBe(true);
    expect(isOwn(approval(), { ...me, issuer: "https://j" })).toBe(false);
    expect(isOwn(approval({ principal: null }), me)).toBe(false);
  });
});

describe("standing", () => {
  it("counts who agreed", () => {
    expect(progress(approval())).toEqual([
      { group: "dba", quorum: 2, agreed: 1 },
      { group: "security", quorum: 1, agreed: 1 },
    ]);
  });

  it("tells every state in words", () => {
    expect(outcome(approval()).says).toBe("It waits for 1 of dba.");
    expect(outcome(approval({ state: "withdrawn", cause: "cancelled" })).says).toContain("the agent cancelled it");
    expect(outcome(approval({ state: "withdrawn", cause: "new_cause" })).says).toBe("Withdrawn: new_cause.");
    expect(outcome(approval({ state: "approved", scope: "session", uses: 2 })).says).toContain("2 times");
    expect(outcome(approval({ state: "expired", missing: [] })).says).toBe("Its time ran out.");
    expect(outcome(approval({ state: "used" })).label).toBe("used");
  });

  it("says how often it may run", () => {
    expect(scopeWords(approval())).toContain("any session");
    expect(scopeWords(approval({ session_bound: true }))).toBe("once, in the session that asked");
    expect(scopeWords(approval({ kind: "access", access: { seconds: 3_600, reason: "r" } }))).toContain("orders/shop for 1 h");
  });

  it("puts first what the reader may answer, the soonest to end before others", () => {
    const one = (approval_id: string, may_answer: boolean, stands_until: string) =>
      approval({ approval_id, you: { may_answer }, stands_until });
    const listed = [
      one("new", false, "2026-01-01T00:01:00Z"), one("late", true, "2026-01-01T02:00:00Z"),
      one("soon", true, "2026-01-01T01:00:00Z"), one("old", false, "2026-01-01T00:00:30Z"),
    ];
    expect(inOrder(listed).map((it) => it.approval_id)).toEqual(["soon", "late", "new", "old"]);
  });
});

describe("history", () => {
  const hostile = { issuer: "https://i/' OR 1=1 --", subject: "s'; SELECT 1", display_name: "x", kind: "agent" as const };

  it("asks for this principal and nothing that its name says", () => {
    const since = new Date("2026-01-01T00:00:00Z");
    const id = "0195a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    for (const sql of [approvalsSql(hostile, id, since), commandsSql(hostile, since)]) {
      expect(sql).toContain("principal_issuer = 'https://i/'' OR 1=1 --'");
      expect(sql).toContain("principal_subject = 's''; SELECT 1'");
      expect(sql).toContain("time >= TIMESTAMP '2026-01-01T00:00:00.000Z'");
    }
    expect(() => approvalsSql(hostile, "x' OR '1", since)).toThrow();
  });

  it("tells what became of a request", () => {
    expect(pastOutcome({ granted: 1, denied: 1 }).label).toBe("denied");
    expect(pastOutcome({ granted: 1, used: 3 }).label).toBe("used");
    expect(pastOutcome({ withdrawn: "cancelled" }).label).toBe("withdrawn: cancelled");
    expect(pastOutcome({}).label).toBe("asked");
    expect(pastOutcome({ expires_at: "2020-01-01T00:00:00Z" }).label).toBe("expired");
    expect(pastOutcome({ expires_at: "2120-01-01T00:00:00Z" }).label).toBe("asked");
  });
});
