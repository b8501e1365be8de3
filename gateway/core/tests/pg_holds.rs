//! Statements that wait for an approval, in the session machine: nothing of them goes out before, what goes out then is
//! exactly what waited, and no leave is for anything else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod hold_support;
mod verdict_support;

use gateway_core::passage::Denial;
use gateway_core::passage::held::MAX_REVIEWED_BYTES;
use hold_support::{
    Came, POLICY, Session, UPDATE, bench, bind, commands, decisions, execute, frame, leave, parse,
    query, sync,
};
use tallyport_eventlog::Auditable as _;
use tallyport_schemas::{ApprovalId, Body, Disposition, Effect, Response};

#[test]
fn a_statement_waits_and_runs_as_what_it_waited_as() {
    let mut session = Session::new();
    let held = session.agent(&query(UPDATE)).held();
    assert_eq!(held.decision.effect, Effect::Pause);
    assert_eq!(held.decision.policy_ids, ["writes"]);
    assert_eq!(held.decision.reasons, ["sql:update on app.orders needs 2 of dba, 1 of security"]);
    let ask = &held.ask;
    assert_eq!(ask.demand.within().as_secs(), 300);
    assert_eq!(ask.command.statement, UPDATE);
    assert_eq!(ask.command.tables[0].to_string(), "app.orders");
    assert!(!ask.session_bound && ask.command.has_where && !ask.command.read_only);
    assert!(session.machine.is_drained(), "the target owes nothing: it got nothing");

    let mut pause = session.machine.paused(std::slice::from_ref(&held));
    let drafts = session.placed(pause.take_drafts());
    assert_eq!(decisions(&drafts), [&held.decision]);
    let again = session.agent(b"").held();
    assert_eq!(again.ask.digest, ask.digest, "asked again, it is the same");

    let approval = ApprovalId::new();
    let drafts = session.decide(&held, Ok(approval)).forwarded();
    let decision = decisions(&drafts)[0];
    assert_eq!(decision.effect, Effect::Allow);
    assert_eq!(decision.reasons, [format!("approved: {approval}")]);
    assert_eq!(decision.command_id, Some(ask.command.command_id));
    assert_eq!(commands(&drafts), [(ask.command.command_id, Disposition::Forwarded)]);
    session.done("UPDATE 1");
    let again = session.agent(&query(UPDATE)).held();
    assert!(again.ask.session_bound, "something ran in this session that another one lacks");
    assert_ne!(again.ask.digest, ask.digest, "the leave was for one run");
    session.places.sort_unstable();
    let dense: Vec<u64> = (0..session.places.len() as u64).collect();
    assert_eq!(session.places, dense);
}

#[test]
fn what_is_denied_is_refused_with_the_reason_and_the_session_goes_on() {
    let mut session = Session::new();
    let held = session.agent(&query(UPDATE)).held();
    let denial = Denial::Gateway { sqlstate: "42501", reason: "denied by dana: no".into() };
    let drafts = session.decide(&held, Err(denial)).refused();
    let decision = decisions(&drafts)[0];
    assert_eq!(
        (decision.effect, &decision.reasons[..]),
        (Effect::Deny, &["denied by dana: no".to_owned()][..])
    );
    assert_eq!(commands(&drafts), [(held.ask.command.command_id, Disposition::Refused)]);
    let _error = session.target(b"");
    assert!(session.machine.is_drained());
    let _passes = session.agent(&query("SELECT 1")).forwarded();
}

#[test]
fn a_leave_for_something_else_is_none() {
    let mut session = Session::new();
    let held = session.agent(&query(UPDATE)).held();
    let mut other = held.clone();
    other.ask.digest = "00".repeat(32);
    let again = session.decide(&other, Ok(ApprovalId::new())).held();
    assert_eq!(again.ask.digest, held.ask.digest);
    // Policy changed while it waited: what was approved was under another one.
    let text = POLICY.replace("2 of dba", "3 of dba");
    session.bench = bench(&text);
    let newer = session.decide(&held, Ok(ApprovalId::new())).held();
    assert_ne!(newer.ask.digest, held.ask.digest);
}

#[test]
fn another_session_with_the_same_settings_means_the_same_until_something_ran() {
    let digest = |mut session: Session| session.agent(&query(UPDATE)).held().ask.digest;
    let plain = digest(Session::new());
    assert_eq!(digest(Session::named(&[("application_name", "psql")])), plain);
    assert_ne!(digest(Session::named(&[("TimeZone", "UTC")])), plain);
    let after = |text: &str, tag: &str| {
        let mut session = Session::new();
        let _passes = session.agent(&query(text)).forwarded();
        session.done(tag);
        session.agent(&query(UPDATE)).held().ask
    };
    let read = after("SELECT 1", "SELECT 1");
    assert_eq!((read.digest, read.session_bound), (plain.clone(), false));
    for (text, tag) in [
        ("SET statement_timeout = 5", "SET"),
        ("CREATE TEMP TABLE orders (id int)", "CREATE TABLE"),
        ("BEGIN", "BEGIN"),
        ("SELECT set_config('search_path', 'hr', false)", "SELECT 1"),
        ("SELECT set_config('DateStyle', 'DMY', true)", "SELECT 1"),
    ] {
        let (one, other) = (after(text, tag), after(text, tag));
        assert!(one.session_bound, "{text}");
        assert_ne!(one.digest, plain, "{text}");
        assert_ne!(one.digest, other.digest, "no other session means the same after {text}");
    }
}

