//! What the control log amounts to, told again in the plainest way: every grant and every revocation with the offsets
//! at which it came to be and ended. Who has read the log up to an offset knows what is before it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tallyport_eventlog::{Log, Position, Topic};
use tallyport_schemas::{
    Actor, Approval, ApprovalId, ApprovalRequest, Body, Event, Principal, PrincipalKind,
    Revocation, RevocationId, RevocationOrder, Revoked, SessionId, ocsf,
};

/// By the documents: so many requests of one principal may wait, and so many grants of one may wait or stand.
const WAITING: usize = 16;
const GRANTS: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    Denied,
    Expired,
    Withdrawn,
    Revoked,
}

/// A request for access that counts.
#[derive(Clone, Debug)]
pub struct Grant {
    pub issuer: String,
    pub subject: String,
    pub actors: Vec<Actor>,
    pub target: String,
    asked: ApprovalRequest,
    pub from: u64,
    agreed: Vec<Principal>,
    /// Where enough had agreed, and when.
    approved: Option<(u64, Timestamp)>,
    pub ended: Option<(u64, How)>,
}

/// A revocation that counts.
#[derive(Clone, Debug)]
pub struct Order {
    pub order: RevocationOrder,
    pub from: u64,
    pub lifted: Option<u64>,
}

/// Who comes.
#[derive(Clone, Debug)]
pub struct Coming {
    pub issuer: String,
    pub subject: String,
    pub is_human: bool,
    pub name: Option<String>,
    pub actors: Vec<Actor>,
    pub session: Option<SessionId>,
    pub grant: Option<ApprovalId>,
}

