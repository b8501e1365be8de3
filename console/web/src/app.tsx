import { useEffect, useErrorBoundary, useRef, useState } from "preact/hooks";
import type { SessionInfo, WhoAmI } from "./lib/contract";
import { titleCount, useTitle } from "./lib/hooks";
import { useKeys } from "./lib/keys";
import { matches, type Place } from "./lib/route";
import { useStore } from "./lib/store";
import { SECTIONS } from "./sections";
import { followInbox, inbox } from "./state/inbox";
import { go, HOME, place } from "./state/place";
import { load, session } from "./state/session";
import { EndingBanner } from "./ui/ending-banner";
import { Header } from "./ui/header";
import { Help } from "./ui/help";
import { Loading, Note, Refused } from "./ui/parts";
import { SignIn } from "./ui/sign-in";
import { StillSignedIn } from "./ui/sign-in-error";

export function App() {
  const now = useStore(session);
  if (now.phase === "out") return <SignIn info={now.info} because={now.because} />;
  if (now.phase === "in") return <Shell info={now.info} who={now.who} />;
  return (
    <main class="page narrow">
      <h1 class="sr-only">Tallyport</h1>
      {now.phase === "loading" ? (
        <Loading what="Asking who is signed in…" />
      ) : (
        <Refused error={now.error} retry={() => void load()} what="The console cannot start" />
      )}
    </main>
  );
}

function Shell({ info, who }: { info: SessionInfo; who: WhoAmI }) {
  const [help, setHelp] = useState(false);
  const main = useRef<HTMLElement>(null);
  useEffect(() => followInbox(), [who.principal.issuer, who.principal.subject]);
  useWaitingCount();
  const links = SECTIONS.filter((section) => section.nav && (info.audit || !section.needsAudit));
  useKeys({
    "?": () => setHelp(true),
    ...Object.fromEntries(links.map(({ nav }) => [`g ${nav?.key}`, () => go(nav?.hash ?? HOME)])),
  });
  const skip = (event: Event) => {
    // The address says where the page is: a link to an anchor would lead elsewhere.
    event.preventDefault();
    main.current?.focus();
  };
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <Header info={info} who={who} links={links} onHelp={() => setHelp(true)} />
      <EndingBanner info={info} />
      <main class="page" id="main" tabIndex={-1} ref={main}>
        <StillSignedIn />
        <Outlet audit={info.audit} />
      </main>
      {help ? <Help links={links} onClose={() => setHelp(false)} /> : null}
    </>
  );
}

/** Those that wait for this very person, in the title of the tab. */
function useWaitingCount(): void {
  const { approvals } = useStore(inbox);
  useEffect(() => {
    titleCount(approvals?.filter((approval) => approval.you.may_answer).length ?? 0);
    return () => titleCount(0);
  }, [approvals]);
}

function Outlet({ audit }: { audit: boolean }) {
  const at = useStore(place);
  useFocusOnArrival(at.path);
  const [error] = useErrorBoundary();
  useEffect(() => {
    if (at.path === "/") location.replace(HOME);
  }, [at]);
  if (error) {
    return (
      <Note tone="bad" title="Something in this page went wrong" live="alert">
        Reload it. Nothing was answered by this.
      </Note>
    );
  }
  return <Page at={at} audit={audit} />;
}

function Page({ at, audit }: { at: Place; audit: boolean }) {
  for (const section of SECTIONS) {
    for (const { path, page: Found } of section.routes) {
      const params = matches(path, at.path);
      if (!params) continue;
      if (section.needsAudit && !audit) return <NoAudit />;
      return <Found key={at.path} params={params} query={at.query} />;
    }
  }
  return <NoSuchPage />;
}

function NoAudit() {
  useTitle("No audit");
  return (
    <>
      <h1 tabIndex={-1}>Not available here</h1>
      <Note title="This gateway has no query service">
        Sessions, replay and history come out of the audit. Whoever runs the gateway can name a query service in its
        configuration; until then, approvals work without them.
      </Note>
    </>
  );
}

function NoSuchPage() {
  useTitle("No such page");
  return (
    <>
      <h1 tabIndex={-1}>No such page</h1>
      <p>
        <a href={HOME}>Go to the approvals</a>
      </p>
    </>
  );
}

/** A new page begins at its heading, for those who see it and those who hear it; the first one does not take the focus. */
function useFocusOnArrival(path: string): void {
  const before = useRef(path);
  useEffect(() => {
    if (before.current === path) return;
    before.current = path;
    window.scrollTo(0, 0);
    document.querySelector<HTMLElement>("main h1")?.focus({ preventScroll: true });
  }, [path]);
}
