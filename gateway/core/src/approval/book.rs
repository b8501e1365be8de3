//! What the control log amounts to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tallyport_schemas::{
    Approval, ApprovalId, ApprovalRequest, ApprovalScope, Body, Context, Event, Principal,
    Revocation, Revoked, SessionId,
};

use super::case::{Case, State, Vote};
use super::not_counted::NotCounted;
use crate::revocation::Revocations;

/// Requests that are kept, open and over together. The oldest that are over make room for new ones.
const MAX_CASES: usize = 16_384;

/// Requests of one principal, and of all, that may wait at once: reviewers are people. It is the order of the log that says
/// which are too many, so that those who ask at once, here or at another gateway, are no more either.
pub const MAX_WAITING_OF_ONE: usize = 16;
/// See [`MAX_WAITING_OF_ONE`].
pub const MAX_WAITING: usize = 1_000;

/// Grants of one principal that may stand at once, approved ones included: what nobody must agree to waits for nobody, and
/// would otherwise take the places of all others.
pub const MAX_GRANTS_OF_ONE: usize = 64;

/// The cause of the end of what an administrator ended.
pub const REVOKED: &str = "revoked";

/// The cause of the end of what whoever asked does not want any more.
pub const GIVEN_BACK: &str = "given_back";

/// What an event did.
pub type Applied = Result<(), NotCounted>;

/// All requests, as far as the log was read.
#[derive(Clone, Debug, Default)]
pub struct Book {
    cases: BTreeMap<ApprovalId, Case>,
    /// Those that did not end.
    open: BTreeSet<ApprovalId>,
}

impl Book {
    /// Takes in the next event of the log, which `revocations` took in before; `None` when it is about no approval.
    pub fn apply(&mut self, event: &Event, revocations: &Revocations) -> Option<Applied> {
        match &event.body {
            Body::Approval(approval) => Some(self.take_in(event, approval, revocations)),
            Body::Revocation(Revocation::Revoked(order)) => match order.revoked {
                Revoked::Grant { grant_id } => Some(self.revoke(grant_id, event.time)),
                _ => {
                    self.forget_reviewers(revocations, event.time);
                    None
                }
            },
            Body::Revocation(Revocation::Carried(_)) => {
                self.forget_reviewers(revocations, event.time);
                None
            }
            _ => None,
        }
    }

    /// What somebody agreed to whose access is ended counts no more.
    fn forget_reviewers(&mut self, revocations: &Revocations, at: Timestamp) {
        let revoked = |reviewer: &Principal| revocations.bars_reviewer(reviewer, at).is_some();
        let cases = &mut self.cases;
        self.open.retain(|id| {
            let Some(case) = cases.get_mut(id) else { return false };
            case.forget(revoked, at);
            case.ended_at().is_none()
        });
    }

    /// Ends what was asked for or granted.
    fn revoke(&mut self, id: ApprovalId, at: Timestamp) -> Applied {
        let case = self.cases.get_mut(&id).ok_or(NotCounted::Unknown)?;
        match case.state(at) {
            State::Pending | State::Approved => {}
            over => return Err(NotCounted::Over(over)),
        }
        case.withdraw(REVOKED, at)?;
        self.open.remove(&id);
        Ok(())
    }

    fn take_in(
        &mut self,
        event: &Event,
        approval: &Approval,
        revocations: &Revocations,
    ) -> Applied {
        let at = event.time;
        if let Approval::Granted { reviewer, .. } | Approval::Denied { reviewer, .. } = approval
            && revocations.bars_reviewer(reviewer, at).is_some()
        {
            return Err(NotCounted::ReviewerRevoked);
        }
        if let Approval::Requested(request) = approval {
            if self.cases.contains_key(&request.approval_id) {
                return Err(NotCounted::Repeated);
            }
            self.refuse_too_many(event, request, at)?;
            self.make_room(at)?;
            let by = event.producer.id.clone();
            let case = Case::new((**request).clone(), event.context.clone(), (at, by));
            self.open.insert(request.approval_id);
            self.cases.insert(request.approval_id, case);
            return Ok(());
        }
        let id = approval.approval_id();
        let case = self.cases.get_mut(&id).ok_or(NotCounted::Unknown)?;
        if let Approval::Notified { webhook, step, .. } = approval {
            return case.told(webhook, step);
        }
        match approval {
            Approval::Requested(_) | Approval::Notified { .. } => Err(NotCounted::Repeated),
            Approval::Granted { reviewer, comment, webhook, .. } => {
                case.review(Vote::new((reviewer, webhook), true, comment, at))
            }
            Approval::Denied { reviewer, comment, webhook, .. } => {
                case.review(Vote::new((reviewer, webhook), false, comment, at))
            }
            Approval::Expired { .. } => case.expire(at),
            Approval::Withdrawn { cause, .. } => case.withdraw(cause, at),
            Approval::Used { command_id, digest, .. } => {
                case.run((*command_id, digest), event.context.session_id, at)
            }
        }?;
        case.changed_by(&event.producer.id);
        if case.ended_at().is_some() {
            self.open.remove(&id);
        }
        Ok(())
    }

