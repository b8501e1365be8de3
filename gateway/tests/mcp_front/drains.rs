//! Calls that are under way when the gateway is asked to stop: they have the time to end that sessions have.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use futures::stream;
use serde_json::{Value, json};
use tallyport_schemas::ResponseStatus;
use tokio::time::Instant;

use crate::client::Way;
use crate::double::{Double, raw};
use crate::message::{Message, modern};
use crate::servers::{at, find, responses, world};
use crate::world::World;

/// What a call takes here.
const TAKES: Duration = Duration::from_millis(2_500);

/// A server whose answers take their time.
fn is_slow(double: &Double) {
    double.does(|seen| {
        if seen.said() != "tools/call" {
            return None;
        }
        let id = seen.json()["id"].clone();
        let body = stream::once(async move {
            tokio::time::sleep(TAKES).await;
            let result = json!({ "resultType": "complete", "content": [], "structuredContent": { "done": true } });
            let message = json!({ "jsonrpc": "2.0", "id": id, "result": result });
            Ok::<_, std::io::Error>(Bytes::from(message.to_string()))
        });
        Some(raw(StatusCode::OK, "application/json", Body::from_stream(body)))
    });
}

/// Asks, and has the gateway stopped meanwhile as the binary stops it; gives what was told, and when it was over.
async fn stopped(message: Message, drain: Duration) -> (String, Duration, Vec<ResponseStatus>) {
    let double = Double::start().await;
    is_slow(&double);
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let World { gateway, .. } = &world;
    let gateway = gateway.clone();
    let asking = message.token(&token).send(&world, Way::H1);
    let stopping = async {
        while double.seen("tools/call").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let began = Instant::now();
        gateway.shutdown(drain).await;
        began.elapsed()
    };
    let (answer, took) = tokio::join!(asking, stopping);
    let events = world.events().await;
    let ends = responses(&events).iter().map(|it| it.status).collect();
    (String::from_utf8_lossy(&answer.body).into_owned(), took, ends)
}

fn ways() -> [Message; 2] {
    let federated = json!({ "name": "crm__find", "arguments": {} });
    [find(json!({})), at("/mcp", modern("tools/call", federated))]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_by_itself_while_the_gateway_drains() {
    for message in ways() {
        let (told, took, ends) = stopped(message, Duration::from_secs(20)).await;
        assert!(told.contains("\"done\":true"), "{told}");
        assert!(
            took < Duration::from_secs(15),
            "it waits no longer than there is something to wait for"
        );
        assert_eq!(ends, [ResponseStatus::Ok]);
    }
}

/// A stream that ends when its client will keeps nobody from stopping.
#[tokio::test(flavor = "multi_thread")]
async fn who_only_listens_is_not_waited_for() {
    let double = Double::start().await;
    double.does(|seen| {
        let never = stream::pending::<Result<Bytes, std::io::Error>>();
        let is_it = seen.said() == "subscriptions/listen";
        is_it.then(|| raw(StatusCode::OK, "text/event-stream", Body::from_stream(never)))
    });
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let listening = at("/mcp/crm", modern("subscriptions/listen", wanted)).token(&token);
    let stopping = async {
        while double.seen("subscriptions/listen").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let began = Instant::now();
        world.gateway.shutdown(Duration::from_secs(20)).await;
        began.elapsed()
    };
    let (_ended, took) = tokio::join!(listening.send(&world, Way::H1), stopping);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_longer_is_ended_and_that_is_on_record() {
    for message in ways() {
        let (told, took, ends) = stopped(message, Duration::from_millis(300)).await;
        let told: Value = serde_json::from_str(&told).unwrap_or(Value::String(told));
        assert!(told.to_string().contains("the gateway stops"), "{told}");
        assert!(took < TAKES, "{took:?}");
        assert_eq!(ends, [ResponseStatus::Interrupted]);
    }
}
