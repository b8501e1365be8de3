import type { SessionInfo } from "../lib/contract";
import { flat } from "../lib/escape";
import { useTitle } from "../lib/hooks";
import { useStore } from "../lib/store";
import { place, signInError, signInHref } from "../state/place";
import type { SignedOutBecause } from "../state/session";
import { Note } from "./parts";
import { SignInError } from "./sign-in-error";
import { ThemeSwitch } from "./theme-switch";

export function SignIn({ info, because }: { info: SessionInfo; because: SignedOutBecause }) {
  const code = useStore(signInError);
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
  if (because === "ended") {
    return (
      <Note tone="warn" live="status">
        Your sign-in ended. Sign in again: you come back to where you were.
      </Note>
    );
  }
  if (because === "asked") return <Note live="status">You are signed out.</Note>;
  if (code === null) return null;
  return (
    <Note tone="bad" title="You are not signed in" live="alert">
      <SignInError code={code} />
    </Note>
  );
}
