//! Attacks on sign-in and on the session of a browser, each named after what it is from. None is let through, and those
//! on the sign-in are on record.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod world;

use axum::http::{Method, StatusCode};
use serde_json::json;
use world::{Browser, Got, World, answer};

const STATE: &str = "https://localhost:8443/console/?error=state";

fn nobody(browser: &Browser, got: &Got, at: &str) {
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert_eq!(got.location(), at);
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies);
}

#[tokio::test]
async fn rfc6749_10_12_login_csrf_a_code_that_this_browser_did_not_ask_for() {
    let world = World::start().await;
    let mut attacker = world.browser();
    let asked = attacker.begin("#/approvals").await;
    let back = answer(&asked, "approver").await;
    let mut victim = world.browser();
    let got = victim.open(&back).await;
    nobody(&victim, &got, STATE);
    // Nor where the victim has a sign-in of their own under way.
    victim.begin("#/approvals").await;
    let got = victim.open(&back).await;
    nobody(&victim, &got, STATE);
    assert_eq!(world.failures.codes(), ["sign_in_unasked", "sign_in_state"]);
}

#[tokio::test]
async fn rfc6749_10_12_a_state_that_is_missing_or_changed() {
    let world = World::start().await;
    for change in [("state=", "stat="), ("state=", "state=x")] {
        let mut browser = world.browser();
        let asked = browser.begin("#/approvals").await;
        let back = answer(&asked, "approver").await.replacen(change.0, change.1, 1);
        let got = browser.open(&back).await;
        nobody(&browser, &got, STATE);
    }
    assert_eq!(world.failures.codes(), ["sign_in_state", "sign_in_state"]);
}

#[tokio::test]
async fn rfc9207_2_4_mix_up_another_issuer_answers() {
    let world = World::start().await;
    let mut browser = world.browser();
    let asked = browser.begin("#/approvals").await;
    let back = answer(&asked, "approver").await;
    let (head, _) = back.split_once("&iss=").unwrap();
    let other = format!("{head}&iss=https%3A%2F%2Fevil.example");
    let got = browser.open(&other).await;
    nobody(&browser, &got, STATE);
    // An issuer that says that it names itself must do so (section 2.4).
    let asked = browser.begin("#/approvals").await;
    let back = answer(&asked, "approver").await;
    let (head, _) = back.split_once("&iss=").unwrap();
    let got = browser.open(head).await;
    nobody(&browser, &got, STATE);
    assert_eq!(world.failures.codes(), ["sign_in_issuer", "sign_in_issuer"]);
}

#[tokio::test]
async fn rfc6749_10_5_a_code_is_for_one_use() {
    let world = World::start().await;
    let mut browser = world.browser();
    let asked = browser.begin("#/approvals").await;
    let mut second = browser.clone();
    let back = answer(&asked, "approver").await;
    browser.open(&back).await;
    assert!(!browser.cookies.is_empty());
    let got = second.open(&back).await;
    nobody(&second, &got, "https://localhost:8443/console/?error=provider");
    assert_eq!(world.failures.codes(), ["sign_in_code"]);
}

#[tokio::test]
async fn rfc7636_1_a_code_that_was_caught_is_of_no_use_without_the_verifier() {
    let world = World::start().await;
    let mut victim = world.browser();
    let asked = victim.begin("#/approvals").await;
    let caught = answer(&asked, "approver").await;
    let code = caught.split("code=").nth(1).unwrap().split('&').next().unwrap();
    // The attacker puts it into an answer to a sign-in of their own.
    let mut attacker = world.browser();
    let own = attacker.begin("#/approvals").await;
    let own = answer(&own, "").await.replace("error=access_denied", &format!("code={code}"));
    let got = attacker.open(&own).await;
    nobody(&attacker, &got, "https://localhost:8443/console/?error=provider");
    assert_eq!(world.failures.codes(), ["sign_in_code"]);
}

#[tokio::test]
async fn a_cookie_that_was_made_up_changed_or_moved_opens_nothing() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in("approver").await;
    let name = "__Host-tallyport-session-0";
    let sealed = browser.cookies[name].clone();
    let mut pending = world.browser();
    pending.begin("#/approvals").await;
    let of_a_sign_in = pending.cookies["__Host-tallyport-sign-in"].clone();
    let (count, value) = sealed.split_once('.').unwrap();
    let flipped = if value.starts_with('A') {
        value.replacen('A', "B", 1)
    } else {
        format!("A{}", &value[1..])
    };
    for forged in [
        String::new(),
        "1.".to_owned(),
        "1.e30".to_owned(),
        format!("{count}.{flipped}"),
        format!("2.{value}"),
        format!("0.{value}"),
        format!("99.{value}"),
        format!("1.{of_a_sign_in}"),
        value.to_owned(),
    ] {
        browser.cookies.insert(name.to_owned(), forged.clone());
        let got = browser.page(Method::GET, "/console/api/whoami", "").await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{forged}");
    }
    // And a session is no sign-in that is under way.
    let mut browser = world.browser();
    browser.cookies.insert("__Host-tallyport-sign-in".to_owned(), value.to_owned());
    let got = browser.open("/console/callback/dev?code=x&state=y").await;
    nobody(&browser, &got, STATE);
}

