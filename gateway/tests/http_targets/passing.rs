//! What passes, and how it is on record.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use serde_json::Value;
use tallyport_schemas::{
    Body, Disposition, Effect, Phase, Recording, ResponseStatus, Session, SessionEnd, TargetKind,
};

use crate::upstream::{CARD, SECRET};
use crate::world::{Client, World, summaries, whole};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_answer_are_on_record_before_they_pass() {
    let world = World::start().await;
    let mut client = world.client().await;
    let (status, body) = client.get("/customers/7?expand=orders&tag=a&tag=b%20c").await;
    assert_eq!(status, 200);
    // Whatever is not hidden is byte for byte as it was.
    assert_eq!(
        body,
        "{ \"id\": 7, \"name\":\"Ada\", \"big\": 123456789012345678901.50, \"card\":\"****1111\", \"none\": null }"
    );
    let sent = world.upstream.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].target, "/api/customers/7?expand=orders&tag=a&tag=b%20c");
    assert_eq!(sent[0].field("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!(sent[0].field("accept-encoding"), Some("identity"));
    drop(client);
    assert_eq!(
        world.ended().await,
        Session::Closed {
            end: SessionEnd::Client,
            stats: tallyport_schemas::SessionStats {
                commands: 1,
                bytes_to_agent: body.len() as u64,
                ..Default::default()
            }
        }
    );

    let events = world.events().await;
    let of_session = events.iter().filter(|event| event.context.session_id.is_some());
    let numbers: Vec<u64> = of_session.clone().filter_map(|event| event.session_seq).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>(), "dense");
    let target = of_session.filter_map(|event| event.context.target.clone()).next().unwrap();
    assert_eq!((target.name.as_str(), target.kind), ("crm", TargetKind::Http));
    let command = world.commands().await.remove(0);
    assert_eq!((command.phase, command.disposition), (Phase::Request, Disposition::Forwarded));
    assert_eq!(command.functions, ["crm/customer"]);
    assert!(command.read_only);
    assert_eq!(
        command.statement.as_deref(),
        Some("GET /customers/7?expand=orders&tag=a&tag=b%20c")
    );
    let summary = summaries(&events).remove(0);
    assert_eq!(summary.command_id, command.command_id);
    assert_eq!((summary.status, summary.masked_values), (ResponseStatus::Ok, 1));
    assert_eq!(summary.tag.as_deref(), Some("HTTP 200"));
    let recorded = summary.content.unwrap().replay().unwrap();
    let recorded = String::from_utf8(recorded.to_vec()).unwrap();
    assert!(recorded.starts_with("HTTP/1.1 200\r\n") && recorded.ends_with(&body), "{recorded}");
    let all = serde_json::to_string(&events.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>());
    let all = all.unwrap();
    assert!(!all.contains(SECRET) && !all.contains(CARD), "a secret is on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_agents_but_what_may_pass_reaches_the_service() {
    let world = World::saying("request_fields = ['x-tenant']").await;
    let mut client = world.client().await;
    let request = Request::get("/notes/here")
        .header("authorization", "Bearer of-the-agent")
        .header("cookie", "a=b")
        .header("x-forwarded-for", "10.0.0.1")
        .header("host", "crm")
        .header("range", "bytes=0-1")
        .header("accept", "application/json")
        .header("x-tenant", "acme")
        .body(Full::default());
    assert_eq!(whole(client.send(request.unwrap()).await).await.0, 200);
    let sent = world.upstream.sent().remove(0);
    let names: Vec<&str> = sent.fields.iter().map(|(name, _)| name.as_str()).collect();
    for never in ["cookie", "x-forwarded-for", "range"] {
        assert!(!names.contains(&never), "{names:?}");
    }
    assert!(!format!("{sent:?}").contains("of-the-agent"), "{sent:?}");
    assert!(sent.field("host").unwrap().starts_with("127.0.0.1:"));
    assert_eq!(sent.field("x-tenant"), Some("acme"));
    assert_eq!(sent.field("accept"), Some("application/json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_service_but_what_may_pass_reaches_the_agent() {
    let world = World::start().await;
    let mut client = world.client().await;
    let answer = client.send(Request::get("/notes/cookie").body(Full::default()).unwrap()).await;
    let names: Vec<&str> = answer.headers().keys().map(http::HeaderName::as_str).collect();
    for never in ["set-cookie", "x-internal-host", "etag", "server"] {
        assert!(!names.contains(&never), "{names:?}");
    }
    assert_eq!(answer.headers()["link"], "</notes/2>; rel=\"next\"", "as the agent finds it");
    drop(answer);
    let mut client = world.client().await;
    let moved = client.send(Request::get("/moved/here").body(Full::default()).unwrap()).await;
    assert_eq!(
        (moved.status().as_u16(), &moved.headers()["location"]),
        (302, &http::HeaderValue::from_static("/customers/7"))
    );
    drop(moved);
    let mut client = world.client().await;
    let moved = client.send(Request::get("/moved/elsewhere").body(Full::default()).unwrap()).await;
    assert!(moved.headers().get("location").is_none(), "{moved:?}");
    drop(moved);
    let mut client = world.client().await;
    let request = Request::get("/moved/seemingly-here").body(Full::default()).unwrap();
    let moved = client.send(request).await;
    assert!(moved.headers().get("location").is_none(), "{moved:?}");
    assert_eq!(world.upstream.sent().len(), 4, "the gateway follows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_passes_as_it_was_sent_and_policy_sees_it() {
    let world = World::start().await;
    let mut client = world.client().await;
    let body = "{ \"lines\": [{\"sku\": \"a\"}],\"amount\": 10 }";
    let (status, told) = client.post("/orders", body).await;
    assert_eq!((status, told.as_str()), (200, "{\"done\":true}"));
    assert_eq!(world.upstream.sent()[0].body, body);
    let command = world.commands().await.remove(0);
    assert_eq!(
        command.statement.as_deref(),
        Some(
            "POST /orders\ncontent-type: application/json\n\n{\"amount\":10,\"lines\":[{\"sku\":\"a\"}]}"
        )
    );
    assert!(!command.read_only && command.opaque);
    let recorded = command.content.unwrap().replay().unwrap();
    assert!(recorded.ends_with(body.as_bytes()));
    let (status, told) = client.post("/orders", "{\"amount\": 11}").await;
    assert_eq!(status, 403);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["code"], "denied_by_policy");
    assert!(told["detail"].as_str().unwrap().contains("http:request on crm/order"), "{told}");
    assert_eq!(world.upstream.sent().len(), 1);
    let denied = world.decisions().await.into_iter().filter(|it| it.effect == Effect::Deny).count();
    assert_eq!(denied, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_service_is_the_agents_to_read() {
    let world = World::start().await;
    let mut client = world.client().await;
    let (status, body) = client.get("/customers/404").await;
    assert_eq!((status, body.as_str()), (404, "{\"error\":\"no such customer\"}"));
    let request = Request::head("/customers/7").body(Full::default()).unwrap();
    let (status, body) = whole(client.send(request).await).await;
    assert_eq!((status, body.as_str()), (200, ""));
    assert_eq!(world.upstream.sent()[1].method, "HEAD");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_in_chunks_and_only_a_digest_where_that_is_said() {
    let world = World::saying("recording = 'digest'").await;
    let mut client = world.client().await;
    let (status, body) = client.get("/large").await;
    assert_eq!((status, body.len()), (200, 64 * 64 * 1024));
    let summary = world.summaries().await.remove(0);
    assert_eq!(summary.recording, Recording::Digest);
    assert!(summary.content.is_none() && summary.chunks > 8, "{}", summary.chunks);
    assert!(summary.bytes > body.len() as u64, "with its head");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_on_is_shown_as_it_comes() {
    let world = World::start().await;
    let mut client = world.client().await;
    let answer = client.send(Request::get("/events").body(Full::<Bytes>::default()).unwrap()).await;
    let mut body = answer.into_body();
    let mut seen = String::new();
    while !seen.contains("data: 2\n") {
        let frame = body.frame().await.unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    assert!(seen.starts_with("data: 0\n\ndata: card ") && !seen.contains(CARD), "{seen}");
    // The agent leaves; that it did is on record.
    drop(body);
    drop(client);
    let events = world.wait_for("its end", |events| !summaries(events).is_empty()).await;
    assert_eq!(summaries(&events)[0].status, ResponseStatus::Interrupted);
    assert_eq!(summaries(&events)[0].masked_values, 1);
    let chunks = events.iter().filter(|it| matches!(&it.body, Body::Response(_))).count();
    assert!(chunks >= 3, "{chunks}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordinary_client_comes_through_the_front() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    let tunnel = world.open(&token).await;
    assert!(tunnel.is_ok());
    let other = world.token("other", None).await;
    let refusal = world.open(&other).await.err().unwrap();
    assert_eq!((refusal.status, refusal.code), (403, "denied_by_policy"));
    let denied = world.decisions().await.into_iter().find(|it| it.effect == Effect::Deny).unwrap();
    assert_eq!(denied.actions, ["http:connect"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_has_many_requests_and_two_have_their_own() {
    let world = World::start().await;
    let mut first = world.client().await;
    let mut second = Client::on(world.tunnel("second").await).await;
    for _ in 0..5 {
        let (one, other) = tokio::join!(first.get("/notes/a"), second.get("/customers/7"));
        assert_eq!((one.0, other.0), (200, 200));
        assert!(one.1.contains("done") && other.1.contains("Ada"));
    }
    let events = world.events().await;
    let opened =
        events.iter().filter(|it| matches!(&it.body, Body::Session(Session::Opened { .. })));
    assert_eq!(opened.count(), 2);
    assert_eq!(summaries(&events).len(), 10);
}
