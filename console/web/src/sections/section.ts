import type { Route } from "../lib/route";

/** A part of the console: what it adds to the page. */
export interface Section {
  id: string;
  /** The link in the header, and the key after `g` that leads there. */
  nav?: { label: string; hash: string; key: string };
  /** The first route that fits an address counts; sections are asked in their order. */
  routes: Route[];
  /** Whether all of it asks the query service: without one, the page says so instead. */
  needsAudit?: boolean;
  /** Keys of its own, for the help. */
  keys?: { keys: string; does: string }[];
}
