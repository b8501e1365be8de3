import { useState } from "preact/hooks";
import { flat } from "../../lib/escape";
import { useLoaded, useTitle } from "../../lib/hooks";
import type { PageProps } from "../../lib/route";
import { duration } from "../../lib/time";
import { Chip, Fact, Loading, Note, Refused, Time } from "../../ui/parts";
import { Prose, Untrusted } from "../../ui/untrusted";
import { oneSession, stateTone, type SessionRow } from "./api";
import { EndSession } from "./end-session";
import { Replay } from "./replay";
import { count } from "./session-item";

export function ReplayPage({ params }: PageProps<"/sessions/:id">) {
  const { id } = params;
  const { value, error, loading, reload } = useLoaded((signal) => oneSession(id, signal), [id]);
  const [ending, setEnding] = useState(false);
  const [ended, setEnded] = useState(false);
  useTitle(value ? `Session of ${flat(value.actor)}` : "Session");
  const close = (done: boolean) => {
    setEnding(false);
    if (!done) return;
    setEnded(true);
    reload();
  };
  return (
    <article>
      <p class="crumb">
        <a href="#/sessions">Sessions</a>
      </p>
      <div class="page-head">
        <h1 tabIndex={-1}>
          {value ? (
            <>
              <Untrusted class="clip" text={value.actor} /> on <Untrusted class="clip" text={value.target} />
            </>
          ) : (
            "Session"
          )}
        </h1>
        {value?.state === "open" && !ended ? (
          <button type="button" class="button danger" data-testid="end-session" onClick={() => setEnding(true)}>
            End session…
          </button>
        ) : null}
      </div>
      {ended ? (
        <Note tone="good" live="status">
          The session is revoked: this gateway ended it, others do as soon as they read that.
        </Note>
      ) : null}
      {error ? <Refused error={error} retry={reload} what="What is known of the session cannot be read" /> : null}
      {loading && !value ? <Loading what="Asking the audit for the session…" /> : null}
      {!loading && !error && !value ? (
        <Note tone="warn" title="No such session">
          None with this id is on record, or you may not know of it.
        </Note>
      ) : null}
      {value ? <Facts session={value} /> : null}
      {value ? <Replay id={id} startedAt={value.openedAt || value.endedAt} live={value.state === "open"} /> : null}
      {ending && value ? <EndSession session={value} onClose={close} /> : null}
    </article>
  );
}

function Facts({ session }: { session: SessionRow }) {
  const { state, endedAt, openedAt, ending } = session;
  const length = endedAt && openedAt ? ` (${duration((Date.parse(endedAt) - Date.parse(openedAt)) / 1_000)})` : "";
  return (
    <section class="card">
      <h2 class="sr-only">Facts</h2>
      <dl class="facts columns">
        <Fact name="State">
          <Chip tone={stateTone(state)}>{state}</Chip> {ending ? <Untrusted class="quiet" text={ending} /> : null}
        </Fact>
        <Fact name="Principal">
          <Untrusted text={session.name} /> <Chip>{session.kind}</Chip>
          <div class="quiet small-text">
            <Untrusted class="mono" text={`${session.issuer}#${session.subject}`} />
          </div>
        </Fact>
        <Fact name="Acts by delegation">{session.delegation ? <Untrusted text={session.delegation} /> : null}</Fact>
        <Fact name="On behalf of">{session.onBehalf ? <Untrusted text={session.onBehalf} /> : null}</Fact>
        <Fact name="Agent">{session.agent ? <Untrusted text={session.agent} /> : null}</Fact>
        <Fact name="Task">{session.task ? <Prose text={session.task} /> : null}</Fact>
        <Fact name="Opened">
          {openedAt ? <Time at={openedAt} /> : "never: it was refused at the door"}
        </Fact>
        <Fact name="Ended">
          {endedAt ? (
            <>
              <Time at={endedAt} />
              {length}
            </>
          ) : null}
        </Fact>
        <Fact name="Ends at the latest">{!endedAt && session.expiresAt ? <Time at={session.expiresAt} /> : null}</Fact>
        <Fact name="What passed">
          {count(session.commands, "command", "commands")}, {session.refused.toLocaleString("en")} refused,{" "}
          {count(session.rows, "row", "rows")}, {session.bytes.toLocaleString("en")} bytes
        </Fact>
        <Fact name="From">
          {session.clientIp ? <Untrusted class="mono" text={session.clientIp} /> : null}
          {session.application ? (
            <>
              {" "}
              <Untrusted class="quiet" text={session.application} />
            </>
          ) : null}
        </Fact>
        <Fact name="Id">
          <span class="mono wrap">{session.id}</span>
        </Fact>
      </dl>
    </section>
  );
}
