//! Requests whose body comes slowly: who sent their head counts no more when the rest is there.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tallyport_gateway::api;
use tallyport_schemas::{Body as EventBody, Front, Revocation, TraceId};
use tokio::sync::oneshot;
use tower::ServiceExt as _;

use crate::harness::{World, world};
use crate::reviewers::Desk;

const POLICY: &str = r#"@id("all") permit (principal, action, resource);"#;

/// Sends the head of an order and the first byte of its body; the rest when it is told to. The answer.
fn slowly(
    world: &World,
    token: &str,
    path: &str,
    body: &Value,
) -> (oneshot::Sender<()>, tokio::task::JoinHandle<(u16, Value)>) {
    let (go, rest_may_go) = oneshot::channel::<()>();
    let text = body.to_string();
    let (first, rest) = text.split_at(1);
    let (first, rest) = (Bytes::from(first.to_owned()), Bytes::from(rest.to_owned()));
    let body = futures::stream::once(async move { Ok::<_, std::io::Error>(first) });
    let rest = futures::stream::once(async move {
        let _told = rest_may_go.await;
        Ok(rest)
    });
    let peer: SocketAddr = "192.0.2.9:4712".parse().unwrap();
    let request = Request::builder()
        .method("POST")
        .uri(path)
        .header("authorization", format!("Bearer {token}"))
        .extension(ConnectInfo(peer))
        .extension(Front::Tcp)
        .extension(TraceId::new())
        .body(Body::from_stream(futures::StreamExt::chain(body, rest)))
        .unwrap();
    let api = api::router(&world.gateway);
    let answer = tokio::spawn(async move {
        let answer = api.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    });
    (go, answer)
}

fn principal(world: &World, subject: &str) -> Value {
    json!({"kind": "principal", "issuer": world.issuer.issuer_config().issuer, "subject": subject})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_somebody_who_is_revoked_while_they_send_it_counts_for_nothing() {
    let world = world!(policy: POLICY,);
    let token = world.token("sam", None).await;
    let order = json!({"revoked": principal(&world, "dana"), "reason": "the last word"});
    let (go, answer) = slowly(&world, &token, "/v1/revocations", &order);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let dana = Desk::of(&world, "dana").await;
    assert_eq!(dana.revoke(principal(&world, "sam")).await.0, 200);
    go.send(()).unwrap();
    let (status, told) = answer.await.unwrap();
    assert_eq!((status, told["code"].as_str()), (401, Some("invalid_token")), "{told}");
    assert_eq!(dana.get("/v1/whoami").await.0, 200, "dana goes on");
    let orders = world
        .events()
        .await
        .into_iter()
        .filter(|event| matches!(event.body, EventBody::Revocation(Revocation::Revoked(_))));
    assert_eq!(orders.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_of_somebody_whose_token_ends_while_they_send_it_counts_for_nothing() {
    let world = world!(policy: POLICY,);
    let token = world.token("sam", Some(2)).await;
    let wish = json!({"target": "db", "seconds": 60, "reason": "OPS-7"});
    let (go, answer) = slowly(&world, &token, "/v1/grants", &wish);
    tokio::time::sleep(Duration::from_millis(2500)).await;
    go.send(()).unwrap();
    let (status, told) = answer.await.unwrap();
    assert_eq!((status, told["code"].as_str()), (401, Some("invalid_token")), "{told}");
    // In time it is taken, however slowly it comes.
    let token = world.token("sam", None).await;
    let (go, answer) = slowly(&world, &token, "/v1/grants", &wish);
    tokio::time::sleep(Duration::from_millis(500)).await;
    go.send(()).unwrap();
    let (status, told) = answer.await.unwrap();
    assert_ne!(status, 401, "{told}");
}
