//! Against a real OpenID provider: discovery, RFC 9068 tokens, rotation, outage.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dev_services::{DevService, StartError};
use support::jwt::outcome;
use tallyport_access::client::{
    ClientAuthentication, ClientCredentials, ClientKey, ProofKey, TokenError, TokenSource,
};
use tallyport_access::{
    Asked, Authenticator, ClaimSource, ClientCertificate, IssuerConfig, Presented, ProofVerifier,
    SecretToken,
};
use tallyport_schemas::{PrincipalKind, TokenBinding};

/// The provider, or nothing where it cannot be installed; that is said on stderr.
fn provider(test: &str, args: &[&str]) -> Option<DevService> {
    match DevService::start("oidc", args) {
        Ok(service) => Some(service),
        Err(error @ StartError::NotInstallable { .. }) => {
            eprintln!("NOT RUN: {test}: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn settings(provider: &DevService, id: &str) -> ClientCredentials {
    let clients = provider.ready()["clients"].as_array().unwrap();
    let client = clients.iter().find(|client| client["id"] == id).unwrap();
    ClientCredentials {
        issuer: provider.text("issuer").to_owned(),
        token_url: None,
        client_id: id.to_owned(),
        authentication: ClientAuthentication::Secret(SecretToken::new(
            client["secret"].as_str().unwrap(),
        )),
        audience: Some(format!("urn:tallyport:{}", provider.text("audience"))),
        scope: None,
        extra: vec![],
        roots_pem: None,
    }
}

async fn token(provider: &DevService, id: &str) -> SecretToken {
    TokenSource::client_credentials(settings(provider, id)).unwrap().token().await.unwrap()
}

fn trusting(provider: &DevService) -> IssuerConfig {
    let audience = provider.text("audience").to_owned();
    let mut config = IssuerConfig::new(provider.text("issuer"), vec![audience]);
    config.keys.min_refresh_seconds = 1;
    config
}

async fn until(authenticator: &Authenticator, token: &SecretToken, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = outcome(authenticator, token.expose()).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "still {found}, expected {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn real_tokens_say_who_and_on_whose_behalf() {
    let Some(provider) = provider("real_tokens_say_who_and_on_whose_behalf", &[]) else { return };
    let authenticator = Authenticator::new(vec![trusting(&provider)]).unwrap();
    let agent = token(&provider, "support-agent").await;
    let who = authenticator.verify(agent.expose()).await.unwrap();
    assert_eq!(who.principal.subject, "support-agent");
    assert_eq!(who.principal.kind, PrincipalKind::Agent);
    assert_eq!(who.principal.groups, ["support-agents"]);
    assert_eq!(who.principal.owner.as_deref(), Some("ada@example.com"));
    assert_eq!(who.agent.model.as_deref(), Some("example-model-1"));
    let delegated = token(&provider, "delegated").await;
    let who = authenticator.verify(delegated.expose()).await.unwrap();
    assert_eq!(who.principal.kind, PrincipalKind::Human);
    let chain: Vec<_> = who.delegation.iter().map(|actor| actor.subject.as_str()).collect();
    assert_eq!(chain, ["support-agent", "orchestrator"]);
    assert_eq!(who.delegation[1].issuer.as_deref(), Some("https://agents.example.com"));
    let mut mapped = trusting(&provider);
    mapped.claims.groups = ClaimSource::required("/realm_access/roles").into();
    let mapped = Authenticator::new(vec![mapped]).unwrap();
    let who = mapped.verify(agent.expose()).await.unwrap();
    assert_eq!(who.principal.groups, ["reader", "support"]);
    assert_eq!(outcome(&mapped, token(&provider, "nobody").await.expose()).await, "missing_claim");
    let mut elsewhere = trusting(&provider);
    elsewhere.audiences = vec!["another-service".into()];
    let elsewhere = Authenticator::new(vec![elsewhere]).unwrap();
    assert_eq!(outcome(&elsewhere, agent.expose()).await, "wrong_audience");
}

#[tokio::test]
async fn a_real_rotation_is_picked_up() {
    let Some(provider) = provider("a_real_rotation_is_picked_up", &[]) else { return };
    let authenticator = Authenticator::new(vec![trusting(&provider)]).unwrap();
    let old = token(&provider, "analyst").await;
    assert_eq!(outcome(&authenticator, old.expose()).await, "ok");
    let rotate = |query: &str| {
        let url = format!("{}{query}", provider.text("rotate_url"));
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        async move { assert_eq!(http.post(url).send().await.unwrap().status(), 200) }
    };
    rotate("").await;
    let new = token(&provider, "analyst").await;
    until(&authenticator, &new, "ok").await;
    assert_eq!(outcome(&authenticator, old.expose()).await, "ok", "its key is still published");
    rotate("?drop=1").await;
    let newest = token(&provider, "analyst").await;
    until(&authenticator, &newest, "ok").await;
    assert_eq!(outcome(&authenticator, old.expose()).await, "unknown_key");
}

#[tokio::test]
async fn keys_outlive_a_real_outage_for_a_while_then_fail_closed() {
    let test = "keys_outlive_a_real_outage_for_a_while_then_fail_closed";
    let Some(first) = provider(test, &[]) else { return };
    let mut config = trusting(&first);
    config.keys.max_age_seconds = 1;
    config.keys.keep_seconds = 6;
    let authenticator = Authenticator::new(vec![config]).unwrap();
    let old = token(&first, "analyst").await;
    assert_eq!(outcome(&authenticator, old.expose()).await, "ok");
    let port = first.text("issuer").rsplit(':').next().unwrap().to_owned();
    drop(first);
    assert_eq!(outcome(&authenticator, old.expose()).await, "ok", "the provider is down");
    until(&authenticator, &old, "issuer_unavailable").await;
    let Some(second) = provider(test, &["--port", &port]) else { return };
    let new = token(&second, "analyst").await;
    until(&authenticator, &new, "ok").await;
    assert_eq!(outcome(&authenticator, old.expose()).await, "unknown_key");
}

/// The provider binds a token to a key that our client proves, and a proof of it is taken here; nobody else's is.
#[tokio::test]
async fn a_real_provider_binds_tokens_to_our_key() {
    let Some(provider) = provider("a_real_provider_binds_tokens_to_our_key", &[]) else { return };
    let authenticator = Authenticator::new(vec![trusting(&provider)]).unwrap();
    let settings = settings(&provider, "support-agent");
    let source = TokenSource::bound_credentials(settings.clone()).unwrap();
    let bound = source.bound_token().await.unwrap();
    let key = bound.key.expect("it is bound");
    let gateway = ProofVerifier::new(&["gateway.example".to_owned()]).unwrap();
    let verify = async |proof: &str| {
        let asked = Asked { method: "CONNECT", path: "/sample" };
        let token = bound.token.expose();
        let presented =
            Presented { token, proof: Some(proof), asked, verifier: &gateway, certificate: None };
        authenticator.verify_presented(&presented).await.map(|who| who.binding)
    };
    let nonce = gateway.nonce();
    let prove = |key: &ProofKey| {
        let (uri, token) = ("https://gateway.example/sample", bound.token.expose());
        key.prove("CONNECT", uri, Some(token), Some(&nonce)).unwrap()
    };
    assert_eq!(verify(&prove(&key)).await, Ok(Some(TokenBinding::Dpop)));
    let other = ProofKey::generate().unwrap();
    assert_eq!(verify(&prove(&other)).await.unwrap_err().code(), "dpop_proof");
    let bearer = authenticator.verify(bound.token.expose()).await;
    assert_eq!(bearer.unwrap_err().code(), "sender_constrained");
    // Who does not ask for it gets a bearer token.
    let plain = TokenSource::client_credentials(settings).unwrap().bound_token().await.unwrap();
    assert!(plain.key.is_none());
}

/// A client that has a key in place of a secret is let in by what it signs (RFC 7523); by another key it is not, nor under another name of its key.
#[tokio::test]
async fn a_client_with_a_key_of_its_own_gets_tokens() {
    let test = "a_client_with_a_key_of_its_own_gets_tokens";
    let Some(provider) = provider(test, &[]) else { return };
    let known = &provider.ready()["key_agent"];
    let ask = async |pem: &str, id: Option<&str>, audience: Option<&str>| {
        let key = ClientKey::from_pem(pem.as_bytes()).unwrap();
        let key = key.named(id.map(str::to_owned)).for_audience(audience.map(str::to_owned));
        let authentication = ClientAuthentication::Key(Arc::new(key));
        let settings = ClientCredentials { authentication, ..settings(&provider, "key-agent") };
        TokenSource::client_credentials(settings).unwrap().token().await
    };
    let pem = known["pem"].as_str().unwrap();
    let token = ask(pem, known["kid"].as_str(), None).await.unwrap();
    let authenticator = Authenticator::new(vec![trusting(&provider)]).unwrap();
    let who = authenticator.verify(token.expose()).await.unwrap();
    assert_eq!(who.principal.display_name, "Key agent");
    // It has one key, so it need not be named.
    assert!(ask(pem, None, None).await.is_ok());
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (pem, id, audience) in [
        (other.as_str(), known["kid"].as_str(), None),
        (pem, Some("key-agent-2"), None),
        (pem, None, Some("https://elsewhere.example.com")),
    ] {
        let told = ask(pem, id, audience).await.unwrap_err();
        assert!(
            matches!(&told, TokenError::Refused { code } if code == "invalid_client"),
            "{told}"
        );
    }
}

/// The provider binds a token to the certificate of the connection on which it was asked for (RFC 8705 section 3): with that
/// certificate it is taken here, with another or none it is not.
#[tokio::test]
async fn a_real_provider_binds_tokens_to_a_certificate() {
    let test = "a_real_provider_binds_tokens_to_a_certificate";
    let Some(provider) = provider(test, &[]) else { return };
    let authenticator = Authenticator::new(vec![trusting(&provider)]).unwrap();
    let certificate = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.self_signed(&key).unwrap()
    };
    let (ours, other) = (certificate("agent.example"), certificate("other.example"));
    let ClientCredentials { client_id, authentication, audience, .. } =
        settings(&provider, "bound-agent");
    let ClientAuthentication::Secret(client_secret) = authentication else { panic!("a secret") };
    let form = [("grant_type", "client_credentials"), ("resource", audience.as_deref().unwrap())];
    // What ends TLS in front of the provider tells it the certificate.
    let pem: String = url::form_urlencoded::byte_serialize(ours.pem().as_bytes()).collect();
    let request = reqwest::Client::new()
        .post(provider.text("token_url"))
        .basic_auth(client_id, Some(client_secret.expose()))
        .header("x-ssl-client-cert", pem.replace('+', "%20"))
        .form(&form);
    let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let gateway = ProofVerifier::new(&["gateway.example".to_owned()]).unwrap();
    let verify = async |shown: Option<&rcgen::Certificate>| {
        let shown = shown.and_then(|it| ClientCertificate::of(std::slice::from_ref(it.der())));
        let asked = Asked { method: "CONNECT", path: "/sample" };
        let certificate = shown.as_ref();
        let presented = Presented { token, proof: None, asked, verifier: &gateway, certificate };
        let verified = authenticator.verify_presented(&presented).await;
        verified.map(|who| who.binding).map_err(|failure| failure.code())
    };
    assert_eq!(verify(Some(&ours)).await, Ok(Some(TokenBinding::Mtls)));
    assert_eq!(verify(Some(&other)).await, Err("other_certificate"));
    assert_eq!(verify(None).await, Err("no_certificate"));
}
