//! Whose access is ended, as the control log has it.
//!
//! [`Revocations`] takes in the log event by event and says whether somebody is barred. No IO, and no clock of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use tallyport_schemas::{
    Actor, AgentAttributes, ApprovalId, Body, Event, Principal, PrincipalKind, Revocation,
    RevocationId, RevocationOrder, Revoked, SessionId, SharedContext,
};

use crate::approval::{Applied, NotCounted};

/// Revocations that stand, sessions and grants aside. More are refused: none may be forgotten.
const MAX_STANDING: usize = 65_536;
/// Ended sessions and grants that are remembered: only who is on their way in needs it.
const MAX_BRIEF: usize = 16_384;
/// Lifted ones that are remembered, so that one that is carried at that moment does not come back.
const MAX_LIFTED: usize = 4_096;
/// How old the last word of a revocation may be before it is said again; well within what the control topic keeps.
const CARRY_AFTER: SignedDuration = SignedDuration::from_hours(12);

/// Who comes, or is there.
#[derive(Clone, Copy, Debug)]
pub struct Whom<'a> {
    /// The principal.
    pub principal: &'a Principal,
    /// Who acts for it.
    pub delegation: &'a [Actor],
    /// What the token says of the agent.
    pub agent: &'a AgentAttributes,
    /// The session, where there is one.
    pub session_id: Option<SessionId>,
    /// The grant it came in by, where it did.
    pub grant_id: Option<ApprovalId>,
}

/// A revocation, and who ordered it.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingRevocation {
    /// What is ended, and why.
    pub order: RevocationOrder,
    /// Who ordered it.
    pub context: SharedContext,
    /// When.
    pub revoked_at: Timestamp,
    /// When it was said last.
    said_at: Timestamp,
}

/// All that stand, as far as the log was read.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    standing: BTreeMap<RevocationId, StandingRevocation>,
    /// Which of them are of one thing; agents by their id alone, since an issuer may be left open.
    by_name: HashMap<Key, BTreeSet<RevocationId>>,
    /// Those of sessions and grants: neither comes again.
    brief: BTreeSet<RevocationId>,
    lifted: BTreeSet<RevocationId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Session(SessionId),
    Principal(String, String),
    Agent(String),
    Issuer(String),
    Grant(ApprovalId),
}

impl Key {
    fn of(revoked: &Revoked) -> Self {
        match revoked {
            Revoked::Session { session_id } => Self::Session(*session_id),
            Revoked::Principal { issuer, subject } => {
                Self::Principal(issuer.clone(), subject.clone())
            }
            Revoked::Agent { subject, .. } => Self::Agent(subject.clone()),
            Revoked::Issuer { issuer } => Self::Issuer(issuer.clone()),
            Revoked::Grant { grant_id } => Self::Grant(*grant_id),
        }
    }
}

impl Revocations {
    /// Takes in the next event of the log; `None` when it is about no revocation.
    pub fn apply(&mut self, event: &Event) -> Option<Applied> {
        let Body::Revocation(revocation) = &event.body else { return None };
        let is_order = !matches!(revocation, Revocation::Carried(_));
        if is_order && self.bars_who_orders(event) {
            return Some(Err(NotCounted::OrderedByRevoked));
        }
        Some(match revocation {
            Revocation::Revoked(order) | Revocation::Carried(order) => self.revoke(order, event),
            Revocation::Lifted { revocation_id, .. } => self.lift(*revocation_id),
        })
    }

    /// Whether the access of who ordered was ended before, as the log has it.
    fn bars_who_orders(&self, event: &Event) -> bool {
        let context = &event.context;
        let Some(principal) = &context.principal else { return false };
        let whom = Whom {
            principal,
            delegation: &context.delegation,
            agent: &context.agent,
            session_id: None,
            grant_id: None,
        };
        self.bars(&whom, event.time).is_some()
    }

    fn revoke(&mut self, order: &RevocationOrder, event: &Event) -> Applied {
        let id = order.revocation_id;
        if self.lifted.contains(&id) {
            return Err(NotCounted::Repeated);
        }
        if let Some(known) = self.standing.get_mut(&id) {
            if known.order != *order {
                return Err(NotCounted::Repeated);
            }
            known.said_at = known.said_at.max(event.time);
            return Ok(());
        }
        self.make_room(&order.revoked, event.time)?;
        self.by_name.entry(Key::of(&order.revoked)).or_default().insert(id);
        if is_brief(&order.revoked) {
            self.brief.insert(id);
        }
        let standing = StandingRevocation {
            order: order.clone(),
            context: event.context.clone(),
            revoked_at: event.time,
            said_at: event.time,
        };
        self.standing.insert(id, standing);
        Ok(())
    }

    fn lift(&mut self, id: RevocationId) -> Applied {
        if !self.standing.contains_key(&id) {
            return Err(NotCounted::NoRevocation);
        }
        self.forget(id);
        self.lifted.insert(id);
        if self.lifted.len() > MAX_LIFTED {
            let _oldest = self.lifted.pop_first();
        }
        Ok(())
    }

