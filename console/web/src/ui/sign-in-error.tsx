import { useStore } from "../lib/store";
import { signInError } from "../state/place";
import { Note } from "./parts";

const ERRORS: Record<string, string> = {
  denied: "The sign-in was refused, by the provider or by you. Try again, or ask whoever runs the provider for access.",
  expired: "The sign-in took too long. Begin again.",
  state: "The answer does not belong to a sign-in that began in this browser. Begin again, in one tab.",
  provider: "The provider could not complete the sign-in. Try again; if it goes on, tell whoever runs the gateway.",
  setup: "The provider does not take what this gateway asks it for. Whoever runs the gateway can see what in the audit.",
  token:
    "The provider signed you in, and the gateway does not take its token. Whoever runs the gateway can see why in the audit.",
  unavailable: "The gateway cannot put a sign-in on record now, so it lets nobody in. Try again in a moment.",
};

/** Why nobody was signed in, in a sentence. */
export function SignInError({ code }: { code: string }) {
  return <span data-testid="sign-in-error">{ERRORS[code] ?? "The sign-in failed. Begin again."}</span>;
}

/** For whoever wanted to sign in again, could not, and still is. */
export function StillSignedIn() {
  const code = useStore(signInError);
  if (code === null) return null;
  return (
    <Note tone="warn" title="You could not sign in again" live="alert">
      <p>
        <SignInError code={code} />
      </p>
      <button type="button" class="button small" onClick={() => signInError.set(null)}>
        Dismiss
      </button>
    </Note>
  );
}
