use tallyport_schemas::{Context, Draft, Producer, ProducerId};

use super::*;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
const HOUR: i64 = 3600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn principal(kind: PrincipalKind) -> Principal {
    Principal {
        issuer: "https://idp".into(),
        subject: "s-1".into(),
        display_name: "shown".into(),
        kind,
        groups: Vec::new(),
        owner: None,
    }
}

fn actor(subject: &str, issuer: Option<&str>) -> Actor {
    Actor { subject: subject.into(), issuer: issuer.map(str::to_owned) }
}

#[derive(Default)]
struct Desk(Revocations);

impl Desk {
    fn tell(&mut self, second: i64, revocation: Revocation) -> Applied {
        self.ordered(None, second, revocation)
    }

    fn ordered(&mut self, by: Option<Principal>, second: i64, revocation: Revocation) -> Applied {
        let context = SharedContext::from(Context { principal: by, ..Context::default() });
        let draft =
            Draft { time: at(second), ..Draft::new(context, None, Body::Revocation(revocation)) };
        let id = ProducerId::parse("gateway-1").unwrap();
        self.0.apply(&draft.at(Producer { id, epoch: 0, seq: 0 })).unwrap()
    }

    fn revoke(&mut self, revoked: Revoked) -> RevocationId {
        let order = order(revoked, None);
        assert_eq!(self.tell(0, Revocation::Revoked(Box::new(order.clone()))), Ok(()));
        order.revocation_id
    }

    fn with(revoked: Revoked) -> Self {
        let mut desk = Self::default();
        desk.revoke(revoked);
        desk
    }
}

fn order(revoked: Revoked, until: Option<Timestamp>) -> RevocationOrder {
    RevocationOrder { revocation_id: RevocationId::new(), revoked, reason: "leaked".into(), until }
}

fn agent(issuer: Option<&str>, subject: &str) -> Revoked {
    Revoked::Agent { issuer: issuer.map(str::to_owned), subject: subject.into() }
}

/// Somebody who comes: of one kind, through these actors.
struct Comer {
    principal: Principal,
    delegation: Vec<Actor>,
    agent: AgentAttributes,
    session_id: SessionId,
    grant_id: ApprovalId,
}

impl Comer {
    fn new(kind: PrincipalKind, delegation: &[Actor]) -> Self {
        Self {
            principal: principal(kind),
            delegation: delegation.to_vec(),
            agent: AgentAttributes::default(),
            session_id: SessionId::new(),
            grant_id: ApprovalId::new(),
        }
    }

    fn is_barred(&self, desk: &Desk) -> bool {
        let whom = Whom {
            principal: &self.principal,
            delegation: &self.delegation,
            agent: &self.agent,
            session_id: Some(self.session_id),
            grant_id: Some(self.grant_id),
        };
        desk.0.bars(&whom, at(1)).is_some()
    }
}

#[test]
fn a_principal_is_one_subject_of_one_issuer() {
    let of = |issuer: &str, subject: &str| {
        Desk::with(Revoked::Principal { issuer: issuer.into(), subject: subject.into() })
    };
    let comer = Comer::new(PrincipalKind::Human, &[]);
    assert!(comer.is_barred(&of("https://idp", "s-1")));
    assert!(!comer.is_barred(&of("https://idp", "s-2")));
    assert!(!comer.is_barred(&of("https://other", "s-1")));
}

#[test]
fn an_issuer_is_barred_also_where_it_vouches_for_an_actor() {
    let desk = Desk::with(Revoked::Issuer { issuer: "https://agents".into() });
    let barred = |actors: &[Actor]| Comer::new(PrincipalKind::Human, actors).is_barred(&desk);
    assert!(barred(&[actor("x", None), actor("y", Some("https://agents"))]));
    assert!(!barred(&[actor("x", Some("https://idp"))]));
    let own = Desk::with(Revoked::Issuer { issuer: "https://idp".into() });
    assert!(Comer::new(PrincipalKind::Service, &[]).is_barred(&own));
}

