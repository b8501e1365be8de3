//! Joins of a view with itself have columns of one name twice: what is skipped for one must not be asked of the other.

use serde_json::{Value, json};

use crate::world::World;

/// Each beside the same question of which nothing is skipped: no limit is pushed through what counts all rows.
#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_lost_where_two_columns_have_one_name() {
    let world = World::start().await;
    for draft in crate::story::drafts().into_iter().chain(crate::tool_calls::drafts()) {
        world.commit(draft).await;
        if world.latest(0).await % 7 == 0 {
            world.record_all().await;
        }
    }
    let upto = world.latest(0).await;
    let first = "events a JOIN events b ON a.session_id = b.session_id";
    for (joined, order) in [
        (format!("{first} JOIN events c ON b.trace_id = c.trace_id"), "b.time DESC, a.log_offset, c.log_offset"),
        (format!("{first} JOIN events c ON b.trace_id = c.trace_id"), "b.time, a.log_offset, c.log_offset"),
        (format!("{first} JOIN events c ON a.trace_id = c.trace_id"), "c.time DESC, b.log_offset, a.log_offset"),
        (first.to_owned(), "b.time DESC, a.log_offset"),
        (first.to_owned(), "a.time, b.log_offset DESC"),
        ("events a LEFT JOIN events b ON a.session_id = b.session_id AND b.family = 'response'".to_owned(), "b.time NULLS FIRST, a.log_offset"),
        ("events a RIGHT JOIN events b ON a.session_id = b.session_id AND a.family = 'response'".to_owned(), "a.time NULLS FIRST, b.log_offset"),
        ("events a JOIN events b ON a.family = b.family JOIN events c ON b.log_offset = c.log_offset".to_owned(), "b.time, a.log_offset"),
    ] {
        let within = format!("a.log_offset < {upto} OR b.log_offset < {upto}");
        let columns = "a.log_offset AS x, b.log_offset AS y, b.time AS t";
        let few = format!("SELECT {columns} FROM {joined} WHERE ({within}) AND coalesce(a.log_offset, 0) < {upto} AND coalesce(b.log_offset, 0) < {upto} ORDER BY {order} LIMIT 5");
        let all = few.replace(" LIMIT 5", "");
        let (few, mut all): (Vec<Value>, Vec<Value>) = (world.rows(&few).await, world.rows(&all).await);
        assert!(all.len() > 5, "{joined}: {}", json!(all));
        all.truncate(5);
        assert_eq!(few, all, "{joined} ORDER BY {order}");
    }
    let lonely = "SELECT count(*) FROM events b WHERE NOT EXISTS (SELECT 1 FROM events a WHERE a.session_id = b.session_id AND a.family = 'response')";
    let right = "SELECT count(*) FROM events a RIGHT JOIN events b ON a.session_id = b.session_id AND a.family = 'response' WHERE a.family IS NULL";
    let before = |sql: &str| {
        sql.replace(" events b", &format!(" (SELECT * FROM events WHERE log_offset < {upto}) b"))
    };
    assert_eq!(world.rows(&before(right)).await, world.rows(&before(lonely)).await);
    // What is told while a question runs: to a scan of which the names are there once, and to no other.
    for (told, sql) in [
        (true, "SELECT statement FROM events ORDER BY time DESC LIMIT 5".to_owned()),
        (
            false,
            format!(
                "SELECT a.time AS x, b.time AS y, c.time AS z FROM {first} JOIN events c ON b.trace_id = c.trace_id ORDER BY b.time LIMIT 5"
            ),
        ),
    ] {
        let plan = world.rows(&format!("EXPLAIN {sql}")).await;
        let plan: String = plan.iter().map(|row| row[1].as_str().unwrap()).collect();
        assert!(plan.contains("file_groups="), "{plan}");
        assert_eq!(plan.contains("DynamicFilter"), told, "{sql}: {plan}");
    }
    world.running.stop().await;
}
