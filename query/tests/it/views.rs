//! The views over the known story, in the tail, in the lake, and half in each.

use serde_json::json;

use crate::story;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_one_row_each_with_how_they_ended() {
    let world = World::start().await;
    for draft in story::drafts() {
        world.commit(draft).await;
    }
    let half = world.latest(0).await / 2;
    let sql = "SELECT session_id, opened_at, ended_at, state, closed_by, cause, commands, refused, rows, bytes, \
               principal_subject, actor, on_behalf_of, delegation, application, target, database \
               FROM sessions ORDER BY opened_at";
    let id = |number| story::session(number).to_string();
    let want = [
        json!([
            id(1),
            "2024-03-04T10:00:00Z",
            "2024-03-04T10:05:00Z",
            "closed",
            "client",
            null,
            1,
            1,
            1,
            100,
            "bot-1",
            "bot-1",
            "ada",
            null,
            "psql",
            "sample",
            "shop"
        ]),
        json!([
            id(3),
            "2024-03-05T03:00:00Z",
            null,
            "open",
            null,
            null,
            2,
            0,
            1,
            90,
            "eve",
            "eve",
            null,
            null,
            "psql",
            "sample",
            "shop"
        ]),
        json!([
            id(2),
            "2024-03-09T23:00:00Z",
            "2024-03-09T23:10:00Z",
            "lost",
            null,
            "target_unreachable",
            1,
            0,
            3,
            300,
            "ada",
            "bot-2",
            "ada",
            "bot-2",
            "psql",
            "sample",
            "shop"
        ]),
    ];
    assert_eq!(world.rows(sql).await, want, "in the tail");
    world.record(0, half).await;
    assert_eq!(world.rows(sql).await, want, "half in the lake");
    world.record_all().await;
    assert_eq!(world.rows(sql).await, want, "in the lake");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_has_its_family_and_nothing_else() {
    let world = World::start().await;
    for draft in story::drafts() {
        world.commit(draft).await;
    }
    for (view, family) in [
        ("authentications", "authentication"),
        ("session_events", "session"),
        ("decisions", "decision"),
        ("commands", "command"),
        ("responses", "response"),
        ("approvals", "approval"),
        ("revocations", "revocation"),
        ("policy_changes", "policy"),
        ("integrity", "integrity"),
    ] {
        let sql = format!(
            "SELECT (SELECT count(*) FROM {view} WHERE time < '2024-12-31T00:00:00Z') AS a, \
                    (SELECT count(*) FROM events WHERE family = '{family}' AND time < '2024-12-31T00:00:00Z') AS b"
        );
        let rows = world.rows(&sql).await;
        assert_eq!(rows[0][0], rows[0][1], "{view}");
    }
    assert_eq!(world.value("SELECT count(*) > 0 FROM queries").await, true);
    let sql = "SELECT kind, source, activity, error FROM policy_changes WHERE source IS NOT NULL ORDER BY time";
    let want = [
        json!(["policy", "policy.cedar", "loaded", null]),
        json!(["masking", "masking.toml", "rejected", "unknown label"]),
    ];
    assert_eq!(world.rows(sql).await, want);
    let sql = "SELECT c.statement, d.effect, d.reason FROM commands c JOIN decisions d USING (command_id) \
               WHERE d.effect = 'deny'";
    let want = [json!(["DELETE FROM app.customers", "deny", "writing is not permitted"])];
    assert_eq!(world.rows(sql).await, want);
    world.running.stop().await;
}
