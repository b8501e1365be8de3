//! Distinct numbers are counted by a function of our own: beside the engine's way to the same answer.

use serde_json::json;

use crate::freshness::event;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn distinct_numbers_are_as_many_as_distinct_rows() {
    let world = World::start().await;
    for number in 0..40 {
        world.commit(event(&format!("SELECT {number}"))).await;
    }
    let whole = world.latest(0).await;
    world.record(0, whole / 2).await;
    for column in [
        "producer_seq",
        "log_offset",
        "log_partition",
        "session_seq",
        "rows",
        "bytes",
        "duration_us",
    ] {
        let by_kind = format!(
            "SELECT family, activity, count(DISTINCT {column}) AS n FROM events GROUP BY family, activity ORDER BY 1, 2"
        );
        let rows = format!(
            "SELECT family, activity, count({column}) AS n FROM (SELECT DISTINCT family, activity, {column} FROM events) GROUP BY family, activity ORDER BY 1, 2"
        );
        // Each question is an event, too: both are asked of what was there before.
        let upto = world.latest(0).await;
        let before = |sql: &str| {
            sql.replace(
                "FROM events",
                &format!("FROM (SELECT * FROM events WHERE log_offset < {upto}) e"),
            )
        };
        let [counted, distinct] = [before(&by_kind), before(&rows)];
        assert_eq!(world.rows(&counted).await, world.rows(&distinct).await, "{column}");
        let all = before(&format!(
            "SELECT count(DISTINCT {column}), count(DISTINCT {column}) FILTER (WHERE log_offset % 3 = 0) FROM events"
        ));
        let distinct = before(&format!(
            "SELECT (SELECT count({column}) FROM (SELECT DISTINCT {column} FROM events)) AS a, (SELECT count({column}) FROM (SELECT DISTINCT {column} FROM events WHERE log_offset % 3 = 0)) AS b"
        ));
        assert_eq!(world.rows(&all).await, world.rows(&distinct).await, "{column}");
    }
    let of_kinds = "SELECT v.f, (SELECT count(DISTINCT producer_seq) FROM events e WHERE e.family = v.f) AS n FROM (VALUES ('command'), ('nothing')) v(f) ORDER BY 1";
    assert_eq!(world.rows(of_kinds).await, vec![json!(["command", 40]), json!(["nothing", 0])]);
    let sums = "SELECT count(*), count(family), min(n), max(n) FROM (SELECT family, count(DISTINCT producer_seq) AS n FROM events WHERE family = 'command' GROUP BY ROLLUP (family)) s";
    assert_eq!(world.rows(sums).await, vec![json!([2, 1, 40, 40])]);
    let none = "SELECT count(DISTINCT producer_seq) FROM events WHERE family = 'nothing'";
    assert_eq!(world.rows(none).await, vec![json!([0])]);
    let named =
        "SELECT count(DISTINCT producer_seq) FROM events HAVING count(DISTINCT producer_seq) > 40";
    let (_, answer) = world.try_sql("auditor", named).await;
    assert_eq!(answer["columns"][0]["name"], "count(DISTINCT events.producer_seq)", "{answer}");
    assert_eq!(answer["rows"].as_array().map(Vec::len), Some(1), "{answer}");
    world.running.stop().await;
}