#[test]
fn an_agent_is_barred_wherever_it_stands() {
    let by_id = Desk::with(agent(Some("https://idp"), "s-1"));
    assert!(Comer::new(PrincipalKind::Agent, &[]).is_barred(&by_id));
    assert!(Comer::new(PrincipalKind::Service, &[]).is_barred(&by_id));
    let human = Comer::new(PrincipalKind::Human, &[]);
    assert!(!human.is_barred(&by_id), "a human of that name is no agent");
    let behind = [actor("front", Some("https://idp")), actor("bot", Some("https://agents"))];
    let through = Comer::new(PrincipalKind::Human, &behind);
    assert!(through.is_barred(&Desk::with(agent(Some("https://agents"), "bot"))));
    assert!(through.is_barred(&Desk::with(agent(None, "bot"))), "of any issuer");
    assert!(!through.is_barred(&Desk::with(agent(Some("https://other"), "bot"))));
    let unknown = Comer::new(PrincipalKind::Human, &[actor("bot", None)]);
    assert!(unknown.is_barred(&Desk::with(agent(Some("https://agents"), "bot"))), "it may be");
    let mut named = Comer::new(PrincipalKind::Human, &[]);
    named.agent.agent = Some("billing-bot".into());
    assert!(named.is_barred(&Desk::with(agent(None, "billing-bot"))), "by its name");
}

#[test]
fn a_session_and_a_grant_are_barred_by_their_ids() {
    let comer = Comer::new(PrincipalKind::Human, &[]);
    assert!(comer.is_barred(&Desk::with(Revoked::Session { session_id: comer.session_id })));
    assert!(comer.is_barred(&Desk::with(Revoked::Grant { grant_id: comer.grant_id })));
    assert!(!comer.is_barred(&Desk::with(Revoked::Session { session_id: SessionId::new() })));
    assert!(!comer.is_barred(&Desk::with(Revoked::Grant { grant_id: ApprovalId::new() })));
}

#[test]
fn what_is_lifted_or_over_bars_nobody_and_does_not_come_back() {
    let comer = Comer::new(PrincipalKind::Human, &[]);
    let issuer = || Revoked::Issuer { issuer: "https://idp".into() };
    let mut desk = Desk::default();
    let (one, other) = (order(issuer(), None), desk.revoke(issuer()));
    assert_eq!(desk.tell(0, Revocation::Revoked(Box::new(one.clone()))), Ok(()));
    let lift = |revocation_id| Revocation::Lifted { revocation_id, reason: "found".into() };
    assert_eq!(desk.tell(2, lift(other)), Ok(()));
    assert!(comer.is_barred(&desk), "the other one stands");
    assert_eq!(desk.tell(2, lift(one.revocation_id)), Ok(()));
    assert!(!comer.is_barred(&desk));
    assert_eq!(desk.tell(3, lift(other)), Err(NotCounted::NoRevocation));
    // A gateway that had not read of it yet says it again.
    let carried = Revocation::Carried(Box::new(one));
    assert_eq!(desk.tell(3, carried), Err(NotCounted::Repeated));
    assert!(!comer.is_barred(&desk));

    let mut desk = Desk::default();
    let brief = order(issuer(), Some(at(10)));
    assert_eq!(desk.tell(0, Revocation::Revoked(Box::new(brief))), Ok(()));
    assert!(comer.is_barred(&desk));
    assert_eq!(desk.0.standing(at(9)).count(), 1);
    assert_eq!(desk.0.standing(at(10)).count(), 0);
}

#[test]
fn an_id_stands_for_one_order() {
    let mut desk = Desk::default();
    let first = order(Revoked::Issuer { issuer: "https://idp".into() }, None);
    assert_eq!(desk.tell(0, Revocation::Revoked(Box::new(first.clone()))), Ok(()));
    let other = RevocationOrder { revoked: agent(None, "bot"), ..first };
    assert_eq!(desk.tell(1, Revocation::Carried(Box::new(other))), Err(NotCounted::Repeated));
    assert!(Comer::new(PrincipalKind::Human, &[]).is_barred(&desk));
}

