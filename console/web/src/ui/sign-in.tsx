import { useState } from "preact/hooks";
import type { SessionInfo } from "../lib/contract";
import { flat } from "../lib/escape";
import { useTitle } from "../lib/hooks";
import { useStore } from "../lib/store";
import { place, signInHref, takeSignInError } from "../state/place";
import type { SignedOutBecause } from "../state/session";
import { Note } from "./parts";
import { ThemeSwitch } from "./theme-switch";

const ERRORS: Record<string, string> = {
  denied: "The sign-in was refused, by the provider or by you. Try again, or ask whoever runs the provider for access.",
  expired: "The sign-in took too long. Begin again.",
  state: "The answer does not belong to a sign-in that began in this browser. Begin again, in one tab.",
  provider: "The provider could not complete the sign-in. Try again; if it goes on, tell whoever runs the gateway.",
  token: "The provider signed you in, and the gateway does not take its token. Whoever runs the gateway can see why in the audit.",
  unavailable: "The gateway cannot put a sign-in on record now, so it lets nobody in. Try again in a moment.",
};

export function SignIn({ info, because }: { info: SessionInfo; because: SignedOutBecause }) {
  const [code] = useState(takeSignInError);
  useStore(place);
  useTitle("Sign in");
  return (
    <main class="page sign-in">
      <div class="card sign-in-card">
        <img src="/console/assets/icon.svg" alt="" width="48" height="48" />
        <h1>Tallyport</h1>
        <p>
          The console of your access gateway: answer what agents ask for, see what runs on your databases, and end it.
        </p>
        <Why code={code} because={because} />
        <div class="providers">
          {info.providers.map((provider) => (
            <a
              key={provider.id}
              class="button primary"
              data-testid={`sign-in-${provider.id}`}
              href={signInHref(provider.id)}
            >
              Sign in with {flat(provider.name)}
            </a>
          ))}
        </div>
        {info.providers.length === 0 ? (
          <Note tone="warn" title="Nobody can sign in here yet">
            The gateway's configuration names no provider.
          </Note>
        ) : null}
      </div>
      <ThemeSwitch />
    </main>
  );
}

function Why({ code, because }: { code: string | null; because: SignedOutBecause }) {
  if (code !== null) {
    const said = ERRORS[code] ?? "The sign-in failed. Begin again.";
    return (
      <Note tone="bad" title="You are not signed in" live="alert">
        <span data-testid="sign-in-error">{said}</span>
      </Note>
    );
  }
  if (because === "ended") {
    return (
      <Note tone="warn" live="status">
        Your sign-in ended. Sign in again: you come back to where you were.
      </Note>
    );
  }
  if (because === "asked") return <Note live="status">You are signed out.</Note>;
  return null;
}