    fn refuse_too_many(&self, event: &Event, request: &ApprovalRequest, at: Timestamp) -> Applied {
        // A grant that waits or stands is found by the same wish; statements may wait for the same more than once.
        let standing = self.standing(&request.digest, None, at);
        if let Some((case, _)) = standing.filter(|_| request.scope == ApprovalScope::Period) {
            return Err(NotCounted::AskedAlready(case.request().approval_id));
        }
        let Some(principal) = &event.context.principal else { return Ok(()) };
        if request.scope == ApprovalScope::Period {
            let grants = self.open().filter(|case| {
                case.request().scope == ApprovalScope::Period
                    && asks(case, principal)
                    && !case.state(at).is_over()
            });
            let own = grants.count();
            if own >= MAX_GRANTS_OF_ONE {
                return Err(NotCounted::TooManyOfYours(own));
            }
        }
        self.may_ask(principal, at)
    }

    /// Whether one more request of this principal would count at `now`.
    ///
    /// # Errors
    /// [`NotCounted`] when too many wait.
    pub fn may_ask(&self, principal: &Principal, now: Timestamp) -> Applied {
        let (own, all) = self.waiting(principal, now);
        if own >= MAX_WAITING_OF_ONE {
            return Err(NotCounted::TooManyOfYours(own));
        }
        if all >= MAX_WAITING { Err(NotCounted::Full) } else { Ok(()) }
    }

    /// What is over goes first; what lapsed without anybody saying so is over, too.
    fn make_room(&mut self, now: Timestamp) -> Result<(), NotCounted> {
        if self.cases.len() < MAX_CASES {
            return Ok(());
        }
        let over = self.cases.iter().find(|(_, case)| case.state(now).is_over());
        let id = over.map(|(id, _)| *id).ok_or(NotCounted::Full)?;
        self.cases.remove(&id);
        self.open.remove(&id);
        Ok(())
    }

    /// The request of this id.
    #[must_use]
    pub fn case(&self, id: ApprovalId) -> Option<&Case> {
        self.cases.get(&id)
    }

    /// All that are kept, oldest first.
    pub fn cases(&self) -> impl DoubleEndedIterator<Item = &Case> {
        self.cases.values()
    }

    /// Those that no event ended, oldest first.
    pub fn open(&self) -> impl Iterator<Item = &Case> {
        self.open.iter().filter_map(|id| self.cases.get(id))
    }

    /// The grants that let whoever `context` names open sessions to its target at `now`.
    pub fn grants<'a>(
        &'a self,
        context: &'a Context,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Case> {
        self.open().filter(move |case| case.grants(context, now))
    }

    /// How many requests wait for reviewers at `now`: those of one principal, and all.
    #[must_use]
    pub fn waiting(&self, principal: &Principal, now: Timestamp) -> (usize, usize) {
        let (mut own, mut all) = (0, 0);
        for case in self.open().filter(|case| case.state(now) == State::Pending) {
            all += 1;
            own += usize::from(asks(case, principal));
        }
        (own, all)
    }

    /// One that is asked for or approved, for this digest, and that this session may use; of several one that is approved.
    #[must_use]
    pub fn standing(
        &self,
        digest: &str,
        session: Option<SessionId>,
        now: Timestamp,
    ) -> Option<(&Case, State)> {
        self.open()
            .filter(|case| case.request().digest == digest && case.is_open_to(session))
            .map(|case| (case, case.state(now)))
            .filter(|(_, state)| !state.is_over())
            .min_by_key(|(_, state)| *state != State::Approved)
    }
}

/// Whether it is this principal's.
fn asks(case: &Case, principal: &Principal) -> bool {
    let whose = case.context().principal.as_ref();
    whose.is_some_and(|it| it.issuer == principal.issuer && it.subject == principal.subject)
}

#[cfg(test)]
mod tests;
