//! Servers behind the gateway, done well by: what they are asked, what goes on record, and what comes back.

use serde_json::{Value, json};
use tallyport_schemas::{
    Body, Command, Disposition, Effect, Event, Phase, Response, ResponseStatus, ResponseSummary,
};

use crate::client::{WAYS, Way};
use crate::double::{Double, customer, events};
use crate::message::{Message, legacy, modern};
use crate::world::World;

pub fn config(double: &Double, more: &str) -> String {
    format!(
        "[[servers]]\nname = 'crm'\nurl = '{}'\ntoken = {{ value = 'the-gateways-own' }}\n{more}",
        double.url
    )
}

/// A world with a server whose tools are known.
pub async fn world(double: &Double, more: &str) -> World {
    let world = World::saying(&config(double, more)).await;
    world.wait_for("pins", |events| pins(events) >= 2).await;
    world
}

pub fn pins(events: &[Event]) -> usize {
    events.iter().filter(|it| it.body.activity() == "tool_definition").count()
}

pub fn at(path: &str, message: Message) -> Message {
    Message { path: path.to_owned(), ..message }
}

pub fn find(arguments: Value) -> Message {
    at("/mcp/crm", modern("tools/call", json!({ "name": "find", "arguments": arguments })))
}

/// The commands of agents, in order: those of the gateway itself have no principal.
pub fn commands(events: &[Event]) -> Vec<Command> {
    let theirs = events.iter().filter(|it| it.context.principal.is_some());
    let commands = theirs.filter_map(|it| match &it.body {
        Body::Command(command) => Some(Command::clone(command)),
        _ => None,
    });
    commands.collect()
}

