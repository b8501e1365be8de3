//! A masked column in random surroundings never passes unless it is selected as it is. A failure prints the statement.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use std::sync::LazyLock;

use proptest::prelude::*;
use verdict_support::Bench;

static BENCH: LazyLock<Bench> = LazyLock::new(Bench::masked);

/// Ways to name the masked column of `customers c`.
fn masked_column() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "ssn",
        "c.ssn",
        "\"ssn\"",
        "SSN",
        "U&\"s\\0073n\"",
        "c.email",
        "card",
        "c.notes",
    ])
    .prop_map(str::to_owned)
}

/// Wraps an expression in something, again and again.
fn wrapped(inner: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    let wrap = |x: String, how: usize| match how {
        0 => format!("({x} || 'a')"),
        1 => format!("upper({x})"),
        2 => format!("({x})::text"),
        3 => format!("CASE WHEN true THEN {x} ELSE 'b' END"),
        4 => format!("coalesce({x}, 'n')"),
        5 => format!("(SELECT {x})"),
        6 => format!("(ARRAY[{x}])[1]"),
        7 => format!("nullif({x}, 'q')"),
        8 => format!("({x} COLLATE \"C\")"),
        9 => format!("(SELECT max(v) FROM (VALUES ({x})) w(v))"),
        10 => format!("(row({x}))::text"),
        11 => format!("jsonb_build_object('k', {x})::text"),
        12 => format!("(WITH q AS (SELECT {x} AS v) SELECT v FROM q)"),
        13 => format!("substr({x}, 1, length({x}))"),
        14 => format!("concat({x}, name)"),
        15 => format!("format('%s', {x})"),
        _ => format!("(SELECT string_agg(u, '') FROM unnest(ARRAY[{x}]) u)"),
    };
    (inner, prop::collection::vec(0_usize..17, 1..5))
        .prop_map(move |(inner, hows)| hows.into_iter().fold(inner, wrap))
}

/// Puts an expression somewhere in a statement.
fn placed(expression: String, place: usize) -> String {
    let x = expression;
    match place {
        0 => format!("SELECT {x} FROM customers c"),
        1 => format!("SELECT id, {x} AS ssn FROM app.customers AS c"),
        2 => format!("SELECT 1 FROM customers c WHERE {x} > 'a'"),
        3 => format!("SELECT c.ssn FROM customers c ORDER BY {x}"),
        4 => format!("SELECT count(*) FROM customers c GROUP BY {x}"),
        5 => format!("SELECT count(*) FROM customers c HAVING max({x}) > 'a'"),
        6 => format!("SELECT 1 FROM orders o JOIN customers c ON {x} = 'a'"),
        7 => format!("SELECT DISTINCT ON ({x}) id FROM customers c"),
        8 => format!("SELECT 1 FROM customers c, LATERAL (SELECT {x}) z"),
        9 => format!("SELECT 1 FROM customers c, regexp_split_to_table({x}, '') z"),
        10 => format!("INSERT INTO notes (id, body) SELECT c.id, {x} FROM customers c"),
        11 => format!("UPDATE notes SET body = {x} FROM customers c WHERE c.id = notes.id"),
        12 => format!("DELETE FROM notes USING customers c WHERE {x} = body"),
        13 => format!("WITH k AS (SELECT {x} AS v FROM customers c) SELECT v FROM k"),
        14 => format!("SELECT {x} FROM customers c UNION ALL SELECT 'a'"),
        15 => format!("SELECT rank() OVER (ORDER BY {x}) FROM customers c"),
        16 => format!("SELECT count(*) FILTER (WHERE {x} > 'a') FROM customers c"),
        17 => format!("COPY (SELECT {x} FROM customers c) TO STDOUT"),
        18 => format!("DECLARE k CURSOR FOR SELECT {x} FROM customers c"),
        19 => format!("PREPARE p AS SELECT {x} FROM customers c"),
        20 => format!("EXPLAIN SELECT {x} FROM customers c"),
        21 => format!(
            "SELECT * FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE {x} = 'a')"
        ),
        22 => {
            format!("MERGE INTO notes n USING customers c ON {x} = n.body WHEN MATCHED THEN DELETE")
        }
        23 => format!(
            "INSERT INTO notes (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET body = (SELECT {x} FROM customers c LIMIT 1)"
        ),
        24 => format!("SELECT 1 LIMIT (SELECT length({x}) FROM customers c LIMIT 1)"),
        25 => format!("BEGIN; SELECT {x} FROM customers c; COMMIT"),
        _ => format!("SELECT g FROM customers c, generate_series(1, length({x})) g"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_masked_column_in_an_expression_never_passes(expression in wrapped(masked_column()), place in 0_usize..27) {
        let sql = placed(expression, place);
        prop_assert!(!BENCH.judge(&sql).is_allowed(), "{}", sql);
    }

    /// Whole rows, by whatever name.
    #[test]
    fn a_whole_row_never_passes(
        row in prop::sample::select(vec!["c", "c.*", "(c)", "\"c\"", "(c).ssn", "(c.*)"]),
        how in 0_usize..6,
    ) {
        let x = match how {
            0 => format!("({row})::text"),
            1 => format!("row_to_json({row})"),
            2 => format!("to_jsonb({row}) ->> 'ssn'"),
            3 => format!("count({row})"),
            4 => format!("row({row})"),
            _ => format!("({row}) IS NULL"),
        };
        let sql = format!("SELECT {x} FROM customers c");
        if gateway_core::sql::Parsed::parse(&sql).is_ok() {
            prop_assert!(!BENCH.judge(&sql).is_allowed(), "{}", sql);
        }
    }

    /// The same surroundings around an open column do pass, so the refusals above are about the column.
    #[test]
    fn an_open_column_passes_where_a_masked_one_does_not(expression in wrapped(Just("c.name".to_owned())), place in prop::sample::select(vec![0_usize, 1, 2, 4, 6, 8, 10, 13, 14, 15, 17, 19, 25])) {
        let sql = placed(expression, place);
        let verdict = BENCH.judge(&sql);
        prop_assert!(verdict.is_allowed(), "{} {:?}", sql, verdict.decision.reasons);
    }
}