#[tokio::test]
async fn csrf_what_another_site_causes_is_not_from_the_page() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in("approver").await;
    let own = ("x-tallyport-console", "1");
    let attacks: [&[(&str, &str)]; 6] = [
        // A form, a link, an image: no field of its own.
        &[],
        &[("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")],
        // A browser that knew no preflight would send the field.
        &[own, ("sec-fetch-site", "cross-site")],
        &[own, ("sec-fetch-site", "same-site")],
        &[own, ("origin", "https://evil.example")],
        &[own, ("origin", "null")],
    ];
    for path in [
        "/console/api/approvals/1/approve",
        "/console/audit/sql",
        "/console/renew",
        "/console/sign-out",
    ] {
        for fields in attacks {
            let got = browser.ask(Method::POST, path, fields, "{}").await;
            assert_eq!(got.status, StatusCode::FORBIDDEN, "{path} {fields:?}");
            assert_eq!(got.json()["code"], json!("not_from_the_page"), "{path} {fields:?}");
        }
    }
    assert!(!browser.cookies.is_empty(), "nobody was signed out by another site");
}

#[tokio::test]
async fn dns_rebinding_another_name_that_leads_here_is_not_served() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in("approver").await;
    for host in ["evil.example:8443", "localhost", "127.0.0.1:8443", "localhost:8443.evil.example"]
    {
        let fields = [("host", host), ("x-tallyport-console", "1")];
        let got = browser.ask(Method::GET, "/console/api/whoami", &fields, "").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{host}");
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_api() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in("approver").await;
    for path in [
        "/console/api/../healthz",
        "/console/api/%2e%2e/healthz",
        "/console/api/..%2fhealthz",
        "/console/api/%252e%252e/healthz",
        "/console/api//evil.example/",
        "/console/api/a%2fb%3fc%23d",
        "/console/api/.%2e/.%2e/console/session",
    ] {
        let got = browser.page(Method::GET, path, "").await;
        if got.status == StatusCode::OK {
            let uri = got.json()["uri"].as_str().unwrap().to_owned();
            assert!(uri.starts_with("/v1/"), "{path} became {uri}");
            assert!(!uri.contains("..") && !uri.contains('?'), "{path} became {uri}");
        }
    }
    for path in
        ["/console/audit/../v1/sql", "/console/audit/ask/..%2fsql", "/console/audit/healthz"]
    {
        let got = browser.page(Method::POST, path, "{}").await;
        assert_eq!(got.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn open_redirect_a_sign_in_comes_back_to_the_page_alone() {
    let world = World::start().await;
    for back in
        ["https://evil.example", "//evil.example", "#/\r\nset-cookie: x=1", "/console/sign-out"]
    {
        let mut browser = world.browser();
        let asked = browser.begin(back).await;
        let got = browser.open(&answer(&asked, "approver").await).await;
        assert_eq!(got.location(), "https://localhost:8443/console/", "{back:?}");
    }
}

#[tokio::test]
async fn a_token_of_a_bearer_is_not_taken_beside_the_cookie() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in("approver").await;
    let fields = [("x-tallyport-console", "1"), ("authorization", "Bearer other")];
    let got = browser.ask(Method::GET, "/console/api/whoami", &fields, "").await;
    assert_eq!(got.json()["subject"], json!("approver"), "the cookie's token takes its place");
    let mut nobody = world.browser();
    let got = nobody.ask(Method::GET, "/console/api/whoami", &fields, "").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn rfc9700_4_4_mix_up_an_answer_comes_back_where_another_issuers_do() {
    let world = World::start().await;
    let mut browser = world.browser();
    let asked = browser.begin("#/approvals").await;
    let back = answer(&asked, "approver").await.replacen("/callback/dev", "/callback/other", 1);
    let got = browser.open(&back).await;
    nobody(&browser, &got, STATE);
    assert_eq!(world.failures.codes(), ["sign_in_issuer"]);
}

#[tokio::test]
async fn an_answer_in_another_form_is_none_and_on_record() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.begin("#/approvals").await;
    let got = browser.open("/console/callback/dev?state=a&state=b").await;
    nobody(&browser, &got, STATE);
    assert_eq!(world.failures.codes(), ["sign_in_state"]);
}

/// What the issuer says is not enough: the gateway must take the token, and have that on record.
#[tokio::test]
async fn whom_the_gateway_does_not_take_is_not_signed_in() {
    for (status, shown, code) in [
        (StatusCode::UNAUTHORIZED, "token", "sign_in_token"),
        (StatusCode::FORBIDDEN, "token", "sign_in_token"),
        (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "sign_in_unchecked"),
    ] {
        let world = World::refusing(status).await;
        let mut browser = world.browser();
        let got = browser.sign_in("approver").await;
        nobody(&browser, &got, &format!("https://localhost:8443/console/?error={shown}"));
        assert_eq!(world.failures.codes(), [code]);
    }
}
