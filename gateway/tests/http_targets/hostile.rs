//! Requests and answers that want more than they may: none passes, and each is on record.

use std::time::Duration;

use tallyport_gateway::config::GatewayLimits;
use tallyport_schemas::{Body, Disposition, Effect, Event, ResponseStatus, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::World;

/// Sends bytes as they are, and gives what comes back until the connection closes or pauses.
async fn raw(world: &World, bytes: &[u8]) -> String {
    let mut io = world.tunnel("agent").await;
    io.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    let mut buffer = [0_u8; 16 * 1024];
    while let Ok(Ok(read)) =
        tokio::time::timeout(Duration::from_secs(2), io.read(&mut buffer)).await
    {
        if read == 0 {
            break;
        }
        all.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_reads_in_two_ways_does_not_pass() {
    let world = World::start().await;
    let paths = [
        "/customers/../admin",
        "/customers/%2e%2e/admin",
        "/customers/%252e%252e/admin",
        "/customers/..%2fadmin",
        "/customers/7%2frefunds",
        "/customers//7",
        "/customers/7;a=b",
        "/customers/7%00",
        "/customers/7%5c..",
        "/./customers/7",
        "/customers/7%0d%0aX-Evil:%201",
        "/customers/%ff",
        "/customers/%zz",
    ];
    for path in paths {
        let told = raw(
            &world,
            format!("GET {path} HTTP/1.1\r\nhost: crm\r\nconnection: close\r\n\r\n").as_bytes(),
        )
        .await;
        assert!(told.starts_with("HTTP/1.1 400"), "{path}: {told}");
    }
    assert!(world.upstream.sent().is_empty(), "{:?}", world.upstream.sent());
    let refused = world.commands().await;
    // What is no request of HTTP at all is on record as how its session ended.
    assert!(refused.len() + 2 >= paths.len(), "{} of {}", refused.len(), paths.len());
    assert!(refused.iter().all(|it| it.disposition == Disposition::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_agent_chooses_a_host() {
    let world = World::start().await;
    for request in [
        "GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nhost: 169.254.169.254\r\n",
        "CONNECT 10.0.0.1:22 HTTP/1.1\r\nhost: 10.0.0.1:22\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: crm\r\n",
        "TRACE /customers/7 HTTP/1.1\r\nhost: crm\r\n",
        "GET //169.254.169.254/x HTTP/1.1\r\nhost: crm\r\n",
        "GET /@169.254.169.254:80/ HTTP/1.0\r\n",
    ] {
        let told = raw(&world, format!("{request}connection: close\r\n\r\n").as_bytes()).await;
        let is_refused = told.starts_with("HTTP/1.1 4") || told.starts_with("HTTP/1.0 4");
        let stays = request.contains("/@")
            && world.upstream.sent().iter().all(|it| it.target.starts_with("/api/@"));
        assert!(is_refused || stays, "{request}: {told}");
    }
    let hosts = world.upstream.sent();
    assert!(
        hosts.iter().all(|it| it.field("host").unwrap().starts_with("127.0.0.1:")),
        "{hosts:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_is_not_two() {
    let world = World::start().await;
    let body = "0\r\n\r\nPOST /customers/13/refunds HTTP/1.1\r\nhost: crm\r\n\r\n";
    let cases = [
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", body.len()),
        "content-length: 5\r\ncontent-length: 50\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(),
        "content-length: +5\r\n".to_owned(),
        "x-a: b\r\n content-length: 5\r\n".to_owned(),
        "content-length : 5\r\n".to_owned(),
    ];
    let count = cases.len();
    for fields in cases {
        let request = format!(
            "POST /orders HTTP/1.1\r\nhost: crm\r\ncontent-type: application/json\r\n{fields}\r\n{body}"
        );
        let _told = raw(&world, request.as_bytes()).await;
        let sent = world.upstream.sent();
        assert!(sent.iter().all(|it| !it.target.contains("refunds")), "{fields}: {sent:?}");
    }
    // Each is on record: as a request, or as how its session ended.
    let is_end = |it: &Event| {
        matches!(&it.body, Body::Session(Session::Closed { .. } | Session::Lost { .. }))
    };
    let events = world
        .wait_for("the ends", |events| events.iter().filter(|it| is_end(it)).count() == count)
        .await;
    let recorded = events.iter().filter(|it| match &it.body {
        Body::Command(it) => !it.statement.as_deref().unwrap_or_default().is_empty(),
        Body::Session(Session::Lost { cause, .. }) => cause == "protocol_error",
        _ => false,
    });
    let lost: Vec<_> = events.iter().map(|it| format!("{:?}", it.body)).collect();
    assert!(recorded.count() >= count, "{}", lost.join("\n"));
    let allowed = world.decisions().await.into_iter().filter(|it| it.effect == Effect::Allow);
    assert!(allowed.into_iter().all(|it| !it.resources.iter().any(|on| on.contains("refund"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_reads_in_two_ways_does_not_pass() {
    let world = World::start().await;
    let body = "{\"amount\":10}";
    for (fields, why) in [
        (
            "content-type: application/json\r\ncontent-type: application/x-www-form-urlencoded\r\n",
            "content-type",
        ),
        ("content-type: application/json; charset=utf-16\r\n", "charset"),
        (
            "content-type: application/json\r\nidempotency-key: a\r\nidempotency-key: b\r\n",
            "idempotency-key",
        ),
        ("content-type: application/json\r\nhost: localhost\r\n", "host"),
    ] {
        let request = format!(
            "POST /orders HTTP/1.1\r\nhost: localhost\r\n{fields}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let told = raw(&world, request.as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 400") && told.contains(why), "{fields}: {told}");
    }
    assert!(world.upstream.sent().is_empty(), "{:?}", world.upstream.sent());
    assert_eq!(world.commands().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_route_takes_does_not_pass() {
    let world = World::start().await;
    let mut client = world.client().await;
    for (target, status) in [
        ("/customers/7?admin=1", 400),
        ("/customers/7?expand=a&expand=b", 400),
        ("/customers/7?Expand=a", 400),
        ("/customers/7?expand=a&%65xpand=b", 400),
        ("/customers/13", 403),
    ] {
        let (told, body) = client.get(target).await;
        assert_eq!(told, status, "{target}: {body}");
    }
    for (target, body, status) in [
        ("/orders", "{\"amount\":10,\"amount\":99}", 400),
        ("/orders", "{\"amount\":10,\"to\":\"me\"}", 400),
        ("/orders", "{\"amount\":10", 400),
        ("/orders", "[\"amount\"]", 400),
        ("/orders", "{\"amount\":10}{\"amount\":99}", 400),
        ("/orders", "{\"amount\":\"10\",\"lines\":[{\"sku\":\"a\",\"price\":0}]}", 400),
        ("/orders", "{\"amount\":1e400}", 400),
        ("/customers/7", "{}", 405),
        ("/notes/7/x", "", 405),
    ] {
        let (told, said) = client.post(target, body).await;
        assert_eq!(told, status, "{target} {body}: {said}");
    }
    let deep = format!("{}1{}", "{\"amount\":[".repeat(100), "]}".repeat(100));
    assert_eq!(client.post("/orders", &deep).await.0, 400);
    let wide = format!("{{\"lines\":[{}]}}", vec!["{\"sku\":\"a\"}"; 1000].join(","));
    assert_eq!(client.post("/orders", &wide).await.0, 400, "more than policy can be told of");
    let large = format!("{{\"amount\":\"{}\"}}", "9".repeat(2 << 20));
    let (told, said) = client.post("/orders", &large).await;
    assert_eq!(told, 413, "{said}");
    assert!(world.upstream.sent().is_empty(), "{:?}", world.upstream.sent());
    let refused = world.commands().await;
    assert_eq!(refused.len(), 17);
    assert!(refused.iter().all(|it| it.disposition == Disposition::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_is_cut() {
    let world = World::start().await;
    let mut client = world.client().await;
    let (status, told) = client.get("/endless").await;
    assert_eq!(status, 502, "{told}");
    assert!(told.contains("answer_withheld"), "{told}");
    let ended = world.summaries().await.remove(0);
    assert_eq!((ended.status, ended.tag.as_deref()), (ResponseStatus::Error, Some("HTTP 502")));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_told_and_on_record() {
    let world = World::saying("limits = { requests_per_minute = 3 }").await;
    let mut client = world.client().await;
    for _ in 0..3 {
        assert_eq!(client.get("/notes/a").await.0, 200);
    }
    let (status, told) = client.get("/notes/a").await;
    assert_eq!(status, 429, "{told}");
    assert!(told.contains("too_many_requests"), "{told}");
    let decision = world.decisions().await.pop().unwrap();
    assert_eq!(decision.policy_ids, ["tallyport:limit"]);
    assert_eq!(world.upstream.sent().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_elsewhere_does_not_speak_for_an_agent() {
    let world = World::start().await;
    for fields in [
        "host: evil.example\r\n",
        "host: 127.0.0.1:80\r\norigin: https://evil.example\r\n",
        "host: localhost\r\nsec-fetch-site: cross-site\r\n",
        "host: localhost\r\norigin: null\r\n",
    ] {
        let request = format!("GET /customers/7 HTTP/1.1\r\n{fields}connection: close\r\n\r\n");
        let told = raw(&world, request.as_bytes()).await;
        assert!(
            told.starts_with("HTTP/1.1 403") && told.contains("foreign_origin"),
            "{fields}: {told}"
        );
    }
    assert!(world.upstream.sent().is_empty());
    assert_eq!(world.commands().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_to_another_protocol_is_not_made() {
    let world = World::start().await;
    let told = raw(
        &world,
        b"GET /notes/a HTTP/1.1\r\nhost: crm\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n",
    )
    .await;
    assert!(!told.contains("101"), "{told}");
    assert!(world.upstream.sent().iter().all(|it| it.field("upgrade").is_none()));
    assert_eq!(world.commands().await.len(), 1);
    // What is sent behind it, as if it had been made, is a request like any other, or nothing.
    let behind = "GET /customers/13 HTTP/1.1\r\nhost: crm\r\nconnection: close\r\n\r\n";
    let upgrade = "GET /notes/a HTTP/1.1\r\nhost: crm\r\nconnection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n";
    let told = raw(&world, format!("{upgrade}{behind}").as_bytes()).await;
    assert!(!told.contains("101 Switching") && !told.contains("Ada"), "{told}");
    let sent = world.upstream.sent();
    assert!(sent.iter().all(|it| !it.target.contains("customers")), "{sent:?}");
    let refused = world.commands().await.pop().unwrap();
    assert_eq!(refused.disposition, Disposition::Refused);
    assert_eq!(refused.statement.as_deref(), Some("GET /customers/13"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_switches_protocols_unasked_is_not_followed() {
    let world = World::start().await;
    let (status, body) = world.client().await.get("/switch").await;
    assert_eq!(status, 502, "{body}");
    assert!(body.contains("target_unavailable"), "{body}");
    assert_eq!(world.summaries().await[0].status, ResponseStatus::Interrupted);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_of_one_and_of_all_are_under_way_and_no_more() {
    for (limit, status, code) in [
        ("max_requests", 503, "target_unavailable"),
        ("max_requests_per_principal", 429, "too_many_requests"),
    ] {
        let world = World::saying(&format!("limits = {{ {limit} = 1 }}")).await;
        no_more_than_one(&world, limit, (status, code)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_requests_of_one_and_of_all_are_under_way_on_a_gateway_and_no_more() {
    let fallback = GatewayLimits::default();
    let of_all = GatewayLimits { max_requests: 1, ..fallback };
    let of_one = GatewayLimits { max_requests_per_principal: 1, ..fallback };
    for (limits, status, code) in
        [(of_all, 503, "gateway_busy"), (of_one, 429, "too_many_requests")]
    {
        let world = World::limited(limits).await;
        no_more_than_one(&world, "of the gateway", (status, code)).await;
        let mut client = world.client().await;
        let free = async { while client.get("/notes/a").await.0 != 200 {} };
        tokio::time::timeout(Duration::from_secs(20), free).await.expect("its place is free");
    }
}

/// One request is held at the service, and another refused meanwhile, on record.
async fn no_more_than_one(world: &World, limit: &str, (status, code): (u16, &str)) {
    let (mut held, mut client) = (world.client().await, world.client().await);
    let slow = tokio::spawn(async move { held.get("/slow").await });
    world.wait_for("the first", |_| !world.upstream.sent().is_empty()).await;
    let (told, said) = client.get("/notes/a").await;
    assert_eq!(told, status, "{limit}: {said}");
    assert!(said.contains(code), "{limit}: {said}");
    let decision = world.decisions().await.pop().unwrap();
    assert_eq!(decision.policy_ids, ["tallyport:limit"], "{limit}");
    assert_eq!(world.upstream.sent().len(), 1, "{limit}");
    slow.abort();
    let _cut = slow.await;
}
