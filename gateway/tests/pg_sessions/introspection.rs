//! Sessions whose issuer is asked whether their token still counts (RFC 7662).

use std::time::{Duration, Instant};

use tallyport_schemas::{Body, Session};

use crate::harness::world;
use crate::wire::{Wire, error_field, query, tags};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_issuer_takes_the_token_back() {
    let world = world!(introspection: true,);
    let token = world.token("agent", None).await;
    let (mut wire, _) = Wire::start(world.tunnel_with(&token).await, &[("user", "u")]).await;
    let other = world.token("agent", None).await;
    let (mut bystander, _) = Wire::start(world.tunnel_with(&other).await, &[("user", "u")]).await;
    wire.send(&query("SELECT pg_sleep(600)")).await;
    world.issuer.revoke(&token);
    assert_eq!(error_field(&wire.rest().await, b'C'), "57P01");
    let refusal = world.open(&token, "db").await.err().expect("is out");
    assert_eq!((refusal.status, refusal.code), (401, "invalid_token"));
    let issuer = world.issuer.issuer_url.clone();
    let ended = |events: &[tallyport_schemas::Event]| {
        events.iter().any(|event| matches!(&event.body, Body::Session(Session::Revoked { by, reason, .. }) if *by == issuer && reason.contains("does not count any more")))
    };
    world.wait_for("its end", ended).await;
    bystander.send(&query("SELECT 1")).await;
    assert_eq!(tags(&bystander.until(b'Z', 1).await), "TDCZ", "the other token counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_gone_lets_nobody_in_and_ends_sessions_in_the_end() {
    let mut world = world!(introspection: true,);
    let token = world.token("agent", None).await;
    let (mut wire, _) = Wire::start(world.tunnel_with(&token).await, &[("user", "u")]).await;
    let gone_at = Instant::now();
    world.stop_issuer().await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let refusal = world.open(&token, "db").await.err().expect("is not let in");
    assert_eq!((refusal.status, refusal.code), (503, "issuer_unavailable"));
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ", "a hiccup ends nobody");
    tokio::time::sleep(Duration::from_secs(20)).await;
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ", "{:?}", gone_at.elapsed());
    assert_eq!(error_field(&wire.rest().await, b'C'), "57P01", "{:?}", gone_at.elapsed());
}
