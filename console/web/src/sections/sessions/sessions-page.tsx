import { useRef, useState } from "preact/hooks";
import { useLoaded, useTitle } from "../../lib/hooks";
import { moveFocus, useKeys } from "../../lib/keys";
import type { PageProps } from "../../lib/route";
import { Empty, Loading, Note, Refused, Tabs } from "../../ui/parts";
import { LIVE_LIMIT, pastSessions, PAST_LIMIT, refusedSessions, type SessionRow } from "./api";
import { EndSession } from "./end-session";
import { SessionItem } from "./session-item";
import { useLiveSessions } from "./use-live";

export function SessionsPage({ query }: PageProps<"/sessions">) {
  const show = query.get("show");
  useTitle("Sessions");
  const list = useRef<HTMLDivElement>(null);
  useKeys({ j: () => moveFocus(list.current, 1), k: () => moveFocus(list.current, -1) });
  return (
    <div ref={list}>
      <div class="page-head">
        <h1 tabIndex={-1}>Sessions</h1>
        <Tabs
          label="Which sessions"
          tabs={[
            { label: "Live", href: "#/sessions", current: show !== "all" && show !== "refused" },
            { label: `Last ${PAST_LIMIT}`, href: "#/sessions?show=all", current: show === "all" },
            { label: "Refused at the door", href: "#/sessions?show=refused", current: show === "refused" },
          ]}
        />
      </div>
      {show === "all" ? <Past key="all" load={pastSessions} none={NONE_YET} /> : null}
      {show === "refused" ? <Past key="refused" load={refusedSessions} none={NONE_REFUSED} /> : null}
      {show !== "all" && show !== "refused" ? <LiveList /> : null}
    </div>
  );
}

function LiveList() {
  const { rows, error, reload } = useLiveSessions();
  const [ending, setEnding] = useState<SessionRow | null>(null);
  const [ended, setEnded] = useState<string | null>(null);
  const close = (done: boolean) => {
    if (done && ending) {
      setEnded(ending.id);
      reload();
    }
    setEnding(null);
  };
  return (
    <>
      {error ? <Refused error={error} retry={reload} what="Live sessions cannot be read" /> : null}
      {ended ? (
        <Note tone="good" live="status">
          Session <span class="mono wrap">{ended}</span> is revoked: this gateway ended it, others do as soon as they read
          that.
        </Note>
      ) : null}
      {!rows && !error ? <Loading what="Asking the audit for live sessions…" /> : null}
      {rows?.length === 0 ? (
        <Empty title="No session is live">
          Whoever opens one to a target through the gateway appears here within seconds.
        </Empty>
      ) : null}
      {rows && rows.length > 0 ? <List rows={rows} onEnd={setEnding} /> : null}
      {rows && rows.length >= LIVE_LIMIT ? <Note>These are the newest {LIVE_LIMIT}; more are live.</Note> : null}
      {ending ? <EndSession session={ending} onClose={close} /> : null}
    </>
  );
}

const NONE_YET = { title: "No session yet", words: "Every session that was ever opened is on record, and listed here." };
const NONE_REFUSED = { title: "Nobody was refused", words: "Whoever asks for a target that policy denies is on record, and listed here." };

interface PastProps {
  load: (signal: AbortSignal) => Promise<SessionRow[]>;
  none: { title: string; words: string };
}

function Past({ load, none }: PastProps) {
  const { value, error, reload } = useLoaded(load, []);
  if (error) return <Refused error={error} retry={reload} what="Sessions cannot be read" />;
  if (!value) return <Loading what="Asking the audit for sessions…" />;
  if (value.length === 0) {
    return <Empty title={none.title}>{none.words}</Empty>;
  }
  return (
    <>
      <List rows={value} />
      <button type="button" class="button small" onClick={reload}>
        Read again
      </button>
    </>
  );
}

function List({ rows, onEnd }: { rows: SessionRow[]; onEnd?: (row: SessionRow) => void }) {
  return (
    <ul class="rows">
      {rows.map((row) => (
        <SessionItem key={row.id} session={row} {...(onEnd ? { onEnd } : {})} />
      ))}
    </ul>
  );
}