pub fn responses(events: &[Event]) -> Vec<ResponseSummary> {
    let theirs = events.iter().filter(|it| it.context.principal.is_some());
    let responses = theirs.filter_map(|it| match &it.body {
        Body::Response(response) => match &**response {
            Response::Completed(summary) => Some(summary.clone()),
            _ => None,
        },
        _ => None,
    });
    responses.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_through_with_everything_on_record() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    for way in WAYS {
        let answer = find(json!({ "id": 7 })).token(&token).send(&world, way).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/json"),
            "{answer:?}"
        );
        let result = &answer.json()["result"];
        assert_eq!(
            (&result["structuredContent"], &result["vendor"]),
            (&customer(), &json!("kept"))
        );
    }
    let events = world.events().await;
    let (commands, responses) = (commands(&events), responses(&events));
    assert_eq!((commands.len(), responses.len()), (3, 3));
    let (command, response) = (&commands[0], &responses[0]);
    assert_eq!((command.phase, command.disposition), (Phase::Call, Disposition::Forwarded));
    assert_eq!(command.statement.as_deref(), Some(r#"{"arguments":{"id":7},"name":"find"}"#));
    assert!(
        command.read_only && command.definition_sha256.as_ref().is_some_and(|it| it.len() == 64)
    );
    assert_eq!((response.command_id, response.status), (command.command_id, ResponseStatus::Ok));
    let recorded = response.content.as_ref().unwrap().replay().unwrap();
    let recorded: Value = serde_json::from_slice(&recorded).unwrap();
    assert_eq!(recorded["result"]["structuredContent"], customer());
    let of_call = events
        .iter()
        .find(|it| matches!(&it.body, Body::Command(it) if it.command_id == command.command_id));
    let call = of_call.unwrap().context.call.clone().unwrap();
    assert_eq!(
        (call.server.as_str(), call.tool.as_str(), call.call_id),
        ("crm", "find", command.command_id)
    );

    // What the server got is the gateway's own words, and nothing of who asked.
    let calls = double.seen("tools/call");
    assert_eq!(calls.len(), 3);
    for call in &calls {
        assert_eq!(call.headers["authorization"], "Bearer the-gateways-own");
        assert_eq!(call.headers["mcp-method"], "tools/call");
        assert_eq!(call.headers["mcp-name"], "find");
        let sent = call.json();
        assert_eq!(
            sent["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"],
            "tallyport (test)"
        );
        assert!(!format!("{call:?}").contains(token.split('.').nth(1).unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_listed_as_they_are_and_as_policy_lets() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let names = |list: &Value| -> Vec<String> {
        let tools = list["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    let token = world.token("agent", None).await;
    let list = at("/mcp/crm", modern("tools/list", json!({})))
        .token(&token)
        .send(&world, Way::H2)
        .await
        .json();
    assert_eq!(names(&list), ["find", "refund"]);
    assert_eq!(list["result"]["tools"][0]["vendor"], json!({ "kept": 1 }), "as the server has it");
    let all = modern("tools/list", json!({})).token(&token).send(&world, Way::H2).await.json();
    assert!(names(&all).ends_with(&["crm__find".to_owned(), "crm__refund".to_owned()]), "{all}");
    // Whoever may not use the server sees nothing of it, and that they tried is on record.
    let other = world.token("other", None).await;
    let all = modern("tools/list", json!({})).token(&other).send(&world, Way::H2).await.json();
    assert!(!all.to_string().contains("crm"), "{all}");
    let told = find(json!({})).token(&other).send(&world, Way::H2).await.json();
    let unknown = at("/mcp/none", modern("tools/list", json!({})))
        .token(&token)
        .send(&world, Way::H2)
        .await
        .json();
    assert_eq!(
        told["error"], unknown["error"],
        "what is not there and what is not theirs look alike"
    );
    let denied = world.decisions().await.into_iter().filter(|it| it.effect == Effect::Deny).count();
    assert_eq!(denied, 2);
    // At the endpoint of all they look alike, too.
    for name in ["crm__find", "none__find"] {
        let call = modern("tools/call", json!({ "name": name, "arguments": {} }));
        let told = call.token(&other).send(&world, Way::H2).await.json();
        assert_eq!(told["error"]["message"], format!("Unknown tool: {name}"), "{told}");
    }
    assert!(double.seen("tools/call").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_decides_by_tool_and_arguments() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let refund = |id: i64| {
        at("/mcp/crm", modern("tools/call", json!({ "name": "refund", "arguments": { "id": id } })))
    };
    assert_eq!(
        refund(1).token(&token).send(&world, Way::H2).await.json()["result"]["isError"],
        false
    );
    let told = refund(13).token(&token).send(&world, Way::H2).await.json();
    assert_eq!(told["result"]["isError"], true, "{told}");
    assert!(
        told["result"]["content"][0]["text"].as_str().unwrap().contains("not-13 forbids"),
        "{told}"
    );
    let events = world.events().await;
    let refused: Vec<_> =
        commands(&events).into_iter().filter(|it| it.disposition == Disposition::Refused).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].statement.as_deref(), Some(r#"{"arguments":{"id":13},"name":"refund"}"#));
    assert_eq!(double.seen("tools/call").len(), 1);
    // The same at the endpoint of all.
    let named =
        |id: i64| modern("tools/call", json!({ "name": "crm__refund", "arguments": { "id": id } }));
    assert_eq!(
        named(1).token(&token).send(&world, Way::H2).await.json()["result"]["isError"],
        false
    );
    assert_eq!(
        named(13).token(&token).send(&world, Way::H2).await.json()["result"]["isError"],
        true
    );
    let unknown = modern("tools/call", json!({ "name": "crm__none" }))
        .token(&token)
        .send(&world, Way::H2)
        .await;
    assert_eq!(unknown.json()["error"]["message"], "Unknown tool: crm__none");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_prompts_leave_out_what_policy_does() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let list = at("/mcp/crm", modern("prompts/list", json!({})))
        .token(&token)
        .send(&world, Way::H2)
        .await
        .json();
    assert_eq!(list["result"]["prompts"], json!([{ "name": "open" }]));
    let closed = at("/mcp/crm", modern("prompts/get", json!({ "name": "closed" })))
        .token(&token)
        .send(&world, Way::H2)
        .await;
    assert!(closed.json()["error"]["message"].as_str().unwrap().contains("denied by policy"));
    assert!(double.seen("prompts/get").is_empty());
}

/// What is hidden is hidden in what the client gets and in what goes on record; what is found is counted.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_masked_before_anybody_has_them() {
    let double = Double::start().await;
    let more = "detectors = { payment_card = 'mask' }\nmasks = [{ tool = 'find', at = ['/rows/*/email'], mask = 'partial:last4' }]\n";
    let world = world(&double, more).await;
    let token = world.token("agent", None).await;
    for message in [find(json!({})), modern("tools/call", json!({ "name": "crm__find" }))] {
        let answer = message.token(&token).send(&world, Way::H2).await;
        let told = answer.json().to_string();
        assert!(!told.contains("ada@") && !told.contains("1111"), "{told}");
        let row = &answer.json()["result"]["structuredContent"]["rows"][0];
        assert_eq!(
            (&row["email"], &row["card"], &row["note"]),
            (&json!("****.com"), &json!("[payment_card]"), &json!("likes tea"))
        );
    }
    let events = world.events().await;
    for summary in responses(&events) {
        let recorded = summary.content.unwrap().replay().unwrap();
        let recorded = String::from_utf8(recorded).unwrap();
        assert!(!recorded.contains("ada@") && !recorded.contains("1111"), "{recorded}");
        assert_eq!(
            (summary.masked_values, summary.findings[0].to_string()),
            (4, "mask payment_card 2".to_owned())
        );
    }
}

/// A server of before has sessions; whoever calls at the endpoint of all has none.
#[tokio::test(flavor = "multi_thread")]
async fn servers_of_before_are_reached_by_clients_of_now() {
    let double = Double::start().await;
    double.does(|seen| {
        let asked = seen.json();
        match seen.said().as_str() {
            "server/discover" => Some(crate::double::raw(axum::http::StatusCode::METHOD_NOT_ALLOWED, "text/plain", "no")),
            "initialize" => {
                let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "d", "version": "1" } });
                let mut answer = crate::double::answer(&asked, result);
                answer.headers_mut().insert("mcp-session-id", "s-1".parse().unwrap());
                Some(answer)
            }
            "notifications/initialized" => Some(crate::double::raw(axum::http::StatusCode::ACCEPTED, "application/json", "")),
            _ if seen.method == axum::http::Method::DELETE => Some(crate::double::raw(axum::http::StatusCode::OK, "text/plain", "")),
            "tools/call" => {
                assert_eq!(seen.headers["mcp-session-id"], "s-1");
                let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": 5, "progress": 1 } });
                let result = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "content": [], "structuredContent": { "ok": true } } });
                Some(events(&[progress, result]))
            }
            _ => None,
        }
    });
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let call = modern("tools/call", json!({ "name": "crm__find", "arguments": {} })).token(&token);
    let answer = call.send(&world, Way::H2).await;
    let told = String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert!(
        told.contains("notifications/progress") && told.contains(r#""resultType":"complete""#),
        "{told}"
    );
    let answer = legacy("tools/call", json!({ "name": "crm__find", "arguments": {} }))
        .token(&token)
        .send(&world, Way::H2)
        .await;
    let told = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(told.contains(r#""ok":true"#) && !told.contains("resultType"), "{told}");
    // The answer's words were on record before they were changed for nobody: each call is one command with one response.
    let ended = world
        .wait_for("the ends of both sessions", |_| {
            double.all().iter().filter(|it| it.method == axum::http::Method::DELETE).count() >= 3
        })
        .await;
    let calls: Vec<_> = commands(&ended).into_iter().filter(|it| it.phase == Phase::Call).collect();
    assert_eq!(calls.len(), 2);
}

/// Whoever a server points at is not asked: neither with the gateway's credential nor without.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_sends_the_gateway_nowhere() {
    let (double, other) = (Double::start().await, Double::start().await);
    let elsewhere = other.url.clone();
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = elsewhere.clone();
        double.does(move |seen| {
            let mut moved = crate::double::raw(
                axum::http::StatusCode::from_u16(status).unwrap(),
                "text/plain",
                "",
            );
            moved.headers_mut().insert("location", elsewhere.parse().unwrap());
            (seen.said() == "tools/call").then_some(moved)
        });
        let world = world(&double, "").await;
        let token = world.token("agent", None).await;
        let told = find(json!({})).token(&token).send(&world, Way::H2).await.json();
        assert!(
            told["error"]["message"].as_str().unwrap().contains("cannot be used now"),
            "{told}"
        );
        assert!(other.all().is_empty(), "{status}");
    }
}

/// An address that leads elsewhere on its way is decided about as nothing.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_lead_elsewhere_are_refused() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let read =
        |uri: &str| at("/mcp/crm", modern("resources/read", json!({ "uri": uri }))).token(&token);
    for uri in [
        "file:///pub/../etc",
        "file:///pub/%2e%2e/etc",
        "file:///pub/%252e%252e/etc",
        "file:///pub%2f..%2fetc",
        "file:///%73ecret/b",
    ] {
        let told = read(uri).send(&world, Way::H2).await;
        assert_eq!((told.status, told.code()), (200, -32602), "{uri}");
    }
    assert!(double.seen("resources/read").is_empty());
    let params = json!({ "uri": "note:1", "URI": "file:///secret/b" });
    let twice = at("/mcp/crm", modern("resources/read", params)).token(&token);
    let told = twice.send(&world, Way::H2).await.json();
    assert_eq!(told["result"]["contents"][0]["text"], "a note");
    let sent = double.seen("resources/read").remove(0).json();
    assert_eq!((&sent["params"]["uri"], sent["params"].get("URI")), (&json!("note:1"), None));
}
