//! What callers of the API send: what does not fit is told in JSON, and more at once than may is no more than may.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::world;
use crate::reviewers::Desk;

const POLICY: &str = r#"
@id("agents") @require_grant("1 of dba; for 1h; within 10m")
permit (principal, action == Tallyport::Action::"sql:connect", resource);
@id("security") permit (principal, action in Tallyport::Action::"access:any", resource);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_told_in_json() {
    let world = world!(policy: POLICY,);
    let desk = Desk::of(&world, "dana").await;
    let large = " ".repeat((2 << 20) + 1);
    let cases: [(&str, &str, &str, u16, &str); 12] = [
        // A derived reader takes a list of the values for a tagged object.
        (
            "POST",
            "/v1/revocations",
            r#"{"revoked":["issuer","x"],"reason":"r"}"#,
            400,
            "invalid_request",
        ),
        ("POST", "/v1/revocations", r#"["x"]"#, 400, "invalid_request"),
        // Which of two was meant goes on record.
        (
            "POST",
            "/v1/grants",
            r#"{"target":"db","seconds":60,"reason":"a","reason":"b"}"#,
            400,
            "invalid_request",
        ),
        ("GET", "/v1/approvals?limit=2&limit=3", "", 400, "invalid_request"),
        ("GET", "/v1/approvals?nonsense=1", "", 400, "invalid_request"),
        ("GET", "/v1/approvals/%FF", "", 400, "invalid_request"),
        ("GET", "/v1/approvals/nonsense", "", 400, "invalid_request"),
        ("POST", "/v1/grants", &large, 413, "too_large"),
        ("GET", "/v1/", "", 404, "not_found"),
        ("GET", "/v1", "", 404, "not_found"),
        ("GET", "/v1/nothing", "", 404, "not_found"),
        ("DELETE", "/v1/grants", "", 405, "method_not_allowed"),
    ];
    for (method, path, body, status, code) in cases {
        let (got, told) = desk.send(method, path, body.to_owned()).await;
        assert_eq!((got, &told["code"]), (status, &json!(code)), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_who_they_are() {
    let world = world!(policy: POLICY,);
    let (status, who) = Desk::of(&world, "dana").await.get("/v1/whoami").await;
    assert_eq!((status, &who["principal"]["subject"]), (200, &json!("dana")));
    assert_eq!(who["principal"]["kind"], json!("human"));
    let (status, refused) = Desk::with_token(&world, String::new()).get("/v1/whoami").await;
    assert_eq!((status, &refused["code"]), (401, &json!("invalid_token")));
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_at_once_are_no_more_than_may_wait() {
    let world = world!(policy: POLICY,);
    let desk = Desk::of(&world, "agent").await;
    let answers = futures::future::join_all((0..40).map(|it| desk.request(600 + it))).await;
    let of = |status| answers.iter().filter(|answer| answer.0 == status).count();
    assert_eq!((of(200), of(429)), (16, 24), "{answers:?}");
    let waiting = desk.list().await;
    assert_eq!(waiting.as_array().map(Vec::len), Some(16));

    let desk = Desk::of(&world, "other").await;
    let answers = futures::future::join_all((0..8).map(|_| desk.request(600))).await;
    let ids: BTreeSet<&str> =
        answers.iter().filter_map(|(_, it): &(u16, Value)| it["approval_id"].as_str()).collect();
    assert_eq!(ids.len(), 1, "the same wish is one request: {answers:?}");
}
