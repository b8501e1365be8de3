// Keys without a modifier, as lists and pages bind them.

import { useLayoutEffect, useRef } from "preact/hooks";

export type Bindings = Record<string, () => void>;

/** How long the second key of `g a` may take. */
const SEQUENCE_MS = 1_200;

const bound = new Set<{ current: Bindings }>();
let prefix = "";
let prefixAt = 0;
let enabled = true;

/** Single keys disturb those who speak to their computer: they can be turned off (WCAG 2.1.4). */
export function enableKeys(on: boolean): void {
  enabled = on;
}

export function keysEnabled(): boolean {
  return enabled;
}

/** Binds keys (`j`, `?`) and sequences (`g a`) while the component is on the page. */
export function useKeys(bindings: Bindings): void {
  const latest = useRef(bindings);
  latest.current = bindings;
  // As soon as it is on the page: people type faster than a frame.
  useLayoutEffect(() => {
    bound.add(latest);
    return () => {
      bound.delete(latest);
    };
  }, []);
}

export function listenForKeys(): void {
  document.addEventListener("keydown", (event) => {
    const modified = event.ctrlKey || event.altKey || event.metaKey || event.isComposing;
    if (!enabled || modified || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const sequence = Date.now() - prefixAt < SEQUENCE_MS && prefix ? `${prefix} ${event.key}` : event.key;
    prefix = "";
    if (run(sequence)) {
      event.preventDefault();
    } else if (sequence === "g") {
      [prefix, prefixAt] = ["g", Date.now()];
    }
  });
}

function run(sequence: string): boolean {
  // The page that came last knows best.
  for (const bindings of [...bound].reverse()) {
    const action = bindings.current[sequence];
    if (!action) continue;
    action();
    return true;
  }
  return false;
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null;
}

/** Moves the focus among `[data-item]` by so many places; from nowhere, to the first or the last. */
export function moveFocus(container: HTMLElement | null, by: 1 | -1): void {
  const items = [...(container?.querySelectorAll<HTMLElement>("[data-item]") ?? [])];
  const at = items.findIndex((item) => item === document.activeElement || item.contains(document.activeElement));
  const next = at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(items.length - 1, Math.max(0, at + by));
  items[next]?.focus();
  items[next]?.scrollIntoView({ block: "nearest" });
}
