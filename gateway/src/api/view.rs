//! A request for an approval, as callers see it.

use gateway_core::approval::{Case, NotCounted, State};
use jiff::Timestamp;
use serde::Serialize;
use tallyport_access::Identity;
use tallyport_schemas::{
    Actor, AgentAttributes, ApprovalId, ApprovalRequirement, ApprovalScope, Asked, AskedAccess,
    AskedCommand, CommandId, Principal, PrincipalKind, SessionId, TargetRef,
};

/// One request.
#[derive(Debug, Serialize)]
pub(crate) struct ApprovalView {
    approval_id: ApprovalId,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    digest: String,
    asked_at: Timestamp,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    principal: Option<Principal>,
    delegation: Vec<Actor>,
    agent: AgentAttributes,
    target: Option<TargetRef>,
    session_id: Option<SessionId>,
    session_bound: bool,
    scope: ApprovalScope,
    requirements: Vec<ApprovalRequirement>,
    /// What of the requirements is not met yet.
    missing: Vec<ApprovalRequirement>,
    reasons: Vec<String>,
    policy_ids: Vec<String>,
    policy_version: String,
    /// `command` or `access`: one of the two follows.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<AskedCommand>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<AskedAccess>,
    /// Until when it may be answered, or what was approved used.
    stands_until: Timestamp,
    answers: Vec<AnswerView>,
    uses: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_command_id: Option<CommandId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    you: Option<You>,
}

#[derive(Debug, Serialize)]
struct AnswerView {
    reviewer: Reviewer,
    agrees: bool,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// The webhook that vouches for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<String>,
}

#[derive(Debug, Serialize)]
struct Reviewer {
    issuer: String,
    subject: String,
    display_name: String,
}

/// What the caller may do about it.
#[derive(Debug, Serialize)]
struct You {
    may_answer: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
}

impl ApprovalView {
    /// As `caller` sees it.
    pub(super) fn seen_by(caller: &Identity, case: &Case, now: Timestamp) -> Self {
        Self { you: Some(You::of(may_answer(case, caller, now))), ..Self::new(case, now) }
    }

    /// As it stands, whoever asks.
    pub(crate) fn new(case: &Case, now: Timestamp) -> Self {
        let (request, context) = (case.request(), case.context());
        let state = case.state(now);
        let cause = match &state {
            State::Withdrawn(cause) => Some(cause.clone()),
            _ => None,
        };
        Self {
            approval_id: request.approval_id,
            state: state.as_str(),
            cause,
            digest: request.digest.clone(),
            asked_at: case.asked_at(),
            expires_at: request.expires_at,
            ended_at: case.ended_at(),
            principal: context.principal.clone(),
            delegation: context.delegation.clone(),
            agent: context.agent.clone(),
            target: context.target.clone(),
            session_id: context.session_id,
            session_bound: request.session_bound,
            scope: request.scope,
            requirements: request.requirements.clone(),
            missing: case.missing(),
            reasons: request.reasons.clone(),
            policy_ids: request.policy_ids.clone(),
            policy_version: request.policy_version.clone(),
            kind: match &request.asked {
                Asked::Command(_) => "command",
                Asked::Access(_) => "access",
            },
            command: request.asked.command().cloned(),
            access: request.asked.access().cloned(),
            stands_until: case.stands_until(),
            answers: case.votes().iter().map(AnswerView::of).collect(),
            uses: case.uses(),
            last_command_id: case.last_use(),
            you: None,
        }
    }
}

impl AnswerView {
    fn of(vote: &gateway_core::approval::Vote) -> Self {
        let Principal { issuer, subject, display_name, .. } = vote.reviewer.clone();
        Self {
            reviewer: Reviewer { issuer, subject, display_name },
            agrees: vote.agrees,
            at: vote.at,
            comment: vote.comment.clone(),
            webhook: vote.webhook.clone(),
        }
    }
}

impl You {
    fn of(may: Result<(), NotCounted>) -> Self {
        Self { may_answer: may.is_ok(), why_not: may.err().map(|why| why.to_string()) }
    }
}

/// Whether the caller may answer: as the book says, and only with a token of their own.
pub(super) fn may_answer(case: &Case, caller: &Identity, now: Timestamp) -> Result<(), NotCounted> {
    if !caller.delegation.is_empty() {
        return Err(NotCounted::NotHuman);
    }
    if caller.email.as_ref().is_some_and(|email| case.is_owned_by(email)) {
        return Err(NotCounted::Owner);
    }
    case.may_review(&caller.principal, now)
}

/// Whether the caller may know of it: who asked, and the members of the groups that may answer. A statement may tell
/// more than a stranger should know.
pub(super) fn may_see(case: &Case, caller: &Identity) -> bool {
    let principal = &caller.principal;
    // Reviewers are people, for themselves: an agent in their group reads no statements of others.
    let for_themselves = principal.kind == PrincipalKind::Human && caller.delegation.is_empty();
    let reviews = for_themselves
        && case.request().requirements.iter().any(|it| principal.groups.contains(&it.group));
    has_asked(case, caller) || reviews
}

/// Whether the caller asked for it: themselves, for what anybody asks on their behalf; who acts for them, for their own.
pub(super) fn has_asked(case: &Case, caller: &Identity) -> bool {
    let (principal, asks) = (&caller.principal, case.context().principal.as_ref());
    let same = |it: &Principal| it.issuer == principal.issuer && it.subject == principal.subject;
    let chain = caller.delegation.is_empty() || caller.delegation == case.context().delegation;
    asks.is_some_and(same) && chain
}
