//! A task, or a call, waits for whoever called: where their issuer takes the token back meanwhile, nothing is called for them any
//! more.

use std::time::Duration;

use crate::approvals_by_client::{federated, knows, over, requests, task};
use serde_json::json;

use crate::approvals_of_calls::{answer, refund, say};
use crate::double::Double;
use crate::hostile_servers::hangs;
use crate::message::modern;
use crate::servers::{at, config, pins};
use crate::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_ends_when_the_issuer_takes_the_token_back() {
    let double = Double::start().await;
    let patience = |mcp: &mut tallyport_gateway::config::McpConfig| {
        mcp.limits.patience = Duration::from_millis(300);
    };
    let world = World::asking(&config(&double, ""), patience).await;
    world.wait_for("pins", |events| pins(events) >= 2).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    let other = world.token("agent", None).await;
    let id = task(&world, &token, knows(federated())).await;
    let approval = requests(&world).await.pop().unwrap();
    world.issuer.revoke(&token);
    let ended = over(&world, &other, &id).await;
    assert_eq!(ended["status"], "failed", "{ended}");
    assert!(ended["error"]["message"].as_str().unwrap().contains("does not count"), "{ended}");
    let before = double.seen("tools/call").len();
    answer(&world, &dana, &approval, "approve").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(double.seen("tools/call").len(), before, "nothing is called for it any more");
}

/// At the server's own place, at the one of all, and of a tool of the gateway's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_when_the_issuer_takes_the_token_back() {
    let double = Double::start().await;
    let _open = hangs(&double);
    let patience = |mcp: &mut tallyport_gateway::config::McpConfig| {
        mcp.limits.patience = Duration::from_secs(60);
    };
    let world = World::asking(&config(&double, ""), patience).await;
    world.wait_for("pins", |events| pins(events) >= 2).await;
    let find = |name: &str| modern("tools/call", json!({ "name": name, "arguments": { "id": 1 } }));
    for call in [at("/mcp/crm", find("find")), find("crm__find"), refund(json!({})), federated()] {
        let token = world.token("agent", None).await;
        let revoked = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            world.issuer.revoke(&token);
        };
        let told = async { tokio::time::timeout(SOON, say(&world, &token, call)).await };
        let (told, ()) = tokio::join!(told, revoked);
        let told = told.expect("it goes on");
        assert!(told.to_string().contains("does not count"), "{told}");
    }
}
