//! Access for a time.

use tallyport_schemas::{AskedAccess, RevocationId, RevocationOrder, TargetKind, TargetRef};

use super::*;

fn access(edit: impl FnOnce(&mut ApprovalRequest, &mut Context)) -> Desk {
    Desk::new(|request, context| {
        request.scope = ApprovalScope::Period;
        request.asked = Asked::Access(AskedAccess { seconds: 600, reason: "OPS-7".into() });
        context.session_id = None;
        context.target = Some(target("orders"));
        edit(request, context);
    })
}

fn target(name: &str) -> TargetRef {
    TargetRef { name: name.into(), kind: TargetKind::Postgresql, database: None }
}

#[test]
fn a_grant_lasts_as_long_as_was_asked_from_when_enough_agreed() {
    let mut desk = access(|_, _| {});
    let context = desk.context.clone();
    let lets_in =
        |desk: &Desk, context: &Context, second| desk.book.grants(context, at(second)).count() == 1;
    assert!(!lets_in(&desk, &context, 1));
    assert_eq!(desk.grant(800, &person("dana", &["dba"])), Ok(()));
    // The request itself would have lapsed at 900.
    assert!(lets_in(&desk, &context, 800) && lets_in(&desk, &context, 1399));
    assert!(!lets_in(&desk, &context, 1400));
    assert_eq!(desk.state(1400), State::Expired);
    assert_eq!(desk.book.case(desk.id).unwrap().stands_until(), at(1400));
}

#[test]
fn a_grant_is_for_who_asked_as_they_asked_and_where() {
    let mut desk = access(|_, context| {
        context.delegation = vec![Actor { subject: "bot".into(), issuer: None }];
    });
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    let lets_in = |edit: fn(&mut Context)| {
        let mut context = desk.context.clone();
        edit(&mut context);
        desk.book.grants(&context, at(2)).count() == 1
    };
    assert!(lets_in(|_| {}));
    assert!(lets_in(
        |it| it.target = Some(TargetRef { database: Some("shop".into()), ..target("orders") })
    ));
    assert!(!lets_in(|it| it.target = Some(target("payroll"))));
    assert!(!lets_in(|it| it.target = None));
    assert!(!lets_in(|it| it.delegation.clear()), "without the actor it is somebody else");
    assert!(!lets_in(|it| it.principal.as_mut().unwrap().subject = "other".into()));
    assert!(!lets_in(|it| it.principal.as_mut().unwrap().issuer = "https://other".into()));
    assert!(!lets_in(|it| it.principal = None));
}

#[test]
fn where_nobody_must_agree_asking_is_enough_and_never_for_a_command() {
    let desk = access(|request, _| request.requirements.clear());
    assert_eq!(desk.state(1), State::Approved);
    assert_eq!(desk.state(600), State::Expired);
    let mut desk = Desk::new(|request, _| request.requirements.clear());
    assert_eq!(desk.state(1), State::Pending);
    assert_eq!(desk.run(1), Err(NotCounted::NotApproved));
}

#[test]
fn a_grant_runs_no_command_and_a_command_opens_no_session() {
    let mut desk = access(|request, _| request.requirements.clear());
    assert_eq!(desk.run(1), Err(NotCounted::OtherCommand));
    let mut desk = Desk::new(|_, context| context.target = Some(target("orders")));
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    assert_eq!(desk.book.grants(&desk.context, at(2)).count(), 0);
}

#[test]
fn a_grant_ends_when_it_is_revoked_or_given_back() {
    let revoke = |desk: &mut Desk, second: i64| {
        let order = RevocationOrder {
            revocation_id: RevocationId::new(),
            revoked: Revoked::Grant { grant_id: desk.id },
            reason: "over".into(),
            until: None,
        };
        let body = Body::Revocation(Revocation::Revoked(Box::new(order)));
        let draft = Draft { time: at(second), ..Draft::new(SharedContext::default(), None, body) };
        let id = ProducerId::parse("gateway-1").unwrap();
        desk.book.apply(&draft.at(Producer { id, epoch: 0, seq: 0 }), &desk.revocations).unwrap()
    };
    let mut desk = access(|request, _| request.requirements.clear());
    assert_eq!(revoke(&mut desk, 1), Ok(()));
    assert_eq!(desk.state(2), State::Withdrawn(REVOKED.into()));
    assert_eq!(desk.book.grants(&desk.context, at(2)).count(), 0);
    assert_eq!(revoke(&mut desk, 3), Err(NotCounted::Over(State::Withdrawn(REVOKED.into()))));
    let mut asked = access(|_, _| {});
    assert_eq!(revoke(&mut asked, 1), Ok(()), "also before anybody agreed");
    assert!(asked.grant(2, &person("dana", &["dba"])).is_err());
    let mut back = access(|request, _| request.requirements.clear());
    let withdrawn = Approval::Withdrawn { approval_id: back.id, cause: "given_back".into() };
    assert_eq!(back.tell(1, withdrawn), Ok(()));
    assert_eq!(back.book.grants(&back.context, at(2)).count(), 0);
}

#[test]
fn who_waits_is_counted() {
    let mut desk = Desk::plain();
    let agent = desk.context.principal.clone().unwrap();
    assert_eq!(desk.book.waiting(&agent, at(1)), (1, 1));
    assert_eq!(desk.book.waiting(&person("other", &[]), at(1)), (0, 1));
    assert_eq!(desk.book.waiting(&agent, at(900)), (0, 0));
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    assert_eq!(desk.book.waiting(&agent, at(2)), (0, 0));
}

#[test]
fn the_same_wish_at_once_is_one_request() {
    let mut desk = access(|_, _| {});
    let first = desk.id;
    assert_eq!(desk.ask("agent", 1, 100), Err(NotCounted::AskedAlready(first)));
    assert_eq!(desk.grant(2, &person("dana", &["dba"])), Ok(()));
    assert_eq!(desk.ask("agent", 3, 100), Err(NotCounted::AskedAlready(first)), "it stands");
    assert_eq!(desk.ask("agent", 700, 100), Ok(()), "it is over");
}

#[test]
fn grants_that_nobody_must_agree_to_are_bounded_too() {
    let mut desk = access(|request, _| request.requirements.clear());
    let mut ask = |who: &str, nth: usize| {
        desk.request.digest = format!("{who} {nth}");
        desk.ask(who, 1, 100)
    };
    for nth in 1..MAX_GRANTS_OF_ONE {
        assert_eq!(ask("agent", nth), Ok(()));
    }
    assert_eq!(ask("agent", 99), Err(NotCounted::TooManyOfYours(64)));
    assert_eq!(ask("another", 1), Ok(()), "others have their own");
}
