//! One request, and what became of it.

mod told;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tallyport_schemas::{
    ApprovalRequest, ApprovalRequirement, ApprovalScope, CommandId, Context, Principal,
    PrincipalKind, ProducerId, SessionId, SharedContext,
};

use super::not_counted::NotCounted;
pub use told::MAX_WEBHOOKS;

/// For how long a session may use what was approved for it: longer than tokens live. A gateway that dies tells nobody that
/// its sessions ended.
const SESSION_STANDS: SignedDuration = SignedDuration::from_hours(24);
/// The longest that policy may allow a grant to be.
const LONGEST_GRANT: SignedDuration = SignedDuration::from_hours(24);

/// The cause of the end of what was approved by somebody whose access was ended.
pub const REVIEWER_REVOKED: &str = "reviewer_revoked";

/// A request and all that counts of what followed.
#[derive(Clone, Debug)]
pub struct Case {
    request: ApprovalRequest,
    context: SharedContext,
    asked_at: Timestamp,
    votes: Vec<Vote>,
    uses: u64,
    last_use: Option<CommandId>,
    approved_at: Option<Timestamp>,
    end: Option<End>,
    /// Whose event changed it last.
    changed_by: ProducerId,
    /// The step that each webhook was told last.
    told: BTreeMap<String, String>,
}

/// A reviewer's answer that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub reviewer: Principal,
    /// Whether they agreed.
    pub agrees: bool,
    /// When.
    pub at: Timestamp,
    /// What they wrote.
    pub comment: Option<String>,
    /// The webhook that vouches for them; absent where they came with a token of their own.
    pub webhook: Option<String>,
}

impl Vote {
    pub(super) fn new(
        (reviewer, webhook): (&Principal, &Option<String>),
        agrees: bool,
        comment: &Option<String>,
        at: Timestamp,
    ) -> Self {
        let reviewer = reviewer.clone();
        Self { reviewer, agrees, at, comment: comment.clone(), webhook: webhook.clone() }
    }
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for reviewers.
    Pending,
    /// It may run.
    Approved,
    /// A reviewer said no.
    Denied,
    /// Its time is over.
    Expired,
    /// Nobody waits for it any more, for this cause.
    Withdrawn(String),
    /// It ran.
    Used,
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn(_) => "withdrawn",
            Self::Used => "used",
        }
    }

    /// Whether nothing can become of it any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        !matches!(self, Self::Pending | Self::Approved)
    }
}

#[derive(Clone, Debug)]
struct End {
    state: State,
    at: Timestamp,
}

impl Case {
    pub(super) fn new(
        request: ApprovalRequest,
        context: SharedContext,
        (asked_at, asked_by): (Timestamp, ProducerId),
    ) -> Self {
        // Where nobody has to agree to an access, asking is enough.
        let approved_at = (request.requirements.is_empty() && request.asked.access().is_some())
            .then_some(asked_at);
        Self {
            request,
            context,
            asked_at,
            votes: Vec::new(),
            uses: 0,
            last_use: None,
            approved_at,
            end: None,
            changed_by: asked_by,
            told: BTreeMap::new(),
        }
    }

    /// What was asked for.
    #[must_use]
    pub const fn request(&self) -> &ApprovalRequest {
        &self.request
    }

    /// Who asks, on whose behalf, to where.
    #[must_use]
    pub const fn context(&self) -> &SharedContext {
        &self.context
    }

    /// When it was asked for.
    #[must_use]
    pub const fn asked_at(&self) -> Timestamp {
        self.asked_at
    }

    /// The answers that count, in their order.
    #[must_use]
    pub fn votes(&self) -> &[Vote] {
        &self.votes
    }

    /// How often what was approved ran.
    #[must_use]
    pub const fn uses(&self) -> u64 {
        self.uses
    }

    /// The command that ran last.
    #[must_use]
    pub const fn last_use(&self) -> Option<CommandId> {
        self.last_use
    }

