//! The check of a token goes on record in one with a call of a server's tool: never after it, and before whatever else is done or told.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_schemas::Body;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Way, tls};
use crate::double::{Double, raw};
use crate::faults_of_servers::{KINDS, ways};
use crate::message::{Message, modern};
use crate::servers::{at, config, find, world};
use crate::sessions::legacy_world;
use crate::world::World;

/// Whether the check is the first that is new on record, after `message`.
async fn comes_first(world: &World, token: &str, message: Message) -> bool {
    let before = world.events().await.len();
    message.token(token).send(world, Way::H2).await;
    matches!(world.events().await[before].body, Body::Authentication(_))
}

/// Whatever a message leads to: a server that is not known yet is looked at, a session is begun for one call, people are asked, a target
/// of the gateway's own is opened, policy or a scope refuses.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_of_a_message_comes_after_its_check() {
    let double = Double::start().await;
    double.does(|_| Some(raw(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "not yet")));
    let world =
        World::with(&config(&double, ""), |_| {}, |mcp| mcp.limits.patience = Duration::ZERO).await;
    let token = world.token("agent", None).await;
    let call = |name: &str, arguments| {
        modern("tools/call", json!({ "name": name, "arguments": arguments }))
    };
    let named = |name: &str, arguments| at("/mcp/crm", call(name, arguments));
    // Nothing is known of the server.
    for message in [find(json!({})), call("crm__find", json!({}))] {
        assert!(comes_first(&world, &token, message).await);
    }
    double.does(|_| None);
    assert!(comes_first(&world, &token, find(json!({}))).await);
    for (what, message) in [
        ("people are asked", named("refund", json!({ "id": 50 }))),
        ("policy refuses", named("refund", json!({ "id": 13 }))),
        ("there is no such server", at("/mcp/none", find(json!({})))),
        (
            "a target of the gateway's own",
            call("query", json!({ "sql": "SELECT 1", "target": "open" })),
        ),
    ] {
        assert!(comes_first(&world, &token, message).await, "{what}");
    }
    let double = Double::start().await;
    let world = legacy_world(&double).await;
    let token = world.token("agent", None).await;
    assert!(comes_first(&world, &token, call("crm__find", json!({}))).await, "a session is begun");
    let double = Double::start().await;
    let world =
        World::saying(&format!("{}[scopes]\nconnect = 'tallyport'", config(&double, ""))).await;
    let token = world.token("agent", None).await;
    assert!(comes_first(&world, &token, find(json!({}))).await, "a scope is missing");
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
            world.settled().await;
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

/// Nor is it waited for without that: silence would tell it, too.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_slow_to_send_a_message_is_on_record_meanwhile() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let port = world.front.tcp_addr.port();
    let head = format!(
        "POST /mcp/crm HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: 10\r\n\r\n"
    );
    let before = world.events().await.len();
    let mut stream = tls(&world, b"http/1.1").await;
    stream.write_all(head.as_bytes()).await.unwrap();
    world.wait_for("the check", |events| events.len() > before).await;
}