impl Coming {
    /// A reviewer: in no session, and for nobody else.
    fn reviews(reviewer: &Principal) -> Self {
        Self {
            issuer: reviewer.issuer.clone(),
            subject: reviewer.subject.clone(),
            is_human: reviewer.kind == PrincipalKind::Human,
            name: None,
            actors: Vec::new(),
            session: None,
            grant: None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Model {
    pub grants: BTreeMap<ApprovalId, Grant>,
    pub orders: BTreeMap<RevocationId, Order>,
    /// The length of the log.
    pub length: u64,
    /// What counted, and how often.
    pub counted: BTreeMap<&'static str, u64>,
}

impl Grant {
    /// Until when it may be answered, or used.
    pub fn until(&self, read: u64) -> Timestamp {
        match self.approved.filter(|(offset, _)| *offset < read) {
            Some((_, at)) => {
                let seconds = self.asked.asked.access().unwrap().seconds;
                at + SignedDuration::from_secs(seconds.try_into().unwrap())
            }
            None => self.asked.expires_at,
        }
    }

    pub fn state(&self, read: u64, now: Timestamp) -> &'static str {
        let approved = self.approved.is_some_and(|(offset, _)| offset < read);
        match self.ended.as_ref().filter(|(offset, _)| *offset < read) {
            _ if self.from >= read => "unknown",
            Some((_, How::Denied)) => "denied",
            Some((_, How::Expired)) => "expired",
            Some((_, How::Withdrawn | How::Revoked)) => "withdrawn",
            None if now >= self.until(read) => "expired",
            None if approved => "approved",
            None => "pending",
        }
    }

    pub fn needs_nobody(&self) -> bool {
        self.asked.requirements.is_empty()
    }

    pub fn is_of(&self, who: &Coming, target: &str) -> bool {
        self.issuer == who.issuer
            && self.subject == who.subject
            && self.actors == who.actors
            && self.target == target
    }

    /// Whether this answer counts, but for the state of the request.
    fn may_answer(&self, reviewer: &Principal) -> bool {
        let same =
            |one: &Principal| one.issuer == reviewer.issuer && one.subject == reviewer.subject;
        let asks = reviewer.issuer == self.issuer && reviewer.subject == self.subject;
        let acts = self.actors.iter().any(|actor| {
            let issuer = actor.issuer.as_ref().is_none_or(|issuer| *issuer == reviewer.issuer);
            actor.subject == reviewer.subject && issuer
        });
        let wanted = |group: &String| self.asked.requirements.iter().any(|it| it.group == *group);
        reviewer.kind == PrincipalKind::Human
            && !asks
            && !acts
            && reviewer.groups.iter().any(wanted)
            && !self.agreed.iter().any(same)
    }

    fn is_agreed(&self) -> bool {
        self.asked.requirements.iter().all(|wanted| {
            let members = self.agreed.iter().filter(|one| one.groups.contains(&wanted.group));
            members.count() >= wanted.quorum as usize
        })
    }
}

impl Order {
    pub fn stands(&self, read: u64, now: Timestamp) -> bool {
        self.from < read
            && self.lifted.is_none_or(|lifted| lifted >= read)
            && self.order.until.is_none_or(|until| now < until)
    }

    pub fn means(&self, who: &Coming) -> bool {
        let fits = |wanted: &Option<String>, issuer: Option<&String>| match (wanted, issuer) {
            (Some(wanted), Some(issuer)) => wanted == issuer,
            _ => true,
        };
        match &self.order.revoked {
            Revoked::Session { session_id } => who.session == Some(*session_id),
            Revoked::Grant { grant_id } => who.grant == Some(*grant_id),
            Revoked::Principal { issuer, subject } => {
                *issuer == who.issuer && *subject == who.subject
            }
            Revoked::Issuer { issuer } => {
                *issuer == who.issuer
                    || who.actors.iter().any(|actor| actor.issuer.as_ref() == Some(issuer))
            }
            Revoked::Agent { issuer, subject } => {
                let own = !who.is_human && *subject == who.subject;
                let named = who.name.as_ref() == Some(subject);
                let acts = |actor: &Actor| {
                    actor.subject == *subject && fits(issuer, actor.issuer.as_ref())
                };
                ((own || named) && fits(issuer, Some(&who.issuer))) || who.actors.iter().any(acts)
            }
        }
    }
}

impl Model {
    pub async fn read(log: &dyn Log) -> Self {
        let mut model = Self::default();
        loop {
            let from = Position { partition: 0, offset: model.length };
            let read = log.read(Topic::Control, from, 1 << 20, Duration::ZERO).await.unwrap();
            if read.is_empty() {
                return model;
            }
            for entry in &read {
                let event = ocsf::decode(&entry.value).unwrap();
                model.length = entry.position.offset;
                let what = model.take(&event);
                *model.counted.entry(what).or_default() += 1;
                model.length += 1;
            }
        }
    }

    /// What bars them, for whoever has read so much, at this time.
    pub fn bars(&self, who: &Coming, read: u64, now: Timestamp) -> Option<RevocationId> {
        let mut all = self.orders.values();
        let one = all.find(|order| order.stands(read, now) && order.means(who))?;
        Some(one.order.revocation_id)
    }

    /// What is asked for and not answered, and what of it is a grant that waits or stands.
    pub fn open_of(
        &self,
        issuer: &str,
        subject: &str,
        read: u64,
        now: Timestamp,
    ) -> (usize, usize) {
        let own = self.grants.values().filter(|it| it.issuer == issuer && it.subject == subject);
        let states: Vec<_> = own.map(|grant| grant.state(read, now)).collect();
        let waiting = states.iter().filter(|state| **state == "pending").count();
        (waiting, waiting + states.iter().filter(|state| **state == "approved").count())
    }

    pub fn is_full(&self, who: &Coming, read: u64, now: Timestamp) -> bool {
        let (waiting, grants) = self.open_of(&who.issuer, &who.subject, read, now);
        waiting >= WAITING || grants >= GRANTS
    }

    fn take(&mut self, event: &Event) -> &'static str {
        let (here, at) = (self.length, event.time);
        match &event.body {
            Body::Revocation(Revocation::Revoked(_) | Revocation::Lifted { .. })
                if self.bars_who_orders(event) =>
            {
                "ordered by nobody any more"
            }
            Body::Revocation(Revocation::Revoked(order)) => {
                if let Revoked::Grant { grant_id } = order.revoked
                    && let Some(grant) = self.grants.get_mut(&grant_id)
                    && matches!(grant.state(here, at), "pending" | "approved")
                {
                    grant.ended = Some((here, How::Revoked));
                }
                let what = self.revoke(order);
                if order.revoked.kind() != "grant" {
                    self.forget_reviewers(here, at);
                }
                what
            }
            Body::Revocation(Revocation::Carried(order)) => {
                let what = self.revoke(order);
                self.forget_reviewers(here, at);
                what
            }
            Body::Revocation(Revocation::Lifted { revocation_id, .. }) => {
                match self.orders.get_mut(revocation_id) {
                    Some(order) if order.lifted.is_none() => {
                        order.lifted = Some(here);
                        "lifted"
                    }
                    _ => "in vain",
                }
            }
            Body::Approval(Approval::Requested(request)) => self.request(request, event),
            Body::Approval(answer) => self.answer(answer, event),
            _ => "in vain",
        }
    }

    fn bars_who_orders(&self, event: &Event) -> bool {
        let context = &event.context;
        let Some(principal) = &context.principal else { return false };
        let who = Coming {
            name: context.agent.agent.clone(),
            actors: context.delegation.clone(),
            ..Coming::reviews(principal)
        };
        self.bars(&who, self.length, event.time).is_some()
    }

    /// What somebody agreed to whose access is ended by now counts no more, and what was approved by it ends.
    fn forget_reviewers(&mut self, here: u64, at: Timestamp) {
        let mut grants = std::mem::take(&mut self.grants);
        for grant in grants.values_mut().filter(|grant| grant.ended.is_none()) {
            let approved = grant.state(here, at) == "approved";
            let known = grant.agreed.len();
            grant.agreed.retain(|one| self.bars(&Coming::reviews(one), here + 1, at).is_none());
            if approved && grant.agreed.len() < known && !grant.is_agreed() {
                grant.ended = Some((here, How::Withdrawn));
            }
        }
        self.grants = grants;
    }

    /// The first word of an id counts; one that was lifted does not come back.
    fn revoke(&mut self, order: &RevocationOrder) -> &'static str {
        let kind = match order.revoked.kind() {
            "session" => "revoked: session",
            "principal" => "revoked: principal",
            "agent" => "revoked: agent",
            "issuer" => "revoked: issuer",
            _ => "revoked: grant",
        };
        if self.orders.contains_key(&order.revocation_id) {
            return "said again";
        }
        let one = Order { order: order.clone(), from: self.length, lifted: None };
        self.orders.insert(order.revocation_id, one);
        kind
    }

