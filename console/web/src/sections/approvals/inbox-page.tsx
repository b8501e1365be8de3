import { useEffect, useRef, useState } from "preact/hooks";
import type { Approval } from "../../lib/contract";
import { flat } from "../../lib/escape";
import { useLoaded, useTitle } from "../../lib/hooks";
import { moveFocus, useKeys } from "../../lib/keys";
import type { PageProps } from "../../lib/route";
import { useStore } from "../../lib/store";
import { inbox, INBOX_LIMIT, listApprovals } from "../../state/inbox";
import { Empty, Loading, Note, Refused, Tabs } from "../../ui/parts";
import { InboxRow } from "./inbox-row";
import { actors, inOrder, targetWords } from "./model";

/** New requests that are read out by name; of more, the number. */
const MAX_NAMED = 2;

export function InboxPage({ query }: PageProps<"/approvals">) {
  const all = query.get("show") === "all";
  useTitle("Approvals");
  const list = useRef<HTMLUListElement>(null);
  useKeys({ j: () => moveFocus(list.current, 1), k: () => moveFocus(list.current, -1) });
  const open = useStore(inbox);
  return (
    <div data-testid="inbox">
      <div class="page-head">
        <h1 tabIndex={-1}>Approvals</h1>
        <Tabs
          label="Which requests"
          tabs={[
            { label: "Open", href: "#/approvals", current: !all },
            { label: "All", href: "#/approvals?show=all", current: all },
          ]}
        />
      </div>
      <Announcer approvals={open.approvals} />
      {open.error ? <Refused error={open.error} what="News cannot be had now; the page goes on trying" /> : null}
      {all ? (
        <AllRequests seen={open.seen} list={list} />
      ) : (
        <Open approvals={open.approvals} failed={open.error !== null} list={list} />
      )}
    </div>
  );
}

type ListRef = { current: HTMLUListElement | null };

function Open({ approvals, failed, list }: { approvals: Approval[] | null; failed: boolean; list: ListRef }) {
  if (!approvals) return failed ? null : <Loading what="Asking for open requests…" />;
  if (approvals.length === 0) {
    return (
      <Empty title="Nothing waits">
        When a policy wants people to agree first, the statement or the access that an agent asks for appears here by
        itself, with everything needed to answer it. Leave this tab open: its title counts what waits for you.
      </Empty>
    );
  }
  return <List approvals={inOrder(approvals)} list={list} />;
}

function AllRequests({ seen, list }: { seen: number | null; list: ListRef }) {
  const { value, error, reload } = useLoaded((signal) => listApprovals("all", signal), [seen]);
  if (error && !value) return <Refused error={error} retry={reload} what="The requests cannot be read" />;
  if (!value) return <Loading what="Asking for all requests…" />;
  if (value.approvals.length === 0) {
    return (
      <Empty title="Nothing yet">
        Every request that you may know of will be listed here, with what became of it.
      </Empty>
    );
  }
  return <List approvals={value.approvals} list={list} />;
}

function List({ approvals, list }: { approvals: Approval[]; list: ListRef }) {
  return (
    <>
      <ul class="rows" ref={list}>
        {approvals.map((approval) => (
          <InboxRow key={approval.approval_id} approval={approval} />
        ))}
      </ul>
      {approvals.length >= INBOX_LIMIT ? (
        <Note>These are the newest {INBOX_LIMIT} requests. Older ones are in the audit.</Note>
      ) : null}
    </>
  );
}

/** Reads out what is new, without taking the focus. */
function Announcer({ approvals }: { approvals: Approval[] | null }) {
  const known = useRef<Set<string> | null>(null);
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!approvals) return;
    const before = known.current;
    known.current = new Set(approvals.map((approval) => approval.approval_id));
    if (before === null) return;
    const fresh = approvals.filter((approval) => !before.has(approval.approval_id));
    if (fresh.length > 0) setSaid(announced(fresh));
  }, [approvals]);
  return (
    <p class="sr-only" role="status" aria-live="polite" data-testid="announcer">
      {said}
    </p>
  );
}

function announced(fresh: Approval[]): string {
  if (fresh.length > MAX_NAMED) return `${fresh.length} new requests`;
  return fresh.map((it) => `New request from ${flat(actors(it).acts)} for ${flat(targetWords(it))}`).join("; ");
}
