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
