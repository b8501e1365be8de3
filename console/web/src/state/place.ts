// Where the page is, as the address says.

import { parseHash, type Place } from "../lib/route";
import { store } from "../lib/store";

export const HOME = "#/approvals";

export const place = store<Place>(parseHash(location.hash));

export function followAddress(): void {
  window.addEventListener("hashchange", () => place.set(parseHash(location.hash)));
}

export function go(hash: string): void {
  location.hash = hash;
}

/** Where a sign-in comes back to. */
export function signInHref(provider: string): string {
  const back = location.hash.startsWith("#/") ? location.hash : HOME;
  return `/console/sign-in?provider=${encodeURIComponent(provider)}&return=${encodeURIComponent(back)}`;
}

/** The code that a failed sign-in came back with, until somebody has read it. */
export const signInError = store<string | null>(takeSignInError());

/** It is taken out of the address: what is reloaded did not fail again. */
function takeSignInError(): string | null {
  const code = new URLSearchParams(location.search).get("error");
  if (code !== null) history.replaceState(null, "", location.pathname + location.hash);
  return code;
}
