//! Approvals and what the protocol and SQL give names to: portals and prepared statements.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod hold_support;
mod verdict_support;

use hold_support::{
    Came, Session, bench_over, bind, decisions, execute, frame, parse, query, sync,
};
use tallyport_schemas::{ApprovalId, Body, Draft};
use verdict_support::{catalog_with, oid};

#[test]
fn what_execute_runs_cannot_be_approved() {
    let mut session = Session::new();
    let text = "UPDATE app.orders SET note = 'x' WHERE id = 1";
    let _passes = session.agent(&[parse("s", text), sync()].concat()).forwarded();
    let _ready = session.target(&[frame(b'1', b""), frame(b'Z', b"I")].concat());
    let prepare = format!("PREPARE p AS {text}");
    for text in ["EXECUTE s", "EXPLAIN ANALYZE EXECUTE s", &prepare] {
        let drafts = session.agent(&query(text)).refused();
        let reasons = decisions(&drafts)[0].reasons.join(";");
        assert!(reasons.contains("reviewers cannot read what EXECUTE runs"), "{text}: {reasons}");
        let _error = session.target(b"");
    }
}

#[test]
fn a_bound_portal_is_covered_only_while_statements_mean_the_same() {
    for (between, covered) in [("SELECT 1", true), ("SET app.tenant = 'other'", false)] {
        let mut session = Session::new();
        let _begun = session.agent(&query("BEGIN")).forwarded();
        let _ready = session.target(&[frame(b'C', b"BEGIN\0"), frame(b'Z', b"T")].concat());
        let text = "UPDATE app.orders SET note = 'x' WHERE id = $1 RETURNING id";
        let unit = [parse("", text), bind("p", "", "1"), sync()].concat();
        let held = session.agent(&unit).held();
        let _bound = session.decide(&held, Ok(ApprovalId::new())).forwarded();
        let _ready =
            session.target(&[frame(b'1', b""), frame(b'2', b""), frame(b'Z', b"T")].concat());
        let _ran = session.agent(&query(between)).forwarded();
        let tag = if covered { &b"SELECT 1\0"[..] } else { &b"SET\0"[..] };
        let _done = session.target(&[frame(b'C', tag), frame(b'Z', b"T")].concat());
        let run = [execute("p", 0), sync()].concat();
        match session.agent(&run) {
            Came::Held(again) => {
                assert!(!covered, "{between}");
                assert_ne!(again[0].ask.digest, held.ask.digest);
            }
            came => {
                assert!(covered, "{between}");
                let _runs = came.forwarded();
            }
        }
    }
}

#[test]
fn a_bound_portal_is_covered_only_while_as_much_is_demanded() {
    const POLICY: &str = r#"
@id("rest") permit (principal, action in [Tallyport::Action::"sql:connect", Tallyport::Action::"sql:select",
    Tallyport::Action::"sql:transaction"], resource);
@id("few") @require_approval("1 of dba") permit (principal, action == Tallyport::Action::"sql:update", resource)
when { context has estimatedRows && context.estimatedRows < 100 };
@id("many") @require_approval("2 of dba") permit (principal, action == Tallyport::Action::"sql:update", resource)
when { context has estimatedRows && context.estimatedRows >= 100 };
"#;
    let orders = oid("orders");
    let of_size = |rows| bench_over(POLICY, catalog_with(&[("sizes", &[&orders, rows])]));
    let mut session = Session::new();
    session.bench = of_size("50");
    let _begun = session.agent(&query("BEGIN")).forwarded();
    let _ready = session.target(&[frame(b'C', b"BEGIN\0"), frame(b'Z', b"T")].concat());
    let text = "UPDATE app.orders SET note = 'x' WHERE note = $1";
    let held = session.agent(&[parse("", text), bind("p", "", "1"), sync()].concat()).held();
    assert_eq!(held.ask.demand.to_string(), "1 of dba");
    let _bound = session.decide(&held, Ok(ApprovalId::new())).forwarded();
    let _ready = session.target(&[frame(b'1', b""), frame(b'2', b""), frame(b'Z', b"T")].concat());
    session.bench = of_size("5000");
    let again = session.agent(&[execute("p", 0), sync()].concat()).held();
    assert_eq!(again.ask.demand.to_string(), "2 of dba");
    assert_ne!(again.ask.digest, held.ask.digest);
}

#[test]
fn what_execute_takes_away_is_known_by_its_name_alone() {
    let mut session = Session::new();
    let both = [parse("s", "SELECT 1"), parse("d", "DEALLOCATE s"), sync()].concat();
    let _prepared = session.agent(&both).forwarded();
    let _ready = session.target(&[frame(b'1', b""), frame(b'1', b""), frame(b'Z', b"I")].concat());
    let bound = |session: &mut Session| {
        let unit = [bind("", "s", "1"), execute("", 0), sync()].concat();
        let drafts = session.agent(&unit).forwarded();
        let answer = [frame(b'2', b""), frame(b'C', b"SELECT 1\0"), frame(b'Z', b"I")];
        let _ran = session.target(&answer.concat());
        let text = |draft: &Draft| match &draft.body {
            Body::Command(command) => command.statement.clone(),
            _ => None,
        };
        drafts.iter().find_map(text).unwrap()
    };
    assert_eq!(bound(&mut session), "SELECT 1");
    let _gone = session.agent(&query("EXECUTE d")).forwarded();
    session.done("DEALLOCATE");
    assert_eq!(bound(&mut session), "EXECUTE \"s\"");
}

#[test]
fn a_portal_bound_with_an_approval_runs_to_its_end_with_it() {
    let mut session = Session::new();
    let text = "UPDATE app.orders SET note = 'x' WHERE id = $1 RETURNING id";
    let unit = [parse("", text), bind("p", "", "1"), execute("p", 1), sync()].concat();
    let _begun = session.agent(&query("BEGIN")).forwarded();
    let _ready = session.target(&[frame(b'C', b"BEGIN\0"), frame(b'Z', b"T")].concat());
    let held = session.agent(&unit).held();
    let approval = ApprovalId::new();
    let _passes = session.decide(&held, Ok(approval)).forwarded();
    let answer = [frame(b'1', b""), frame(b'2', b""), frame(b's', b""), frame(b'Z', b"T")];
    let _row = session.target(&answer.concat());
    let drafts = session.agent(&[execute("p", 0), sync()].concat()).forwarded();
    assert_eq!(decisions(&drafts)[0].reasons, [format!("approved: {approval}")]);
    let answer = [frame(b'C', b"UPDATE 1\0"), frame(b'Z', b"T")];
    let _done = session.target(&answer.concat());
    // Bound anew, it is another run.
    let again = [bind("p", "", "1"), execute("p", 0), sync()].concat();
    let _waits = session.agent(&again).held();
}
