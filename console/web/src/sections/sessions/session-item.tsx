import { flat } from "../../lib/escape";
import { duration, secondsUntil } from "../../lib/time";
import { useNow } from "../../state/ticker";
import { Chip, Time } from "../../ui/parts";
import { Untrusted } from "../../ui/untrusted";
import { stateTone, type SessionRow } from "./api";

export function SessionItem({ session, onEnd }: { session: SessionRow; onEnd?: (session: SessionRow) => void }) {
  const { id, actor, kind, agent, onBehalf, target, state, ending } = session;
  return (
    <li class="row" data-testid="session-row" data-id={id}>
      <div class="row-main">
        <p class="row-who">
          <a class="row-link strong" data-item href={`#/sessions/${encodeURIComponent(id)}`}>
            <Untrusted class="clip" text={actor} />
            <span class="sr-only"> on {flat(target)}, see the session</span>
          </a>
          <Chip>{session.delegation ? "delegated" : kind}</Chip>
          {agent ? <Untrusted class="quiet clip" text={agent} /> : null}
          {onBehalf ? (
            <span class="for">
              for <Untrusted class="clip" text={onBehalf} />
            </span>
          ) : null}
          <span class="for">
            on <Untrusted class="strong clip" text={target} />
          </span>
        </p>
        <p class="quiet">
          {session.openedAt ? <Passed session={session} /> : <>at <Time at={session.endedAt} /></>}
        </p>
        {ending ? (
          <p class="quiet">
            <Untrusted text={ending} />
          </p>
        ) : null}
      </div>
      <div class="row-side">
        <Chip tone={stateTone(state)}>{state}</Chip>
        {onEnd ? (
          <button
            type="button"
            class="button small danger above"
            data-testid="end-session"
            aria-label={`End session of ${flat(actor)} on ${flat(target)}`}
            onClick={() => onEnd(session)}
          >
            End session
          </button>
        ) : null}
      </div>
    </li>
  );
}

/** Of one that was refused at the door there is nothing to say here. */
function Passed({ session }: { session: SessionRow }) {
  return (
    <>
      since <Time at={session.openedAt} /> <Length session={session} />
      {", "}
      {count(session.commands, "command", "commands")}
      {session.refused > 0 ? (
        <>
          {", "}
          <span class="bad-text">{session.refused.toLocaleString("en")} refused</span>
        </>
      ) : null}
    </>
  );
}

function Length({ session }: { session: SessionRow }) {
  const now = useNow();
  const until = session.endedAt === "" ? now : Date.parse(session.endedAt);
  return <>({duration(-secondsUntil(session.openedAt, until))})</>;
}

export function count(number: number, one: string, many: string): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}
