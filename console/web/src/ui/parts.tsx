// Small parts that all pages share.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { isTransient, type Refusal } from "../lib/http";
import { duration, local, secondsUntil, utc } from "../lib/time";
import { flat } from "../lib/escape";
import { useNow } from "../state/ticker";

export type Tone = "plain" | "info" | "good" | "warn" | "bad";

export function Time({ at }: { at: string }) {
  return (
    <time dateTime={utc(at)} title={utc(at)}>
      {local(at)}
    </time>
  );
}

/** How long until then, every second anew. */
export function TimeLeft({ until }: { until: string }) {
  const seconds = secondsUntil(until, useNow());
  const urgent = seconds < 60;
  return (
    <time class={urgent ? "left urgent" : "left"} dateTime={utc(until)} title={`until ${utc(until)}`}>
      {seconds > 0 ? `${duration(seconds)} left` : "time is over"}
    </time>
  );
}

export function Chip({ tone = "plain", title, children }: { tone?: Tone; title?: string; children: ComponentChildren }) {
  return (
    <span class={`chip ${tone}`} title={title}>
      {children}
    </span>
  );
}

export function Note({ tone = "info", title, children, live }: {
  tone?: Tone;
  title?: string;
  children?: ComponentChildren;
  /** Read out when it appears. */
  live?: "status" | "alert";
}) {
  return (
    <div class={`note ${tone}`} role={live}>
      {title ? <strong class="note-title">{title}</strong> : null}
      <div>{children}</div>
    </div>
  );
}

/** Whether the same question may be answered another time: what is refused, or is no question, is not. */
function mayPass(error: Refusal): boolean {
  return isTransient(error) || error.status < 400 || error.status >= 500;
}

const UNAVAILABLE = "This cannot be reached or recorded now.";

/** What was refused, in the gateway's own words. */
export function Refused({ error, retry, what }: { error: Refusal; retry?: () => void; what: string }) {
  const transient = isTransient(error);
  return (
    <Note tone={transient ? "warn" : "bad"} title={what} live="alert">
      <p>
        {error.status === 503 ? `${UNAVAILABLE} ` : ""}
        {flat(error.message)} <span class="quiet">({flat(error.code)})</span>
      </p>
      {retry && mayPass(error) ? (
        <button type="button" class="button small" onClick={retry}>
          Try again
        </button>
      ) : null}
    </Note>
  );
}

export function Empty({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      <p>{children}</p>
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status">
      {what}
    </p>
  );
}

const COPIED_MS = 2_000;

export function Copy({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState("");
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    const done = await navigator.clipboard.writeText(text).then(() => "Copied", () => "Not copied");
    setSaid(done);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setSaid(""), COPIED_MS);
  };
  return (
    <button type="button" class="button small" aria-label={`Copy ${what}`} onClick={copy}>
      <span aria-live="polite">{said || "Copy"}</span>
    </button>
  );
}

export interface Tab {
  label: string;
  href: string;
  current: boolean;
}

/** Links, not widgets: each tab is a place with an address. */
export function Tabs({ label, tabs }: { label: string; tabs: Tab[] }) {
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map((tab) => (
        <a key={tab.href} href={tab.href} aria-current={tab.current ? "page" : undefined}>
          {tab.label}
        </a>
      ))}
    </nav>
  );
}

/** A name and its value; nothing where there is no value. */
export function Fact({ name, children }: { name: string; children?: ComponentChildren }) {
  if (children === null || children === undefined || children === false || children === "") return null;
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
