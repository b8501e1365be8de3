//! People sign in, ask as themselves, renew and sign out.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod world;

use axum::http::{Method, StatusCode};
use serde_json::json;
use tallyport_console::SealKey;
use world::{World, answer};

const SECRET: &str = "a secret of at least thirty-two bytes";

#[tokio::test]
async fn somebody_signs_in_asks_as_themselves_and_signs_out() {
    let world = World::start().await;
    let mut browser = world.browser();
    let told = browser.page(Method::GET, "/console/session", "").await.json();
    assert_eq!(told["signed_in"], json!(false));
    assert_eq!(told["providers"], json!([{ "id": "dev", "name": "Company" }]));

    let got = browser.sign_in("approver").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert_eq!(got.location(), "https://localhost:8443/console/#/approvals");
    assert!(browser.cookies.keys().all(|name| name.starts_with("__Host-tallyport-session-")));
    let told = browser.page(Method::GET, "/console/session", "").await.json();
    assert_eq!((&told["signed_in"], &told["renewable"]), (&json!(true), &json!(true)));

    let answer = r#"{"digest":"d"}"#;
    let path = "/console/api/approvals/0197/approve?x=1";
    let got = browser.page(Method::POST, path, answer).await;
    let told = got.json();
    assert_eq!(told["subject"], json!("approver"));
    assert_eq!(told["method"], json!("POST"));
    assert_eq!(told["uri"], json!("/v1/approvals/0197/approve?x=1"));
    assert_eq!(told["body"], json!(answer));
    let fields = told["fields"].as_array().unwrap();
    assert!(!fields.contains(&json!("cookie")), "cookies stay here: {fields:?}");

    let got = browser.page(Method::POST, "/console/sign-out", "").await;
    assert_eq!(got.status, StatusCode::OK);
    assert!(browser.cookies.is_empty());
    let got = browser.page(Method::GET, "/console/api/whoami", "").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert_eq!(got.json()["code"], json!("signed_out"));
    assert!(world.failures.codes().is_empty());
}

#[tokio::test]
async fn a_renewed_sign_in_has_a_new_token_and_the_old_refresh_token_is_used_up() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in("approver").await;
    let mut before = browser.clone();
    let got = browser.page(Method::POST, "/console/renew", "").await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.json()["signed_in"], json!(true));
    assert_ne!(browser.cookies, before.cookies);
    let got = browser.page(Method::GET, "/console/api/whoami", "").await;
    assert_eq!(got.json()["subject"], json!("approver"));
    // Who kept the old cookie cannot renew it: the issuer refuses, and that browser is signed out.
    let got = before.page(Method::POST, "/console/renew", "").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert!(before.cookies.is_empty());
}

#[tokio::test]
async fn a_sign_out_ends_what_would_renew_it() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in("approver").await;
    let mut stolen = browser.clone();
    browser.page(Method::POST, "/console/sign-out", "").await;
    let got = stolen.page(Method::POST, "/console/renew", "").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED, "the issuer was told (RFC 7009)");
}

#[tokio::test]
async fn gateways_with_one_key_know_each_others_people_and_others_do_not() {
    let key = || Some(SealKey::of_secret(SECRET).unwrap());
    let world = World::with(key(), None).await;
    let mut browser = world.browser();
    browser.sign_in("approver").await;
    let World { issuer, .. } = world;
    let second = World::before(issuer, key(), None);
    let mut there = second.browser();
    there.cookies.clone_from(&browser.cookies);
    let got = there.page(Method::GET, "/console/api/whoami", "").await;
    assert_eq!(got.json()["subject"], json!("approver"));
    let World { issuer, .. } = second;
    let third = World::before(issuer, None, None);
    let mut there = third.browser();
    there.cookies.clone_from(&browser.cookies);
    let got = there.page(Method::GET, "/console/api/whoami", "").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_issuer_that_is_gone_is_said_and_nobody_is_signed_in() {
    let world = World::start().await;
    let World { issuer, router, failures } = world;
    let mut browser = World { issuer, router, failures }.browser();
    // The world was dropped with its issuer.
    let got = browser.open("/console/sign-in?provider=dev").await;
    assert_eq!(got.location(), "https://localhost:8443/console/?error=provider");
    let got = browser.open("/console/sign-in?provider=other").await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_person_who_says_no_is_not_signed_in_and_that_is_on_record() {
    let world = World::start().await;
    let mut browser = world.browser();
    let got = browser.sign_in("").await;
    assert_eq!(got.location(), "https://localhost:8443/console/?error=denied");
    assert!(browser.cookies.is_empty());
    assert_eq!(world.failures.codes(), ["sign_in_denied"]);
}

/// What an issuer does not take of the gateway is no person's no: whoever runs it has to learn of it.
#[tokio::test]
async fn an_issuer_that_does_not_take_what_it_is_asked_is_told_apart() {
    let world = World::start().await;
    for (error, shown, code) in [
        ("invalid_target", "setup", "sign_in_setup"),
        ("invalid_scope", "setup", "sign_in_setup"),
        ("temporarily_unavailable", "provider", "sign_in_provider"),
        ("login_required", "denied", "sign_in_denied"),
    ] {
        let mut browser = world.browser();
        let asked = browser.begin("#/approvals").await;
        let back = answer(&asked, "").await;
        assert!(back.contains("error=access_denied"), "{back}");
        let got = browser.open(&back.replace("access_denied", error)).await;
        assert_eq!(got.location(), format!("https://localhost:8443/console/?error={shown}"));
        assert_eq!(world.failures.codes().last(), Some(&code), "{error}");
    }
}

#[tokio::test]
async fn every_answer_is_kept_apart_from_other_sites() {
    let world = World::start().await;
    let mut browser = world.browser();
    for path in ["/console/", "/console/assets/app.js", "/console/callback/dev", "/console/none"] {
        let got = browser.open(path).await;
        let field = |name: &str| got.headers.get(name).unwrap().to_str().unwrap().to_owned();
        let policy = field("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(field("x-content-type-options"), "nosniff");
        assert_eq!(field("cross-origin-opener-policy"), "same-origin");
        assert!(["no-store", "no-cache"].contains(&field("cache-control").as_str()), "{path}");
        assert!(got.headers.get("access-control-allow-origin").is_none(), "{path}");
    }
    // What is none of the pages is not theirs to answer, by whatever name it is asked for.
    let got = browser.ask(Method::GET, "/else", &[("host", "192.0.2.1")], "").await;
    assert_eq!((got.status, got.body.len()), (StatusCode::NOT_FOUND, 0));
    let got = browser.open("/console/assets/app.js").await;
    let tag = got.headers.get("etag").unwrap().to_str().unwrap().to_owned();
    let kept = [("if-none-match", tag.as_str())];
    let again = browser.ask(Method::GET, "/console/assets/app.js", &kept, "").await;
    assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0));
}
