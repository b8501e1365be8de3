//! What policy says of a request, whatever kind of target it is for.

use std::iter;

use tallyport_access::policy::{AskContext, Asker, Resource};
use tallyport_schemas::{CommandId, Decision, Effect, Recording, TargetRef};

use super::ask::ask;
use super::judge::decision;
use super::{Facts, ResponsePlan, Ruling, Verdict};
use crate::target::{NotTaken, Question, opened_by};

/// Whether somebody may ask this of a target: they must be let use it, whatever they ask.
pub fn judge_question(
    asker: &Asker,
    target: &TargetRef,
    question: &Question,
    context: &AskContext,
    recording: Recording,
    command_id: Option<CommandId>,
) -> Verdict {
    let mut ruling = Ruling::default();
    let context = AskContext {
        read_only: question.facts.read_only,
        opaque: question.facts.opaque,
        labels: question.facts.labels.clone(),
        call: question.call.clone(),
        exec: question.exec.clone(),
        ..context.clone()
    };
    let opening = (opened_by(target.kind), Resource::Target { name: target.name.clone() });
    let beside = question.asks.iter().filter(|it| **it != opening);
    for (action, resource) in iter::once(&opening).chain(beside) {
        let is_opened = ask(asker, &context, *action, resource, &resource.to_string(), &mut ruling);
        if action.is_interactive() && asker.is_agent() && !is_opened {
            ruling.deny(format!(
                "{action} is denied to agents; a policy that permits it to them says so with @interactive(\"allow\")"
            ));
        }
    }
    if question.asks.is_empty() {
        ruling.deny("nothing is known of what it asks for".to_owned());
    }
    without_rows(ruling, asker, question.facts.clone(), recording, command_id)
}

/// The verdict on what is not answered with rows.
fn without_rows(
    mut ruling: Ruling,
    asker: &Asker,
    facts: Facts,
    recording: Recording,
    command_id: Option<CommandId>,
) -> Verdict {
    // A policy for all actions may demand what such an answer has not: such a demand is no permit.
    if ruling.row_limit.is_some() {
        let why = "policy demands a row limit, which answers of this kind of target do not know; permit them by a policy of their own";
        ruling.deny(why.to_owned());
    }
    let plan = ResponsePlan {
        recording: ruling.recording.unwrap_or(recording),
        ..ResponsePlan::default()
    };
    let (approval, grant) = (ruling.approval.take(), ruling.grant.take());
    Verdict { decision: decision(ruling, asker, command_id), facts, plan, approval, grant }
}

/// What is decided about a request that no target gets, whoever asks.
pub fn not_taken(why: &NotTaken, question: &Question, policy_version: &str) -> Verdict {
    let decision = Decision {
        effect: Effect::Deny,
        actions: question.asks.iter().map(|(action, _)| action.to_string()).collect(),
        resources: question.asks.iter().map(|(_, resource)| resource.to_string()).collect(),
        policy_ids: vec![why.rule.to_owned()],
        policy_version: policy_version.to_owned(),
        obligations: Vec::new(),
        reasons: vec![why.message.clone()],
        command_id: None,
    };
    Verdict {
        decision,
        facts: question.facts.clone(),
        plan: ResponsePlan::default(),
        approval: None,
        grant: None,
    }
}
