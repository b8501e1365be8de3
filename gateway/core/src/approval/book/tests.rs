use jiff::ToSpan as _;
use tallyport_schemas::{
    Actor, ApprovalRequest, ApprovalRequirement, ApprovalScope, Asked, AskedCommand, CommandId,
    Context, Draft, Principal, PrincipalKind, Producer, ProducerId, SharedContext,
};

use super::*;

mod grants;
mod revoked;
mod told;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn person(subject: &str, groups: &[&str]) -> Principal {
    Principal {
        issuer: "https://idp".into(),
        subject: subject.into(),
        display_name: subject.into(),
        kind: PrincipalKind::Human,
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        owner: None,
    }
}

/// One request of an agent that belongs to a team, acting for nobody, and the log behind it.
struct Desk {
    book: Book,
    revocations: Revocations,
    id: ApprovalId,
    command: CommandId,
    context: Context,
    request: ApprovalRequest,
}

impl Desk {
    fn new(edit: impl FnOnce(&mut ApprovalRequest, &mut Context)) -> Self {
        let (id, command) = (ApprovalId::new(), CommandId::new());
        let mut context = Context {
            session_id: Some(SessionId::new()),
            principal: Some(Principal {
                kind: PrincipalKind::Agent,
                owner: Some("payments".into()),
                ..person("agent", &["dba"])
            }),
            ..Context::default()
        };
        let mut request = ApprovalRequest {
            approval_id: id,
            digest: "d1".into(),
            session_bound: false,
            scope: ApprovalScope::Once,
            requirements: vec![ApprovalRequirement { group: "dba".into(), quorum: 1 }],
            policy_ids: Vec::new(),
            policy_version: "v1".into(),
            reasons: Vec::new(),
            asked: Asked::Command(Box::new(AskedCommand {
                command_id: command,
                statement: "DELETE FROM orders".into(),
                parameters: Vec::new(),
                kinds: Vec::new(),
                tables: Vec::new(),
                columns: Vec::new(),
                functions: Vec::new(),
                labels: Vec::new(),
                read_only: false,
                opaque: false,
                has_where: false,
                by_key: false,
                estimated_rows: None,
            })),
            expires_at: at(900),
        };
        edit(&mut request, &mut context);
        let mut desk = Self {
            book: Book::default(),
            revocations: Revocations::default(),
            id,
            command,
            context,
            request,
        };
        let asked = Approval::Requested(Box::new(desk.request.clone()));
        assert_eq!(desk.tell(0, asked), Ok(()));
        desk
    }

    fn plain() -> Self {
        Self::new(|_, _| {})
    }

    fn quorum(quorum: u32) -> Self {
        Self::new(|request, _| request.requirements[0].quorum = quorum)
    }

    fn tell(&mut self, second: i64, approval: Approval) -> Applied {
        self.tell_in(self.context.session_id, second, approval)
    }

    fn tell_in(
        &mut self,
        session_id: Option<SessionId>,
        second: i64,
        approval: Approval,
    ) -> Applied {
        let context = SharedContext::from(Context { session_id, ..self.context.clone() });
        let draft =
            Draft { time: at(second), ..Draft::new(context, None, Body::Approval(approval)) };
        let id = ProducerId::parse("gateway-1").unwrap();
        self.book.apply(&draft.at(Producer { id, epoch: 0, seq: 0 }), &self.revocations).unwrap()
    }

    fn grant(&mut self, second: i64, reviewer: &Principal) -> Applied {
        let reviewer = reviewer.clone();
        self.tell(
            second,
            Approval::Granted { approval_id: self.id, reviewer, comment: None, webhook: None },
        )
    }

    fn deny(&mut self, second: i64, reviewer: &Principal) -> Applied {
        let reviewer = reviewer.clone();
        self.tell(
            second,
            Approval::Denied { approval_id: self.id, reviewer, comment: None, webhook: None },
        )
    }