    fn request(&mut self, request: &ApprovalRequest, event: &Event) -> &'static str {
        let (here, at) = (self.length, event.time);
        let principal = event.context.principal.as_ref().unwrap();
        let same = |grant: &Grant| {
            let open = matches!(grant.state(here, at), "pending" | "approved");
            grant.asked.digest == request.digest && open
        };
        if self.grants.contains_key(&request.approval_id) || self.grants.values().any(same) {
            return "asked again";
        }
        let (waiting, grants) = self.open_of(&principal.issuer, &principal.subject, here, at);
        if waiting >= WAITING || grants >= GRANTS {
            return "one too many";
        }
        let grant = Grant {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            actors: event.context.delegation.clone(),
            target: event.context.target.as_ref().unwrap().name.clone(),
            asked: request.clone(),
            from: here,
            agreed: Vec::new(),
            approved: request.requirements.is_empty().then_some((here, at)),
            ended: None,
        };
        self.grants.insert(request.approval_id, grant);
        if request.requirements.is_empty() { "granted by nobody" } else { "asked" }
    }

    fn answer(&mut self, answer: &Approval, event: &Event) -> &'static str {
        let (here, at) = (self.length, event.time);
        if let Approval::Granted { reviewer, .. } | Approval::Denied { reviewer, .. } = answer
            && self.bars(&Coming::reviews(reviewer), here, at).is_some()
        {
            return "answered by nobody any more";
        }
        let Some(grant) = self.grants.get_mut(&answer.approval_id()) else { return "in vain" };
        if grant.ended.is_some() {
            return "in vain";
        }
        let state = grant.state(here, at);
        match answer {
            Approval::Granted { reviewer, .. } | Approval::Denied { reviewer, .. } => {
                if state != "pending" || !grant.may_answer(reviewer) {
                    return "in vain";
                }
                if matches!(answer, Approval::Denied { .. }) {
                    grant.ended = Some((here, How::Denied));
                    return "denied";
                }
                grant.agreed.push(reviewer.clone());
                if !grant.is_agreed() {
                    return "agreed to";
                }
                grant.approved = Some((here, at));
                "granted"
            }
            Approval::Expired { .. } if state == "expired" => {
                grant.ended = Some((here, How::Expired));
                "expired"
            }
            Approval::Withdrawn { .. } => {
                grant.ended = Some((here, How::Withdrawn));
                "withdrawn"
            }
            _ => "in vain",
        }
    }
}
