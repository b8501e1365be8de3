// Who must agree, who did, and what came of it.

import type { Answer, Approval } from "../../lib/contract";
import { Chip, Fact, Time } from "../../ui/parts";
import { Prose, Untrusted } from "../../ui/untrusted";
import { isOver, progress } from "./model";

export function Standing({ approval, audit }: { approval: Approval; audit: boolean }) {
  return (
    <section class="card">
      <h2>Who must agree</h2>
      {approval.requirements.length === 0 ? <p class="quiet">Nobody: asking is enough.</p> : null}
      <ul class="quorum" data-testid="requirements">
        {progress(approval).map(({ group, quorum, agreed }) => (
          <li key={group}>
            <span>
              {quorum} of <Untrusted class="strong" text={group} />
            </span>
            <span class={agreed >= quorum ? "good-text" : "quiet"}>
              {agreed >= quorum ? "met" : `${agreed} of ${quorum} agreed`}
            </span>
            {/* The words beside it say the same. */}
            <progress aria-hidden="true" max={quorum} value={agreed} />
          </li>
        ))}
      </ul>
      <Answers answers={approval.answers} />
      <dl class="facts">
        <Fact name="Stands until">{isOver(approval) ? null : <Time at={approval.stands_until} />}</Fact>
        <Fact name="Ended at">{approval.ended_at ? <Time at={approval.ended_at} /> : null}</Fact>
        <Fact name="Ran">{approval.uses > 0 ? `${approval.uses} ${approval.uses === 1 ? "time" : "times"}` : null}</Fact>
        <Fact name="What came of it">
          {audit && approval.session_id && approval.uses > 0 ? (
            <a href={`#/sessions/${encodeURIComponent(approval.session_id)}`}>See its session</a>
          ) : null}
        </Fact>
      </dl>
    </section>
  );
}

function Answers({ answers }: { answers: Answer[] }) {
  if (answers.length === 0) return <p class="quiet">Nobody has answered yet.</p>;
  return (
    <ol class="answers" data-testid="answers">
      {answers.map((answer, index) => (
        <li key={index}>
          <div>
            <Chip tone={answer.agrees ? "good" : "bad"}>{answer.agrees ? "agrees" : "denies"}</Chip>{" "}
            <Untrusted class="strong" text={answer.reviewer.display_name} />
          </div>
          {answer.comment ? (
            <blockquote class="quote">
              <Prose text={answer.comment} />
            </blockquote>
          ) : null}
          <div class="quiet small-text">
            <Untrusted class="mono" text={`${answer.reviewer.issuer}#${answer.reviewer.subject}`} />, <Time at={answer.at} />
          </div>
        </li>
      ))}
    </ol>
  );
}
