//! Detectors on what comes beside rows: COPY, errors, notices, notifications, settings; and long values.

use tallyport_schemas::{FindingAction, Response, ResponseStatus};

use crate::detectors::{CARD, DENY, MASK, extended, finding, found, never_recorded, said, start};
use crate::harness::{responses, world};
use crate::wire::{Message, error_field, notice_field, query, tags};

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_copy_are_looked_into() {
    let world = world!(target: MASK,);
    let mut wire = start(&world).await;
    for (options, wanted) in [
        ("", "1\t[payment_card]\tx\n"),
        (" (FORMAT csv, HEADER)", "1,[payment_card],x\n"),
        (" (FORMAT csv, FORCE_QUOTE *)", "\"1\",\"[payment_card]\",\"x\"\n"),
    ] {
        let copy =
            format!("COPY (SELECT n, {CARD}, 'x' FROM generate_series(1, 2) n) TO STDOUT{options}");
        for unit in [query(&copy), extended(&copy, 0)] {
            wire.send(&unit).await;
            let answer = wire.until(b'Z', 1).await;
            assert!(tags(&answer).ends_with("cCZ"), "{}", said(&answer));
            assert!(said(&answer).contains(wanted), "{}", said(&answer));
            assert!(!said(&answer).contains("4111"), "{}", said(&answer));
            let events = never_recorded(&world).await;
            assert_eq!(found(&events).findings, [finding("payment_card", FindingAction::Mask, 2)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_that_is_denied_or_binary_ends_and_the_session_goes_on() {
    let world = world!(target: DENY,);
    let mut wire = start(&world).await;
    let rows =
        format!("SELECT n, CASE WHEN n > 2 THEN {CARD} END FROM generate_series(1, 2000000) n");
    for (options, code, wanted) in [
        ("", "42501", "HddEZ"),
        (" (FORMAT csv)", "42501", "HddEZ"),
        (" (FORMAT binary)", "0A000", "EZ"),
    ] {
        wire.send(&query(&format!("COPY ({rows}) TO STDOUT{options}"))).await;
        let answer = wire.until(b'Z', 1).await;
        assert_eq!((tags(&answer).as_str(), error_field(&answer, b'C').as_str()), (wanted, code));
        assert!(!said(&answer).contains("4111"), "{}", said(&answer));
        wire.send(&query("SELECT 7")).await;
        assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
    }
    let events = never_recorded(&world).await;
    assert_eq!(found(&events).findings, [finding("payment_card", FindingAction::Deny, 1)]);
    assert_eq!((found(&events).status, found(&events).rows), (ResponseStatus::Error, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_notices_notifications_and_settings_are_texts_too() {
    let world = world!(target: MASK,);
    let mut wire = start(&world).await;
    wire.send(&query("LISTEN told")).await;
    wire.until(b'Z', 1).await;
    for (sql, wanted) in [
        (format!("SELECT app.shout('card ' || {CARD})"), "heard card [payment_card]"),
        (format!("SELECT ('card ' || {CARD})::int"), "integer: \"card [payment_card]\""),
        (format!("SELECT pg_notify('told', {CARD})"), "told\0[payment_card]\0"),
        (
            format!("SELECT set_config('application_name', {CARD}, false)"),
            "application_name\0[payment_card]\0",
        ),
        (format!("EXPLAIN SELECT 1 WHERE current_user = {CARD}"), "[payment_card]"),
    ] {
        wire.send(&query(&sql)).await;
        let answer = wire.until(b'Z', 1).await;
        assert!(said(&answer).contains(wanted), "{sql}: {}", said(&answer));
        assert!(!said(&answer).to_lowercase().contains("4111"), "{sql}: {}", said(&answer));
        let events = never_recorded(&world).await;
        assert_eq!(found(&events).findings[0].detector, "payment_card", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_must_not_pass_are_kept_back() {
    let world = world!(target: DENY,);
    let mut wire = start(&world).await;
    wire.send(&query("LISTEN told")).await;
    wire.until(b'Z', 1).await;
    wire.send(&query(&format!("SELECT ('card ' || {CARD})::int"))).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&answer, b'C'), "22P02");
    assert!(error_field(&answer, b'M').contains("withheld"), "{}", said(&answer));
    for sql in [
        format!("DO $$ BEGIN RAISE NOTICE 'card %', {CARD}; RAISE NOTICE 'plain'; END $$"),
        format!("DO $$ BEGIN PERFORM pg_notify('told', {CARD}); RAISE NOTICE 'plain'; END $$"),
        format!(
            "DO $$ BEGIN PERFORM set_config('application_name', {CARD}, false); RAISE NOTICE 'plain'; END $$"
        ),
    ] {
        wire.send(&query(&sql)).await;
        let answer = wire.until(b'Z', 1).await;
        assert_eq!(
            (tags(&answer).as_str(), notice_field(&answer, b'M').as_str()),
            ("NCZ", "plain")
        );
    }
    let events = never_recorded(&world).await;
    assert_eq!(found(&events).findings, [finding("payment_card", FindingAction::Deny, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_answers_nothing_is_on_record_with_what_was_found() {
    for (target, action, wanted) in
        [(MASK, FindingAction::Mask, "[payment_card]"), (DENY, FindingAction::Deny, "")]
    {
        let world = world!(target,);
        let mut wire = start(&world).await;
        wire.send(&query("LISTEN told")).await;
        wire.until(b'Z', 1).await;
        let notify = format!("SELECT pg_notify('told', {CARD}); SELECT pg_notify('told', 'plain')");
        world.direct().await.batch_execute(&notify).await.unwrap();
        let told: Vec<Message> = wire.until(b'A', if wanted.is_empty() { 1 } else { 2 }).await;
        assert!(said(&told).contains("plain") && said(&told).contains(wanted), "{}", said(&told));
        assert!(!said(&told).contains("4111"), "{}", said(&told));
        let events = never_recorded(&world).await;
        let is_found = |response: &&Response| matches!(response, Response::Unsolicited { findings, .. } if findings == &[finding("payment_card", action, 1)]);
        assert_eq!(responses(&events).into_iter().filter(is_found).count(), 1, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_at_a_border_of_batches_and_one_of_many_pieces_are_found() {
    let world = world!(target: MASK,);
    let mut wire = start(&world).await;
    let around =
        format!("SELECT repeat('x', 262100 + n) || ' ' || {CARD} FROM generate_series(0, 60) n");
    let long = format!("SELECT repeat('x ', 1500000) || {CARD} || repeat(' y', 700000)");
    for (sql, rows) in [(&around, 61), (&long, 1)] {
        for unit in [query(sql), extended(sql, 1), query(&format!("COPY ({sql}) TO STDOUT"))] {
            wire.send(&unit).await;
            let answer = wire.until(b'Z', 1).await;
            let said = said(&answer);
            assert!(!said.contains("4111"), "it is there");
            assert_eq!(said.matches("[payment_card]").count(), rows);
        }
    }
    let events = never_recorded(&world).await;
    assert_eq!(found(&events).findings, [finding("payment_card", FindingAction::Mask, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_into_is_bounded_and_the_rest_streams() {
    let target = "user = 'postgres'\nsslmode = 'disable'\ndetectors = { payment_card = 'mask' }\n[limits]\nmax_row_bytes = 2097152\n";
    let world = world!(target,);
    for sql in ["SELECT repeat('x', 3000000)", "COPY (SELECT repeat('x', 3000000)) TO STDOUT"] {
        let mut wire = start(&world).await;
        wire.send(&query(sql)).await;
        let answer = wire.rest().await;
        assert_eq!(error_field(&answer, b'C'), "54000", "{sql}");
        assert!(!tags(&answer).contains('D') && !tags(&answer).contains('d'), "{sql}");
    }
    // Bytes in binary format are not looked into, and are of any length.
    let mut wire = start(&world).await;
    wire.send(&extended("SELECT decode(repeat('00', 3000000), 'hex')", 1)).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "12DCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_behind_an_error_of_ours_is_of_any_length() {
    let target = "user = 'postgres'\nsslmode = 'disable'\ndetectors = { payment_card = 'deny' }\n[limits]\nmax_row_bytes = 2097152\n";
    let world = world!(target,);
    let mut wire = start(&world).await;
    let sql = format!(
        "SELECT CASE n WHEN 1 THEN {CARD} ELSE repeat('x', 3000000) END FROM generate_series(1, 3) n"
    );
    for unit in [query(&sql), extended(&sql, 1), query(&format!("COPY ({sql}) TO STDOUT"))] {
        wire.send(&unit).await;
        let answer = wire.until(b'Z', 1).await;
        assert_eq!(error_field(&answer, b'C'), "42501");
        assert!(!tags(&answer).contains('D') && !tags(&answer).contains('d'), "{}", tags(&answer));
    }
}
