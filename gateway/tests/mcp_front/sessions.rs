//! Sessions with servers of before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tallyport_schemas::Phase;

use crate::client::Way;
use crate::double::{Double, answer, events, raw};
use crate::message::{Message, bare, legacy};
use crate::refusals::refused;
use crate::servers::{at, commands, world};
use crate::world::World;

/// A session is whose it is: to others there is none, and the server's own id is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_of_whoever_began_it() {
    let double = Double::start().await;
    double.does(|seen| {
        let asked = seen.json();
        if seen.said() != "initialize" {
            return (seen.method == Method::DELETE).then(|| raw(StatusCode::OK, "text/plain", ""));
        }
        let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "d", "version": "1" } });
        let mut begun = answer(&asked, result);
        begun.headers_mut().insert("mcp-session-id", "the-servers-own".parse().unwrap());
        Some(begun)
    });
    let world = world(&double, "").await;
    let (token, writer) = (world.token("agent", None).await, world.token("writer", None).await);
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let begun =
        at("/mcp/crm", legacy("initialize", params)).token(&token).send(&world, Way::H2).await;
    let session = begun.header("mcp-session-id").to_owned();
    assert!(session.len() == 64 && !format!("{begun:?}").contains("the-servers-own"), "{begun:?}");
    let call = |id: &str| {
        let call = legacy("tools/call", json!({ "name": "find", "arguments": {} }));
        at("/mcp/crm", call).and("mcp-session-id", id).and("mcp-protocol-version", "2025-11-25")
    };
    let good = call(&session).token(&token).send(&world, Way::H2).await;
    assert_eq!(good.json()["result"]["isError"], false, "{good:?}");
    assert_eq!(double.seen("tools/call")[0].headers["mcp-session-id"], "the-servers-own");
    for (id, whose) in
        [(session.as_str(), &writer), ("the-servers-own", &token), ("x", &token), ("", &token)]
    {
        let told = call(id).token(whose).send(&world, Way::H2).await;
        assert_eq!(told.status, 404, "{id}: {told:?}");
        for method in [Method::GET, Method::DELETE] {
            let told = bare(method.clone(), "/mcp/crm")
                .token(whose)
                .and("accept", "text/event-stream")
                .and("mcp-session-id", id);
            assert_eq!(told.send(&world, Way::H2).await.status, 404, "{method} {id}");
        }
    }
    let none = call("").without("mcp-session-id").token(&token).send(&world, Way::H2).await;
    assert_eq!(none.status, 400, "{none:?}");
    assert_eq!(double.seen("tools/call").len(), 1);
    let ended = bare(Method::DELETE, "/mcp/crm")
        .token(&token)
        .and("mcp-session-id", &session)
        .send(&world, Way::H2)
        .await;
    assert_eq!(ended.status, 204);
    assert_eq!(call(&session).token(&token).send(&world, Way::H2).await.status, 404, "it is over");
}

/// What a server of before says when a session of the id `s` begins.
fn begun(asked: &Value) -> Response {
    let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "d", "version": "1" } });
    let mut begun = answer(asked, result);
    begun.headers_mut().insert("mcp-session-id", "s".parse().unwrap());
    begun
}

/// A server of before that asks its client for this before it answers.
fn asks(double: &Double, method: &'static str) {
    double.does(move |seen| {
        let asked = seen.json();
        match seen.said().as_str() {
            "initialize" => Some(begun(&asked)),
            "tools/call" => {
                let question = json!({ "jsonrpc": "2.0", "id": 5, "method": method, "params": { "note": "4111 1111 1111 1111" } });
                let result = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "content": [] } });
                Some(events(&[question, result]))
            }
            _ => Some(raw(StatusCode::ACCEPTED, "application/json", "")),
        }
    });
}

async fn begin(world: &World, token: &str, capabilities: Value) -> String {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": { "name": "c", "version": "1" } });
    let begun =
        at("/mcp/crm", legacy("initialize", params)).token(token).send(world, Way::H2).await;
    begun.header("mcp-session-id").to_owned()
}

