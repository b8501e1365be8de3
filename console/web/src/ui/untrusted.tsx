// Text that an agent, a token or another person wrote. It is never markup: elements hold it as text nodes alone.

import { reveal, type Hidden, type Piece } from "../lib/escape";

function Mark({ hidden }: { hidden: Hidden }) {
  const times = hidden.count > 1 ? ` ×${hidden.count}` : "";
  return (
    <span class="mark" title={`${hidden.code} ${hidden.name}${times}`}>
      {hidden.code}
      {times}
    </span>
  );
}

function Pieces({ pieces }: { pieces: Piece[] }) {
  return (
    <>{pieces.map((piece, index) => (piece.hidden ? <Mark key={index} hidden={piece.hidden} /> : piece.text))}</>
  );
}

/** One line; isolated, so that its direction does not turn what stands beside it. */
export function Untrusted({ text, class: name }: { text: string; class?: string }) {
  return (
    <bdi class={name ? `untrusted ${name}` : "untrusted"}>
      <Pieces pieces={reveal(text, false)} />
    </bdi>
  );
}

/** Lines as they were written, in the order of their characters whatever the script. */
export function Code({ text, testid, label }: { text: string; testid?: string; label?: string }) {
  return (
    <pre class="code" data-testid={testid} {...(label ? { role: "region", "aria-label": label } : {})}>
      <code>
        <Pieces pieces={reveal(text, true)} />
      </code>
    </pre>
  );
}

/** What a person wrote in several lines. */
export function Prose({ text }: { text: string }) {
  return (
    <span class="prose untrusted">
      <Pieces pieces={reveal(text, true)} />
    </span>
  );
}
