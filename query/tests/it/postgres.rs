//! What PostgreSQL answers is what is answered, or it is refused.

use std::time::Duration;

use serde_json::json;

use crate::pg;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn now_is_when_the_question_is_asked() {
    let world = World::start().await;
    let one = "SELECT now() = now() AND now() = current_timestamp AND now()::date = current_date \
               AND (SELECT max(now()) FROM events) = now()";
    assert_eq!(world.value(one).await, json!(true), "one question has one time");
    for sql in ["SELECT now()", "SELECT current_timestamp", "SELECT current_time"] {
        let first = world.value(sql).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_ne!(world.value(sql).await, first, "{sql}");
    }
    let client = pg::connect(&world, "auditor").await;
    let prepared = client.prepare("SELECT now()::text").await.unwrap();
    let first: String = client.query_one(&prepared, &[]).await.unwrap().get(0);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second: String = client.query_one(&prepared, &[]).await.unwrap().get(0);
    assert_ne!(first, second, "it is asked when it runs");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_finds_what_lies_behind_a_line_feed() {
    let world = World::start().await;
    for sql in [
        "SELECT E'DROP\nTABLE t' ~ 'DROP.TABLE'",
        "SELECT E'DROP\nTABLE t' ~* 'drop.*t$'",
        "SELECT E'DROP\nTABLE t' ~ '(?i)drop.table'",
        "SELECT E'DROP\nTABLE t' ~ '(?x) DROP . TABLE'",
        "SELECT NOT E'DROP\nTABLE t' !~ 'DROP.TABLE'",
        "SELECT NOT E'DROP\nTABLE t' !~* 'drop.table'",
        "SELECT regexp_like(E'DROP\nTABLE t', 'DROP.TABLE')",
        "SELECT regexp_count(E'a\nb', 'a.b') = 1",
        "SELECT regexp_replace(E'a\nb', 'a.b', 'c') = 'c'",
        "SELECT bool_and(t.x ~ t.p) FROM (VALUES (E'a\nb', 'a.b'), (E'b\nc', '^b.c$')) AS t (x, p)",
        "SELECT NOT E'a\nb' ~ '^b' AND 'abc' ~ 'b'",
    ] {
        assert_eq!(world.value(sql).await, json!(true), "{sql}");
    }
    let client = pg::connect(&world, "auditor").await;
    let bound = client.query_one("SELECT E'a\nb' ~ $1", &[&"a.b"]).await.unwrap();
    assert!(bound.get::<_, bool>(0));
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_a_set_with_a_null_is_unknown() {
    let world = World::start().await;
    let sets = "WITH t (x) AS (VALUES (1), (2)), n (x) AS (VALUES (NULL), (2)), e AS (SELECT x FROM n WHERE x > 5)";
    for (condition, found) in [
        ("FROM t WHERE x NOT IN (SELECT x FROM n)", json!([])),
        ("FROM t WHERE x NOT IN (SELECT x FROM n) AND x > 0", json!([])),
        ("FROM t WHERE NOT x IN (SELECT x FROM n)", json!([])),
        ("FROM t WHERE x NOT IN (SELECT x FROM t WHERE x = 2)", json!([[1]])),
        ("FROM n WHERE x NOT IN (SELECT x FROM t WHERE x = 1)", json!([[2]])),
        ("FROM n WHERE x NOT IN (SELECT x FROM e) ORDER BY x", json!([[2], [null]])),
        ("FROM t WHERE x IN (SELECT x FROM n) OR x = 7", json!([[2]])),
        ("FROM t WHERE x = ANY (ARRAY[1, 5])", json!([[1]])),
        ("FROM n WHERE x <> ALL (ARRAY[1, 5])", json!([[2]])),
        ("FROM n WHERE NOT (x = ANY (ARRAY[2, 5]))", json!([])),
    ] {
        let sql = format!("{sets} SELECT x {condition}");
        assert_eq!(json!(world.rows(&sql).await), found, "{sql}");
    }
    world.running.stop().await;
}
