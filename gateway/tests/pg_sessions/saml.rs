//! Assertions for tokens: what a client is told, what is on record of it and when, and who gets nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body as HttpBody;
use axum::extract::ConnectInfo;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tallyport_access::saml::SamlExchange;
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_gateway::{Gateway, api};
use tallyport_schemas::{AuthMethod, Authentication, Body, Event, Front, Outcome, TraceId};
use tower::ServiceExt as _;
use url::form_urlencoded;

use crate::harness::world;
use crate::reviewers::Desk;

/// The provider of the corpus of attacks.
#[path = "../../../access/tests/attacks_on_assertions/idp.rs"]
#[allow(dead_code, reason = "most of it is for attacks")]
mod idp;

use idp::{ENTITY, ISSUER, Idp, Says, encode, trusting};

pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";
const FORM: &str = "application/x-www-form-urlencoded";

fn exchange() -> Option<Arc<SamlExchange>> {
    Some(Arc::new(trusting(Idp::rsa())))
}

fn assertion(id: &str) -> String {
    let says = Says { id: id.to_owned(), ..Says::good() };
    encode(&says.signed_at(jiff::Timestamp::now(), Idp::rsa()))
}

async fn send(
    gateway: &Gateway,
    (method, path): (&str, &str),
    media: &str,
    body: String,
) -> (u16, HeaderMap, Value) {
    let peer: SocketAddr = "192.0.2.9:4712".parse().unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .extension(ConnectInfo(peer))
        .extension(Front::Tcp)
        .extension(TraceId::new())
        .header("content-type", media)
        .body(HttpBody::from(body))
        .unwrap();
    let answer = api::router(gateway).oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, serde_json::from_slice(&body).unwrap_or_default())
}

async fn ask(gateway: &Gateway, assertion: &str) -> (u16, HeaderMap, Value) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", GRANT).append_pair("assertion", assertion);
    send(gateway, ("POST", "/saml/token"), FORM, form.finish()).await
}

