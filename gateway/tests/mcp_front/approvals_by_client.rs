//! Calls that wait for somebody who must agree, as each client is told of them: by a task, by a page, or by a result.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tallyport_schemas::{Approval, Body, ResponseStatus};

use crate::approvals_of_calls::{answer, refund, say, waits};
use crate::children::{Child, begin, said, until, within};
use crate::client::Way;
use crate::double::{self, Double};
use crate::hostile_servers::hangs;
use crate::message::{Message, modern};
use crate::servers::{config, pins, responses};
use crate::world::{SOON, World};

const PAGE: &str = "https://console.example.com/";

async fn world(config: &str, page: bool, patience: Duration) -> Arc<World> {
    let of = |mcp: &mut tallyport_gateway::config::McpConfig| {
        mcp.limits.patience = patience;
        if page {
            *mcp = mcp.clone().with_console(&PAGE.parse().unwrap());
        }
    };
    let world = World::with(config, |_| {}, of).await;
    world.wait_for("pins", |events| pins(events) >= 2).await;
    Arc::new(world)
}

/// Of a client that can do this.
fn can(mut message: Message, capabilities: Value) -> Message {
    message.body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    message
}

fn shows(message: Message) -> Message {
    can(message, json!({ "elicitation": { "form": {}, "url": {} } }))
}

pub fn knows(message: Message) -> Message {
    can(
        message,
        json!({ "extensions": { "io.modelcontextprotocol/tasks": {} }, "elicitation": { "url": {} } }),
    )
}

pub fn federated() -> Message {
    modern("tools/call", json!({ "name": "crm__refund", "arguments": { "id": 50 } }))
}

/// Asks of a task.
fn of_task(method: &str, id: &str) -> Message {
    let message = modern(method, json!({ "taskId": id }));
    knows(message).and("mcp-name", id)
}

/// The approvals that were asked for.
pub async fn requests(world: &World) -> Vec<String> {
    let events = world.events().await.into_iter();
    let requests = events.filter_map(|it| match it.body {
        Body::Approval(Approval::Requested(request)) => Some(request.approval_id.to_string()),
        _ => None,
    });
    requests.collect()
}

pub async fn task(world: &World, token: &str, message: Message) -> String {
    let told = say(world, token, message).await;
    let task = &told["result"];
    assert_eq!(
        (&task["resultType"], &task["status"]),
        (&json!("task"), &json!("working")),
        "{told}"
    );
    for member in ["createdAt", "lastUpdatedAt", "ttlMs", "pollIntervalMs"] {
        assert!(!task[member].is_null(), "{member}: {told}");
    }
    task["taskId"].as_str().unwrap().to_owned()
}

