//! How many sessions there may be: each limit refuses early, by name, on record; what is open goes on.

use tallyport_gateway::config::GatewayLimits;
use tallyport_schemas::{Body, Event, Session};

use crate::harness::{SOON, World, world};

async fn refused(world: &World, client: &str, status: u16, code: &str) {
    let token = world.token(client, None).await;
    let refusal = world.open(&token, "db").await.err().expect("a refusal");
    assert_eq!((refusal.status, refusal.code), (status, code), "{}", refusal.message);
    let lost = |event: &Event| matches!(&event.body, Body::Session(Session::Lost { cause, .. }) if cause == code);
    assert!(world.events().await.iter().any(lost), "{code} is not on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_principal_cannot_take_the_places_of_others() {
    let limits = GatewayLimits { max_sessions_per_principal: 2, ..GatewayLimits::default() };
    let world = world!(limits,);
    let (first, second) = (world.connect().await, world.connect().await);
    refused(&world, "agent", 429, "principal_session_limit").await;
    let other = world.connect_as("other", None).await;
    for client in [&first, &second, &other] {
        client.query_one("SELECT 1", &[]).await.expect("an open session goes on");
    }
    // Its end frees the place, once it is on record.
    drop(first);
    let closed = |event: &Event| matches!(event.body, Body::Session(Session::Closed { .. }));
    world.wait_for("the end", |events| events.iter().any(closed)).await;
    let token = world.token("agent", None).await;
    let room = async {
        while world.open(&token, "db").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, room).await.expect("there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_target_and_a_full_gateway_refuse_early() {
    let world =
        world!(target: "user = 'postgres'\nsslmode = 'disable'\nlimits = { max_sessions = 1 }\n",);
    let client = world.connect().await;
    refused(&world, "other", 503, "target_session_limit").await;
    client.query_one("SELECT 1", &[]).await.expect("an open session goes on");

    let limits = GatewayLimits { max_sessions: 1, ..GatewayLimits::default() };
    let world = world!(limits,);
    let client = world.connect().await;
    refused(&world, "other", 503, "session_limit").await;
    client.query_one("SELECT 1", &[]).await.expect("an open session goes on");
}