#[test]
fn what_the_log_would_forget_is_said_again_and_counts_without_its_beginning() {
    let mut desk = Desk::default();
    let lasting = desk.revoke(Revoked::Issuer { issuer: "https://idp".into() });
    desk.revoke(Revoked::Session { session_id: SessionId::new() });
    let due = |desk: &Desk, hours: i64| {
        let due = desk.0.to_carry(at(hours * HOUR));
        due.map(|it| it.order.clone()).collect::<Vec<_>>()
    };
    assert_eq!(due(&desk, 11), []);
    let carried = due(&desk, 12);
    assert_eq!(carried.len(), 1);
    assert_eq!(carried[0].revocation_id, lasting);
    let again = Revocation::Carried(Box::new(carried[0].clone()));
    assert_eq!(desk.tell(12 * HOUR, again.clone()), Ok(()));
    assert_eq!(due(&desk, 23), []);
    assert_eq!(due(&desk, 24).len(), 1);
    // All that a gateway finds whose log begins later.
    let mut late = Desk::default();
    assert_eq!(late.tell(12 * HOUR, again), Ok(()));
    assert!(Comer::new(PrincipalKind::Human, &[]).is_barred(&late));
}

#[test]
fn ended_sessions_make_room_and_revocations_do_not() {
    let mut desk = Desk::default();
    let principal = desk.revoke(Revoked::Principal { issuer: "i".into(), subject: "s".into() });
    for _ in 0..=MAX_BRIEF {
        desk.revoke(Revoked::Session { session_id: SessionId::new() });
    }
    assert_eq!(desk.0.brief.len(), MAX_BRIEF);
    assert!(desk.0.get(principal).is_some());
    for number in 1..MAX_STANDING {
        let until = (number == 7).then(|| at(10));
        let order = order(Revoked::Issuer { issuer: number.to_string() }, until);
        assert_eq!(desk.tell(0, Revocation::Revoked(Box::new(order))), Ok(()));
    }
    let one_more = || Box::new(order(Revoked::Issuer { issuer: "more".into() }, None));
    let full = Err(NotCounted::TooManyRevocations);
    assert_eq!(desk.tell(1, Revocation::Revoked(one_more())), full);
    assert_eq!(desk.tell(10, Revocation::Revoked(one_more())), Ok(()), "one is over");
    assert_eq!(desk.0.by_name.values().map(BTreeSet::len).sum::<usize>(), desk.0.standing.len());
}

#[test]
fn who_was_revoked_revokes_and_lifts_nothing() {
    let admin = principal(PrincipalKind::Human);
    let theirs = Revoked::Principal { issuer: "https://idp".into(), subject: "s-1".into() };
    let mut desk = Desk::default();
    let before = order(Revoked::Issuer { issuer: "https://other".into() }, None);
    let said = Revocation::Revoked(Box::new(before));
    assert_eq!(desk.ordered(Some(admin.clone()), 0, said), Ok(()));
    let id = desk.revoke(theirs);
    let after = order(Revoked::Issuer { issuer: "https://idp".into() }, None);
    let said = Revocation::Revoked(Box::new(after));
    assert_eq!(desk.ordered(Some(admin.clone()), 1, said), Err(NotCounted::OrderedByRevoked));
    let lift = || Revocation::Lifted { revocation_id: id, reason: "me".into() };
    assert_eq!(desk.ordered(Some(admin.clone()), 2, lift()), Err(NotCounted::OrderedByRevoked));
    assert_eq!(desk.0.standing(at(3)).count(), 2);
    // Somebody else may, and then they may again.
    assert_eq!(desk.tell(4, lift()), Ok(()));
    let said = Revocation::Revoked(Box::new(order(agent(None, "a"), None)));
    assert_eq!(desk.ordered(Some(admin), 5, said), Ok(()));
}
