import { useState } from "preact/hooks";
import { asRefusal } from "../../lib/hooks";
import type { Refusal } from "../../lib/http";
import { proseFault } from "../../lib/prose";
import { Dialog } from "../../ui/dialog";
import { Refused } from "../../ui/parts";
import { ProseField } from "../../ui/prose-field";
import { Untrusted } from "../../ui/untrusted";
import { endSession, type SessionRow } from "./api";

/** Asks why before a session is ended: the reason goes on record with it. */
export function EndSession({ session, onClose }: { session: SessionRow; onClose: (ended: boolean) => void }) {
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Refusal | null>(null);
  const ready = reason.trim() !== "" && proseFault(reason) === null && !busy;
  const end = async () => {
    setBusy(true);
    setError(null);
    try {
      await endSession(session.id, reason);
      onClose(true);
    } catch (failed) {
      setError(asRefusal(failed));
      setBusy(false);
    }
  };
  return (
    <Dialog title="End this session?" onClose={() => onClose(false)}>
      <p>
        <Untrusted class="strong" text={session.actor} /> on <Untrusted class="strong" text={session.target} /> is cut off
        now, in the middle of a statement too. The same principal may come again.
      </p>
      <p class="mono wrap quiet">{session.id}</p>
      <ProseField
        label="Reason"
        hint="It goes on record."
        testid="end-reason"
        value={reason}
        onChange={setReason}
        required
        disabled={busy}
      />
      {error ? <Refused error={error} what="The session is not known to be ended" /> : null}
      <div class="actions">
        <button type="button" class="button danger" data-testid="end-confirm" disabled={!ready} onClick={() => void end()}>
          {busy ? "Sending…" : "End session"}
        </button>
      </div>
    </Dialog>
  );
}