#[test]
fn preparing_runs_nothing_and_passes_and_a_bind_waits_with_its_values() {
    let mut session = Session::new();
    let text = "UPDATE app.orders SET note = 'x' WHERE id = $1";
    let drafts = session.agent(&[parse("s", text), sync()].concat()).forwarded();
    assert_eq!(decisions(&drafts)[0].effect, Effect::Allow);
    assert!(decisions(&drafts)[0].reasons[0].starts_with("preparing runs nothing"));
    let _ready = session.target(&[frame(b'1', b""), frame(b'Z', b"I")].concat());

    let run = |value: &str| [bind("", "s", value), execute("", 0), sync()].concat();
    let held = session.agent(&run("1")).held();
    assert!(!held.ask.session_bound, "preparing changed nothing");
    assert_eq!(held.ask.command.parameters.len(), 1);
    let denial = Denial::Gateway { sqlstate: "42501", reason: "no".into() };
    let _refused = session.decide(&held, Err(denial)).refused();
    let _error = session.target(b"");
    let other = session.agent(&run("2")).held();
    assert_ne!(other.ask.digest, held.ask.digest, "other values are another thing");
    let _passes = session.decide(&other, Ok(ApprovalId::new())).forwarded();
}

/// One session's `s` is not another's.
#[test]
fn a_name_of_the_sessions_own_binds_it_to_the_session() {
    let current = "UPDATE app.orders SET note = 'x' WHERE CURRENT OF c";
    let ask = |session: &mut Session| session.agent(&query(current)).held().ask;
    let (mut session, mut other) = (Session::new(), Session::new());
    let _declared = other.agent(&query("DECLARE c CURSOR FOR SELECT 1")).forwarded();
    other.done("DECLARE CURSOR");
    let (one, another) = (ask(&mut session), ask(&mut other));
    assert!(one.session_bound && another.session_bound);
    assert_ne!(one.digest, another.digest);
}

/// Reviewers would read the name alone.
/// PostgreSQL understands TRUNCATE when it runs, not when it is bound.
/// The catalog, not the policy, says that more must agree by now.
/// Else a name that SQL gave to something else would be judged as what the protocol gave it to.
/// It is judged anew once it is approved, and must be the same then.
#[test]
fn what_changes_its_meaning_in_the_same_unit_binds_it_alike_each_time() {
    let unit = |setting: &str| {
        let set = format!("SET app.tenant = '{setting}'");
        [
            parse("", &set),
            bind("", "", ""),
            execute("", 0),
            parse("w", "UPDATE app.orders SET note = 'x' WHERE id = $1"),
            bind("", "w", "1"),
            execute("", 0),
            sync(),
        ]
        .concat()
    };
    let mut session = Session::new();
    let held = session.agent(&unit("a")).held();
    let _passes = session.decide(&held, Ok(ApprovalId::new())).forwarded();
    let other = Session::new().agent(&unit("b")).held();
    assert_ne!(other.ask.digest, held.ask.digest);
}

#[test]
fn one_command_twice_before_one_sync_is_refused() {
    // In a transaction both mean the same, and are asked for as the same.
    let mut session = Session::new();
    let _begun = session.agent(&query("BEGIN")).forwarded();
    let _ready = session.target(&[frame(b'C', b"BEGIN\0"), frame(b'Z', b"T")].concat());
    let text = "UPDATE app.orders SET note = 'x' WHERE id = $1";
    let twice = [
        parse("w", text),
        bind("a", "w", "1"),
        execute("a", 0),
        bind("b", "w", "1"),
        execute("b", 0),
        sync(),
    ];
    // What goes out makes the transaction fail.
    let drafts = session.agent(&twice.concat()).forwarded();
    let reasons: Vec<_> = decisions(&drafts).iter().flat_map(|it| it.reasons.clone()).collect();
    assert!(reasons.iter().any(|it| it.contains("sent twice before one Sync")), "{reasons:?}");
    assert!(commands(&drafts).iter().filter(|(_, it)| *it == Disposition::Refused).count() >= 2);
}

#[test]
fn earlier_answers_come_first() {
    let mut session = Session::new();
    let _passes = session.agent(&query("SELECT 1")).forwarded();
    assert!(matches!(session.agent(&query(UPDATE)), Came::Waits));
    session.done("SELECT 1");
    let _waits = session.agent(b"").held();
}