pub async fn over(world: &World, token: &str, id: &str) -> Value {
    let deadline = Instant::now() + SOON;
    loop {
        let told = say(world, token, of_task("tasks/get", id)).await;
        assert_eq!(told["result"]["resultType"], "complete", "{told}");
        if told["result"]["status"] != "working" {
            return told["result"].clone();
        }
        assert!(Instant::now() < deadline, "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_can_show_a_page_is_asked_to_and_the_call_runs_once() {
    let double = Double::start().await;
    let world = world(&config(&double, ""), true, Duration::from_millis(300)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    for call in [|| refund(json!({})), federated] {
        let told = say(&world, &token, shows(call())).await;
        let result = &told["result"];
        assert_eq!(result["resultType"], "input_required", "{told}");
        assert!(
            result.get("requestState").is_none() && !told.to_string().contains("elicitationId")
        );
        let questions = result["inputRequests"].as_object().unwrap();
        assert_eq!(questions.len(), 1, "{told}");
        let (name, question) = questions.iter().next().unwrap();
        let params = &question["params"];
        let id = requests(&world).await.pop().unwrap();
        assert_eq!(
            (&question["method"], &params["mode"]),
            (&json!("elicitation/create"), &json!("url"))
        );
        assert_eq!(params["url"], format!("https://console.example.com/console/#/approvals/{id}"));
        assert!(
            params["message"].as_str().unwrap().contains("cannot agree to it themselves"),
            "{told}"
        );
        // It comes back, and waits: then it is told so, and not asked again and again.
        let back = || {
            let mut call = shows(call());
            call.body["params"]["inputResponses"] =
                json!({ name.as_str(): { "action": "accept" } });
            call
        };
        assert_eq!(waits(&say(&world, &token, back()).await), id);
        assert_eq!(answer(&world, &token, &id, "approve").await, 403, "who asks may not");
        assert_eq!(answer(&world, &dana, &id, "approve").await, 200);
        let before = double.seen("tools/call").len();
        let ran = say(&world, &token, back()).await;
        assert_eq!(ran["result"]["isError"], false, "{ran}");
        let calls = double.seen("tools/call");
        assert_eq!(calls.len(), before + 1);
        let sent = calls[before].json();
        assert_eq!(sent["params"]["arguments"], json!({ "id": 50 }));
        assert!(sent["params"].get("inputResponses").is_none(), "our answer is ours: {sent}");
    }
    assert_eq!(requests(&world).await.len(), 2, "each was asked for once");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_show_a_page_is_told_in_a_result() {
    let double = Double::start().await;
    double.does(|seen| {
        let result = json!({ "resultType": "input_required", "inputRequests": {}, "requestState": "its own" });
        (seen.said() == "tools/call").then(|| double::answer(&seen.json(), result))
    });
    for page in [true, false] {
        let world = world(&config(&double, ""), page, Duration::from_millis(100)).await;
        let token = world.token("agent", None).await;
        for capabilities in
            [json!({}), json!({ "elicitation": {} }), json!({ "elicitation": { "url": true } })]
        {
            waits(&say(&world, &token, can(refund(json!({})), capabilities)).await);
        }
        // What the server asked before would be lost in between.
        let mut between = shows(refund(json!({})));
        let asked = say(&world, &token, refund(json!({ "id": 1 }))).await;
        between.body["params"]["requestState"] = asked["result"]["requestState"].clone();
        waits(&say(&world, &token, between).await);
        let told = say(&world, &token, shows(refund(json!({})))).await;
        assert_eq!(told["result"]["resultType"] == "input_required", page, "{told}");
    }
    let ran = double.seen("tools/call");
    assert!(ran.iter().all(|it| it.json()["params"]["arguments"]["id"] == 1), "{ran:?}");
    assert_eq!(ran.len(), 2);
}

/// A client of before says in its session what it can do.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_before_gets_the_page_in_an_error() {
    let child = Child::new();
    let world = world(&child.config("legacy", &[], ""), true, Duration::from_millis(100)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    let refund = |session: &str| {
        let mut call = within(session, "");
        call.body["params"] = json!({ "name": "refund", "arguments": { "id": 50 } });
        call.token(&token)
    };
    let plain = begin(&world, &token, json!({ "elicitation": {} })).await;
    let id = waits(&said(&refund(&plain).send(&world, Way::H2).await));
    let session = begin(&world, &token, json!({ "elicitation": { "url": {} } })).await;
    let told = said(&refund(&session).send(&world, Way::H2).await);
    assert_eq!(told["error"]["code"], -32042, "{told}");
    let page = &told["error"]["data"]["elicitations"][0];
    assert_eq!((&page["mode"], &page["elicitationId"]), (&json!("url"), &json!(id)), "{told}");
    assert_eq!(page["url"], format!("https://console.example.com/console/#/approvals/{id}"));
    assert_eq!(answer(&world, &dana, &id, "approve").await, 200);
    let ran = said(&refund(&session).send(&world, Way::H2).await);
    assert_eq!(ran["result"]["isError"], false, "{ran}");
    assert_eq!(child.seen("tools/call").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_on_by_itself_and_is_its_callers_alone() {
    let double = Double::start().await;
    let world = world(&config(&double, ""), true, Duration::from_secs(30)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    for (place, server) in [("/mcp", federated()), ("/mcp/crm", refund(json!({})))] {
        let told = say(
            &world,
            &token,
            Message { path: place.to_owned(), ..modern("server/discover", json!({})) },
        )
        .await;
        let known = json!({ "io.modelcontextprotocol/tasks": {} });
        assert_eq!(told["result"]["capabilities"]["extensions"], known, "{place}: {told}");
        let before = double.seen("tools/call").len();
        let id = task(&world, &token, knows(server.clone())).await;
        let approval = requests(&world).await.pop().unwrap();
        let get = || Message { path: place.to_owned(), ..of_task("tasks/get", &id) };
        let told = say(&world, &token, get()).await;
        assert_eq!(
            (&told["result"]["status"], &told["result"]["taskId"]),
            (&json!("working"), &json!(id))
        );
        assert!(told["result"]["statusMessage"].as_str().unwrap().contains(&approval), "{told}");
        let updated = say(&world, &token, of_task("tasks/update", &id)).await;
        assert_eq!(updated["result"]["resultType"], "complete", "{updated}");
        let undeclared = say(&world, &token, can(get(), json!({}))).await;
        assert_eq!(undeclared["error"]["code"], -32021, "{undeclared}");
        assert!(undeclared.to_string().contains("io.modelcontextprotocol/tasks"));
        let writer = world.token("writer", None).await;
        for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
            let told = say(&world, &writer, of_task(method, &id)).await;
            assert_eq!(told["error"]["code"], -32602, "{method}: {told}");
        }
        assert_eq!(double.seen("tools/call").len(), before);
        assert_eq!(answer(&world, &token, &approval, "approve").await, 403, "who asks may not");
        assert_eq!(answer(&world, &dana, &approval, "approve").await, 200);
        for _ in 0..2 {
            let told = over(&world, &token, &id).await;
            assert_eq!(
                (&told["status"], &told["result"]["isError"]),
                (&json!("completed"), &json!(false)),
                "{told}"
            );
        }
        assert_eq!(double.seen("tools/call").len(), before + 1, "it runs once");
        assert_eq!(
            double.seen("tools/call")[before].json()["params"]["arguments"],
            json!({ "id": 50 })
        );
        let unknown = say(&world, &token, of_task("tasks/get", "AAAAAAAAAAAAAAAAAAAAAA")).await;
        assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    }
    assert_eq!(requests(&world).await.len(), 2, "no more than that was asked for");
}

/// What is given up does not run, whichever way; and nobody is asked for it anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_given_up_does_not_run() {
    let double = Double::start().await;
    let world = world(&config(&double, ""), false, Duration::from_secs(30)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    for (number, by_task) in [(1, true), (2, false)] {
        let id = task(&world, &token, knows(refund(json!({})))).await;
        let approval = requests(&world).await.pop().unwrap();
        if by_task {
            let told = say(&world, &token, of_task("tasks/cancel", &id)).await;
            assert_eq!(told["result"]["resultType"], "complete", "{told}");
        } else {
            let arguments = json!({ "approval_id": approval, "withdraw": true });
            let call =
                modern("tools/call", json!({ "name": "approval_status", "arguments": arguments }));
            let told = say(&world, &token, call).await;
            assert_eq!(
                told["result"]["structuredContent"]["approval"]["state"], "withdrawn",
                "{told}"
            );
        }
        assert_eq!(over(&world, &token, &id).await["status"], "cancelled");
        assert_eq!(answer(&world, &dana, &approval, "approve").await, 409);
        crate::client::a_moment().await;
        assert_eq!(requests(&world).await.len(), number);
        let again = say(&world, &token, of_task("tasks/cancel", &id)).await;
        assert_eq!(again["result"]["resultType"], "complete", "also where it is over: {again}");
    }
    assert!(double.seen("tools/call").is_empty());
}

/// One that runs already ends at its server, too; and what ran is on record as cut off.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_runs_is_ended_at_its_server() {
    let double = Double::start().await;
    let world = world(&config(&double, ""), false, Duration::from_secs(30)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    let open = hangs(&double);
    let id = task(&world, &token, knows(refund(json!({})))).await;
    let approval = requests(&world).await.pop().unwrap();
    assert_eq!(answer(&world, &dana, &approval, "approve").await, 200);
    until("the call", || open.load(Ordering::SeqCst) == 1).await;
    let told = say(&world, &token, of_task("tasks/cancel", &id)).await;
    assert_eq!(told["result"]["resultType"], "complete", "{told}");
    until("the end at the server", || open.load(Ordering::SeqCst) == 0).await;
    assert_eq!(over(&world, &token, &id).await["status"], "cancelled");
    let events = world.wait_for("its end", |events| !responses(events).is_empty()).await;
    assert_eq!(responses(&events)[0].status, ResponseStatus::Interrupted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_says_how_its_call_ended() {
    let double = Double::start().await;
    let world = world(&config(&double, ""), false, Duration::from_secs(30)).await;
    let (token, dana) = (world.token("agent", None).await, world.token("dana", None).await);
    let denied = task(&world, &token, knows(refund(json!({})))).await;
    let approval = requests(&world).await.pop().unwrap();
    assert_eq!(answer(&world, &dana, &approval, "deny").await, 200);
    let told = over(&world, &token, &denied).await;
    assert_eq!(
        (&told["status"], &told["result"]["isError"]),
        (&json!("completed"), &json!(true)),
        "{told}"
    );
    assert!(told.to_string().contains("was denied by"), "{told}");
    for (word, code, does) in [
        ("no", -32603, json!({ "error": { "code": -32603, "message": "no" } })),
        (
            "wants input first",
            -32000,
            json!({ "result": { "resultType": "input_required", "inputRequests": {} } }),
        ),
        (
            "larger than",
            -32000,
            json!({ "result": { "content": [{ "type": "text", "text": "x".repeat(1 << 20) }] } }),
        ),
    ] {
        double.does(move |seen| {
            let mut message = does.clone();
            (message["jsonrpc"], message["id"]) = (json!("2.0"), seen.json()["id"].clone());
            (seen.said() == "tools/call")
                .then(|| crate::double::whole(axum::http::StatusCode::OK, &message))
        });
        let id = task(&world, &token, knows(refund(json!({})))).await;
        let approval = requests(&world).await.pop().unwrap();
        assert_eq!(answer(&world, &dana, &approval, "approve").await, 200);
        let told = over(&world, &token, &id).await;
        assert_eq!(
            (&told["status"], &told["error"]["code"]),
            (&json!("failed"), &json!(code)),
            "{told}"
        );
        assert!(told["error"]["message"].as_str().unwrap().contains(word), "{told}");
    }
}

/// With the access of whoever asked, the task ends; what was asked for stands, for the same call.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_ends_with_the_token_of_whoever_asked() {
    let double = Double::start().await;
    let world = world(&config(&double, ""), false, Duration::from_millis(300)).await;
    let (brief, token) = (world.token("agent", Some(3)).await, world.token("agent", None).await);
    let dana = world.token("dana", None).await;
    let id = task(&world, &brief, knows(refund(json!({})))).await;
    let told = over(&world, &token, &id).await;
    assert_eq!(told["status"], "failed", "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("expired"), "{told}");
    let approval = requests(&world).await.pop().unwrap();
    assert_eq!(answer(&world, &dana, &approval, "approve").await, 200);
    assert!(double.seen("tools/call").is_empty());
    let ran = say(&world, &token, refund(json!({}))).await;
    assert_eq!(ran["result"]["isError"], false, "{ran}");
    assert_eq!(double.seen("tools/call").len(), 1);
}

/// Where there are as many as may be, a call that waits is told so as to whoever knows no tasks.
#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_tasks_than_may_be() {
    let double = Double::start().await;
    let world = world(&config(&double, ""), false, Duration::from_secs(30)).await;
    let token = world.token("agent", None).await;
    let call = |number: usize| knows(refund(json!({ "region": format!("r{number}") })));
    let mut ids = Vec::new();
    for number in 0..8 {
        ids.push(task(&world, &token, call(number)).await);
    }
    waits(&say(&world, &token, call(8)).await);
    let writer = world.token("writer", None).await;
    task(&world, &writer, call(8)).await;
    // One that is over makes room, and is not to be found any more then.
    let told = say(&world, &token, of_task("tasks/cancel", &ids[0])).await;
    assert_eq!(told["result"]["resultType"], "complete", "{told}");
    task(&world, &token, call(9)).await;
    assert_eq!(say(&world, &token, of_task("tasks/get", &ids[0])).await["error"]["code"], -32602);
    for id in &ids[1..] {
        assert_eq!(
            say(&world, &token, of_task("tasks/get", id)).await["result"]["status"],
            "working"
        );
    }
    assert!(double.seen("tools/call").is_empty());
}
