//! Nothing reaches a server, and nothing of what it says anybody, without a record; whichever way the log fails.

use std::time::Duration;

use serde_json::json;
use tallyport_eventlog::faults::{Fault, FaultKind};

use crate::client::Way;
use crate::double::Double;
use crate::message::{Message, modern};
use crate::servers::{find, world};
use crate::world::World;

pub const KINDS: [FaultKind; 3] = [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang];

/// Lets so many appends pass before `fault`.
async fn after(world: &World, passes: usize, fault: Fault) {
    world.settled().await;
    for _ in 0..passes {
        world.faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
    }
    world.faults.set(fault);
}

pub fn ways() -> [Message; 2] {
    [
        find(json!({ "id": 7 })),
        modern("tools/call", json!({ "name": "crm__find", "arguments": { "id": 7 } })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_reaches_a_server_without_its_record() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let mut calls = 0;
    for kind in KINDS {
        for persisted in [true, false] {
            for message in ways() {
                let case = format!("{kind:?}, persisted {persisted}");
                world.settled().await;
                // The check of the token goes on record in one with the command.
                world.faults.set(Fault::once(kind, persisted));
                let told =
                    message.clone().token(&token).send(&world, Way::H2).await.json().to_string();
                assert!(told.contains("the audit log is not available"), "{case}: {told}");
                assert_eq!(double.seen("tools/call").len(), calls, "{case}: the server got it");
                world.faults.release_hung();
                let good = message.token(&token).send(&world, Way::H2).await.json();
                assert_eq!(
                    good["result"]["isError"], false,
                    "{case}: it recovers without a restart: {good}"
                );
                calls += 1;
                assert_eq!(double.seen("tools/call").len(), calls, "{case}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_answer_passes_without_its_record() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    for kind in KINDS {
        for persisted in [true, false] {
            for message in ways() {
                let case = format!("{kind:?}, persisted {persisted}");
                after(&world, 1, Fault::once(kind, persisted)).await;
                let told = message.clone().token(&token).send(&world, Way::H2).await;
                let told = String::from_utf8(told.body.to_vec()).unwrap();
                assert!(told.contains("the audit log is not available"), "{case}: {told}");
                assert!(!told.contains("ada@") && !told.contains("tea"), "{case}: {told}");
                world.faults.release_hung();
                let good = message.token(&token).send(&world, Way::H2).await.json();
                assert_eq!(good["result"]["isError"], false, "{case}: {good}");
            }
        }
    }
}

/// What a server says before its answer is no exception.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_server_says_aside_passes_without_its_record() {
    let double = Double::start().await;
    double.does(|seen| {
        let asked = seen.json();
        let aside = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": 1, "progress": 1, "message": "found ada" } });
        let result = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "resultType": "complete", "content": [] } });
        (seen.said() == "tools/call").then(|| crate::double::events(&[aside, result]))
    });
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let whole = find(json!({})).token(&token).send(&world, Way::H2).await;
    assert!(String::from_utf8(whole.body.to_vec()).unwrap().contains("found ada"));
    for kind in KINDS {
        for persisted in [true, false] {
            after(&world, 1, Fault::once(kind, persisted)).await;
            let told = find(json!({})).token(&token).send(&world, Way::H2).await;
            let told = String::from_utf8(told.body.to_vec()).unwrap();
            assert!(!told.contains("found ada"), "{kind:?} {persisted}: {told}");
            world.faults.release_hung();
            let good = find(json!({})).token(&token).send(&world, Way::H2).await;
            assert!(
                String::from_utf8(good.body.to_vec()).unwrap().contains("complete"),
                "{kind:?}"
            );
        }
    }
}
