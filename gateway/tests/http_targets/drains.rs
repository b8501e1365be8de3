//! Requests that are under way when the gateway is asked to stop.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use tallyport_schemas::{Body, Event, ResponseStatus, Session, SessionEnd};
use tokio::time::Instant;

use crate::world::{SOON, World};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_whole_while_the_gateway_drains() {
    let world = World::start().await;
    let mut client = world.client().await;
    let request = Request::get("/in-a-second").body(Full::default()).unwrap();
    let asking = client.send(request);
    let stopping = async {
        while world.upstream.sent().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let token = world.token("agent", None).await;
        let gateway = world.gateway.clone();
        let stopping = tokio::spawn(async move { gateway.shutdown(SOON).await });
        while world.open(&token).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        (stopping,)
    };
    let (response, (stopping,)) = tokio::join!(asking, stopping);
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"{\"after\""), "{body:?}");
    drop(client);
    let began = Instant::now();
    stopping.await.unwrap();
    assert!(began.elapsed() < SOON / 2, "nothing is left to wait for");
    assert_eq!(world.summaries().await.remove(0).status, ResponseStatus::Ok);
    // Tunnels that were opened to see whether that is still done were left, and are on record as that.
    let is_closed = |event: &Event| {
        matches!(&event.body, Body::Session(Session::Closed { end: SessionEnd::Client, .. }))
    };
    world.wait_for("its end", |events| events.iter().any(is_closed)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_is_ended_told_and_on_record() {
    for path in ["/slow", "/events"] {
        let world = World::start().await;
        let mut client = world.client().await;
        let asking = async {
            let response = client.send(Request::get(path).body(Full::default()).unwrap()).await;
            (response.status().as_u16(), response.into_body().collect().await)
        };
        let stopping = async {
            while world.upstream.sent().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            let began = Instant::now();
            world.gateway.shutdown(Duration::from_millis(200)).await;
            began.elapsed()
        };
        let ((status, body), took) = tokio::join!(asking, stopping);
        assert!(took < Duration::from_secs(8), "{path}: {took:?}");
        if path == "/slow" {
            let told = body.unwrap().to_bytes();
            assert_eq!(status, 503, "{told:?}");
            assert!(String::from_utf8_lossy(&told).contains("session_ended"), "{told:?}");
        } else {
            assert!(status == 200 && body.is_err(), "what was cut does not look whole");
        }
        assert_eq!(world.summaries().await.remove(0).status, ResponseStatus::Interrupted, "{path}");
        assert!(
            matches!(world.ended().await, Session::Closed { end: SessionEnd::Shutdown, .. }),
            "{path}"
        );
    }
}
