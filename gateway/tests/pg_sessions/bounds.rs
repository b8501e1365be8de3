//! The bounds of one session: a clear error when one is reached, the session as documented, all others untouched.

use std::ops::Range;

use tallyport_schemas::{Body, Response, Session};
use tokio::io::DuplexStream;

use crate::harness::{World, responses, world};
use crate::masking::MASKED;
use crate::wire::{
    Wire, bind, close, describe, error_field, execute, parse, query, status, sync, tags,
};

/// As the documentation has them (docs/reference/postgresql.md).
const MAX_STATEMENTS: usize = 10_000;
const MAX_PORTALS: usize = 10_000;
const MAX_NAME_BYTES: usize = 63;

async fn start(world: &World) -> Wire<DuplexStream> {
    Wire::start(world.tunnel().await, &[("user", "u")]).await.0
}

/// The session answers to ordinary questions.
async fn lives(wire: &mut Wire<DuplexStream>) {
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
}

/// Refused with `sqlstate` by the gateway; gives the transaction's status behind it.
async fn is_refused(wire: &mut Wire<DuplexStream>, unit: &[Vec<u8>], sqlstate: &str) -> char {
    wire.send(&unit.concat()).await;
    let refused = wire.until(b'Z', 1).await;
    assert_eq!(tags(&refused), "EZ");
    assert_eq!(error_field(&refused, b'C'), sqlstate);
    let message = error_field(&refused, b'M');
    assert!(message.starts_with("tallyport: "), "{message}");
    status(&refused)
}

