import type { ReplayStep } from "../../lib/contract";

export interface Parted {
  /** What the gateway says of it. */
  verb: string;
  /** What the agent wrote, or the rest. */
  rest: string;
  /** Whether the rest is a statement. */
  isCode: boolean;
}

const COMMAND = /^((?:forwarded|refused|abandoned) [a-z_]+): ([\s\S]*)$/;

/** A command's line is `forwarded query: SELECT ...`: the statement stands apart from the words about it. */
export function parted({ kind, text }: Pick<ReplayStep, "kind" | "text">): Parted {
  const found = kind === "command" ? COMMAND.exec(text) : null;
  if (!found) return { verb: "", rest: text, isCode: false };
  return { verb: found[1] ?? "", rest: found[2] ?? "", isCode: true };
}
