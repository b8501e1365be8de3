import { useState } from "preact/hooks";
import type { SessionInfo, WhoAmI } from "../lib/contract";
import { asRefusal } from "../lib/hooks";
import type { Refusal } from "../lib/http";
import { useStore } from "../lib/store";
import { clock, utc } from "../lib/time";
import type { Section } from "../sections/section";
import { inbox } from "../state/inbox";
import { HOME, place } from "../state/place";
import { signOut } from "../state/session";
import { Brand } from "./brand";
import { Refused } from "./parts";
import { ThemeSwitch } from "./theme-switch";
import { Untrusted } from "./untrusted";

export function Header({ info, who, links, onHelp }: {
  info: SessionInfo;
  who: WhoAmI;
  links: Section[];
  onHelp: () => void;
}) {
  const [error, setError] = useState<Refusal | null>(null);
  const leave = () => {
    setError(null);
    signOut().catch((reason: unknown) => setError(asRefusal(reason)));
  };
  return (
    <header class="top">
      <div class="top-row">
        <Brand />
        <Links links={links} />
        <div class="top-end">
          <Person who={who} info={info} />
          <ThemeSwitch />
          <button type="button" class="button small" aria-label="Help and keys" onClick={onHelp}>
            ?
          </button>
          <button type="button" class="button small" data-testid="sign-out" onClick={leave}>
            Sign out
          </button>
        </div>
      </div>
      {error ? <Refused error={error} retry={leave} what="You are not signed out" /> : null}
    </header>
  );
}

function Links({ links }: { links: Section[] }) {
  const { path } = useStore(place);
  const { approvals } = useStore(inbox);
  const waiting = approvals?.filter((approval) => approval.you.may_answer).length ?? 0;
  return (
    <nav class="links" aria-label="Main">
      {links.map(({ id, nav }) => (
        <a key={id} href={nav?.hash ?? HOME} aria-current={path.startsWith(`/${id}`) ? "page" : undefined}>
          {nav?.label}
          {id === "approvals" && waiting > 0 ? (
            <span class="badge">
              {waiting}
              <span class="sr-only"> wait for you</span>
            </span>
          ) : null}
        </a>
      ))}
    </nav>
  );
}

function Person({ who, info }: { who: WhoAmI; info: SessionInfo }) {
  const until = info.expires_at;
  return (
    <div class="person" data-testid="who">
      <Untrusted class="person-name" text={who.principal.display_name} />
      {until ? (
        <span class="quiet">
          until{" "}
          <time dateTime={utc(until)} title={utc(until)}>
            {clock(until)}
          </time>
          {info.renewable ? ", then renewed" : null}
        </span>
      ) : null}
    </div>
  );
}
