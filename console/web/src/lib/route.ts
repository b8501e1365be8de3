// Places in the page: `#/approvals/ID?show=all`. Pure; who listens to the address is in state/place.ts.

import type { ComponentType } from "preact";

type Names<Path extends string> = Path extends `${string}:${infer Name}/${infer Rest}`
  ? Name | Names<`/${Rest}`>
  : Path extends `${string}:${infer Name}`
    ? Name
    : never;

/** What a page is given: the parts of the path that its route names, and the query. */
export interface PageProps<Path extends string = string> {
  params: Record<Names<Path>, string>;
  query: URLSearchParams;
}

export interface Route {
  path: string;
  page: ComponentType<PageProps>;
}

/** A route whose page gets exactly the parameters that its path names. */
export function route<Path extends string>(path: Path, page: ComponentType<PageProps<Path>>): Route {
  return { path, page: page as unknown as ComponentType<PageProps> };
}

export interface Place {
  path: string;
  query: URLSearchParams;
}

/** The longest part of an address that is looked at. */
const MAX_HASH_CHARACTERS = 512;

export function parseHash(hash: string): Place {
  const text = hash.slice(0, MAX_HASH_CHARACTERS).replace(/^#/, "");
  const [path = "", query = ""] = text.split("?", 2);
  return { path: path.startsWith("/") ? path : "/", query: new URLSearchParams(query) };
}

/** The parameters of a path that a route's pattern fits, or null. */
export function matches(pattern: string, path: string): Record<string, string> | null {
  const [wanted, given] = [pattern.split("/"), path.replace(/\/$/, "").split("/")];
  if (wanted.length !== given.length) return null;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const value = given[index] ?? "";
    if (!part.startsWith(":")) {
      if (part !== value) return null;
      continue;
    }
    const decoded = decodedPart(value);
    if (decoded === null || decoded === "") return null;
    params[part.slice(1)] = decoded;
  }
  return params;
}

function decodedPart(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