/// The exchanges on record, with whose they are.
pub fn exchanges(events: &[Event]) -> Vec<(&Authentication, Option<&str>)> {
    events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Authentication(it) if it.method == AuthMethod::Saml => {
                let who = event.context.principal.as_ref().map(|it| it.subject.as_str());
                Some((it, who))
            }
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_becomes_a_token_that_opens_a_session_and_both_are_on_record() {
    let world = world!(saml: exchange(),);
    let (status, headers, answer) = ask(&world.gateway, &assertion("_a1")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(answer["token_type"], "Bearer");
    let left = answer["expires_in"].as_u64().unwrap();
    assert!(
        (290..=300).contains(&left),
        "{left}: the assertion's five minutes, not the ten of a token"
    );
    let events = world.events().await;
    let [(event, who)] = exchanges(&events)[..] else { panic!("one exchange: {events:?}") };
    assert_eq!((event.outcome, event.front), (Outcome::Success, Front::Tcp));
    assert_eq!(event.issuer.as_deref(), Some(ENTITY));
    assert_eq!(who, Some(format!("{ENTITY}#ada").as_str()));
    assert!(event.token_id.as_ref().unwrap().starts_with("saml-"));
    assert_eq!(event.key_id.as_ref().unwrap().len(), 64, "the certificate's fingerprint");

    let token = answer["access_token"].as_str().unwrap();
    let (status, whoami) = Desk::with_token(&world, token.to_owned()).get("/v1/whoami").await;
    assert_eq!(status, 200, "{whoami}");
    assert_eq!(whoami["principal"]["issuer"], ISSUER);
    assert_eq!(whoami["principal"]["kind"], "human");
    assert_eq!(whoami["principal"]["groups"], json!(["staff"]));
    assert_eq!(whoami["agent"]["other"]["idp"], ENTITY);
    assert!(world.open(token, "db").await.is_ok(), "policy lets everybody in");
    // No event carries the token or the assertion.
    let all = format!("{:?}", world.events().await);
    assert!(!all.contains(token) && !all.contains("PHNhbWw6"), "a secret is on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_on_record_with_its_reason_and_told_as_an_invalid_grant() {
    let world = world!(saml: exchange(),);
    assert_eq!(ask(&world.gateway, &assertion("_a1")).await.0, 200);
    let (status, headers, answer) = ask(&world.gateway, &assertion("_a1")).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")), "{answer}");
    assert!(answer["error_description"].as_str().unwrap().starts_with("saml_replayed: "));
    assert_eq!(headers["cache-control"], "no-store");
    let (status, _, answer) = ask(&world.gateway, &encode(&Says::good().unsigned())).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
    let events = world.events().await;
    let told: Vec<_> = exchanges(&events)
        .iter()
        .map(|(it, who)| (it.failure.as_deref(), it.issuer.as_deref(), who.is_some()))
        .collect();
    assert_eq!(
        told,
        [
            (None, Some(ENTITY), true),
            (Some("saml_replayed"), Some(ENTITY), false),
            (Some("saml_unsigned"), Some(ENTITY), false)
        ]
    );
    // Whose assertion was used again can be told: it is the token's id that the first use left.
    let ids: Vec<_> = exchanges(&events).iter().map(|(it, _)| it.token_id.clone()).collect();
    assert!(ids[0].is_some() && ids[0] == ids[1] && ids[2].is_none(), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_given_out_before_it_is_on_record() {
    for kind in [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang] {
        for persisted in [true, false] {
            // A world per case: the gap of one is explained in an append of its own, which must not take the fault of the
            // next.
            let world = world!(saml: exchange(), max_wait: std::time::Duration::from_millis(300),);
            world.faults.set(Fault::once(kind, persisted));
            let (status, _, answer) = ask(&world.gateway, &assertion("_a")).await;
            world.faults.release_hung();
            assert_eq!(status, 503, "{kind:?}, {persisted}: {answer}");
            assert_eq!(answer["error"], "temporarily_unavailable");
            assert_eq!(answer["access_token"], Value::Null);
            // It is used up all the same: what is on record of it is not known.
            let (status, _, answer) = ask(&world.gateway, &assertion("_a")).await;
            assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")), "{kind:?}");
            assert_eq!(ask(&world.gateway, &assertion("_b")).await.0, 200, "and it goes on");
        }
    }
}

/// What was exchanged is on the control topic: another gateway knows, and so does one that starts with nothing but the log.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_exchanged_once_among_all_gateways() {
    let mut world = world!(saml: exchange(),);
    assert_eq!(ask(&world.gateway, &assertion("_a1")).await.0, 200);
    for n in 0..2 {
        // Of its own it remembers nothing.
        world.saml = exchange();
        let another = world.another(&format!("other-{n}")).await;
        let (status, _, answer) = ask(&another, &assertion("_a1")).await;
        assert_eq!(status, 400, "{answer}");
        let told = answer["error_description"].as_str().unwrap();
        assert!(told.starts_with("saml_replayed: "), "{answer}");
        assert_eq!(
            ask(&another, &assertion(&format!("_b{n}"))).await.0,
            200,
            "and it takes others"
        );
        another.shutdown(std::time::Duration::ZERO).await;
    }
    let events = world.events().await;
    let replayed = exchanges(&events)
        .iter()
        .filter(|(it, _)| it.failure.as_deref() == Some("saml_replayed"))
        .count();
    let taken = exchanges(&events).iter().filter(|(it, _)| it.outcome == Outcome::Success).count();
    assert_eq!((replayed, taken), (2, 3), "one that is known is no success to begin with");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_gateways_at_once_one_gives_a_token() {
    let mut world = world!(saml: exchange(),);
    world.saml = exchange();
    let another = world.another("other").await;
    for gateway in [&world.gateway, &another] {
        let alone = assertion(&TraceId::new().to_string());
        assert_eq!(ask(gateway, &alone).await.0, 200, "each can");
    }
    for n in 0..20 {
        let shown = assertion(&format!("_a{n}"));
        let (one, other) = tokio::join!(ask(&world.gateway, &shown), ask(&another, &shown));
        let mut statuses = [one.0, other.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400], "{n}: {} {}", one.2, other.2);
    }
    another.shutdown(std::time::Duration::ZERO).await;
}

/// On the audit topic it is on record, and on the control topic it counts: there it may have persisted or not, and who asked
/// knows neither.
#[tokio::test(flavor = "multi_thread")]
async fn what_may_count_gives_no_token() {
    for persisted in [true, false] {
        let mut world = world!(saml: exchange(),);
        world.faults.set(Fault::once(FaultKind::Delay(std::time::Duration::ZERO), true));
        world.faults.set(Fault::once(FaultKind::Unknown, persisted));
        let (status, _, answer) = ask(&world.gateway, &assertion("_a")).await;
        assert_eq!((status, &answer["access_token"]), (503, &Value::Null), "{answer}");
        world.saml = exchange();
        let another = world.another("other").await;
        let expected = if persisted { 400 } else { 200 };
        assert_eq!(ask(&another, &assertion("_a")).await.0, expected, "{persisted}");
        another.shutdown(std::time::Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_revoked_gets_no_token() {
    let world = world!(saml: exchange(),);
    let (.., answer) = ask(&world.gateway, &assertion("_a1")).await;
    let token = answer["access_token"].as_str().unwrap().to_owned();
    let dana = Desk::of(&world, "dana").await;
    // As one may well write it, and as it is.
    for (issuer, subject) in [(ENTITY, "ada"), (ISSUER, "ada")] {
        let wrong = json!({"kind": "principal", "issuer": issuer, "subject": subject});
        let (status, told) = dana.revoke(wrong).await;
        assert_eq!((status, &told["code"]), (404, &json!("unknown_issuer")), "{told}");
        let way = format!("name {ISSUER}#{}", if issuer == ENTITY { ENTITY } else { "PROVIDER" });
        assert!(told["message"].as_str().unwrap().contains(&way), "{told}");
    }
    let (status, told) = dana.revoke(json!({"kind": "issuer", "issuer": ENTITY})).await;
    assert_eq!((status, &told["code"]), (404, &json!("unknown_issuer")), "{told}");
    assert!(told["message"].as_str().unwrap().contains("one by one"), "{told}");
    let whom = json!({"kind": "principal", "issuer": ISSUER, "subject": format!("{ENTITY}#ada")});
    let (status, revoked) = dana.revoke(whom).await;
    assert_eq!(status, 200, "{revoked}");
    assert_eq!(Desk::with_token(&world, token).get("/v1/whoami").await.0, 401);
    let (status, _, answer) = ask(&world.gateway, &assertion("_a2")).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")), "{answer}");
    assert!(answer["error_description"].as_str().unwrap().starts_with("revoked: "), "{answer}");
    let events = world.events().await;
    let (last, who) = *exchanges(&events).last().unwrap();
    assert_eq!(last.failure.as_deref(), Some("revoked"));
    assert_eq!(who, Some(format!("{ENTITY}#ada").as_str()), "it is known whose it was");
}

/// Who was revoked is not known then; the assertion is not used up.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_a_token_while_the_control_log_cannot_be_read() {
    let world = world!(saml: exchange(),);
    world.lose_the_control_log().await;
    let assertion = assertion("_stale");
    let (status, _, answer) = ask(&world.gateway, &assertion).await;
    assert_eq!((status, &answer["error"]), (503, &json!("temporarily_unavailable")));
    world.faults.clear();
    assert_eq!(ask(&world.gateway, &assertion).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bad_assertions_is_counted() {
    let world = world!(saml: exchange(),);
    for _ in 0..40 {
        assert_eq!(ask(&world.gateway, "bm90aGluZw").await.0, 400);
    }
    assert_eq!(exchanges(&world.events().await).len(), 32, "of one address");
    let counted = |events: &[Event]| {
        exchanges(events).iter().any(|(it, _)| {
            it.failure.as_deref() == Some("saml_malformed")
                && it.message.as_deref().unwrap_or_default().starts_with("counted 8 times")
        })
    };
    world.wait_for("the count", counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_none_is_told_what_to_send() {
    let world = world!(saml: exchange(),);
    let cases = [
        ("application/json", "{}".to_owned(), "invalid_request"),
        (FORM, String::new(), "invalid_request"),
        (FORM, "grant_type=client_credentials&assertion=x".to_owned(), "unsupported_grant_type"),
        (FORM, format!("grant_type={GRANT}"), "invalid_request"),
        (FORM, format!("grant_type={GRANT}&assertion="), "invalid_request"),
        (FORM, format!("grant_type={GRANT}&assertion=x&assertion=y"), "invalid_request"),
        (FORM, format!("grant_type={GRANT}&grant_type={GRANT}&assertion=y"), "invalid_request"),
    ];
    for (media, body, expected) in cases {
        let (status, headers, answer) =
            send(&world.gateway, ("POST", "/saml/token"), media, body).await;
        assert_eq!((status, &answer["error"]), (400, &json!(expected)), "{answer}");
        assert_eq!(headers["cache-control"], "no-store");
    }
    let large = format!("grant_type={GRANT}&assertion={}", "x".repeat(600_000));
    let (status, _, answer) = send(&world.gateway, ("POST", "/saml/token"), FORM, large).await;
    assert_eq!((status, &answer["code"]), (413, &json!("too_large")));
    assert_eq!(send(&world.gateway, ("GET", "/saml/token"), FORM, String::new()).await.0, 405);
    assert!(exchanges(&world.events().await).is_empty(), "nobody tried to prove anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_there_is_no_route() {
    let world = world!();
    for path in ["/saml/token", "/saml/jwks.json", "/.well-known/openid-configuration"] {
        assert_eq!(
            send(&world.gateway, ("POST", path), FORM, String::new()).await.0,
            404,
            "{path}"
        );
    }
    let configured = world!(saml: exchange(),);
    let (status, headers, keys) =
        send(&configured.gateway, ("GET", "/saml/jwks.json"), FORM, String::new()).await;
    assert_eq!((status, &headers["cache-control"]), (200, &"public, max-age=60".parse().unwrap()));
    assert_eq!(keys["keys"][0]["alg"], "ES256");
    assert_eq!(keys["keys"][0]["d"], Value::Null);
}
