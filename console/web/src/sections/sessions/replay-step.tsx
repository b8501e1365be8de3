import { useState } from "preact/hooks";
import type { ReplayStep } from "../../lib/contract";
import { offset, utc } from "../../lib/time";
import { Chip, type Tone } from "../../ui/parts";
import { Code, Untrusted } from "../../ui/untrusted";
import { parted } from "./step-text";

/** Longer results begin folded. */
const FOLDED_LINES = 12;
/** Longer statements begin folded, too. */
const FOLDED_CHARACTERS = 2_000;

export function Step({ step, startMs }: { step: ReplayStep; startMs: number }) {
  const { verb, rest, isCode } = parted(step);
  return (
    <li class={`step ${step.kind}`} data-testid="replay-step" data-kind={step.kind} data-item tabIndex={-1}>
      <div class="step-head">
        <time class="mono quiet" dateTime={utc(step.at)} title={utc(step.at)}>
          {offset(startMs, Date.parse(step.at))}
        </time>
        <Chip tone={tone(step)}>{step.kind}</Chip>
        {verb ? <Untrusted class="strong" text={verb} /> : null}
        {rest !== "" && !isCode ? <Untrusted class="wrap" text={rest} /> : null}
      </div>
      {rest !== "" && isCode ? <Foldable text={rest} maxLines={FOLDED_LINES * 4} what="statement" /> : null}
      {step.lines.length > 0 ? <Foldable text={step.lines.join("\n")} maxLines={FOLDED_LINES} what="result" /> : null}
      {step.more ? <p class="quiet">More of it is on record than this page shows.</p> : null}
    </li>
  );
}

function Foldable({ text, maxLines, what }: { text: string; maxLines: number; what: string }) {
  const [open, setOpen] = useState(false);
  const lines = text.split("\n");
  const long = lines.length > maxLines || text.length > FOLDED_CHARACTERS;
  const shown = open || !long ? text : lines.slice(0, maxLines).join("\n").slice(0, FOLDED_CHARACTERS);
  return (
    <div class="foldable">
      <Code text={shown} />
      {long ? (
        <button type="button" class="button small" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? `Fold the ${what}` : `Show the whole ${what} (${lines.length.toLocaleString("en")} lines)`}
        </button>
      ) : null}
    </div>
  );
}

function tone({ kind, text }: ReplayStep): Tone {
  switch (kind) {
    case "command":
      return text.startsWith("forwarded") ? "info" : "bad";
    case "decision":
      return text.startsWith("deny") ? "bad" : "plain";
    case "response":
      return text.startsWith("ERROR") ? "bad" : "good";
    case "notice":
    case "approval":
      return "warn";
    case "session":
      return "plain";
  }
}
