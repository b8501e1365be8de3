//! What policy refuses: nothing of it reaches PostgreSQL, and the agent's protocol goes on as it would.

use tallyport_schemas::{Body, Disposition, Effect};

use crate::harness::{Options, World, commands, world};
use crate::wire::{
    Wire, bind, error_field, execute, flush, frame, parse, query, startup, status, sync, tags,
};

/// Reading is permitted, writing is not.
const READ_ONLY: &str = r#"
    @id("connect") permit (principal, action in [Tallyport::Action::"sql:connect", Tallyport::Action::"sql:session"], resource);
    @id("read") permit (principal, action in [Tallyport::Action::"sql:select", Tallyport::Action::"col:read", Tallyport::Action::"fn:call"], resource);
"#;

async fn start(world: &World) -> Wire<tokio::io::DuplexStream> {
    Wire::start(world.tunnel().await, &[("user", "u")]).await.0
}

fn delete(marker: &str) -> String {
    format!("DELETE FROM app.customers WHERE name = '{marker}'")
}

async fn nothing_ran_of(world: &World, marker: &str) {
    assert!(!world.statements().await.contains(marker));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simple_query_is_refused_and_the_session_goes_on() {
    let world = world!(policy: READ_ONLY,);
    let denied = delete("refused-0");
    let mut wire = start(&world).await;
    wire.send(&query(&denied)).await;
    let refused = wire.until(b'Z', 1).await;
    assert_eq!((tags(&refused).as_str(), status(&refused)), ("EZ", 'I'));
    assert_eq!(error_field(&refused, b'C'), "42501");
    assert!(error_field(&refused, b'M').starts_with("tallyport: denied by policy"));
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
    nothing_ran_of(&world, "refused-0").await;

    let events = world.events().await;
    let refused = commands(&events)
        .into_iter()
        .find(|command| command.disposition == Disposition::Refused)
        .expect("on record");
    assert_eq!(refused.statement.as_deref(), Some(denied.as_str()));
    let denied = events.iter().any(|event| {
        matches!(&event.body, Body::Decision(decision)
            if decision.command_id == Some(refused.command_id) && decision.effect == Effect::Deny)
    });
    assert!(denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_transaction_a_refusal_fails_the_transaction() {
    let world = world!(policy: READ_ONLY,);
    let denied = delete("refused-1");
    let mut wire = start(&world).await;
    wire.send(&query("BEGIN")).await;
    assert_eq!(status(&wire.until(b'Z', 1).await), 'T');
    wire.send(&query(&denied)).await;
    let refused = wire.until(b'Z', 1).await;
    assert_eq!((tags(&refused).as_str(), status(&refused)), ("EZ", 'E'));
    assert_eq!(error_field(&refused, b'C'), "42501", "ours, not the target's");
    wire.send(&query("COMMIT")).await;
    let ended = wire.until(b'Z', 1).await;
    let (_, tag) = ended.iter().find(|(tag, _)| *tag == b'C').expect("completes");
    assert_eq!(tag, b"ROLLBACK\0");
    assert_eq!(status(&ended), 'I');
    nothing_ran_of(&world, "refused-1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_unit_passes_nothing_not_even_what_is_permitted() {
    let world = world!(policy: READ_ONLY,);
    let denied = delete("refused-2");
    let mut wire = start(&world).await;
    let unit = [
        parse("", "SELECT 'refused-2 together'"),
        bind("", "", &[], 0),
        execute("", 0),
        parse("", &denied),
        bind("", "", &[], 0),
        execute("", 0),
        sync(),
    ];
    wire.send(&unit.concat()).await;
    let refused = wire.until(b'Z', 1).await;
    assert_eq!((tags(&refused).as_str(), status(&refused)), ("EZ", 'I'));
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
    nothing_ran_of(&world, "refused-2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_flush_messages_are_skipped_until_sync() {
    let world = world!(policy: READ_ONLY,);
    let denied = delete("refused-3");
    let mut wire = start(&world).await;
    wire.send(&[parse("", &denied), flush()].concat()).await;
    assert_eq!(tags(&wire.until(b'E', 1).await), "E");
    wire.send(&[bind("", "", &[], 0), execute("", 0), flush()].concat()).await;
    wire.send(&query("SELECT 'refused-3 skipped'")).await;
    wire.send(&sync()).await;
    let ready = wire.until(b'Z', 1).await;
    assert_eq!((tags(&ready).as_str(), status(&ready)), ("Z", 'I'));
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
    nothing_ran_of(&world, "refused-3").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_went_out_in_part_fails_whole() {
    let world = world!(policy: PERMIT_NOTES,);
    let denied = delete("refused-4");
    let mut wire = start(&world).await;
    // The first part of the implicit transaction reaches the target; the refusal must undo it.
    let insert = "INSERT INTO app.notes (body) VALUES ('to be rolled back')";
    wire.send(&[parse("", insert), bind("", "", &[], 0), execute("", 0), flush()].concat()).await;
    assert_eq!(tags(&wire.until(b'C', 1).await), "12C");
    wire.send(&[parse("", &denied), bind("", "", &[], 0), execute("", 0), sync()].concat()).await;
    let refused = wire.until(b'Z', 1).await;
    assert_eq!((tags(&refused).as_str(), status(&refused)), ("EZ", 'I'));
    assert_eq!(error_field(&refused, b'C'), "42501");
    let direct = world.direct().await;
    let kept = direct
        .query("SELECT 1 FROM app.notes WHERE body = 'to be rolled back'", &[])
        .await
        .unwrap();
    assert!(kept.is_empty(), "the implicit transaction was committed in part");
    nothing_ran_of(&world, "refused-4").await;
}

/// Inserting into app.notes too.
const PERMIT_NOTES: &str = r#"
    @id("connect") permit (principal, action in [Tallyport::Action::"sql:connect", Tallyport::Action::"sql:session"], resource);
    @id("read") permit (principal, action in [Tallyport::Action::"sql:select", Tallyport::Action::"col:read", Tallyport::Action::"fn:call"], resource);
    @id("notes") permit (principal, action == Tallyport::Action::"sql:insert", resource);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_behind_earlier_answers() {
    let world = world!(policy: READ_ONLY,);
    let denied = delete("refused-5");
    let mut wire = start(&world).await;
    let pipeline = [query("SELECT pg_sleep(0.2), 'first'"), query(&denied), query("SELECT 'last'")];
    wire.send(&pipeline.concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 3).await), "TDCZEZTDCZ");
    nothing_ran_of(&world, "refused-5").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_parsed_is_refused_with_its_position() {
    let world = world!();
    let mut wire = start(&world).await;
    wire.send(&query("SELECT 1 FORM refused-6")).await;
    let refused = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&refused, b'C'), "42601");
    assert!(!error_field(&refused, b'P').is_empty());
    nothing_ran_of(&world, "refused-6").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn function_calls_replication_and_foreign_databases_are_refused() {
    let world = world!();
    let mut wire = start(&world).await;
    // pg_backend_pid(), without SQL.
    let mut call = 2026_u32.to_be_bytes().to_vec();
    call.extend_from_slice(&[0, 0, 0, 0, 0, 0]);
    wire.send(&[frame(b'F', &call), sync()].concat()).await;
    let refused = wire.until(b'Z', 2).await;
    assert_eq!(tags(&refused), "EZZ");
    assert_eq!(error_field(&refused, b'C'), "0A000");

    for (parameters, sqlstate) in [
        (&[("user", "u"), ("replication", "database")][..], "0A000"),
        (&[("user", "u"), ("database", "template1")][..], "3D000"),
        (&[("user", "u"), ("session_preload_libraries", "x")][..], "42501"),
    ] {
        let mut wire = Wire::new(world.tunnel().await);
        wire.send(&startup(parameters)).await;
        let refused = wire.rest().await;
        assert_eq!(tags(&refused), "E", "{parameters:?}");
        assert_eq!(error_field(&refused, b'C'), sqlstate, "{parameters:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_target_reads_otherwise_is_refused() {
    let world = world!();
    let parameters = [("user", "u"), ("client_encoding", "LATIN1")];
    let (mut wire, _) = Wire::start(world.tunnel().await, &parameters).await;
    wire.send(&query("SELECT 'ambiguous-text \u{00e9}'")).await;
    let refused = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&refused, b'C'), "42501");
    assert!(error_field(&refused, b'M').contains("client_encoding UTF8"));

    // Also when the change is still on its way. (The change itself may be refused: then the text is not ambiguous.)
    let mut wire = start(&world).await;
    let both =
        [query("SET standard_conforming_strings = off"), query(r"SELECT 'ambiguous-text\', 1 --'")];
    wire.send(&both.concat()).await;
    let answers = wire.until(b'Z', 2).await;
    let changed = tags(&answers).starts_with('C') || tags(&answers).starts_with("SC");
    assert_eq!(changed, tags(&answers).ends_with("EZ"), "{}", tags(&answers));
    let log = world.statements().await;
    assert!(!log.contains("ambiguous-text \u{00e9}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_holds_for_the_next_run_of_a_prepared_statement() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.cedar");
    std::fs::write(&file, crate::harness::PERMIT_ALL).unwrap();
    let world = world!(policy_file: Some(file.clone()),);
    let mut wire = start(&world).await;
    let run = [bind("", "s", &[], 0), execute("", 0), sync()].concat();
    wire.send(&[parse("s", "SELECT name FROM app.customers"), run.clone()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "12DDDCZ");

    let narrower = r#"
        @id("connect") permit (principal, action in [Tallyport::Action::"sql:connect", Tallyport::Action::"sql:session"], resource);
    "#;
    std::fs::write(&file, narrower).unwrap();
    let loaded = |events: &[tallyport_schemas::Event]| {
        let policies = events.iter().filter(|event| matches!(event.body, Body::Policy(_)));
        policies.count() == 3
    };
    world.wait_for("the new policy", loaded).await;
    wire.send(&run).await;
    let refused = wire.until(b'Z', 1).await;
    assert_eq!(tags(&refused), "EZ", "a statement of the old policy ran");
    assert_eq!(error_field(&refused, b'C'), "42501");

    // A broken file keeps what is in force, and is an event.
    std::fs::write(&file, "permit (").unwrap();
    let rejected = |events: &[tallyport_schemas::Event]| {
        events.iter().any(|event| {
            matches!(event.body, Body::Policy(tallyport_schemas::PolicyChange::Rejected { .. }))
        })
    };
    world.wait_for("the rejected policy", rejected).await;
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "EZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_judged_again_whenever_it_runs() {
    let Some(world) = World::start(Options { policy: READ_ONLY, ..Options::default() }).await
    else {
        eprintln!("NOT RUN: PostgreSQL cannot be installed");
        return;
    };
    let mut wire = start(&world).await;
    wire.send(&[parse("s", "SELECT 1"), sync()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "1Z");
    for _ in 0..3 {
        wire.send(&[bind("", "s", &[], 0), execute("", 0), sync()].concat()).await;
        assert_eq!(tags(&wire.until(b'Z', 1).await), "2DCZ");
    }
    let events = world.events().await;
    let ids: Vec<_> = commands(&events)
        .into_iter()
        .filter(|command| command.phase == tallyport_schemas::Phase::Execute)
        .map(|command| Some(command.command_id))
        .collect();
    assert_eq!(ids.len(), 3);
    let decided = events
        .iter()
        .filter(|event| matches!(&event.body, Body::Decision(decision) if ids.contains(&decision.command_id)))
        .count();
    assert_eq!(decided, 3);
}
