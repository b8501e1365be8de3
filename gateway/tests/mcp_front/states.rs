//! `requestState`: what a server gives a client to carry comes back from that client, for the same request, or not at all.

use serde_json::{Value, json};
use tallyport_schemas::{Body, Disposition, Effect, Phase};

use crate::client::Way;
use crate::double::{Double, answer};
use crate::message::modern;
use crate::servers::{at, commands, find, world};
use crate::world::World;

const STATE: &str = "v1.\u{e9}+/==";

/// A server that asks for input once, and then tells what state came back.
async fn asking() -> Double {
    let double = Double::start().await;
    double.does(|seen| {
        let asked = seen.json();
        let result = match asked.pointer("/params/requestState").cloned() {
            None => json!({ "resultType": "input_required", "inputRequests": {}, "requestState": STATE }),
            Some(state) => json!({
                "resultType": "complete", "content": [], "structuredContent": { "state": state },
                "messages": [{ "role": "user", "content": { "type": "text", "text": state } }],
            }),
        };
        ["tools/call", "prompts/get"].contains(&&*seen.said()).then(|| answer(&asked, result))
    });
    double
}

fn prompt() -> crate::message::Message {
    at("/mcp/crm", modern("prompts/get", json!({ "name": "open" })))
}

async fn given(world: &World, token: &str) -> Value {
    let first = find(json!({})).token(token).send(world, Way::H2).await.json();
    let state = first["result"]["requestState"].clone();
    assert!(state.is_string(), "{first}");
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_back_what_it_gave_byte_for_byte() {
    let double = asking().await;
    let world = world(&double, "detectors = { all = 'mask' }").await;
    let token = world.token("agent", None).await;
    let mut again = find(json!({}));
    again.body["params"]["requestState"] = given(&world, &token).await;
    again.body["params"]["task"] = json!({ "ttl": 1 });
    let second = again.token(&token).send(&world, Way::H2).await.json();
    assert_eq!(second["result"]["structuredContent"]["state"], STATE);
    assert!(double.seen("tools/call")[1].json()["params"].get("task").is_none());
    let recorded = commands(&world.events().await);
    assert!(recorded[1].statement.as_ref().unwrap().contains("requestState"));
    // The same of what is no tool.
    let first = prompt().token(&token).send(&world, Way::H2).await.json();
    let mut again = prompt();
    again.body["params"]["requestState"] = first["result"]["requestState"].clone();
    let second = again.token(&token).send(&world, Way::H2).await.json();
    assert_eq!(second["result"]["messages"][0]["content"]["text"], STATE, "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_somebody_else_or_of_another_request_does_not_pass_and_is_on_record() {
    let double = asking().await;
    let world = world(&double, "").await;
    let (agent, writer) = (world.token("agent", None).await, world.token("writer", None).await);
    let state = given(&world, &agent).await;
    let text = state.as_str().unwrap();
    let before = double.all().len();
    let refund = |arguments: Value| {
        at("/mcp/crm", modern("tools/call", json!({ "name": "refund", "arguments": arguments })))
    };
    let cases = [
        ("another principal's", &writer, find(json!({})), state.clone()),
        ("another tool's", &agent, refund(json!({})), state.clone()),
        ("of what somebody must agree to", &agent, refund(json!({ "id": 50 })), state.clone()),
        ("what is no tool", &agent, prompt(), state.clone()),
        ("changed", &agent, find(json!({})), json!(text.replace("v1", "v2"))),
        ("the server's own, unmarked", &agent, find(json!({})), json!(STATE)),
        ("no text", &agent, find(json!({})), json!({ "state": STATE })),
    ];
    let count = cases.len();
    for (case, token, mut message, state) in cases {
        message.body["params"]["requestState"] = state;
        let told = message.token(token).send(&world, Way::H2).await;
        let words = String::from_utf8(told.body.to_vec()).unwrap();
        assert!(words.contains("ask again without it"), "{case}: {words}");
        assert_eq!(told.json()["error"]["code"], -32602, "{case}: {words}");
        assert!(!words.contains(STATE), "{case}: {words}");
    }
    assert_eq!(double.all().len(), before, "a server has seen one");
    let events = world.events().await;
    let refused = commands(&events);
    let refused = refused.iter().filter(|it| it.disposition == Disposition::Refused).count();
    let denied = events.iter().filter(|it| match &it.body {
        Body::Decision(decision) => {
            decision.effect == Effect::Deny
                && decision.reasons.iter().any(|it| it.contains("requestState"))
        }
        _ => false,
    });
    assert_eq!((refused, denied.count()), (count, count));
    assert!(commands(&events).iter().any(|it| it.phase == Phase::Prompt));
    let asked = events.iter().any(|it| matches!(it.body, Body::Approval(_)));
    assert!(!asked, "nobody is asked to agree to what must not pass");
    // Its owner is not harmed by that.
    let mut again = find(json!({}));
    again.body["params"]["requestState"] = state;
    let told = again.token(&agent).send(&world, Way::H2).await.json();
    assert_eq!(told["result"]["structuredContent"]["state"], STATE);
}
