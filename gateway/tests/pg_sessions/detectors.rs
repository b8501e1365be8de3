//! Detectors on what PostgreSQL answers: rows in both protocols and both formats, and what is done with what was found.

use serde_json::json;
use tallyport_schemas::{Event, Finding, FindingAction, Response, ResponseStatus, ResponseSummary};

use crate::harness::{World, responses, world};
use crate::tools::good;
use crate::wire::{Message, Wire, bind, describe, error_field, execute, parse, query, sync, tags};

/// The card, so that no statement has it.
pub const CARD: &str = "('4111' || repeat('1', 12))";

pub const MASK: &str = "user = 'postgres'\nsslmode = 'disable'\ndetectors = { payment_card = 'mask', email = 'alert' }\n";
pub const DENY: &str = "user = 'postgres'\nsslmode = 'disable'\ndetectors = { payment_card = 'deny', email = 'mask' }\n";

/// All that rows, data and messages say.
pub fn said(messages: &[Message]) -> String {
    let said = messages.iter().filter(|(tag, _)| b"DENAdS".contains(tag));
    said.map(|(_, body)| String::from_utf8_lossy(body).into_owned() + "\n").collect()
}

/// The values of the first row.
fn row(messages: &[Message]) -> Vec<Option<Vec<u8>>> {
    let (_, body) = messages.iter().find(|(tag, _)| *tag == b'D').expect("a row");
    let (mut values, mut rest) = (Vec::new(), &body[2..]);
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = i32::from_be_bytes(*length);
        let (value, behind) = behind.split_at(usize::try_from(length.max(0)).unwrap());
        values.push((length >= 0).then(|| value.to_vec()));
        rest = behind;
    }
    values
}

fn texts(messages: &[Message]) -> Vec<String> {
    let text = |value: Option<Vec<u8>>| {
        value.map_or_else(|| "NULL".to_owned(), |value| String::from_utf8(value).unwrap())
    };
    row(messages).into_iter().map(text).collect()
}

/// A statement by the extended protocol, results in `format`.
pub fn extended(sql: &str, format: u16) -> Vec<u8> {
    [parse("", sql), bind("", "", &[], format), execute("", 0), sync()].concat()
}

pub fn summaries<'a>(events: &'a [Event]) -> Vec<&'a ResponseSummary> {
    let summary = |response: &'a Response| match response {
        Response::Completed(summary) => Some(summary),
        _ => None,
    };
    responses(events).into_iter().filter_map(summary).collect()
}

/// The last response that something was found in.
pub fn found(events: &[Event]) -> &ResponseSummary {
    summaries(events).into_iter().rfind(|summary| !summary.findings.is_empty()).expect("findings")
}

pub fn finding(detector: &str, action: FindingAction, count: u64) -> Finding {
    Finding { detector: detector.to_owned(), action, count }
}

/// No event has the card.
pub async fn never_recorded(world: &World) -> Vec<Event> {
    let events = world.events().await;
    for event in &events {
        let text = String::from_utf8(tallyport_schemas::ocsf::encode(event)).unwrap();
        assert!(!text.contains("4111111111111111"), "it is on record: {text}");
    }
    events
}

