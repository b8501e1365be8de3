import { useLayoutEffect, useRef } from "preact/hooks";
import type { Approval } from "../../lib/contract";
import { useKeys } from "../../lib/keys";
import { Untrusted } from "../../ui/untrusted";
import type { Verb } from "./answer-panel";
import { actors, effects, scopeWords, targetWords } from "./model";

/** Enough of a digest to compare it with another at a glance. */
const DIGEST_CHARACTERS = 12;

const SURE: Record<Verb, { title: string; yes: string; class: string }> = {
  approve: { title: "Approve this?", yes: "Yes, approve", class: "button primary" },
  deny: { title: "Deny this?", yes: "Yes, deny", class: "button danger" },
  withdraw: { title: "Withdraw this?", yes: "Yes, withdraw", class: "button danger" },
};

/** Says once more what is about to happen. Esc and Back step back. */
export function Confirm({ verb, approval, busy, onBack, onConfirm }: {
  verb: Verb;
  approval: Approval;
  busy: boolean;
  onBack: () => void;
  onConfirm: () => void;
}) {
  const group = useRef<HTMLDivElement>(null);
  const { title, yes, class: look } = SURE[verb];
  useLayoutEffect(() => {
    // Not the button itself: whoever presses Enter twice has not read it.
    group.current?.focus();
    group.current?.scrollIntoView({ block: "nearest" });
  }, []);
  useKeys({ Escape: () => (busy ? undefined : onBack()) });
  return (
    <div class="confirm" role="group" aria-labelledby="confirm-title" tabIndex={-1} ref={group}>
      <h3 id="confirm-title">{title}</h3>
      <p>
        <Untrusted text={consequence(verb, approval)} />
      </p>
      <div class="actions">
        <button type="button" class={look} data-testid="confirm" disabled={busy} onClick={onConfirm}>
          {busy ? "Sending…" : yes}
        </button>
        <button type="button" class="button" data-testid="back" disabled={busy} onClick={onBack}>
          Back
        </button>
      </div>
    </div>
  );
}

function consequence(verb: Verb, approval: Approval): string {
  const { acts } = actors(approval);
  if (verb === "deny") return `One denial ends it: ${acts} is told no, with your comment.`;
  if (verb === "withdraw") return "It ends for everybody, and sessions that stand under it end with it.";
  const digest = `It counts for what you read and nothing else (digest ${approval.digest.slice(0, DIGEST_CHARACTERS)}…).`;
  if (!approval.command) return `${acts} may open ${scopeWords(approval)}. ${digest}`;
  const does = effects(approval.command, approval.target).map(({ label }) => label).join(", ");
  return `${acts} may run it on ${targetWords(approval)} (${does}), ${scopeWords(approval)}. ${digest}`;
}
