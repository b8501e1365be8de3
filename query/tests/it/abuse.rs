//! What a reader without rights, or without measure, cannot do to the others.

use serde_json::{Value, json};

use crate::pg;
use crate::world::World;

fn code(answer: &Value) -> &str {
    answer["code"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// Each overflows a column inside the engine, which panics there: in a task of the engine's, and in the question's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_engine_is_an_error_on_record() {
    let world = World::start().await;
    let large = "SELECT array_agg(x) FROM (SELECT repeat('x', 1000000) AS x FROM generate_series(1, 100000))";
    for sql in [large, "SELECT repeat('x', 1000000) AS large FROM generate_series(1, 100000)"] {
        let (status, answer) = world.try_sql("auditor", sql).await;
        assert_eq!((status, code(&answer)), (422, "answer_too_large"), "{sql}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("too large for the engine"), "{sql}: {message}");
    }
    let sql = "SELECT activity, split_part(reason, ':', 1) FROM queries WHERE sql LIKE '%1000000%' \
               AND sql NOT LIKE '%FROM queries%' ORDER BY log_offset";
    let (started, failed) = (json!(["started", null]), json!(["failed", "answer_too_large"]));
    assert_eq!(world.rows(sql).await, [&started, &failed, &started, &failed].map(Clone::clone));

    let client = pg::connect(&world, "auditor").await;
    let error = client.simple_query(large).await.unwrap_err();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("54000"), "{error}");
    client.simple_query("SELECT 1").await.expect("the connection goes on");
    world.running.stop().await;
}
