//! Calls that wait for somebody who must agree: each runs once, with what was agreed to, or not at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tallyport_schemas::{Approval, Body, Disposition, Effect, Event};

use crate::client::Way;
use crate::double::Double;
use crate::message::{Message, bare, modern};
use crate::servers::{at, commands, config, pins};
use crate::world::{SOON, World};

async fn world(double: &Double, patience: Duration) -> Arc<World> {
    let world =
        World::with(&config(double, ""), |_| {}, |mcp| mcp.limits.patience = patience).await;
    world.wait_for("pins", |events| pins(events) >= 2).await;
    Arc::new(world)
}

/// The refund that policy wants agreed to.
pub fn refund(more: Value) -> Message {
    let mut arguments = json!({ "id": 50 });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let region = arguments["region"].as_str().map(str::to_owned);
    let call =
        at("/mcp/crm", modern("tools/call", json!({ "name": "refund", "arguments": arguments })));
    match region {
        Some(region) => call.and("mcp-param-region", &region),
        None => call,
    }
}

/// The same at the endpoint of all.
fn federated() -> Message {
    modern("tools/call", json!({ "name": "crm__refund", "arguments": { "id": 50 } }))
}

/// What a call is told that waits.
pub fn waits(told: &Value) -> String {
    assert_eq!(told["result"]["isError"], true, "{told}");
    let error = &told["result"]["structuredContent"]["error"];
    assert_eq!(error["code"], "waits_for_approval", "{told}");
    assert!(error["hint"].as_str().unwrap().contains("exactly the same arguments"));
    error["approvals"][0]["approval_id"].as_str().unwrap().to_owned()
}

pub async fn say(world: &World, token: &str, message: Message) -> Value {
    let answer = message.token(token).send(world, Way::H2).await;
    if answer.header("content-type") == "application/json" {
        return answer.json();
    }
    // The last event is the answer.
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    serde_json::from_str(last.unwrap()).unwrap()
}

