//! Bounds in time, and what a configuration may say.

use std::net::SocketAddr;

use async_trait::async_trait;
use axum::http::header::{COOKIE, LOCATION};
use axum::http::{HeaderMap, HeaderValue};
use jiff::ToSpan as _;
use tallyport_access::AuthFailure;
use tallyport_access::client::{ClientAuthentication, ClientSettings};
use tallyport_schemas::{Front, TraceId};
use tower::ServiceExt as _;

use super::*;
use crate::config::{AuditService, SignInConfig};

struct Nobody;

#[async_trait]
impl Witness for Nobody {
    async fn failed(&self, _: SocketAddr, _: Front, _: TraceId, _: AuthFailure) {}
}

fn config(change: impl FnOnce(&mut ConsoleConfig)) -> ConsoleConfig {
    let mut config = ConsoleConfig {
        public_url: Url::parse("https://gateway.example.com").unwrap(),
        providers: vec![provider("sso")],
        key: None,
        audit: None,
    };
    change(&mut config);
    config
}

fn provider(id: &str) -> SignInConfig {
    SignInConfig {
        id: id.to_owned(),
        name: "Company".to_owned(),
        client: ClientSettings {
            issuer: "https://127.0.0.1:9".to_owned(),
            client_id: "pages".to_owned(),
            authentication: ClientAuthentication::Public,
            audience: None,
            scope: None,
            roots_pem: None,
        },
    }
}

fn console() -> Console {
    Console::new(config(|_| {}), Router::new(), Arc::new(Nobody)).unwrap()
}

fn cookies(pairs: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_str(&pairs.join("; ")).unwrap());
    headers
}

#[test]
fn a_sign_in_is_over_after_twelve_hours_whatever_renews_it() {
    let console = console();
    let signed_in = |minutes: i64| {
        let who = SignedIn {
            provider: "sso".to_owned(),
            access_token: SecretToken::new("t"),
            refresh_token: Some(SecretToken::new("r")),
            expires_at: Timestamp::now() + 1.hours(),
            since: Timestamp::now() - minutes.minutes(),
        };
        let sealed = console.seal.seal(Purpose::Session, &who).unwrap();
        let set = cookie::set_session(&sealed).unwrap();
        let first = set[0].to_str().unwrap().split(';').next().unwrap().to_owned();
        console.signed_in(&cookies(&[first])).is_some()
    };
    assert!(signed_in(12 * 60 - 1));
    assert!(!signed_in(12 * 60 + 1));
}

#[tokio::test]
async fn a_sign_in_that_took_too_long_is_over() {
    let console = console();
    let pending = |seconds: i64| {
        let value = serde_json::json!({
            "provider": "sso", "begun": { "state": "s", "verifier": "v" }, "back": "",
            "at": Timestamp::now() - seconds.seconds(),
        });
        let sealed = console.seal.seal(Purpose::Pending, &value).unwrap();
        format!("{}={sealed}", cookie::PENDING)
    };
    let (late, timely) = (pending(601), pending(590));
    let router = console.router();
    for (pair, error) in [(late, "expired"), (timely, "provider")] {
        let mut request =
            Request::get("https://gateway.example.com/console/callback/sso?state=s&code=c")
                .body(axum::body::Body::empty())
                .unwrap();
        *request.headers_mut() = cookies(&[pair]);
        let answer = router.clone().oneshot(request).await.unwrap();
        let to = answer.headers()[LOCATION].to_str().unwrap();
        assert_eq!(to, format!("https://gateway.example.com/console/?error={error}"));
    }
}

#[test]
fn what_cannot_be_served_is_said_before_anything_starts() {
    let refused = |change: fn(&mut ConsoleConfig)| {
        let console = Console::new(config(change), Router::new(), Arc::new(Nobody));
        console.err().map(|error| error.to_string()).unwrap_or_default()
    };
    for url in [
        "http://gateway.example.com",
        "https://gateway.example.com/x",
        "https://u@gateway.example.com",
        "https://gateway.example.com/?q",
    ] {
        let mut one = config(|_| {});
        one.public_url = Url::parse(url).unwrap();
        assert!(one.check().unwrap_err().to_string().contains("console.public_url"), "{url}");
    }
    assert!(refused(|it| it.providers.clear()).contains("console.sign_in"));
    assert!(refused(|it| it.providers.push(provider("sso"))).contains("console.sign_in"), "twice");
    assert!(refused(|it| it.providers[0].id = "A/B".to_owned()).contains("console.sign_in"));
    assert!(refused(|it| it.providers[0].client.client_id.clear()).contains("console.sign_in"));
    let plain =
        |it: &mut ConsoleConfig| it.providers[0].client.issuer = "http://idp.example".to_owned();
    assert!(refused(plain).contains("console.sign_in.sso"));
    let audit = |it: &mut ConsoleConfig| {
        let url = Url::parse("http://query.example").unwrap();
        it.audit = Some(AuditService { url, roots_pem: None });
    };
    assert!(refused(audit).contains("https"), "tokens go there");
}