    fn used(&self, digest: &str) -> Approval {
        Approval::Used { approval_id: self.id, command_id: self.command, digest: digest.to_owned() }
    }

    fn run(&mut self, second: i64) -> Applied {
        self.tell(second, self.used("d1"))
    }

    /// One more request like the first, of this principal.
    fn ask(&mut self, who: &str, second: i64, lives: i64) -> Applied {
        let request = ApprovalRequest {
            approval_id: ApprovalId::new(),
            expires_at: at(second).checked_add(lives.seconds()).unwrap(),
            ..self.request.clone()
        };
        let before = self.context.principal.replace(person(who, &["dba"]));
        let applied = self.tell(second, Approval::Requested(Box::new(request)));
        self.context.principal = before;
        applied
    }

    fn state(&self, second: i64) -> State {
        self.book.case(self.id).unwrap().state(at(second))
    }
}

#[test]
fn a_member_agrees_and_it_runs_once() {
    let mut desk = Desk::plain();
    assert_eq!(desk.state(1), State::Pending);
    assert_eq!(desk.run(1), Err(NotCounted::NotApproved));
    assert_eq!(desk.grant(2, &person("dana", &["dba"])), Ok(()));
    assert_eq!(desk.state(2), State::Approved);
    assert_eq!(desk.run(3), Ok(()));
    assert_eq!(desk.state(3), State::Used);
    assert_eq!(desk.run(4), Err(NotCounted::Over(State::Used)));
    let case = desk.book.case(desk.id).unwrap();
    assert_eq!((case.uses(), case.last_use()), (1, Some(desk.command)));
    assert_eq!(desk.book.open().count(), 0);
}

#[test]
fn a_quorum_is_of_different_members() {
    let mut desk = Desk::quorum(2);
    let dana = person("dana", &["dba"]);
    assert_eq!(desk.grant(1, &dana), Ok(()));
    assert_eq!(desk.grant(2, &dana), Err(NotCounted::Twice));
    assert_eq!(desk.state(2), State::Pending);
    assert_eq!(desk.run(2), Err(NotCounted::NotApproved));
    // The same subject of another issuer is somebody else.
    let other = Principal { issuer: "https://other".into(), ..dana };
    assert_eq!(desk.grant(3, &other), Ok(()));
    assert_eq!(desk.state(3), State::Approved);
    assert_eq!(
        desk.grant(4, &person("eli", &["dba"])),
        Err(NotCounted::Over(State::Approved)),
        "what is decided is not decided again"
    );
}

#[test]
fn every_group_must_agree() {
    let mut desk = Desk::new(|request, _| {
        let security = ApprovalRequirement { group: "security".into(), quorum: 1 };
        request.requirements.push(security);
    });
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    let missing = desk.book.case(desk.id).unwrap().missing();
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].to_string(), "1 of security");
    assert_eq!(desk.grant(2, &person("eli", &["dba"])), Ok(()));
    assert_eq!(desk.state(2), State::Pending, "two of one group are none of the other");
    assert_eq!(desk.grant(3, &person("sam", &["security"])), Ok(()));
    assert_eq!(desk.state(3), State::Approved);
}

#[test]
fn one_no_is_enough() {
    let mut desk = Desk::quorum(2);
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    assert_eq!(desk.deny(2, &person("eli", &["dba"])), Ok(()));
    assert_eq!(desk.state(2), State::Denied);
    assert_eq!(desk.grant(3, &person("fay", &["dba"])), Err(NotCounted::Over(State::Denied)));
    assert_eq!(desk.run(3), Err(NotCounted::Over(State::Denied)));
}

