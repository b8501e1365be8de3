// Questions to the audit, as text: the query service takes SQL, so what goes into it is quoted or checked here.

const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** The longest text that becomes part of a question: subjects and issuers are far shorter. */
const MAX_LITERAL_CHARACTERS = 2_048;

/** A text cannot be part of a question. */
export class NotALiteral extends Error {}

/** A string literal in PostgreSQL's dialect, where only the quote itself has a meaning. */
export function quote(text: string): string {
  if (text.length > MAX_LITERAL_CHARACTERS) throw new NotALiteral("the text is too long to be asked for");
  if (/\p{Cc}|\p{Cs}/u.test(text)) throw new NotALiteral("the text has control characters: it cannot be asked for");
  return `'${text.replaceAll("'", "''")}'`;
}

/** Whether it is an id as the gateway makes them (RFC 9562). */
export function isId(text: string): boolean {
  return ID.test(text);
}

/** A literal of an id. */
export function quoteId(id: string): string {
  if (!isId(id)) throw new NotALiteral("that is no id");
  return `'${id}'`;
}

/** A literal of a moment. */
export function quoteTime(at: Date): string {
  return `TIMESTAMP '${at.toISOString()}'`;
}
