//! What would be large before it runs, or is made of little, is refused while it is small.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tallyport_query::Limits;

use crate::pg;
use crate::world::{Setup, World};

fn code(answer: &Value) -> &str {
    answer["code"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// A question in which each of `levels` names the one before it twice.
fn doubling(levels: usize) -> String {
    let level = |n: usize| {
        format!(", l{n} AS (SELECT * FROM l{m} UNION ALL SELECT * FROM l{m})", m = n - 1)
    };
    let all: String = (1..=levels).map(level).collect();
    format!("WITH l0 AS (SELECT 1 AS x){all} SELECT count(*) FROM l{levels}")
}

/// A question whose innermost column stands `2^levels` times in its outermost condition.
fn condition(levels: usize, made: &str) -> String {
    let level = |n: usize| format!(", l{n} AS (SELECT x || x AS x FROM l{m})", m = n - 1);
    let all: String = (1..=levels).map(level).collect();
    format!("WITH l0 AS ({made}){all} SELECT count(*) FROM l{levels} WHERE x > 'b'")
}

/// A question in which a text goes through eight functions on each of `levels`.
fn functions_of_functions(levels: usize) -> String {
    let call = format!("{}x{}", "lower(".repeat(8), ")".repeat(8));
    let level = |n: usize| format!(", l{n} AS (SELECT {call} AS x FROM l{m})", m = n - 1);
    let all: String = (1..=levels).map(level).collect();
    format!(
        "WITH l0 AS (SELECT reason AS x FROM decisions){all} SELECT count(*) FROM l{levels} WHERE x > 'a'"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_grow_when_they_are_planned_are_refused() {
    let world = World::start().await;
    assert_eq!(world.value(&doubling(6)).await, json!(64));
    assert_eq!(world.value(&condition(6, "SELECT reason AS x FROM decisions")).await, json!(0));
    assert_eq!(world.value(&functions_of_functions(6)).await, json!(0));
    for sql in [
        doubling(40),
        condition(20, "SELECT reason AS x FROM decisions"),
        condition(20, "SELECT 'c' AS x"),
        functions_of_functions(80),
        format!("SELECT {}'a'{}", "lower(".repeat(30), ")".repeat(30)),
        format!("SELECT {}1{}", "(SELECT ".repeat(12), ")".repeat(12)),
        format!("SELECT {}1 1{}", "NOT (".repeat(40), ")".repeat(40)),
        format!(
            "SELECT count(*) FROM (VALUES ({c})) v ({v}) GROUP BY CUBE({v})",
            c = ["1"; 20].join(", "),
            v = (0..20).map(|n| format!("c{n}")).collect::<Vec<_>>().join(", ")
        ),
        format!(
            "SELECT 1 FROM {}",
            (0..800).map(|n| format!("events a{n}")).collect::<Vec<_>>().join(", ")
        ),
        format!(
            "SELECT {} 'z' END = '7'",
            (0..400)
                .map(|n| format!("WHEN true THEN '{n}'"))
                .fold("CASE ".to_owned(), |all, one| all + &one + " ")
                + "ELSE"
        ),
        "SELECT string_agg(x, '-') OVER (ORDER BY x) FROM (VALUES ('a')) t(x)".to_owned(),
        "SELECT arrow_cast(NULL, 'FixedSizeList(100000000, Int64)') IS NULL".to_owned(),
        format!("SELECT {}", ["levenshtein('a', 'b')"; 20].join(", ")),
    ] {
        for client in ["auditor", "nobody"] {
            let (status, answer) = world.try_sql(client, &sql).await;
            assert_eq!((status, code(&answer)), (400, "invalid_query"), "{answer}");
            let message = answer["message"].as_str().unwrap();
            let says = ["over the limit of", "functions", "join", "fixed size", "levenshtein"];
            assert!(says.iter().any(|it| message.contains(it)), "{message}");
        }
    }
    let failed =
        "SELECT count(*) FROM queries WHERE activity = 'failed' AND reason LIKE 'invalid_query: %'";
    assert_eq!(world.value(failed).await, json!(26), "on record");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_functions_make_of_constants_is_bounded() {
    let world = World::start().await;
    for (sql, whose) in [
        ("SELECT length(repeat('x', 2000000000))", "repeat"),
        ("SELECT length(lpad('x', 2000000000))", "lpad"),
        ("SELECT length(rpad('x', 2000000000, 'ab'))", "rpad"),
        ("SELECT length(replace(repeat('x', 100000), 'x', repeat('y', 100000)))", "replace"),
        (
            "SELECT length(regexp_replace(repeat('x', 100000), 'x', repeat('y', 100000), 'g'))",
            "regexp_replace",
        ),
        ("SELECT levenshtein(repeat('x', 100000), repeat('y', 100000))", "levenshtein"),
        (
            "SELECT length(array_to_string(string_to_array(repeat('x,', 50000), ','), repeat('y', 100000)))",
            "array_to_string",
        ),
        ("SELECT length(concat_ws(repeat('y', 100000), 'a', 'b', 'c'))", "concat_ws"),
        ("SELECT length(concat(repeat('y', 100000), repeat('y', 100000)))", "concat"),
        ("SELECT length(repeat('y', 100000) || repeat('y', 100000))", "||"),
        ("SELECT cardinality(regexp_match(repeat('x', 100000), '((((x*))))'))", "regexp_match"),
        ("SELECT cardinality([repeat('x', 100000), repeat('y', 100000)])", "make_array"),
        ("SELECT length('a' || lpad('x', 100 * 1000 * 1000))", "lpad"),
        ("SELECT regexp_count(repeat('A', 20000), '.*[^A-Z]|[A-Z]')", "regexp_count"),
        (
            "SELECT cardinality(array_replace_all(string_to_array(repeat('x,', 18000), ','), 'x', repeat('y', 100000)))",
            "array_replace_all",
        ),
        ("SELECT length(encode(encode(repeat('x', 50000)::bytea, 'hex')::bytea, 'hex'))", "encode"),
    ] {
        let (status, answer) = world.try_sql("nobody", sql).await;
        assert_eq!((status, code(&answer)), (422, "answer_too_large"), "{sql}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(&format!("`{whose}`")), "{sql}: {message}");
        assert!(message.contains("of constants"), "{sql}: {message}");
    }
    for (sql, answer) in [
        ("SELECT length(repeat('x', 100000))", json!(100_000)),
        ("SELECT repeat('ab', 2) || 'c' || NULL", Value::Null),
        ("SELECT lpad('x', 3, 'ab') || rpad('y', 3) || '|'", json!("abxy  |")),
        ("SELECT concat('a', NULL, 'b') || concat_ws('-', 'a', NULL, 'b')", json!("aba-b")),
        ("SELECT replace('abcabc', 'b', 'xx')", json!("axxcaxxc")),
        ("SELECT regexp_replace('abc', '(b)', '[\\1]')", json!("a[b]c")),
        ("SELECT array_to_string(['a', 'b'], '-')", json!("a-b")),
        ("SELECT levenshtein('kitten', 'sitting')", json!(3)),
        ("SELECT regexp_count('a1b22', '[0-9]+')", json!(2)),
        (
            "SELECT count(*) FROM (SELECT reason || 'x', count(*) FROM decisions GROUP BY ROLLUP(reason || 'x')) t",
            json!(1),
        ),
    ] {
        assert_eq!(world.value(sql).await, answer, "{sql}");
    }
    let many = format!(
        "SELECT count(*) FROM decisions WHERE reason = ANY(ARRAY[{}])",
        ["'a'"; 4000].join(", ")
    );
    assert_eq!(world.value(&many).await, json!(0), "a list is flat");
    let patterns =
        "SELECT sum(regexp_count('a', 'x{10}' || value::text)) FROM generate_series(1, 100)";
    let (status, answer) = world.try_sql("auditor", patterns).await;
    assert_eq!((status, code(&answer)), (400, "invalid_query"), "{answer}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_functions_make_of_rows_is_bounded_and_paid_for() {
    let limits = Limits { max_memory_bytes: 64 << 20, ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    let of = "FROM generate_series(1, 8000)";
    for (sql, why) in [
        (format!("SELECT max(length(repeat('x', value * 100000))) {of}"), "answer_too_large"),
        (format!("SELECT max(length(repeat(value::text, 100000))) {of}"), "answer_too_large"),
        (
            format!("SELECT max(levenshtein(repeat(value::text, 200), repeat('a', 800))) {of}"),
            "answer_too_large",
        ),
        // Each call makes less than it may, and all together more than there is.
        (
            format!(
                "SELECT max(length(concat({}))) {of}",
                (0..20)
                    .map(|n| format!("repeat(value::text, {})", 2000 + n))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            "out_of_memory",
        ),
    ] {
        let (status, answer) = world.try_sql("auditor", &sql).await;
        assert_eq!((status, code(&answer)), (422, why), "{sql}: {answer}");
    }
    // More than could be made at once, some rows at a time; in order, and as it would be.
    let sql = format!(
        "SELECT count(*), sum(length(made)), bool_and(made = value::text || '-') FROM
         (SELECT value, regexp_replace(value::text || '#', '#', '-') AS made,
                 regexp_replace(repeat(value::text, 400), '#', repeat('y', 50)) AS many {of})
         WHERE length(many) >= 400"
    );
    assert_eq!(world.rows(&sql).await, vec![json!([8000, 38893, true])]);
    assert_eq!(world.value("SELECT 40 + 2").await, json!(42), "what was taken was given back");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn to_plan_takes_a_turn() {
    let limits = Limits {
        max_concurrent: 4,
        max_queue_wait: Duration::from_millis(300),
        ..Limits::default()
    };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    // Seconds of planning, and of nothing else: constants. One of four turns is this reader's.
    let slow = ('a'..='p').map(|n| format!("levenshtein(repeat('x', 3100), repeat('{n}', 3100))"));
    let slow = format!("SELECT {}", slow.collect::<Vec<_>>().join(", "));
    let token = world.token("nobody").await;
    let request = world.http.post(world.url("/v1/sql")).bearer_auth(&token);
    let asked = tokio::spawn(request.json(&json!({ "sql": slow })).send());
    let began = Instant::now();
    let mut busy = false;
    while !busy && !asked.is_finished() {
        let (status, answer) = world.try_sql("nobody", "SELECT 1").await;
        busy = (status, code_of(&answer)) == (429, "busy");
        assert_eq!(world.value("SELECT 40 + 2").await, json!(42), "the others have theirs");
    }
    if asked.is_finished() {
        let answer = asked.await.unwrap().unwrap().text().await.unwrap();
        panic!("it was over within {:?}: {answer}", began.elapsed());
    }
    assert!(busy);
    let described = pg::connect(&world, "nobody").await.prepare("SELECT 1").await;
    let refused = described.expect_err("it was described beside it");
    assert_eq!(refused.code().unwrap().code(), "53300");
    asked.abort();
    world.running.stop().await;
}

fn code_of(answer: &Value) -> &str {
    answer["code"].as_str().unwrap_or("")
}
