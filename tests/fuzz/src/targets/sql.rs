//! A statement's text: parsed, analysed over a catalog, judged under masks.

use gateway_core::sql::{Parsed, SessionState};
use tallyport_schemas::{CommandId, Effect};

use super::court::{bench_of, catalog, context};

/// Words of the grammar, and names of the catalog.
pub const WORDS: &[&[u8]] = &[
    b"SELECT ",
    b" FROM customers ",
    b"ssn",
    b"c.*",
    b" WHERE ",
    b" UNION ",
    b"WITH x AS (",
    b")",
    b"::text",
    b" RETURNING *",
    b"COPY customers TO STDOUT",
    b"EXPLAIN ANALYZE ",
    b"PREPARE p AS ",
    b"DECLARE c CURSOR FOR ",
    b"$1",
    b"U&\"",
    b"E'\\",
    b"$$",
    b"/*",
    b"--",
    b";",
    b"JOIN LATERAL ",
    b"GROUP BY ROLLUP (",
    b"OVER (PARTITION BY ",
    b"ARRAY[",
    b"ROW(",
    b"CASE WHEN ",
    b"SET search_path = ",
    b"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ",
    b"((((((((((((((((",
    b"NOT NOT NOT NOT ",
    b"XMLTABLE(",
    b"JSON_TABLE(",
    b"MERGE INTO ",
    b"\xc2\xa0",
    b"pg_catalog.",
    b"app.",
    b"hr.staff",
];

/// How many of the fixture's hostile statements begin with.
const HOSTILE: usize = 60;

/// Statements of every kind, and some of those that were made to get around masks.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let attempts: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../fixtures/masking/attempts.json"))
            .expect("the fixture is JSON");
    let hostile = attempts.iter().filter_map(|attempt| attempt["sql"][0].as_str());
    let plain = [
        "",
        "SELECT 1; UPDATE app.orders SET id = 1 WHERE id = 2; -- c\n ;",
        "INSERT INTO app.customers (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING id",
        "COPY (SELECT id FROM app.customers) TO STDOUT (FORMAT csv)",
        "SET search_path TO hr, app; SHOW search_path",
        "BEGIN; DECLARE c CURSOR FOR TABLE app.customers; FETCH ALL FROM c; COMMIT",
        "CREATE VIEW v AS SELECT * FROM customers; GRANT SELECT ON v TO public",
        "EXPLAIN (ANALYZE, FORMAT json) SELECT count(*) FROM app.orders GROUP BY CUBE (1, 2)",
    ];
    plain.into_iter().chain(hostile.take(HOSTILE)).map(|text| text.as_bytes().to_vec()).collect()
}

/// A text is read as it is; a verdict is the same twice; a denial stays one behind a harmless statement.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let parsed = match Parsed::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let characters = text.chars().count() + 1;
            assert!(error.position.is_none_or(|at| (1..=characters).contains(&(at as usize))));
            return;
        }
    };
    assert_eq!(parsed.text(), text);
    assert!(!parsed.kinds().is_empty());
    assert!(parsed.fingerprint().is_none_or(|print| print.len() == 16));
    let effect = judged(&parsed);
    let mut later = SessionState::new(catalog().search_path().to_vec());
    later.after(&parsed);
    if effect == Effect::Deny
        && let Ok(behind) = Parsed::parse(&format!("SELECT 1;\n{text}"))
    {
        assert_eq!(judged(&behind), Effect::Deny, "it passes behind SELECT 1");
    }
    if let Ok(spaced) = Parsed::parse(&format!("\n{text}\n")) {
        assert_eq!(judged(&spaced), effect, "spaces change the verdict");
    }
}

fn judged(parsed: &Parsed) -> Effect {
    let judge = bench_of(0).judge();
    let state = SessionState::new(catalog().search_path().to_vec());
    let ask = || judge.judge(parsed, &state, &context(), CommandId::new());
    let (one, other) = (ask(), ask());
    assert_eq!(one.decision.effect, other.decision.effect);
    assert_eq!(one.facts, other.facts);
    if one.decision.effect == Effect::Deny {
        assert!(!one.decision.reasons.is_empty(), "a denial says why");
    }
    one.decision.effect
}
