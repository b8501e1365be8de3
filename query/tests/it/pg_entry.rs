//! How readers enter over the PostgreSQL wire, and who they are then.

use tokio_postgres::SimpleQueryMessage;

use crate::pg::connect;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_current_user_is_who_the_token_says() {
    let world = World::start().await;
    let client = connect(&world, "auditor").await;
    for sql in ["SELECT current_user", "SELECT session_user"] {
        let messages = client.simple_query(sql).await.unwrap();
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        assert_eq!(row, Some("auditor"), "{sql}");
    }
    world.running.stop().await;
}
