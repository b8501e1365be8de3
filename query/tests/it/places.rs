//! Wherever rows can be when a question is asked: the tail, files that lack columns, the Delta library's hands.

use serde_json::json;

use crate::files::{events_of, until_snapshot, write_commit};
use crate::tool_calls::NEW;
use crate::world::{Merge, World, record_without};

/// Runs `check` once for each place, which it is told the name of, over the same events and some more.
pub async fn everywhere(check: impl AsyncFn(&World, &str)) {
    let world = World::start().await;
    for draft in crate::story::drafts() {
        world.commit(draft).await;
    }
    check(&world, "in the tail").await;
    let older = world.latest(0).await;
    record_without(world.log.as_ref(), &world.lake, 0, older / 2, &NEW, Merge::No).await;
    until_newest(&world).await;
    check(&world, "some in a lake that lacks columns").await;
    record_without(world.log.as_ref(), &world.lake, 0, older, &NEW, Merge::No).await;
    for draft in crate::tool_calls::drafts() {
        world.commit(draft).await;
    }
    until_newest(&world).await;
    check(&world, "in a lake that lacks columns, and the newest not").await;
    let whole = world.latest(0).await;
    record_without(world.log.as_ref(), &world.lake, 0, whole, &[], Merge::Yes).await;
    until_newest(&world).await;
    check(&world, "in files that lack columns and files that have them").await;
    // The Delta library reads a table that asks more of its readers.
    let protocol = json!({"protocol": {
        "minReaderVersion": 3, "minWriterVersion": 7,
        "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors", "appendOnly"],
    }});
    write_commit(&events_of(&world), 3, &[protocol]);
    until_newest(&world).await;
    check(&world, "read by the library").await;
    world.running.stop().await;
}

/// Until the service answers from the newest version of the lake: it looks for one now and then.
async fn until_newest(world: &World) {
    let commits = std::fs::read_dir(events_of(world).join("_delta_log")).unwrap();
    let commits = commits
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "json"));
    until_snapshot(world, commits.count() as u64 - 1).await;
}