fn within(session: &str, message: Message) -> Message {
    at("/mcp/crm", message).and("mcp-session-id", session).and("mcp-protocol-version", "2025-11-25")
}

fn call() -> Message {
    legacy("tools/call", json!({ "name": "find", "arguments": {} }))
}

/// A server may end the stream of an answer before the answer: it is asked for the rest as soon as it wants to be, and no sooner
/// (transports, "Resumability and Redelivery"). One that gives its events no names has ended it, and whether it did what was asked is not known.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_stream_ends_before_it_is_asked_for_the_rest() {
    for (primes, wait) in [
        ("id: e-1\nretry: 300\ndata:\n\n", 300),
        // There is no rest of it: it may have been done all the same.
        ("id: e-9\ndata:\n\n", 0),
        (": nothing\n\n", 0),
    ] {
        let double = Double::start().await;
        let world = legacy_world(&double).await;
        let token = world.token("agent", None).await;
        let ended = Arc::new(Mutex::new(None));
        let ends = Arc::clone(&ended);
        double.does(move |seen| {
            if seen.method == Method::GET {
                let since: Duration = ends.lock().map(|it: Instant| it.elapsed())?;
                let text = "{\"content\":[{\"type\":\"text\",\"text\":\"the rest\"}]}";
                let rest = format!(
                    "id: e-2\ndata: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{text}}}\n\n"
                );
                let right = seen.headers.get("last-event-id").is_some_and(|it| it == "e-1")
                    && seen.headers.get("mcp-session-id").is_some_and(|it| it == "s")
                    && since >= Duration::from_millis(wait);
                return right.then(|| raw(StatusCode::OK, "text/event-stream", rest));
            }
            let asked = seen.json();
            match seen.said().as_str() {
                "initialize" => Some(begun(&asked)),
                "tools/call" => {
                    *ends.lock() = Some(Instant::now());
                    Some(raw(StatusCode::OK, "text/event-stream", primes))
                }
                _ => Some(raw(StatusCode::ACCEPTED, "application/json", "")),
            }
        });
        let session = begin(&world, &token, json!({})).await;
        let told = within(&session, call()).token(&token).send(&world, Way::H2).await;
        let text = String::from_utf8(told.body.to_vec()).unwrap();
        let wanted = if wait > 0 { "the rest" } else { "is not known" };
        assert!(text.contains(wanted), "{primes:?}: {text}");
        assert_eq!(
            double.all().iter().filter(|it| it.said() == "tools/call").count(),
            1,
            "it runs once"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_asks_its_client_only_for_what_that_offered() {
    let double = Double::start().await;
    let world = legacy_world(&double).await;
    let token = world.token("agent", None).await;
    for (method, capabilities, passes) in [
        ("sampling/createMessage", json!({ "sampling": {} }), true),
        ("sampling/createMessage", json!({ "elicitation": {} }), false),
        ("elicitation/create", json!({}), false),
        ("roots/list", json!({ "roots": true }), false),
        ("tools/call", json!({ "tools": {} }), false),
    ] {
        asks(&double, method);
        let session = begin(&world, &token, capabilities.clone()).await;
        let told = within(&session, call()).token(&token).send(&world, Way::H2).await;
        let text = String::from_utf8(told.body.to_vec()).unwrap();
        let case = format!("{method} {capabilities}");
        assert_eq!(text.contains(&format!("\"method\":\"{method}\"")), passes, "{case}: {text}");
        assert!(
            !text.contains("4111"),
            "{case}: what it asks is masked as what it answers is: {text}"
        );
        // Nobody leaves it waiting.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let unable = || {
            double
                .all()
                .iter()
                .filter(|it| it.json()["error"]["code"] == -32601 && it.json()["id"] == 5)
                .count()
        };
        while !passes && unable() == 0 {
            assert!(std::time::Instant::now() < deadline, "{case}: it was told nothing");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let answered = json!({ "jsonrpc": "2.0", "id": 5, "result": { "role": "assistant" } });
        let answered =
            within(&session, legacy("", json!({}))).raw(answered.to_string()).token(&token);
        let forwarded = || double.all().iter().filter(|it| it.json()["result"].is_object()).count();
        let status = answered.clone().send(&world, Way::H2).await.status;
        assert_eq!((status == 202, forwarded()), (passes, usize::from(passes)), "{case}");
        // What was answered is answered, and what nobody asked is no answer.
        assert_ne!(answered.send(&world, Way::H2).await.status, 202, "{case}");
        assert_eq!(forwarded(), usize::from(passes), "{case}");
        double.forget();
    }
    let events = world.events().await;
    let answers: Vec<_> =
        commands(&events).into_iter().filter(|it| it.phase == Phase::Answer).collect();
    assert_eq!(answers.len(), 1);
    assert_eq!(refused(&events).len(), 9, "what does not pass is on record as well");
    assert!(answers[0].statement.as_ref().unwrap().contains("assistant"));
}

/// Where there are sessions, to leave is not enough: the server is told to stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_a_session_has_its_call_cancelled() {
    let double = Double::start().await;
    let world = std::sync::Arc::new(legacy_world(&double).await);
    let token = world.token("agent", None).await;
    asks(&double, "ping");
    let session = begin(&world, &token, json!({})).await;
    double.does(|seen| {
        let never = futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>();
        Some(match seen.said().as_str() {
            "tools/call" => {
                raw(StatusCode::OK, "text/event-stream", axum::body::Body::from_stream(never))
            }
            _ => raw(StatusCode::ACCEPTED, "application/json", ""),
        })
    });
    let there = std::sync::Arc::clone(&world);
    let call = within(&session, call().but("/id", json!("c-7"))).token(&token);
    let call = tokio::spawn(async move { call.send(&there, Way::H1).await });
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while double.seen("tools/call").is_empty() {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    call.abort();
    while double.seen("notifications/cancelled").is_empty() {
        assert!(std::time::Instant::now() < deadline, "it was not told");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let cancelled = &double.seen("notifications/cancelled")[0];
    assert_eq!(
        (
            &cancelled.json()["params"]["requestId"],
            cancelled.headers["mcp-session-id"].to_str().unwrap()
        ),
        (&json!("c-7"), "s")
    );
}

/// A server of before alone, whose tools are known.
pub async fn legacy_world(double: &Double) -> World {
    double.does(|seen| {
        let asked = seen.json();
        match seen.said().as_str() {
            "server/discover" => Some(raw(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "no")),
            "initialize" => {
                let result = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": { "name": "d", "version": "1" } });
                Some(answer(&asked, result))
            }
            "notifications/initialized" => Some(raw(StatusCode::ACCEPTED, "application/json", "")),
            _ => None,
        }
    });
    world(double, "detectors = { payment_card = 'mask' }").await
}

/// A request without an id is a request still: what a client may say without an answer is what the protocol has.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_wants_no_answer_is_no_way_around_policy() {
    let double = Double::start().await;
    let world = legacy_world(&double).await;
    let token = world.token("agent", None).await;
    asks(&double, "ping");
    let session = begin(&world, &token, json!({})).await;
    double.forget();
    for method in
        ["tools/call", "resources/read", "prompts/get", "notifications/else", "initialize"]
    {
        let mut message =
            legacy(method, json!({ "name": "refund", "arguments": { "id": 13 }, "uri": "a:b" }));
        message.body.as_object_mut().unwrap().remove("id");
        let told = within(&session, message).token(&token).send(&world, Way::H2).await;
        assert_eq!((told.status, told.code()), (200, -32601), "{method}: {told:?}");
    }
    assert!(double.all().is_empty(), "{:?}", double.all());
    let mut changed = legacy("notifications/roots/list_changed", json!({}));
    changed.body.as_object_mut().unwrap().remove("id");
    let told = within(&session, changed).token(&token).send(&world, Way::H2).await;
    assert_eq!((told.status, double.all().len()), (202, 1));
}