#[test]
fn whoever_asks_or_answers_for_them_does_not_review() {
    let dana = person("dana", &["dba"]);
    let refused = |edit: fn(&mut Context), reviewer: &Principal| {
        let mut desk = Desk::new(|_, context| edit(context));
        let outcome = desk.grant(1, reviewer);
        assert_eq!(desk.state(1), State::Pending, "{outcome:?}");
        // Who may not agree may not refuse either.
        assert_eq!(desk.deny(1, reviewer), outcome);
        outcome.unwrap_err()
    };
    assert_eq!(
        refused(|it| it.principal = Some(person("dana", &["dba"])), &dana),
        NotCounted::Requester
    );
    assert_eq!(
        refused(|it| it.delegation = vec![Actor { subject: "dana".into(), issuer: None }], &dana),
        NotCounted::Requester
    );
    let of_idp = Actor { subject: "dana".into(), issuer: Some("https://idp".into()) };
    let mut desk = Desk::new(|_, it| it.delegation = vec![of_idp.clone()]);
    assert_eq!(desk.grant(1, &dana), Err(NotCounted::Requester));
    let elsewhere = Actor { issuer: Some("https://other".into()), ..of_idp };
    let mut desk = Desk::new(|_, it| it.delegation = vec![elsewhere]);
    assert_eq!(desk.grant(1, &dana), Ok(()), "somebody else of the same name");
    for name in ["dana", "dba"] {
        let mut desk =
            Desk::new(|_, it| it.principal.as_mut().unwrap().owner = Some(name.to_owned()));
        assert_eq!(desk.grant(1, &dana), Err(NotCounted::Owner), "{name}");
    }
    let shown = Principal { display_name: "Dana K".into(), ..dana.clone() };
    let mut desk =
        Desk::new(|_, it| it.principal.as_mut().unwrap().owner = Some("dana k".to_owned()));
    assert_eq!(desk.grant(1, &shown), Err(NotCounted::Owner));
    let agent = Principal { kind: PrincipalKind::Agent, ..dana.clone() };
    assert_eq!(refused(|_| {}, &agent), NotCounted::NotHuman);
    let service = Principal { kind: PrincipalKind::Service, ..dana };
    assert_eq!(refused(|_| {}, &service), NotCounted::NotHuman);
    let stranger = person("stranger", &["sales"]);
    assert_eq!(refused(|_| {}, &stranger), NotCounted::NotAMember("dba".into()));
}

#[test]
fn time_ends_what_is_asked_and_what_is_approved() {
    let mut desk = Desk::plain();
    assert_eq!(desk.state(899), State::Pending);
    assert_eq!(desk.state(900), State::Expired);
    assert_eq!(
        desk.grant(900, &person("dana", &["dba"])),
        Err(NotCounted::Over(State::Expired)),
        "by the time in the event"
    );
    let id = desk.id;
    let lapsed = Approval::Expired { approval_id: id };
    assert_eq!(desk.tell(899, lapsed.clone()), Err(NotCounted::NotLapsed));
    assert_eq!(desk.tell(900, lapsed.clone()), Ok(()));
    assert_eq!(desk.tell(901, lapsed), Err(NotCounted::Over(State::Expired)));

    let mut desk = Desk::plain();
    assert_eq!(desk.grant(899, &person("dana", &["dba"])), Ok(()));
    assert_eq!(desk.run(900), Err(NotCounted::Over(State::Expired)));
}

#[test]
fn an_approval_is_for_one_digest_and_where_bound_for_one_session() {
    let mut desk = Desk::plain();
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    assert_eq!(desk.tell(2, desk.used("d2")), Err(NotCounted::OtherCommand));
    let elsewhere = Some(SessionId::new());
    assert_eq!(desk.tell_in(elsewhere, 2, desk.used("d1")), Ok(()), "it is not bound");

    let mut desk = Desk::new(|request, _| request.session_bound = true);
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    for other in [elsewhere, None] {
        let used = desk.used("d1");
        assert_eq!(desk.tell_in(other, 2, used), Err(NotCounted::OtherSession));
        assert!(desk.book.standing("d1", other, at(2)).is_none());
    }
    assert_eq!(desk.run(3), Ok(()));
}

