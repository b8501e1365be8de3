//! While the log takes no events nothing is answered, whichever way that fails; and more than may be is not begun.

use serde_json::json;
use tallyport_eventlog::faults::{Fault, FaultKind};

use crate::client::{Answer, WAYS};
use crate::message::{Message, legacy, modern};
use crate::world::World;

fn messages() -> [Message; 4] {
    [
        modern("tools/call", json!({ "name": "whoami" })),
        modern("tools/list", json!({})),
        modern("server/discover", json!({})),
        legacy("initialize", json!({ "protocolVersion": "2025-11-25" })),
    ]
}

fn assert_nothing_passed(answer: &Answer, case: &str) {
    assert_eq!(answer.status, 503, "{case}: {answer:?}");
    assert_eq!(answer.json()["code"], "log_unavailable", "{case}");
    assert_eq!(answer.header("retry-after"), "1", "{case}");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!text.contains("scoped") && !text.contains("result"), "{case}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_record_nothing_passes() {
    let world = World::start().await;
    let token = world.token("scoped", None).await;
    for kind in [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang] {
        for persisted in [true, false] {
            for (way, message) in WAYS.into_iter().cycle().zip(messages()) {
                let case =
                    format!("{kind:?}, persisted {persisted}, {way:?} {}", message.body["method"]);
                world.settled().await;
                world.faults.set(Fault::once(kind, persisted));
                let answer = message.clone().token(&token).send(&world, way).await;
                assert_nothing_passed(&answer, &case);
                world.faults.release_hung();
                // It recovers without a restart.
                let answer = message.token(&token).send(&world, way).await;
                assert_eq!(answer.status, 200, "{case}: {answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_challenge_of_scopes_without_its_decision_on_record() {
    let world = World::saying("scopes = { connect = 'tallyport' }").await;
    let token = world.token("agent", None).await;
    for kind in [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang] {
        for persisted in [true, false] {
            for way in WAYS {
                let case = format!("{kind:?}, persisted {persisted}, {way:?}");
                // What the last fault left behind is put in order first.
                let answer = modern("tools/list", json!({})).token(&token).send(&world, way).await;
                assert_eq!(answer.status, 403, "{case}: it recovers without a restart");
                world.settled().await;
                // The check of the token passes; the decision does not.
                world.faults.set(Fault::once(FaultKind::Delay(std::time::Duration::ZERO), true));
                world.faults.set(Fault::once(kind, persisted));
                let answer = modern("tools/list", json!({})).token(&token).send(&world, way).await;
                assert_nothing_passed(&answer, &case);
                assert_eq!(answer.header("www-authenticate"), "", "{case}");
                world.faults.release_hung();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_turned_away_is_not_known_without_the_control_log() {
    let world = World::start().await;
    let token = world.token("scoped", None).await;
    let deadline = std::time::Instant::now() + crate::world::SOON;
    while !world.gateway.knows_who_is_out() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world.faults.fail_reads(u32::MAX);
    while world.gateway.knows_who_is_out() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    for (way, message) in WAYS.into_iter().zip(messages()) {
        let answer = message.token(&token).send(&world, way).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (503, Some("control_unavailable"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_may_be_are_not_begun() {
    let world = World::with("", |_| {}, |mcp| mcp.limits.max_calls_per_principal = 0).await;
    let token = world.token("agent", None).await;
    for way in WAYS {
        let call = modern("tools/call", json!({ "name": "whoami" })).token(&token);
        let answer = call.send(&world, way).await;
        assert_eq!(
            (answer.status, answer.code(), answer.header("retry-after")),
            (429, -32000, "1")
        );
        assert_eq!(answer.json()["id"], 1);
        let answer = modern("tools/list", json!({})).token(&token).send(&world, way).await;
        assert_eq!(answer.status, 200, "to list is not to call");
    }
    let events = world.events().await;
    assert_eq!(crate::refusals::refused(&events).len(), WAYS.len(), "each is on record, once");
}
