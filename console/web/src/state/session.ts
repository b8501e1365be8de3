// Who is signed in, and for how long. The token itself is in a cookie that no program of the page can read.

import { serverNow } from "../lib/clock";
import type { SessionInfo, WhoAmI } from "../lib/contract";
import { ask, isTransient, onUnauthorized, Refusal } from "../lib/http";
import { store } from "../lib/store";
import { secondsUntil } from "../lib/time";
import { backoffMs } from "../lib/wait";

/** Renewed when less than this is left. */
const RENEW_BEFORE_S = 60;
/** After a renewal that could not be asked for. */
const RENEW_AGAIN_MS = 10_000;
/** The longest that a browser's timer takes. */
const MAX_TIMER_MS = 2_000_000_000;

export type SignedOutBecause = "never" | "ended" | "asked";

export type Session =
  | { phase: "loading" }
  | { phase: "failed"; error: Refusal }
  | { phase: "out"; info: SessionInfo; because: SignedOutBecause }
  | { phase: "in"; info: SessionInfo; who: WhoAmI };

export const session = store<Session>({ phase: "loading" });

/** Tells other tabs that a cookie changed. */
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("tallyport-console") : null;
let timer: ReturnType<typeof setTimeout> | undefined;
let failures = 0;
let loading: Promise<void> | null = null;
let renewing: Promise<boolean> | null = null;

/** Begins: asks who is signed in, and keeps it so. */
export function startSession(): void {
  // Whoever was refused by one service may still be welcome at the gateway: that is asked before anybody is sent away.
  onUnauthorized(renewAfter401, () => void load());
  if (tabs) tabs.onmessage = () => void load();
  document.addEventListener("visibilitychange", () => {
    // Timers stand still while a computer sleeps.
    if (!document.hidden) schedule();
  });
  void load();
}

/** Asks anew; what failed is tried again by itself. */
export function load(): Promise<void> {
  loading ??= loadOnce().finally(() => {
    loading = null;
  });
  return loading;
}

async function loadOnce(): Promise<void> {
  clearTimeout(timer);
  try {
    let info = await ask<SessionInfo>("/session", { recover: false });
    if (info.signed_in && info.renewable && left(info) < RENEW_BEFORE_S) info = await renewOnce(info);
    if (!info.signed_in) {
      const before = session.get();
      session.set({ phase: "out", info, because: before.phase === "in" ? "ended" : "never" });
      return;
    }
    const who = await ask<WhoAmI>("/api/whoami", { recover: false });
    failures = 0;
    session.set({ phase: "in", info, who });
    schedule();
  } catch (error) {
    await loadFailed(error);
  }
}

async function loadFailed(error: unknown): Promise<void> {
  if (!(error instanceof Refusal)) throw error;
  if (error.status === 401) {
    // The cookie is there and the gateway takes it no more: revoked, or over.
    const info = await ask<SessionInfo>("/session", { recover: false }).catch(() => null);
    if (info) {
      session.set({ phase: "out", info: { ...info, signed_in: false }, because: "ended" });
      return;
    }
  }
  // What is on the screen stays while it lasts.
  if (session.get().phase !== "in") session.set({ phase: "failed", error });
  if (!isTransient(error)) return;
  failures += 1;
  timer = setTimeout(() => void load(), backoffMs(failures, Math.random()));
}

/** Renews the token, once for all tabs: a refresh token may be good for one use. */
function renew(): Promise<boolean> {
  renewing ??= renewAlone().finally(() => {
    renewing = null;
  });
  return renewing;
}

async function renewAlone(): Promise<boolean> {
  const now = session.get();
  if (now.phase !== "in" || !now.info.renewable) return false;
  try {
    const info = await renewOnce(now.info);
    session.set({ ...now, info });
    tabs?.postMessage("renewed");
    schedule();
    return info.signed_in;
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) signedOut("ended");
    else timer = setTimeout(schedule, RENEW_AGAIN_MS);
    return false;
  }
}

function renewOnce(before: SessionInfo): Promise<SessionInfo> {
  const renewed = async () => {
    // Another tab may have been first while this one waited.
    const now = await ask<SessionInfo>("/session", { recover: false });
    const done = now.signed_in && now.expires_at !== before.expires_at && left(now) > RENEW_BEFORE_S;
    return done ? now : ask<SessionInfo>("/renew", { method: "POST", recover: false });
  };
  return alone(renewed);
}

/** One at a time, of all tabs. */
function alone<T>(change: () => Promise<T>): Promise<T> {
  return "locks" in navigator ? navigator.locks.request("tallyport-renew", change) : change();
}

async function renewAfter401(): Promise<boolean> {
  const now = session.get();
  // A token that should still be good was refused: a new one of the same person will not be better.
  if (now.phase !== "in" || left(now.info) > RENEW_BEFORE_S) return false;
  return renew();
}

export async function signOut(): Promise<void> {
  const out = () => ask<{ provider_sign_out: string | null }>("/sign-out", { method: "POST", recover: false });
  // After a renewal that is under way: its answer would sign in again.
  const answer = await alone(out);
  tabs?.postMessage("signed out");
  const there = answer.provider_sign_out;
  if (there !== null && /^https?:\/\//.test(there)) {
    location.assign(there);
    return;
  }
  signedOut("asked");
}

function signedOut(because: SignedOutBecause): void {
  clearTimeout(timer);
  const now = session.get();
  if (now.phase === "in") session.set({ phase: "out", info: { ...now.info, signed_in: false }, because });
}

function schedule(): void {
  clearTimeout(timer);
  const now = session.get();
  if (now.phase !== "in") return;
  const rest = left(now.info);
  if (now.info.renewable && rest < RENEW_BEFORE_S) {
    void renew();
    return;
  }
  if (rest <= 0) {
    signedOut("ended");
    return;
  }
  const wait = (now.info.renewable ? rest - RENEW_BEFORE_S : rest) * 1_000;
  // A little later than the moment itself, so that the moment has come.
  timer = setTimeout(schedule, Math.min(Math.max(wait + 50, 250), MAX_TIMER_MS));
}

function left(info: SessionInfo): number {
  return info.expires_at === null ? 0 : secondsUntil(info.expires_at, serverNow());
}
