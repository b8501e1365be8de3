//! A verdict is given again only where nothing that it rests on can have changed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

mod verdict_support;

use std::sync::Arc;

use gateway_core::masking::Masking;
use gateway_core::passage::Bench;
use gateway_core::sql::{Parsed, SessionState};
use gateway_core::verdict::{Judge, Verdict};
use tallyport_access::policy::{AskContext, PolicySet};
use tallyport_schemas::{CommandId, Recording, TargetKind, TargetRef};
use verdict_support::{LABELS, OPEN_BUT_MASKED, catalog, context, identity};

fn bench(policy: &str) -> (Bench, SessionState) {
    let set = Arc::new(PolicySet::parse(policy, "test.cedar").unwrap());
    let masking = Masking::parse(LABELS, "masking.toml").unwrap();
    let catalog = catalog();
    let database = Some(catalog.database().to_owned());
    let target = TargetRef { name: "sample".to_owned(), kind: TargetKind::Postgresql, database };
    let state = SessionState::new(catalog.search_path().to_vec());
    let who = identity(&["agents"]);
    let judge =
        Judge::new(set.asker(&who), &target, catalog, &masking, Recording::Full, &context());
    (Bench::new(judge, set.asker(&who), target, Recording::Full), state)
}

fn parse(sql: &str) -> Parsed {
    Parsed::parse(sql).unwrap()
}

#[test]
fn the_same_text_again_is_the_same_verdict_on_another_command() {
    let (bench, state) = bench(OPEN_BUT_MASKED);
    let text = parse("SELECT id FROM customers WHERE id = $1");
    let (first, second) = (CommandId::new(), CommandId::new());
    let once: Verdict = bench.verdict(&text, &state, &context(), first);
    let again = bench.verdict(&text, &state, &context(), second);
    assert!(once.is_allowed() && again.is_allowed());
    assert_eq!(once.facts, again.facts);
    assert_eq!(once.decision.policy_ids, again.decision.policy_ids);
    assert_eq!(once.decision.command_id, Some(first));
    assert_eq!(again.decision.command_id, Some(second));
}

#[test]
fn a_name_that_means_something_else_now_is_judged_anew() {
    let (bench, mut state) = bench(OPEN_BUT_MASKED);
    let text = parse("EXECUTE p");
    state.after(&parse("PREPARE p AS SELECT id FROM customers"));
    assert!(bench.verdict(&text, &state, &context(), CommandId::new()).is_allowed());
    state.after(&parse("PREPARE p AS SELECT ssn || '' FROM customers"));
    assert!(!bench.verdict(&text, &state, &context(), CommandId::new()).is_allowed());
}

#[test]
fn other_facts_and_a_later_time_are_judged_anew() {
    let address = r#"permit (principal, action, resource) when { context has sourceIp };"#;
    let (over_address, state) = bench(address);
    let text = parse("SELECT 1");
    let known = AskContext { source_ip: Some("192.0.2.7".parse().unwrap()), ..context() };
    assert!(over_address.verdict(&text, &state, &known, CommandId::new()).is_allowed());
    assert!(!over_address.verdict(&text, &state, &context(), CommandId::new()).is_allowed());

    let time =
        r#"permit (principal, action, resource) when { context.now < datetime("2030-01-01") };"#;
    let (over_time, state) = bench(time);
    let late = AskContext { now: "2030-01-01T00:00:00Z".parse().unwrap(), ..context() };
    assert!(over_time.verdict(&text, &state, &context(), CommandId::new()).is_allowed());
    assert!(!over_time.verdict(&text, &state, &late, CommandId::new()).is_allowed());
}