pub async fn start(world: &World) -> Wire<tokio::io::DuplexStream> {
    Wire::start(world.tunnel().await, &[("user", "u")]).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_masked_in_every_type_in_both_protocols_and_both_formats() {
    let world = world!(target: MASK,);
    let mut wire = start(&world).await;
    let sql = format!(
        "SELECT c, c::varchar(40), c::char(20), c::name, json_build_object('a', c, 'n', c::int8), jsonb_build_array(c), \
         ARRAY['x', 'card ' || c], ARRAY[7, c::int8], c::int8, -c::numeric(20,2), ROW(1, c::int8, 'x'), ARRAY[c::numeric], \
         'plain', 42, NULL::text, 4111::int2 FROM (SELECT {CARD}) AS s (c)"
    );
    let mut wanted = vec![
        "[payment_card]",
        "[payment_card]",
        "[payment_card]    ",
        "[payment_card]",
        r#"{"a" : "[payment_card]", "n" : "[payment_card]"}"#,
        r#"["[payment_card]"]"#,
        r#"{x,"card [payment_card]"}"#,
        "{7,NULL}",
        "NULL",
        "NULL",
        "NULL",
        "{NULL}",
        "plain",
        "42",
        "NULL",
        "4111",
    ];
    for unit in [query(&sql), extended(&sql, 0)] {
        wire.send(&unit).await;
        let answer = wire.until(b'Z', 1).await;
        assert!(tags(&answer) == "TDCZ" || tags(&answer) == "12DCZ", "{}", said(&answer));
        assert_eq!(texts(&answer), wanted);
    }
    wire.send(&extended(&sql, 1)).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(tags(&answer), "12DCZ", "{}", said(&answer));
    let values = row(&answer);
    let jsonb = format!("\x01{}", wanted[5]);
    wanted[5] = &jsonb;
    for place in [0, 1, 2, 3, 4, 5, 12] {
        assert_eq!(values[place].as_deref(), Some(wanted[place].as_bytes()), "{place}");
    }
    let whole = values.iter().flatten().flatten().copied().collect::<Vec<u8>>();
    for part in
        [&b"1111"[..], &4_111_111_111_111_111_i64.to_be_bytes(), &1111_u16.to_be_bytes().repeat(2)]
    {
        assert!(!whole.windows(part.len()).any(|window| window == part), "{part:?}");
    }
    let events = never_recorded(&world).await;
    let found: Vec<_> =
        summaries(&events).into_iter().filter(|it| !it.findings.is_empty()).collect();
    assert_eq!(found.len(), 3);
    for summary in found {
        assert_eq!(summary.findings, [finding("payment_card", FindingAction::Mask, 13)]);
        assert_eq!((summary.masked_values, summary.status), (13, ResponseStatus::Ok));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_types_in_binary_reads_what_is_masked() {
    let world = world!(target: MASK,);
    let client = world.connect().await;
    let sql = format!(
        "SELECT c, ARRAY['x', c], ARRAY[7, c::int8], c::int8, 7::int8 FROM (SELECT {CARD}) AS s (c)"
    );
    let row = client.query_one(&sql, &[]).await.expect("runs");
    assert_eq!(row.get::<_, String>(0), "[payment_card]");
    assert_eq!(row.get::<_, Vec<String>>(1), ["x", "[payment_card]"]);
    assert_eq!(row.get::<_, Vec<Option<i64>>>(2), [Some(7), None]);
    assert_eq!((row.get::<_, Option<i64>>(3), row.get::<_, i64>(4)), (None, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_passes_every_byte_and_is_counted() {
    let world = world!(target: MASK,);
    let mut wire = start(&world).await;
    let sql = "SELECT 'ada' || '@example.com', json_build_object('mail', 'ada' || '@example.com'), ARRAY['ada' || '@example.com']";
    for unit in [query(sql), extended(sql, 0)] {
        wire.send(&unit).await;
        let answer = wire.until(b'Z', 1).await;
        let mail = "ada@example.com";
        let wanted = [mail, r#"{"mail" : "ada@example.com"}"#, "{ada@example.com}"];
        assert_eq!(texts(&answer), wanted);
        let events = world.events().await;
        assert_eq!(found(&events).findings, [finding("email", FindingAction::Alert, 3)]);
        assert_eq!(found(&events).masked_values, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_ends_the_statement_and_nothing_of_it_passes() {
    let world = world!(target: DENY,);
    let mut wire = start(&world).await;
    let sql = format!(
        "SELECT n, 'ada' || '@example.com', CASE WHEN n > 2 THEN {CARD} ELSE 'x' END AS \"number\" FROM generate_series(1, 2000000) AS n"
    );
    for (unit, before) in
        [(query(&sql), "TDDEZ"), (extended(&sql, 0), "12DDEZ"), (extended(&sql, 1), "12DDEZ")]
    {
        wire.send(&unit).await;
        let answer = wire.until(b'Z', 1).await;
        assert_eq!(tags(&answer), before);
        assert!(!said(&answer).contains("4111"), "{}", said(&answer));
        assert_eq!(error_field(&answer, b'C'), "42501");
        let message = error_field(&answer, b'M');
        let wanted = "tallyport: column `number` holds what may not pass: payment_card (1)";
        assert_eq!(message, wanted);
        let events = never_recorded(&world).await;
        let summary = found(&events);
        let wanted = [
            finding("email", FindingAction::Mask, 3),
            finding("payment_card", FindingAction::Deny, 1),
        ];
        assert_eq!(summary.findings, wanted);
        assert_eq!((summary.status, summary.rows), (ResponseStatus::Error, 2));
        assert_eq!(summary.sqlstate.as_deref(), Some("42501"));
        // The session goes on.
        wire.send(&query("SELECT 7")).await;
        assert_eq!(texts(&wire.until(b'Z', 1).await), ["7"]);
    }
    let log = world.statements().await;
    assert!(log.contains("canceling statement due to user request"), "the target is told to stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_what_is_denied_nothing_of_the_series_passes() {
    let world = world!(target: DENY,);
    let mut wire = start(&world).await;
    let run = |sql: &str| [parse("", sql), bind("", "", &[], 0), execute("", 0)].concat();
    let unit = [run(&format!("SELECT {CARD}")), run("SELECT 'behind'"), sync()].concat();
    wire.send(&unit).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(tags(&answer), "12EZ", "{}", said(&answer));
    wire.send(&query(&format!("SELECT 'first'; SELECT {CARD}; SELECT 'behind'"))).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(tags(&answer), "TDCTEZ", "{}", said(&answer));
    assert!(!said(&answer).contains("behind"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_in_parts_and_a_cursor_are_looked_into_in_every_part() {
    let world = world!(target: MASK,);
    let mut wire = start(&world).await;
    wire.send(&query("BEGIN")).await;
    wire.until(b'Z', 1).await;
    let sql = format!("SELECT {CARD} FROM generate_series(1, 4)");
    let first =
        [parse("", &sql), describe(b'S', ""), bind("p", "", &[], 1), execute("p", 1), sync()];
    let declare = query(&format!("DECLARE c BINARY CURSOR FOR {sql}"));
    let next = [execute("p", 1), sync()].concat();
    for (unit, wanted) in [
        (first.concat(), "1tT2DsZ"),
        (next, "DsZ"),
        (declare, "CZ"),
        (query("FETCH 2 FROM c"), "TDDCZ"),
        (extended("FETCH 1 FROM c", 1), "12DCZ"),
    ] {
        wire.send(&unit).await;
        let answer = wire.until(b'Z', 1).await;
        assert_eq!(tags(&answer), wanted, "{}", said(&answer));
        assert!(!said(&answer).contains("1111"), "{}", said(&answer));
        let rows = tags(&answer).matches('D').count();
        assert_eq!(said(&answer).matches("[payment_card]").count(), rows, "{}", said(&answer));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_into_does_not_pass() {
    let world = world!(target: MASK,);
    let mut wire = start(&world).await;
    let sql = "SELECT int8range(1, 7) AS span";
    wire.send(&extended(sql, 1)).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!((tags(&answer).as_str(), error_field(&answer, b'C').as_str()), ("12EZ", "0A000"));
    assert!(error_field(&answer, b'M').contains("column `span` cannot be looked into"));
    assert!(error_field(&answer, b'H').contains("text format"));
    wire.send(&extended(sql, 0)).await;
    assert_eq!(texts(&wire.until(b'Z', 1).await), ["[1,7)"]);
    wire.send(&query(&format!("SELECT int8range({CARD}::int8, NULL), '[\"\\ud800\"]'::json")))
        .await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&answer, b'C'), "0A000", "JSON that means nothing");
    assert!(!said(&answer).contains("4111"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_column_is_masked_by_its_label_alone() {
    let labels = "[columns]\n\"app.customers.ssn\" = \"pii.ssn\"\n";
    let target =
        "user = 'postgres'\nsslmode = 'disable'\ndetectors = { us_ssn = 'deny', email = 'mask' }\n";
    let world = world!(policy: crate::masking::MASKED, masking: Some(labels), target,);
    let mut wire = start(&world).await;
    wire.send(&query("SELECT ssn, name FROM app.customers WHERE id = 1")).await;
    assert_eq!(texts(&wire.until(b'Z', 1).await), ["[redacted]", "Ada"]);
    wire.send(&query("SELECT '123-45' || '-6789' AS other")).await;
    assert_eq!(error_field(&wire.until(b'Z', 1).await, b'C'), "42501");
    let events = world.events().await;
    let of_column = summaries(&events).into_iter().find(|it| it.masked_values == 1).unwrap();
    assert_eq!(of_column.findings, [], "it was not looked into");
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_for_models_see_what_sessions_see() {
    let world = world!(target: MASK,);
    let token = world.token("agent", None).await;
    let sql = format!("SELECT {CARD} AS n, {CARD}::int8 AS big, 'plain' AS other");
    let told = good(&world, &token, "query", json!({ "sql": sql })).await;
    assert_eq!(told["rows"], json!([["[payment_card]", null, "plain"]]), "{told}");
    never_recorded(&world).await;
}
