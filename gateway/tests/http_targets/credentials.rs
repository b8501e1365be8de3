//! What a service is shown: it comes there, and nowhere else.

use http_body_util::Full;
use hyper::Request;
use tallyport_schemas::{FindingAction, ResponseStatus};

use crate::upstream::SECRET;
use crate::world::{World, whole};

const KEY: &str = "key/\"of-the-gateway";

/// What comes to a service that says again what it was asked with, and what the agent sees of its answer. No detector could see it.
async fn shown(more: &str) -> (World, String) {
    let headers = format!("headers = {{ x-api-key = {{ value = '{KEY}' }} }}");
    let world = World::saying(&format!("detectors = {{}}\n{headers}\n{more}")).await;
    let mut client = world.client().await;
    let request = Request::get("/echo").body(Full::default()).unwrap();
    let response = client.send(request).await;
    assert_eq!(response.headers()["x-request-id"], "[redacted]");
    let (status, body) = whole(response).await;
    assert_eq!(status, 200, "{body}");
    let summary = world.summaries().await.remove(0);
    assert_eq!((summary.status, summary.masked_values), (ResponseStatus::Ok, 3));
    let finding = &summary.findings[0];
    assert_eq!((finding.detector.as_str(), finding.count), ("gateway_credential", 3));
    assert_eq!(finding.action, FindingAction::Mask);
    assert_eq!(world.upstream.sent()[0].field("x-api-key"), Some(KEY));
    (world, body)
}

async fn is_nowhere(world: &World, secret: &str) {
    for event in world.events().await {
        let recorded = serde_json::to_string(&event.body).unwrap();
        assert!(!recorded.contains(secret), "{recorded}");
    }
    for summary in world.summaries().await {
        let said = summary.content.unwrap().replay().unwrap();
        assert!(!String::from_utf8_lossy(&said).contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_and_not_said_again() {
    let (world, body) = shown("").await;
    assert_eq!(body, r#"{"authorization":"Bearer [redacted]","x-api-key":"[redacted]"}"#);
    let sent = world.upstream.sent().remove(0);
    assert_eq!(sent.field("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    is_nowhere(&world, SECRET).await;
    is_nowhere(&world, "of-the-gateway").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_and_a_password_are_shown_and_not_said_again() {
    let (world, body) =
        shown("basic = { user = 'tallyport', password = { value = 'swordfish' } }").await;
    assert_eq!(body, r#"{"authorization":"Basic [redacted]","x-api-key":"[redacted]"}"#);
    let pair = "dGFsbHlwb3J0OnN3b3JkZmlzaA==";
    let sent = world.upstream.sent().remove(0);
    assert_eq!(sent.field("authorization"), Some(format!("Basic {pair}").as_str()));
    is_nowhere(&world, pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_issuer_is_shown_and_not_said_again() {
    let oauth2 = "oauth2 = { token_url = 'TOKEN_URL', client_id = 'second', client_secret = { value = 'CLIENT_SECRET' } }";
    let (world, body) = shown(oauth2).await;
    assert_eq!(body, r#"{"authorization":"Bearer [redacted]","x-api-key":"[redacted]"}"#);
    let sent = world.upstream.sent().remove(0);
    let token = sent.field("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned();
    assert_eq!(token.split('.').count(), 3, "a JWT");
    is_nowhere(&world, &token).await;
}

/// The service lets nobody in without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown() {
    let world = World::saying("MUTUAL_TLS").await;
    let (status, body) = world.client().await.get("/customers/7").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(world.upstream.sent().len(), 1);
}

/// An issuer inside the house has a certificate of the house.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_is_who_the_configured_roots_say() {
    let oauth2 = |roots: &str| {
        let client = "client_id = 'second', client_secret = { value = 'CLIENT_SECRET' }";
        format!("oauth2 = {{ ISSUER_BY_TLS, {roots}{client} }}")
    };
    let world = World::saying(&oauth2("ROOTS, ")).await;
    let (status, body) = world.client().await.get("/customers/7").await;
    assert_eq!(status, 200, "{body}");
    let world = World::saying(&oauth2("")).await;
    let (status, body) = world.client().await.get("/customers/7").await;
    assert_eq!(status, 502, "{body}");
    assert!(world.upstream.sent().is_empty(), "{:?}", world.upstream.sent());
}
