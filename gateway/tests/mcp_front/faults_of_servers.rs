//! Nothing reaches a server, and nothing of what it says anybody, without a record; whichever way the log fails.

use std::time::Duration;

use serde_json::json;
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_schemas::Body;

use crate::client::{Way, tls};
use crate::double::Double;
use crate::message::{Message, modern};
use crate::servers::{at, find, world};
use crate::world::World;

const KINDS: [FaultKind; 3] = [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang];

/// Lets so many appends pass before `fault`.
fn after(world: &World, passes: usize, fault: Fault) {
    for _ in 0..passes {
        world.faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
    }
    world.faults.set(fault);
}

fn ways() -> [Message; 2] {
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
                after(&world, 1, Fault::once(kind, persisted));
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
            after(&world, 1, Fault::once(kind, persisted));
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

/// The check of a token is on record before the call that it goes along with, and before whatever else becomes of it is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_on_record_with_the_call_or_before_anything_is_told() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    for message in ways() {
        let before = world.events().await.len();
        message.token(&token).send(&world, Way::H2).await;
        let events = world.events().await;
        let is_next = |n: usize, is: fn(&Body) -> bool| is(&events[before + n].body);
        assert_eq!(events.len(), before + 4);
        assert!(is_next(0, |it| matches!(it, Body::Authentication(_))), "{events:?}");
        assert!(is_next(1, |it| matches!(it, Body::Decision(_))), "{events:?}");
        assert!(is_next(2, |it| matches!(it, Body::Command(_))), "{events:?}");
    }
    let call =
        |name: &str| at("/mcp/crm", modern("tools/call", json!({ "name": name, "arguments": {} })));
    let refused = at(
        "/mcp/crm",
        modern("tools/call", json!({ "name": "refund", "arguments": { "id": 13 } })),
    );
    for message in [
        call("no-such-tool"),
        refused,
        at("/mcp/none", find(json!({}))),
        modern("tools/call", json!({ "name": "crm__none" })),
    ] {
        let message = message.token(&token);
        let checks = world.checks().await.len();
        message.clone().send(&world, Way::H2).await;
        assert_eq!(world.checks().await.len(), checks + 1, "{}", message.body);
        for kind in KINDS {
            world.faults.set(Fault::once(kind, false));
            let told = message.clone().send(&world, Way::H2).await;
            let said = String::from_utf8(told.body.to_vec()).unwrap();
            assert!(said.contains("audit log"), "{kind:?}: {} {said}", told.status);
            world.faults.release_hung();
            // It recovers.
            message.clone().send(&world, Way::H2).await;
        }
    }
}

/// Not even that a message may follow is told before the check is on record: else it would tell that a token is good.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_invites_a_message_before_its_token_is_on_record() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let port = world.front.tcp_addr.port();
    let head = format!(
        "POST /mcp/crm HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n"
    );
    for is_broken in [true, false] {
        if is_broken {
            world.faults.set(Fault::once(FaultKind::Refuse, false));
        }
        let checks = world.checks().await.len();
        let mut stream = tls(&world, b"http/1.1").await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut told = vec![0; 12];
        stream.read_exact(&mut told).await.unwrap();
        let wanted = if is_broken { "HTTP/1.1 503" } else { "HTTP/1.1 100" };
        assert_eq!(String::from_utf8_lossy(&told), wanted);
        assert_eq!(world.checks().await.len() > checks, !is_broken);
    }
}