pub async fn answer(world: &World, token: &str, id: &str, verb: &str) -> u16 {
    let path = format!("/v1/approvals/{id}");
    let deadline = Instant::now() + SOON;
    // It is on record before it is known.
    let seen = loop {
        let seen = bare(Method::GET, &path).token(token).send(world, Way::H1).await;
        if seen.status == 200 {
            break seen.json();
        }
        assert!(Instant::now() < deadline, "{path} {verb} {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let mut body = json!({ "comment": "OPS-7" });
    if verb == "approve" {
        body["digest"] = seen["digest"].clone();
    }
    let answered = bare(Method::POST, &format!("{path}/{verb}")).token(token).raw(body.to_string());
    let answered = answered.send(world, Way::H1).await;
    assert!(answered.status != 400, "{answered:?}");
    answered.status
}

fn asked(events: &[Event]) -> usize {
    events.iter().filter(|it| matches!(&it.body, Body::Approval(Approval::Requested(_)))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_agreed_to_runs_once_and_nothing_else_does() {
    let double = Double::start().await;
    let world = world(&double, Duration::from_millis(200)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    let id = waits(&say(&world, &token, refund(json!({}))).await);
    assert_eq!(waits(&say(&world, &token, refund(json!({}))).await), id, "it is asked for once");
    assert_eq!(waits(&say(&world, &token, federated()).await), id, "whichever way it is called");
    assert!(double.seen("tools/call").is_empty());
    // Neither with other arguments, nor for somebody else.
    let other = waits(&say(&world, &token, refund(json!({ "region": "eu" }))).await);
    let writer = world.token("writer", None).await;
    let anothers = waits(&say(&world, &writer, refund(json!({}))).await);
    assert!(other != id && anothers != id && other != anothers);
    assert_eq!(answer(&world, &token, &id, "approve").await, 403, "who asks may not");
    assert_eq!(answer(&world, &dana, &id, "approve").await, 200);
    assert_eq!(waits(&say(&world, &token, refund(json!({ "region": "eu" }))).await), other);
    assert_eq!(waits(&say(&world, &writer, refund(json!({}))).await), anothers);
    assert!(double.seen("tools/call").is_empty());

    let ran = say(&world, &token, refund(json!({}))).await;
    assert_eq!(ran["result"]["isError"], false, "{ran}");
    assert_eq!(double.seen("tools/call").len(), 1);
    assert_eq!(double.seen("tools/call")[0].json()["params"]["arguments"], json!({ "id": 50 }));
    let anew = waits(&say(&world, &token, refund(json!({}))).await);
    assert_ne!(anew, id, "it is used up");
    assert_eq!(double.seen("tools/call").len(), 1);

    let events = world.events().await;
    assert_eq!(asked(&events), 4);
    let ran: Vec<_> = commands(&events)
        .into_iter()
        .filter(|it| it.disposition == Disposition::Forwarded)
        .collect();
    let used = events.iter().find_map(|it| match &it.body {
        Body::Approval(Approval::Used { command_id, .. }) => Some(*command_id),
        _ => None,
    });
    assert_eq!((ran.len(), used), (1, Some(ran[0].command_id)));
    let paused: Vec<_> =
        world.decisions().await.into_iter().filter(|it| it.effect == Effect::Pause).collect();
    assert_eq!(paused.len(), 4, "each request has its pause");
}

/// Whoever waits for the answer has it as soon as somebody agrees; and is told meanwhile that it waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_waited_for_goes_on_by_itself() {
    let double = Double::start().await;
    let world = world(&double, Duration::from_secs(30)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    let mut call = refund(json!({}));
    call.body["params"]["_meta"]["progressToken"] = json!("p");
    let (there, asks) = (Arc::clone(&world), token.clone());
    let call = tokio::spawn(async move { call.token(&asks).send(&there, Way::H2).await });
    let events = world.wait_for("the request", |events| asked(events) == 1).await;
    let id = events.iter().find_map(|it| match &it.body {
        Body::Approval(Approval::Requested(request)) => Some(request.approval_id.to_string()),
        _ => None,
    });
    assert_eq!(answer(&world, &dana, &id.unwrap(), "approve").await, 200);
    let text = String::from_utf8(call.await.unwrap().body.to_vec()).unwrap();
    assert!(text.contains("waits for approval") && text.contains(r#""isError":false"#), "{text}");
    assert_eq!(double.seen("tools/call").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_does_not_run_and_says_who_said_so() {
    let double = Double::start().await;
    let world = world(&double, Duration::from_secs(30)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    let (there, asks) = (Arc::clone(&world), token.clone());
    let call = tokio::spawn(async move { say(&there, &asks, refund(json!({}))).await });
    let events = world.wait_for("the request", |events| asked(events) == 1).await;
    let id = events.iter().find_map(|it| match &it.body {
        Body::Approval(Approval::Requested(request)) => Some(request.approval_id.to_string()),
        _ => None,
    });
    assert_eq!(answer(&world, &dana, &id.unwrap(), "deny").await, 200);
    let told = call.await.unwrap().to_string();
    assert!(told.contains("was denied by") && told.contains("OPS-7"), "{told}");
    assert!(double.seen("tools/call").is_empty());
    let refused = commands(&world.events().await);
    assert_eq!(refused.last().unwrap().disposition, Disposition::Refused);
}

/// Of many that come for one approval at once, one runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_race_for_one_approval_one_call_runs() {
    let double = Double::start().await;
    let world = world(&double, Duration::from_millis(200)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    for round in 1..=5 {
        let id = waits(&say(&world, &token, refund(json!({}))).await);
        assert_eq!(answer(&world, &dana, &id, "approve").await, 200);
        let calls = (0..8).map(|number| {
            let (there, asks) = (Arc::clone(&world), token.clone());
            let call = if number % 2 == 0 { refund(json!({})) } else { federated() };
            tokio::spawn(async move { say(&there, &asks, call.but("/id", json!(number))).await })
        });
        let mut ran = 0;
        for call in calls.collect::<Vec<_>>() {
            let told = call.await.unwrap();
            if told["result"]["isError"] == true {
                assert_ne!(waits(&told), id, "{told}");
            } else {
                ran += 1;
            }
        }
        assert_eq!((ran, double.seen("tools/call").len()), (1, round));
    }
}

/// Without the record that it is used up, it does not run; whichever way the log fails.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_that_is_not_on_record_as_used() {
    use tallyport_eventlog::faults::{Fault, FaultKind};
    let double = Double::start().await;
    let world = world(&double, Duration::from_millis(200)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    let mut ran = 0;
    for kind in [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang] {
        for persisted in [true, false] {
            let id = waits(&say(&world, &token, refund(json!({}))).await);
            assert_eq!(answer(&world, &dana, &id, "approve").await, 200);
            world.settled().await;
            // The check of the token passes; that it is used does not.
            world.faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
            world.faults.set(Fault::once(kind, persisted));
            let told = say(&world, &token, refund(json!({}))).await;
            assert!(told.get("error").is_some(), "{kind:?} {persisted}: {told}");
            assert_eq!(double.seen("tools/call").len(), ran, "{kind:?} {persisted}");
            world.faults.release_hung();
            // It is there to be used still, or used up by what never ran: never twice.
            let again = say(&world, &token, refund(json!({}))).await;
            ran += usize::from(again["result"]["isError"] == false);
            assert_eq!(double.seen("tools/call").len(), ran, "{kind:?} {persisted}: {again}");
            if again["result"]["isError"] == true {
                assert_eq!(answer(&world, &dana, &waits(&again), "deny").await, 200);
            }
        }
    }
    assert!(ran >= 1, "where it did not persist, it is there to be used");
}

/// Whoever is turned away while they wait is told so at once, and what they asked for runs no more.
#[tokio::test(flavor = "multi_thread")]
async fn ended_access_ends_a_wait() {
    let double = Double::start().await;
    let world = world(&double, Duration::from_secs(60)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    let (there, asks) = (Arc::clone(&world), token.clone());
    let call = tokio::spawn(async move { say(&there, &asks, refund(json!({}))).await });
    world.wait_for("the request", |events| asked(events) == 1).await;
    let order = json!({
        "revoked": { "kind": "principal", "issuer": world.issuer.issuer_url, "subject": "agent" }, "reason": "leaked",
    });
    let order = bare(Method::POST, "/v1/revocations").token(&dana).raw(order.to_string());
    assert_eq!(order.send(&world, Way::H1).await.status, 200);
    let told = tokio::time::timeout(Duration::from_secs(10), call).await.unwrap().unwrap();
    assert_eq!(told["error"]["code"], -32000, "{told}");
    assert!(double.seen("tools/call").is_empty());
}
