// The query service, asked for rows by name.

import { ask, Refusal } from "./http";

/** Longer than the query service lets a question run. */
const TIMEOUT_MS = 80_000;

type Cell = string | number | boolean | null | string[];
export type Row = Record<string, Cell>;

interface Rows {
  columns: { name: string; type: string }[];
  rows: Cell[][];
  row_count?: number;
  error?: { code: string; message: string };
}

/** Rows of one question. An answer without its count is one that broke off, and is none. */
export async function askAudit(sql: string, signal?: AbortSignal): Promise<Row[]> {
  const options = { method: "POST" as const, body: { sql }, timeoutMs: TIMEOUT_MS };
  return named(await ask<Rows>("/audit/sql", signal ? { ...options, signal } : options));
}

export function named(answer: Rows): Row[] {
  if (answer.error) throw new Refusal(0, answer.error.code, answer.error.message);
  if (answer.row_count !== answer.rows.length) {
    throw new Refusal(0, "broken_off", "The audit's answer broke off: it is not whole, so it is not shown.");
  }
  const names = answer.columns.map((column) => column.name);
  return answer.rows.map((row) => Object.fromEntries(names.map((name, index) => [name, row[index] ?? null])));
}

export function text(row: Row, name: string): string {
  const cell = row[name];
  if (cell === null || cell === undefined) return "";
  return Array.isArray(cell) ? cell.join(", ") : String(cell);
}

export function number(row: Row, name: string): number {
  const value = Number(row[name] ?? 0);
  return Number.isFinite(value) ? value : 0;
}