#[test]
fn all_of_a_unit_wait_together_and_one_no_refuses_it() {
    let mut session = Session::new();
    let text = "UPDATE app.orders SET note = 'x' WHERE id = $1";
    let unit = [
        parse("", text),
        bind("", "", "1"),
        execute("", 0),
        bind("", "", "2"),
        execute("", 0),
        sync(),
    ]
    .concat();
    let Came::Held(held) = session.agent(&unit) else { panic!("both wait") };
    assert_eq!(held.len(), 2);
    // One of two is not enough.
    let Came::Held(rest) = session.decide(&held[0], Ok(ApprovalId::new())) else { panic!() };
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].ask.digest, held[1].ask.digest);
    let denial = Denial::Gateway { sqlstate: "42501", reason: "no".into() };
    session
        .machine
        .decide(vec![leave(&held[0], Ok(ApprovalId::new())), leave(&held[1], Err(denial))]);
    let drafts = session.agent(b"").refused();
    assert!(commands(&drafts).iter().all(|(_, what)| *what == Disposition::Refused));
}

#[test]
fn what_may_not_run_at_all_is_refused_without_asking_anybody() {
    let mut session = Session::new();
    let mixed = format!("{UPDATE}; TRUNCATE app.orders");
    let drafts = session.agent(&query(&mixed)).refused();
    assert_eq!(decisions(&drafts)[0].effect, Effect::Deny);
    let _error = session.target(b"");
    let long = format!("{UPDATE} -- {}", "x".repeat(MAX_REVIEWED_BYTES));
    let drafts = session.agent(&query(&long)).refused();
    assert!(decisions(&drafts)[0].reasons[0].contains("send it in smaller ones"));
    let _error = session.target(b"");
    let text = "UPDATE app.orders SET note = 'x' WHERE id = $1";
    let many: Vec<u8> =
        (0..17).flat_map(|n| [bind("", "", &n.to_string()), execute("", 0)].concat()).collect();
    let drafts = session.agent(&[parse("", text), many, sync()].concat()).refused();
    let said = decisions(&drafts).iter().any(|it| it.reasons[0].contains("send fewer"));
    assert!(said, "{drafts:?}");
}

#[test]
fn for_the_session_it_is_the_same_again_until_its_meaning_may_have_changed() {
    let mut session = Session::new();
    let delete = query("DELETE FROM app.orders WHERE id = 1");
    let held = session.agent(&delete).held();
    assert!(held.ask.session_bound);
    let _passes = session.decide(&held, Ok(ApprovalId::new())).forwarded();
    session.done("DELETE 1");
    let again = session.agent(&delete).held();
    assert_eq!(again.ask.digest, held.ask.digest);
    let _passes = session.decide(&again, Ok(ApprovalId::new())).forwarded();
    session.done("DELETE 1");
    // A prepared statement changes nothing for a text that names none.
    let _prepared = session.agent(&[parse("s", "SELECT 1"), sync()].concat()).forwarded();
    let _ready = session.target(&[frame(b'1', b""), frame(b'Z', b"I")].concat());
    assert_eq!(session.agent(&delete).held().ask.digest, held.ask.digest);
    let denial = Denial::Gateway { sqlstate: "57014", reason: "cancelled".into() };
    let _refused = session.decide(&held, Err(denial)).refused();
    let _error = session.target(b"");
    let _set = session.agent(&query("SET search_path = other")).forwarded();
    session.done("SET");
    assert_ne!(session.agent(&delete).held().ask.digest, held.ask.digest);
}

#[test]
fn for_the_session_no_setting_or_temporary_table_may_change_in_between() {
    let delete = query("DELETE FROM app.orders WHERE id = 1");
    for text in ["SET app.tenant = 'other'", "SELECT set_config('app.tenant', 'other', false)"] {
        let mut session = Session::new();
        let held = session.agent(&delete).held();
        let denial = Denial::Gateway { sqlstate: "57014", reason: "cancelled".into() };
        let _refused = session.decide(&held, Err(denial)).refused();
        let _error = session.target(b"");
        let _set = session.agent(&query(text)).forwarded();
        session.done("SET");
        assert_ne!(session.agent(&delete).held().ask.digest, held.ask.digest, "{text}");
    }
}

#[test]
fn the_agent_is_told_while_it_waits_and_that_is_on_record() {
    let mut session = Session::new();
    let _held = session.agent(&query(UPDATE)).held();
    session.machine.announce("tallyport: it waits", "for dana").unwrap();
    let drafts = session.target(b"");
    let [draft] = &drafts[..] else { panic!("{drafts:?}") };
    let Body::Response(response) = &draft.body else { panic!("{draft:?}") };
    let Response::Unsolicited { kinds, content, .. } = response.as_ref() else {
        panic!("{response:?}")
    };
    assert_eq!(kinds, &["notice"]);
    let bytes = content.as_ref().unwrap().replay().unwrap();
    assert!(bytes.starts_with(b"N") && bytes.windows(8).any(|it| it == b"it waits"));
}