    /// When nothing more could become of it.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.end.as_ref().map(|end| end.at)
    }

    /// Where it stands at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        if let Some(end) = &self.end {
            return end.state.clone();
        }
        match self.approved_at {
            _ if now >= self.stands_until() => State::Expired,
            Some(_) => State::Approved,
            None => State::Pending,
        }
    }

    /// Until when it may be answered, or what was approved used.
    #[must_use]
    pub fn stands_until(&self) -> Timestamp {
        match (self.approved_at, self.request.scope) {
            (Some(_), ApprovalScope::Session) => {
                self.asked_at.checked_add(SESSION_STANDS).unwrap_or(self.request.expires_at)
            }
            (Some(at), ApprovalScope::Period) => {
                let seconds = self.request.asked.access().map_or(0, |access| access.seconds);
                let period = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                at.checked_add(period.min(LONGEST_GRANT)).unwrap_or(at)
            }
            _ => self.request.expires_at,
        }
    }

    /// When enough had agreed.
    #[must_use]
    pub const fn approved_at(&self) -> Option<Timestamp> {
        self.approved_at
    }

    /// Whether it is a grant that lets whoever `context` names open sessions to its target at `now`.
    #[must_use]
    pub fn grants(&self, context: &Context, now: Timestamp) -> bool {
        let target = |context: &Context| context.target.as_ref().map(|it| it.name.clone());
        self.request.asked.access().is_some()
            && self.state(now) == State::Approved
            && is_asked_by(&self.context, context)
            && target(&self.context) == target(context)
    }

    /// How many members of a group still must agree, for each requirement that is not met.
    #[must_use]
    pub fn missing(&self) -> Vec<ApprovalRequirement> {
        let missing = |wanted: &ApprovalRequirement| {
            let agreed =
                self.votes.iter().filter(|vote| vote.agrees && is_member(&vote.reviewer, wanted));
            let agreed = u32::try_from(agreed.count()).unwrap_or(u32::MAX);
            let quorum = wanted.quorum.saturating_sub(agreed);
            (quorum > 0).then(|| ApprovalRequirement { quorum, ..wanted.clone() })
        };
        self.request.requirements.iter().filter_map(missing).collect()
    }

    /// Whether the owner of who asks is named by this address, which no event has: who answers is asked before they do.
    #[must_use]
    pub fn is_owned_by(&self, email: &str) -> bool {
        self.owner().is_some_and(|owner| owner.eq_ignore_ascii_case(email))
    }

    /// Whether `reviewer` may answer at `now`.
    ///
    /// # Errors
    /// Why not.
    pub fn may_review(&self, reviewer: &Principal, now: Timestamp) -> Result<(), NotCounted> {
        match self.state(now) {
            State::Pending => {}
            state => return Err(NotCounted::Over(state)),
        }
        if reviewer.kind != PrincipalKind::Human {
            return Err(NotCounted::NotHuman);
        }
        if self.asks(reviewer) {
            return Err(NotCounted::Requester);
        }
        if self.owns(reviewer) {
            return Err(NotCounted::Owner);
        }
        if !self.request.requirements.iter().any(|wanted| is_member(reviewer, wanted)) {
            let groups: Vec<&str> =
                self.request.requirements.iter().map(|it| it.group.as_str()).collect();
            return Err(NotCounted::NotAMember(groups.join(", ")));
        }
        if self.votes.iter().any(|vote| is_same(&vote.reviewer, reviewer)) {
            return Err(NotCounted::Twice);
        }
        Ok(())
    }

    /// Takes an answer in.
    pub(super) fn review(&mut self, vote: Vote) -> Result<(), NotCounted> {
        let Vote { agrees, at, .. } = vote;
        self.may_review(&vote.reviewer, at)?;
        self.votes.push(vote);
        if !agrees {
            self.end = Some(End { state: State::Denied, at });
        } else if self.missing().is_empty() {
            self.approved_at = Some(at);
        }
        Ok(())
    }

    /// Takes in that what some reviewers agreed to counts no more. What was approved by it is over, also where it is in use:
    /// nobody else looked at it. What waits, waits on for others.
    pub(super) fn forget(&mut self, revoked: impl Fn(&Principal) -> bool, at: Timestamp) {
        let known = self.votes.len();
        self.votes.retain(|vote| !revoked(&vote.reviewer));
        let approved = matches!(self.state(at), State::Approved);
        if self.votes.len() < known && approved && !self.missing().is_empty() {
            self.end = Some(End { state: State::Withdrawn(REVIEWER_REVOKED.to_owned()), at });
        }
    }

    /// Takes in that its time is over.
    pub(super) fn expire(&mut self, at: Timestamp) -> Result<(), NotCounted> {
        self.must_be_open()?;
        if self.state(at) != State::Expired {
            return Err(NotCounted::NotLapsed);
        }
        self.end = Some(End { state: State::Expired, at });
        Ok(())
    }

    /// Takes in that nobody waits for it.
    pub(super) fn withdraw(&mut self, cause: &str, at: Timestamp) -> Result<(), NotCounted> {
        self.must_be_open()?;
        self.end = Some(End { state: State::Withdrawn(cause.to_owned()), at });
        Ok(())
    }

    /// Takes in that it runs, in this session.
    pub(super) fn run(
        &mut self,
        (command_id, digest): (CommandId, &str),
        session: Option<SessionId>,
        at: Timestamp,
    ) -> Result<(), NotCounted> {
        match self.state(at) {
            State::Approved => {}
            State::Pending => return Err(NotCounted::NotApproved),
            over => return Err(NotCounted::Over(over)),
        }
        // A grant opens sessions, and runs nothing.
        if digest != self.request.digest || self.request.asked.command().is_none() {
            return Err(NotCounted::OtherCommand);
        }
        if !self.is_open_to(session) {
            return Err(NotCounted::OtherSession);
        }
        self.uses += 1;
        self.last_use = Some(command_id);
        if self.request.scope == ApprovalScope::Once {
            self.end = Some(End { state: State::Used, at });
        }
        Ok(())
    }

    /// Whether a session may use it.
    #[must_use]
    pub fn is_open_to(&self, session: Option<SessionId>) -> bool {
        let bound = self.request.session_bound || self.request.scope == ApprovalScope::Session;
        !bound || (session.is_some() && session == self.context.session_id)
    }

    fn must_be_open(&self) -> Result<(), NotCounted> {
        match &self.end {
            Some(end) => Err(NotCounted::Over(end.state.clone())),
            None => Ok(()),
        }
    }

    /// The principal, or one of those who act for it.
    fn asks(&self, reviewer: &Principal) -> bool {
        let principal = self.context.principal.as_ref();
        let acts = |actor: &tallyport_schemas::Actor| {
            // An actor without an issuer may be of any.
            actor.subject == reviewer.subject
                && actor.issuer.as_ref().is_none_or(|issuer| *issuer == reviewer.issuer)
        };
        principal.is_some_and(|principal| is_same(principal, reviewer))
            || self.context.delegation.iter().any(acts)
    }

    fn owner(&self) -> Option<&String> {
        self.context.principal.as_ref().and_then(|it| it.owner.as_ref())
    }

    /// An owner is a text: it may be a subject, a name, or a group.
    fn owns(&self, reviewer: &Principal) -> bool {
        self.owner().is_some_and(|owner| {
            *owner == reviewer.subject
                || owner.eq_ignore_ascii_case(&reviewer.display_name)
                || reviewer.groups.contains(owner)
        })
    }
}

/// The same principal, with the same actors in between.
fn is_asked_by(one: &Context, other: &Context) -> bool {
    let both = one.principal.as_ref().zip(other.principal.as_ref());
    both.is_some_and(|(one, other)| is_same(one, other)) && one.delegation == other.delegation
}

fn is_same(one: &Principal, other: &Principal) -> bool {
    one.issuer == other.issuer && one.subject == other.subject
}

fn is_member(reviewer: &Principal, wanted: &ApprovalRequirement) -> bool {
    reviewer.groups.contains(&wanted.group)
}
