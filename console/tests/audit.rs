//! What the page asks of the audit. The query service is a stand-in here, which tells what it was asked; the real one is
//! asked in the browser test.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod world;

use axum::Router;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use tallyport_schemas::SessionId;
use url::Url;
use world::World;

/// A query service that answers with this to `/v1/sql`, and otherwise tells what it was asked.
async fn service(status: StatusCode, answer: String) -> Url {
    let sql = move || {
        let answer = answer.clone();
        async move { (status, [("content-type", "application/json")], answer) }
    };
    let router = Router::new().route("/v1/sql", axum::routing::post(sql)).fallback(told);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn told(request: Request) -> Response {
    let fields: Vec<&str> = request.headers().keys().map(|name| name.as_str()).collect();
    axum::Json(json!({
        "method": request.method().as_str(), "uri": request.uri().to_string(), "fields": fields,
    }))
    .into_response()
}

async fn world(status: StatusCode, answer: &str) -> (World, world::Browser) {
    let world = World::with(None, Some(service(status, answer.to_owned()).await)).await;
    let mut browser = world.browser();
    browser.sign_in("auditor").await;
    (world, browser)
}

#[tokio::test]
async fn the_page_asks_what_is_offered_and_nothing_else_of_the_service() {
    let (_world, mut browser) = world(StatusCode::OK, "{}").await;
    let got = browser.page(Method::POST, "/console/audit/ask/who-read-column?x=1", "{}").await;
    let told = got.json();
    assert_eq!(told["uri"], json!("/v1/ask/who-read-column"), "nothing but the path goes on");
    let fields = told["fields"].as_array().unwrap();
    assert!(fields.contains(&json!("authorization")), "{fields:?}");
    for own in ["cookie", "x-tallyport-console", "origin"] {
        assert!(!fields.contains(&json!(own)), "{own} stays here");
    }
    for path in
        ["healthz", "sql/x", "ask/", "ask/a/b", "ask/..%2fsql", "%2e%2e/healthz", "ask/A", "x"]
    {
        let got = browser.page(Method::POST, &format!("/console/audit/{path}"), "{}").await;
        assert_eq!(got.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(got.json()["code"], json!("not_found"), "{path}");
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let got = browser.page(method, "/console/audit/ask", "").await;
        assert_eq!(got.status, StatusCode::NOT_FOUND);
    }
    let long = "x".repeat(257 * 1024);
    let got = browser.page(Method::POST, "/console/audit/sql", &long).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    browser.cookies.clear();
    let got = browser.page(Method::POST, "/console/audit/sql", "{}").await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_refusal_of_the_service_is_told_in_its_words() {
    let refusal = r#"{"code":"denied_by_policy","message":"no policy permits audit:raw"}"#;
    let (_world, mut browser) = world(StatusCode::FORBIDDEN, refusal).await;
    let replay = format!("/console/sessions/{}/replay", SessionId::new());
    for (method, path) in [(Method::POST, "/console/audit/sql"), (Method::GET, &replay)] {
        let got = browser.page(method, path, "").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN);
        assert_eq!(got.json()["code"], json!("denied_by_policy"));
    }
}

#[tokio::test]
async fn a_replay_is_of_a_session_that_can_be_read_whole_or_says_why_not() {
    let broken_off = r#"{"columns":[],"rows":[],"error":{"code":"internal"}}"#;
    let none = r#"{"columns":[],"rows":[],"row_count":0}"#;
    let changed = r#"{"columns":[],"rows":[["eyJub3QiOiJvdXJzIn0="]],"row_count":1}"#;
    for (answer, status) in [
        (broken_off, StatusCode::SERVICE_UNAVAILABLE),
        (none, StatusCode::BAD_REQUEST),
        (changed, StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let (_world, mut browser) = world(StatusCode::OK, answer).await;
        let path = format!("/console/sessions/{}/replay", SessionId::new());
        assert_eq!(browser.page(Method::GET, &path, "").await.status, status, "{answer}");
        // It becomes part of a question.
        for id in ["x", "'%20OR%201=1", "0197"] {
            let path = format!("/console/sessions/{id}/replay");
            let got = browser.page(Method::GET, &path, "").await;
            assert_eq!(got.status, StatusCode::BAD_REQUEST, "{id}");
        }
    }
}

#[tokio::test]
async fn a_service_that_is_gone_or_was_never_there_is_said() {
    let gone = Url::parse("http://127.0.0.1:9").unwrap();
    let world = World::with(None, Some(gone)).await;
    let mut browser = world.browser();
    browser.sign_in("auditor").await;
    let got = browser.page(Method::POST, "/console/audit/sql", "{}").await;
    assert_eq!(
        (got.status, &got.json()["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable"))
    );
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in("auditor").await;
    let got = browser.page(Method::POST, "/console/audit/sql", "{}").await;
    assert_eq!(got.json()["code"], json!("no_audit"));
}