    fn make_room(&mut self, revoked: &Revoked, now: Timestamp) -> Applied {
        if is_brief(revoked) {
            if self.brief.len() >= MAX_BRIEF
                && let Some(oldest) = self.brief.first().copied()
            {
                self.forget(oldest);
            }
            return Ok(());
        }
        if self.standing.len() - self.brief.len() < MAX_STANDING {
            return Ok(());
        }
        let over: Vec<RevocationId> =
            self.standing.iter().filter(|(_, it)| !it.stands(now)).map(|(id, _)| *id).collect();
        for id in &over {
            self.forget(*id);
        }
        if over.is_empty() { Err(NotCounted::TooManyRevocations) } else { Ok(()) }
    }

    fn forget(&mut self, id: RevocationId) {
        let Some(gone) = self.standing.remove(&id) else { return };
        self.brief.remove(&id);
        let key = Key::of(&gone.order.revoked);
        if let Some(ids) = self.by_name.get_mut(&key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_name.remove(&key);
            }
        }
    }

    /// What bars `whom` at `now`, if anything does.
    #[must_use]
    pub fn bars(&self, whom: &Whom<'_>, now: Timestamp) -> Option<&StandingRevocation> {
        if self.standing.is_empty() {
            return None;
        }
        let principal = whom.principal;
        let named = [
            Some(Key::Issuer(principal.issuer.clone())),
            Some(Key::Principal(principal.issuer.clone(), principal.subject.clone())),
            whom.session_id.map(Key::Session),
            whom.grant_id.map(Key::Grant),
        ];
        let actors = whom.delegation.iter().filter_map(|actor| actor.issuer.clone());
        let keys = named.into_iter().flatten().chain(actors.map(Key::Issuer));
        let by_key = keys.filter_map(|key| self.of(&key, now)).next();
        by_key.or_else(|| {
            whom.agents().find_map(|(subject, issuer)| self.agent(subject, issuer, now))
        })
    }

    /// What bars a reviewer, if anything does: they answer in nobody's session and by no grant.
    #[must_use]
    pub fn bars_reviewer(
        &self,
        reviewer: &Principal,
        now: Timestamp,
    ) -> Option<&StandingRevocation> {
        let agent = AgentAttributes::default();
        let whom = Whom {
            principal: reviewer,
            delegation: &[],
            agent: &agent,
            session_id: None,
            grant_id: None,
        };
        self.bars(&whom, now)
    }

    fn of(&self, key: &Key, now: Timestamp) -> Option<&StandingRevocation> {
        let ids = self.by_name.get(key)?.iter();
        ids.filter_map(|id| self.standing.get(id)).find(|it| it.stands(now))
    }

    fn agent(
        &self,
        subject: &str,
        issuer: Option<&str>,
        now: Timestamp,
    ) -> Option<&StandingRevocation> {
        let ids = self.by_name.get(&Key::Agent(subject.to_owned()))?.iter();
        // An actor without an issuer may be of any, and so may a revocation.
        let fits = |it: &&StandingRevocation| match (&it.order.revoked, issuer) {
            (Revoked::Agent { issuer: Some(wanted), .. }, Some(issuer)) => wanted == issuer,
            _ => true,
        };
        ids.filter_map(|id| self.standing.get(id)).find(|it| it.stands(now) && fits(it))
    }

    /// Those that stand at `now`, oldest first; ended sessions and grants are not among them.
    pub fn standing(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = &StandingRevocation> {
        let lasting = |it: &&StandingRevocation| !is_brief(&it.order.revoked);
        self.standing.values().filter(move |it| it.stands(now)).filter(lasting)
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: RevocationId) -> Option<&StandingRevocation> {
        self.standing.get(&id)
    }

    /// Those that must be said again lest the log forgets them.
    pub fn to_carry(&self, now: Timestamp) -> impl Iterator<Item = &StandingRevocation> {
        self.standing(now).filter(move |it| now.duration_since(it.said_at) >= CARRY_AFTER)
    }
}

/// Whether it is of something that does not come again.
const fn is_brief(revoked: &Revoked) -> bool {
    matches!(revoked, Revoked::Session { .. } | Revoked::Grant { .. })
}

impl StandingRevocation {
    fn stands(&self, now: Timestamp) -> bool {
        self.order.until.is_none_or(|until| now < until)
    }
}

impl<'a> Whom<'a> {
    /// By what an agent may be named, with its issuer where that is known: the actors, the principal unless it is a human,
    /// and the name that the token gives the agent.
    fn agents(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let principal = self.principal;
        let own = (principal.kind != PrincipalKind::Human)
            .then_some((principal.subject.as_str(), Some(principal.issuer.as_str())));
        let name = self.agent.agent.as_deref().map(|name| (name, Some(principal.issuer.as_str())));
        let actors =
            self.delegation.iter().map(|actor| (actor.subject.as_str(), actor.issuer.as_deref()));
        own.into_iter().chain(name).chain(actors)
    }
}

#[cfg(test)]
mod tests;