/// Sends messages of one kind in units, and sees each of them answered by `answer`.
async fn fill(
    wire: &mut Wire<DuplexStream>,
    numbers: Range<usize>,
    message: impl Fn(usize) -> Vec<u8>,
    answer: char,
) {
    const UNIT: usize = 500;
    for from in numbers.clone().step_by(UNIT) {
        let to = numbers.end.min(from + UNIT);
        let unit: Vec<u8> = (from..to).flat_map(&message).collect();
        wire.send(&[unit, sync()].concat()).await;
        let answers = tags(&wire.until(b'Z', 1).await);
        assert_eq!(answers.matches(answer).count(), to - from, "{answers:.9}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_are_so_many_and_no_more() {
    let world = world!();
    let (mut wire, mut other) = (start(&world).await, start(&world).await);
    fill(&mut wire, 0..MAX_STATEMENTS, |n| parse(&format!("s{n}"), "SELECT 1"), '1').await;
    let one_more = [parse("over", "SELECT 1"), sync()];
    assert_eq!(is_refused(&mut wire, &one_more, "53400").await, 'I');
    lives(&mut wire).await;
    wire.send(&[bind("", "s7", &[], 0), execute("", 0), sync()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "2DCZ", "what was prepared stays");
    // One place is free: for one, not for two that come together.
    wire.send(&[close(b'S', "s7"), sync()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "3Z");
    let two = [parse("over", "SELECT 1"), parse("over2", "SELECT 1"), sync()];
    assert_eq!(is_refused(&mut wire, &two, "53400").await, 'I');
    wire.send(&one_more.concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "1Z");
    other.send(&one_more.concat()).await;
    assert_eq!(tags(&other.until(b'Z', 1).await), "1Z", "another session has its own bound");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_texts_of_prepared_statements_are_bounded_together() {
    const TEXT_BYTES: usize = 12 << 20;
    let world = world!();
    let (mut wire, mut other) = (start(&world).await, start(&world).await);
    let text = format!("SELECT 1 /*{}*/", "x".repeat(TEXT_BYTES));
    // 64 MiB hold five of them.
    for n in 0..5 {
        wire.send(&[parse(&format!("t{n}"), &text), sync()].concat()).await;
        assert_eq!(tags(&wire.until(b'Z', 1).await), "1Z");
    }
    let sixth = [parse("t5", &text), sync()];
    assert_eq!(is_refused(&mut wire, &sixth, "53400").await, 'I');
    lives(&mut wire).await;
    lives(&mut other).await;
    wire.send(&[close(b'S', "t0"), sync()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "3Z");
    wire.send(&sixth.concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "1Z", "what was closed makes room");
}

#[tokio::test(flavor = "multi_thread")]
async fn portals_are_so_many_and_no_more() {
    let world = world!();
    let mut wire = start(&world).await;
    wire.send(&[query("BEGIN"), parse("s", "SELECT 1"), sync()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 2).await), "CZ1Z");
    let named = |n: usize| bind(&format!("p{n}"), "s", &[], 0);
    fill(&mut wire, 0..MAX_PORTALS - 10, named, '2').await;
    // The unnamed one takes the place of the one before, however many come together: all of them are one.
    fill(&mut wire, 0..20, |_| bind("", "s", &[], 0), '2').await;
    fill(&mut wire, MAX_PORTALS - 10..MAX_PORTALS - 1, named, '2').await;
    let one_more = [bind("over", "s", &[], 0), sync()];
    assert_eq!(is_refused(&mut wire, &one_more, "53400").await, 'E', "as PostgreSQL would fail");
    // The end of the transaction closes them.
    wire.send(&[query("ROLLBACK"), query("BEGIN"), one_more.concat()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 3).await), "CZCZ2Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_postgresql_would_cut_is_refused() {
    let world = world!();
    let mut wire = start(&world).await;
    let kept = "n".repeat(MAX_NAME_BYTES);
    let cut = format!("{kept}x");
    let run = [bind("", &kept, &[], 0), execute("", 0)].concat();
    wire.send(&[parse(&kept, "SELECT 'kept'"), run.clone(), sync()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "12DCZ");
    // To PostgreSQL each of these would mean the statement above, or the portal of that name.
    for message in [
        parse(&cut, "SELECT 'other'"),
        bind("", &cut, &[], 0),
        bind(&cut, &kept, &[], 0),
        execute(&cut, 0),
        describe(b'S', &cut),
        describe(b'P', &cut),
        close(b'S', &cut),
        close(b'P', &cut),
    ] {
        assert_eq!(is_refused(&mut wire, &[message, sync()], "42622").await, 'I');
    }
    wire.send(&[run, sync()].concat()).await;
    let answer = wire.until(b'Z', 1).await;
    assert!(answer.iter().any(|(tag, body)| *tag == b'D' && body.ends_with(b"kept")));
}

/// Rows above 1 MiB that must be masked are kept whole, up to this.
const ROW_TARGET: &str =
    "user = 'postgres'\nsslmode = 'disable'\n[limits]\nmax_row_bytes = 2097152\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_too_long_to_be_masked_ends_its_session() {
    let labels = "[columns]\n\"app.wide.secret\" = \"pii.ssn\"\n";
    let world = world!(policy: MASKED, masking: Some(labels), target: ROW_TARGET,);
    let direct = world.direct().await;
    direct
        .batch_execute(
            "CREATE TABLE app.wide (id int, secret text, body text); \
             INSERT INTO app.wide SELECT g, 'in clear', repeat('w', g * 1500000) FROM generate_series(1, 2) g",
        )
        .await
        .unwrap();
    let (mut wire, mut other) = (start(&world).await, start(&world).await);
    // The longer row passes where nothing of it is masked, the shorter one where something is.
    for (sql, begins) in [
        ("SELECT body FROM app.wide WHERE id = 2", "wwww"),
        ("SELECT secret, body FROM app.wide WHERE id = 1", "[redacted]"),
    ] {
        wire.send(&query(sql)).await;
        let answer = wire.until(b'Z', 1).await;
        assert_eq!(tags(&answer), "TDCZ", "{sql}");
        assert!(answer[1].1[6..].starts_with(begins.as_bytes()), "{sql}");
    }
    wire.send(&query("SELECT secret, body FROM app.wide WHERE id = 2")).await;
    let rest = wire.rest().await;
    assert!(rest.iter().all(|(tag, _)| matches!(tag, b'T' | b'E')), "{}", tags(&rest));
    assert_eq!(
        (error_field(&rest, b'S'), error_field(&rest, b'C')),
        ("FATAL".into(), "54000".into())
    );
    let message = error_field(&rest, b'M');
    assert!(message.contains("kind `D`") && message.contains("2097152"), "{message}");

    let events = world.events().await;
    let ended = |body: &Body| matches!(body, Body::Session(Session::Lost { message, .. }) if message.contains("2097152"));
    assert_eq!(events.iter().filter(|event| ended(&event.body)).count(), 1);
    for response in responses(&events) {
        let (Response::Chunk { content, .. } | Response::Unsolicited { content, .. }) = response
        else {
            continue;
        };
        let recorded =
            content.as_ref().map(|content| content.replay().unwrap()).unwrap_or_default();
        assert!(!recorded.windows(8).any(|window| window == b"in clear"));
    }
    lives(&mut other).await;
    direct.batch_execute("DROP TABLE app.wide").await.unwrap();
}
