//! Tokens that are bound to a key (DPoP, RFC 9449): the gateway's nonce, the proof of every use, and what policy makes of it.

use axum::body::Body as HttpBody;
use axum::extract::ConnectInfo;
use http::Request;
use std::net::SocketAddr;
use std::sync::Arc;
use tallyport_access::client::{
    BoundToken, ClientAuthentication, ClientCredentials, ProofKey, TokenSource,
};
use tallyport_gateway::{
    BearerToken, ConnectRequest, Gateway, OpenTunnel, Refusal, TunnelService as _, api,
};
use tallyport_schemas::{Authentication, Body, Event, Front, TokenBinding, TraceId};
use tower::ServiceExt as _;

use crate::harness::{GATEWAY_NAME, World, world};

/// Agents come in with a bound token alone.
const POLICY: &str = r#"
@id("all") permit (principal, action, resource);
@id("bound-agents") forbid (principal is Tallyport::Agent, action == Tallyport::Action::"sql:connect", resource)
  unless { principal.tokenBinding == "dpop" };
"#;
const URI: &str = "https://gateway.example/db";

async fn bound(world: &World, client: &str) -> (String, Arc<ProofKey>) {
    let known = world.issuer.clients().iter().find(|it| it.id == client).expect("a client");
    let source = TokenSource::bound_credentials(ClientCredentials {
        issuer: world.issuer.issuer_url.clone(),
        token_url: None,
        client_id: known.id.clone(),
        authentication: ClientAuthentication::Secret(known.secret.clone()),
        audience: None,
        scope: None,
        extra: Vec::new(),
        roots_pem: None,
    });
    let BoundToken { token, key } = source.unwrap().bound_token().await.unwrap();
    (token.expose().to_owned(), key.expect("the issuer binds it"))
}

async fn open(
    gateway: &Gateway,
    token: &str,
    proof: String,
) -> Result<Box<dyn OpenTunnel>, Refusal> {
    let request = ConnectRequest {
        target: "db".to_owned(),
        token: Some(BearerToken::new(token.to_owned())),
        proof: Some(proof),
        certificate: None,
        peer: "192.0.2.7:4711".parse().unwrap(),
        front: Front::Quic,
        trace_id: TraceId::new(),
    };
    gateway.open(request).await
}

fn refused(outcome: Result<Box<dyn OpenTunnel>, Refusal>) -> Refusal {
    outcome.err().expect("it is refused")
}

fn authentications(events: &[Event]) -> Vec<&Authentication> {
    events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Authentication(it) => Some(it),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_comes_in_with_the_gateways_nonce_and_each_proof_once() {
    let world = world!(policy: POLICY,);
    assert!(URI.contains(GATEWAY_NAME));
    let (token, key) = bound(&world, "agent").await;
    let prove = |nonce: Option<&str>| key.prove("CONNECT", URI, Some(&token), nonce).unwrap();

    let first = refused(open(&world.gateway, &token, prove(None)).await);
    assert_eq!((first.status, first.code), (401, "use_dpop_nonce"));
    let nonce = first.nonce.expect("it is told the nonce");
    let proof = prove(Some(&nonce));
    assert!(open(&world.gateway, &token, proof.clone()).await.is_ok());
    let again = refused(open(&world.gateway, &token, proof).await);
    assert_eq!((again.status, again.code), (401, "invalid_dpop_proof"));
    assert!(open(&world.gateway, &token, prove(Some(&nonce))).await.is_ok(), "a nonce is for many");

    // A step of the protocol is counted; an attempt that failed is an event.
    let events = world.events().await;
    let told: Vec<_> =
        authentications(&events).iter().map(|it| (it.failure.as_deref(), it.binding)).collect();
    let let_in = (None, Some(TokenBinding::Dpop));
    assert_eq!(told, [let_in, (Some("dpop_proof"), None), let_in]);

    // Another gateway has nonces of its own, although it has the same name: no proof is for both.
    let other = world.another("gateway-2").await;
    let there = refused(open(&other, &token, prove(Some(&nonce))).await);
    assert_eq!(there.code, "use_dpop_nonce");
    let theirs = there.nonce.unwrap();
    assert!(open(&other, &token, prove(Some(&theirs))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_can_demand_that_a_token_is_bound() {
    let world = world!(policy: POLICY,);
    let bearer = world.token("agent", None).await;
    let refusal = refused(world.open(&bearer, "db").await);
    assert_eq!((refusal.status, refusal.code), (403, "denied_by_policy"));
    // Nor does saying that it is bound help.
    let (_, key) = bound(&world, "agent").await;
    let proof = key.prove("CONNECT", URI, Some(&bearer), None).unwrap();
    assert_eq!(refused(open(&world.gateway, &bearer, proof).await).code, "invalid_token");
    assert!(world.open(&world.token("dana", None).await, "db").await.is_ok(), "people may");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_takes_a_bound_token_with_a_proof_for_that_very_request() {
    let world = world!(policy: POLICY,);
    let (token, key) = bound(&world, "dana").await;
    let ask = async |method: &str, path: &str, proof: Option<String>| {
        let peer: SocketAddr = "192.0.2.9:4712".parse().unwrap();
        let scheme = if proof.is_some() { "DPoP" } else { "Bearer" };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .extension(ConnectInfo(peer))
            .extension(Front::Tcp)
            .extension(TraceId::new())
            .header("authorization", format!("{scheme} {token}"));
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let request = request.body(HttpBody::empty()).unwrap();
        let answer = api::router(&world.gateway).oneshot(request).await.unwrap();
        let field = |name: &str| {
            let values = answer.headers().get_all(name).iter();
            values.map(|it| it.to_str().unwrap()).collect::<Vec<_>>().join(" | ")
        };
        (answer.status().as_u16(), field("www-authenticate"), field("dpop-nonce"))
    };
    let uri = "https://gateway.example/v1/approvals";
    let prove = |method: &str, uri: &str, nonce: &str| {
        Some(key.prove(method, uri, Some(&token), Some(nonce).filter(|it| !it.is_empty())).unwrap())
    };
    let (status, challenge, nonce) =
        ask("GET", "/v1/approvals?state=all", prove("GET", uri, "")).await;
    assert_eq!(status, 401);
    assert!(
        challenge.contains("DPoP realm=\"tallyport\", error=\"use_dpop_nonce\", algs=\"ES256"),
        "{challenge}"
    );
    assert!(!nonce.is_empty());
    assert_eq!(ask("GET", "/v1/approvals?state=all", prove("GET", uri, &nonce)).await.0, 200);
    // Not as a bearer token, not for another method or path.
    assert_eq!(ask("GET", "/v1/approvals", None).await.0, 401);
    for (method, uri) in [
        ("POST", uri),
        ("GET", "https://gateway.example/v1/revocations"),
        ("GET", "https://gateway.example/approvals"),
    ] {
        let (status, challenge, _) = ask("GET", "/v1/approvals", prove(method, uri, &nonce)).await;
        assert_eq!(status, 401, "{method} {uri}");
        assert!(challenge.contains("error=\"invalid_dpop_proof\""), "{challenge}");
    }
}
