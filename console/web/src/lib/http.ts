// Every request of the page. The session is a cookie that this program cannot read.

import { noteServerDate } from "./clock";

const BASE = "/console";
const TIMEOUT_MS = 20_000;
/** A page of a replay may be long; nothing may be endless. */
const MAX_ANSWER_BYTES = 48 * 1024 * 1024;
/** The longest message of an error that is shown. */
const MAX_MESSAGE_CHARACTERS = 2_000;

/** What was asked for was not given. `status` 0: there was no answer. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export interface Ask {
  method?: "GET" | "POST";
  body?: unknown;
  signal?: AbortSignal;
  timeoutMs?: number;
  /** Whether a 401 may be met by renewing the sign-in once. */
  recover?: boolean;
}

/** Renews the sign-in and says whether it is worth asking again; else tells the page that nobody is signed in. */
let recovery: () => Promise<boolean> = async () => false;
let gone: () => void = () => {};

export function onUnauthorized(renew: () => Promise<boolean>, signedOut: () => void): void {
  recovery = renew;
  gone = signedOut;
}

export async function ask<T>(path: string, options: Ask = {}): Promise<T> {
  const recover = options.recover ?? true;
  try {
    return await once<T>(path, options);
  } catch (error) {
    if (!recover || !(error instanceof Refusal) || error.status !== 401) throw error;
    if (await recovery()) {
      try {
        return await once<T>(path, options);
      } catch (again) {
        if (again instanceof Refusal && again.status === 401) gone();
        throw again;
      }
    }
    gone();
    throw error;
  }
}

async function once<T>(path: string, options: Ask): Promise<T> {
  const limits = [AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS)];
  if (options.signal) limits.push(options.signal);
  const headers: Record<string, string> = { "x-tallyport-console": "1", accept: "application/json" };
  const request: RequestInit = {
    method: options.method ?? "GET",
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    headers,
    signal: AbortSignal.any(limits),
  };
  if (options.body !== undefined) {
    headers["content-type"] = "application/json";
    request.body = JSON.stringify(options.body);
  }
  try {
    const response = await fetch(BASE + path, request);
    noteServerDate(response.headers.get("date"));
    const text = await bounded(response);
    if (!response.ok) throw refusal(response.status, text);
    return JSON.parse(text) as T;
  } catch (error) {
    throw understood(error, options.signal);
  }
}

async function bounded(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (!reader) return "";
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > MAX_ANSWER_BYTES) {
      await reader.cancel();
      throw new Refusal(0, "too_large", "The answer is too large for this page; use the command line.");
    }
    text += decoder.decode(value, { stream: true });
  }
}

function refusal(status: number, text: string): Refusal {
  try {
    const { code, message } = JSON.parse(text) as { code?: unknown; message?: unknown };
    if (typeof code === "string" && typeof message === "string") {
      return new Refusal(status, code, message.slice(0, MAX_MESSAGE_CHARACTERS));
    }
  } catch {
    // A proxy between the page and the gateway answers in its own way.
  }
  return new Refusal(status, "unknown", `The gateway answered ${status} without saying why.`);
}

function understood(error: unknown, asked: AbortSignal | undefined): unknown {
  if (error instanceof Refusal || asked?.aborted) return error;
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return new Refusal(0, "timed_out", "The gateway did not answer in time.");
  }
  if (error instanceof SyntaxError) {
    return new Refusal(0, "broken_off", "The answer broke off, or is not the gateway's.");
  }
  return new Refusal(0, "unreachable", "The gateway cannot be reached now.");
}

/** Whether trying the same again may help: what cannot be reached or recorded now. */
export function isTransient(error: Refusal): boolean {
  return error.status === 0 || error.status === 429 || error.status >= 500;
}
