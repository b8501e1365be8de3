// Who asks, for whom, and what the answer is bound to.

import type { ComponentChildren } from "preact";
import type { Approval } from "../../lib/contract";
import { Chip, Copy, Fact, Time } from "../../ui/parts";
import { Prose, Untrusted } from "../../ui/untrusted";
import { targetWords } from "./model";

export function Who({ approval, audit }: { approval: Approval; audit: boolean }) {
  const { principal, agent, session_id: sessionId } = approval;
  return (
    <section class="card">
      <h2>Who asks</h2>
      <Chain approval={approval} />
      <dl class="facts">
        <Fact name="Owner">{principal?.owner ? <Untrusted text={principal.owner} /> : null}</Fact>
        <Fact name="Groups">{principal?.groups?.length ? <Untrusted text={principal.groups.join(", ")} /> : null}</Fact>
        <Fact name="Agent">{agent.agent ? <Untrusted text={agent.agent} /> : null}</Fact>
        <Fact name="Model">{agent.model ? <Untrusted text={agent.model} /> : null}</Fact>
        <Fact name="Task">{agent.task ? <Prose text={agent.task} /> : null}</Fact>
        {Object.entries(agent.other ?? {}).map(([name, value]) => (
          <Fact key={name} name={`Claim`}>
            <Untrusted class="mono" text={name} />: <Untrusted text={value} />
          </Fact>
        ))}
        <Fact name="Target">
          {approval.target ? (
            <>
              <Untrusted text={targetWords(approval)} /> <span class="quiet">{approval.target.kind}</span>
            </>
          ) : null}
        </Fact>
        <Fact name="Session">{sessionId ? <SessionLink id={sessionId} audit={audit} /> : null}</Fact>
      </dl>
    </section>
  );
}

function SessionLink({ id, audit }: { id: string; audit: boolean }) {
  if (!audit) return <span class="mono wrap">{id}</span>;
  return (
    <a class="mono wrap" href={`#/sessions/${encodeURIComponent(id)}`}>
      {id}
    </a>
  );
}

/** From whoever acts to whoever it is for, as the token's chain has them. */
function Chain({ approval }: { approval: Approval }) {
  const { principal, delegation } = approval;
  return (
    <ol class="chain">
      {delegation.map((actor, index) => (
        <Link key={index} issuer={actor.issuer} subject={actor.subject} note={index === 0 ? "acts" : "acted before"}>
          <Untrusted class="strong" text={actor.subject} />
        </Link>
      ))}
      {principal ? (
        <Link issuer={principal.issuer} subject={principal.subject} note={delegation.length > 0 ? "for whom" : "acts"}>
          <Untrusted class="strong" text={principal.display_name} /> <Chip>{principal.kind}</Chip>
        </Link>
      ) : null}
    </ol>
  );
}

function Link({ issuer, subject, note, children }: {
  issuer: string | undefined;
  subject: string;
  note: string;
  children: ComponentChildren;
}) {
  return (
    <li>
      <div>
        {children} <span class="quiet">{note}</span>
      </div>
      <div class="quiet small-text">
        subject <Untrusted class="mono" text={subject} />
        {", issuer "}
        {issuer === undefined ? "not named" : <Untrusted class="mono" text={issuer} />}
      </div>
    </li>
  );
}

/** Why it is asked, and the digest that an approval is of. */
export function Binding({ approval }: { approval: Approval }) {
  return (
    <section class="card">
      <h2>Why it is asked</h2>
      <dl class="facts">
        <Fact name="Reasons">
          {approval.reasons.length > 0 ? (
            <ul class="names lines">
              {approval.reasons.map((reason, index) => (
                <li key={index}>
                  <Untrusted text={reason} />
                </li>
              ))}
            </ul>
          ) : null}
        </Fact>
        <Fact name="Policies">
          <Untrusted class="mono" text={approval.policy_ids.join(", ")} />
        </Fact>
        <Fact name="Policy version">
          <span class="mono wrap">{approval.policy_version}</span>
        </Fact>
        <Fact name="Asked at">
          <Time at={approval.asked_at} />
        </Fact>
        <Fact name="Lapses at">
          <Time at={approval.expires_at} />
        </Fact>
        <Fact name="Request">
          <span class="mono wrap">{approval.approval_id}</span>
        </Fact>
        <Fact name="Digest">
          <span class="mono wrap" data-testid="digest">
            {approval.digest}
          </span>{" "}
          <Copy text={approval.digest} what="the digest" />
        </Fact>
      </dl>
    </section>
  );
}