#[test]
fn for_the_session_it_runs_again_and_again_in_that_session_alone() {
    let mut desk = Desk::new(|request, _| request.scope = ApprovalScope::Session);
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    for second in [2, 3, 5000] {
        assert_eq!(desk.run(second), Ok(()), "it stands until the session ends");
    }
    let mut forgotten = Desk::new(|request, _| request.scope = ApprovalScope::Session);
    assert_eq!(forgotten.grant(1, &person("dana", &["dba"])), Ok(()));
    let day = 24 * 3600;
    assert_eq!(forgotten.run(day - 1), Ok(()));
    assert_eq!(forgotten.run(day), Err(NotCounted::Over(State::Expired)), "its end was never told");
    let elsewhere = desk.tell_in(Some(SessionId::new()), 4, desk.used("d1"));
    assert_eq!(elsewhere, Err(NotCounted::OtherSession));
    let id = desk.id;
    let over = Approval::Withdrawn { approval_id: id, cause: "session_ended".into() };
    assert_eq!(desk.tell(5001, over), Ok(()));
    assert_eq!(desk.run(5002), Err(NotCounted::Over(State::Withdrawn("session_ended".into()))));
}

#[test]
fn what_stands_is_found_by_digest() {
    let mut desk = Desk::plain();
    let session = desk.context.session_id;
    let found = |desk: &Desk, digest: &str, second: i64| {
        desk.book.standing(digest, session, at(second)).map(|(_, state)| state)
    };
    assert_eq!(found(&desk, "d1", 1), Some(State::Pending));
    assert_eq!(found(&desk, "d2", 1), None);
    assert_eq!(found(&desk, "d1", 900), None);
    assert_eq!(desk.grant(2, &person("dana", &["dba"])), Ok(()));
    assert_eq!(found(&desk, "d1", 3), Some(State::Approved));
    assert_eq!(desk.run(3), Ok(()));
    assert_eq!(found(&desk, "d1", 4), None);
}

#[test]
fn an_id_is_asked_for_once_and_unknown_ones_change_nothing() {
    let mut desk = Desk::plain();
    let again = Approval::Requested(Box::new(desk.request.clone()));
    assert_eq!(desk.tell(1, again), Err(NotCounted::Repeated));
    let stranger = Approval::Expired { approval_id: ApprovalId::new() };
    assert_eq!(desk.tell(1, stranger), Err(NotCounted::Unknown));
}

#[test]
fn what_is_over_makes_room_and_what_is_open_does_not() {
    let mut desk = Desk::plain();
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    // As if as many had been asked for and approved, and not used yet.
    let approved = desk.book.case(desk.id).unwrap().clone();
    for _ in 1..MAX_CASES {
        let id = ApprovalId::new();
        desk.book.cases.insert(id, approved.clone());
        desk.book.open.insert(id);
    }
    assert_eq!(desk.ask("agent", 2, 10), Err(NotCounted::Full));
    // All lapsed, though nobody said so.
    assert_eq!(desk.ask("agent", 901, 10), Ok(()));
    assert!(desk.book.case(desk.id).is_none());
    assert_eq!(desk.book.cases.len(), MAX_CASES);
}

#[test]
fn the_log_says_which_are_too_many_to_wait() {
    let mut desk = Desk::plain();
    for _ in 1..MAX_WAITING_OF_ONE {
        assert_eq!(desk.ask("agent", 1, 100), Ok(()));
    }
    assert_eq!(desk.ask("agent", 1, 100), Err(NotCounted::TooManyOfYours(16)));
    for _ in MAX_WAITING_OF_ONE..MAX_WAITING {
        let other = ApprovalId::new().to_string();
        assert_eq!(desk.ask(&other, 1, 100), Ok(()));
    }
    assert_eq!(desk.ask("another", 1, 100), Err(NotCounted::Full));
    // What lapsed does not wait.
    assert_eq!(desk.ask("agent", 102, 100), Ok(()));
}
