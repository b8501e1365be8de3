//! The order of checks, row by row, on every way in (docs/reference/mcp.md).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tallyport_gateway::tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Answer, WAYS, Way, a_moment, tls as tls_stream};
use crate::message::{MODERN, Message, bare, legacy, modern};
use crate::world::{SOON, World};

fn list() -> Message {
    modern("tools/list", json!({}))
}

/// Refused before anything of it was read: by HTTP's status, with an error without an id.
fn assert_unread(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    let told = answer.json();
    assert_eq!(told["jsonrpc"], "2.0", "{what}");
    assert!(told.get("id").is_none() && told["error"]["message"].is_string(), "{what}: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_1_and_2_host_and_origin_come_before_the_token() {
    let world = World::saying("hosts = ['localhost:1']\norigins = ['http://localhost:6274']").await;
    let before = world.checks().await.len();
    for way in WAYS {
        for host in ["evil.example", "localhost.evil.example:443", "localhost.:443"] {
            for message in [list(), bare(Method::GET, "/mcp"), bare(Method::OPTIONS, "/mcp")] {
                let answer = message.to(host).send(&world, way).await;
                assert_unread(&answer, 403, &format!("{way:?} {host}"));
            }
            let document = "/.well-known/oauth-protected-resource/mcp";
            let answer = bare(Method::GET, document).to(host).send(&world, way).await;
            assert_unread(&answer, 403, &format!("{way:?} {host}"));
        }
        for origin in
            ["https://evil.example", "null", "http://localhost:6275", "https://localhost:1"]
        {
            let answer = list().and("origin", origin).send(&world, way).await;
            assert_unread(&answer, 403, &format!("{way:?} {origin}"));
        }
        let twice =
            list().and("origin", "http://localhost:6274").and("origin", "http://localhost:6274");
        assert_unread(&twice.send(&world, way).await, 403, "two origins");
    }
    // A host that is said twice is said wrongly where one of both is.
    let answer =
        list().and("host", "localhost:1").and("host", "evil.example").send(&world, Way::H1).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let answer = list().and("host", "evil.example").send(&world, Way::H2).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert_eq!(world.checks().await.len(), before, "no token was looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_configured_origins_may_read_the_answers() {
    let world = World::saying("origins = ['http://localhost:6274']").await;
    let token = world.token("agent", None).await;
    for way in WAYS {
        let page = |message: Message| message.and("origin", "http://localhost:6274");
        let preflight = page(bare(Method::OPTIONS, "/mcp")).send(&world, way).await;
        assert_eq!(preflight.status, 204);
        assert!(preflight.header("access-control-allow-headers").contains("mcp-protocol-version"));
        let answers = [
            preflight,
            page(list().token(&token)).send(&world, way).await,
            page(list()).send(&world, way).await,
        ];
        assert_eq!(answers.each_ref().map(|answer| answer.status), [204, 200, 401]);
        for answer in answers {
            assert_eq!(answer.header("access-control-allow-origin"), "http://localhost:6274");
            assert_eq!(answer.header("vary"), "origin");
            assert!(answer.header("access-control-expose-headers").contains("www-authenticate"));
            assert_eq!(answer.header("access-control-allow-credentials"), "");
        }
        // Its own pages are of the same origin and need nothing of it.
        let own = format!("https://localhost:{}", world.front.tcp_addr.port());
        let answer = list().token(&token).and("origin", &own).send(&world, way).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ""));
        let answer = list().token(&token).send(&world, way).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_3_the_token_comes_before_the_form_and_each_check_is_on_record() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    let mut expected = 0;
    for way in WAYS {
        let formless =
            || list().with("accept", "text/html").with("content-type", "text/html").raw("{");
        assert_eq!(formless().send(&world, way).await.status, 401);
        assert_eq!(formless().token("stolen").send(&world, way).await.status, 401);
        let twice = formless().token(&token).token(&token).send(&world, way).await;
        assert_eq!((twice.status, twice.json()["code"].as_str()), (400, Some("invalid_request")));
        let in_query = Message { path: format!("/mcp?access_token={token}"), ..formless() };
        assert_eq!(in_query.send(&world, way).await.status, 401);
        assert_eq!(formless().token(&token).send(&world, way).await.status, 406);
        expected += 4;
        let checks = world.checks().await;
        assert_eq!(checks.len(), expected, "{way:?}: {checks:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_4_and_5_what_is_taken_and_what_is_sent() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    for way in WAYS {
        for accept in [
            "*/*",
            "application/json",
            "text/event-stream",
            "application/json;q=0, text/event-stream",
        ] {
            let answer =
                list().token(&token).with("accept", accept).raw("{").send(&world, way).await;
            assert_unread(&answer, 406, accept);
        }
        let answer = list().token(&token).without("accept").send(&world, way).await;
        assert_unread(&answer, 406, "none");
        let spread = list()
            .token(&token)
            .with("accept", "text/event-stream")
            .and("accept", "application/json");
        assert_eq!(spread.send(&world, way).await.status, 200);
        for content_type in ["text/plain", "application/json-seq"] {
            let message = list().token(&token).with("content-type", content_type).raw("{");
            assert_unread(&message.send(&world, way).await, 415, content_type);
        }
        let answer = list().token(&token).without("content-type").send(&world, way).await;
        assert_unread(&answer, 415, "none");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn row_6_a_body_is_whole_in_size_and_in_time() {
    let late = Duration::from_millis(300);
    let world =
        World::with("max_body_bytes = 2048", |limits| limits.body_deadline = late, |_| {}).await;
    let token = world.token("agent", None).await;
    for way in WAYS {
        let sized = |bytes: usize| {
            let message = list().token(&token);
            let padding = bytes - message.body.to_string().len();
            let body = format!("{}{}", message.body, " ".repeat(padding));
            message.raw(body)
        };
        assert_eq!(sized(2048).send(&world, way).await.status, 200, "{way:?}");
        assert_unread(&sized(2049).send(&world, way).await, 413, "one more");
        // Over HTTP/1.1 what is still under way is lost with its connection, and the answer perhaps as well.
        if way != Way::H1 {
            assert_unread(&sized(1 << 20).send(&world, way).await, 413, "many more");
        }
    }
    // Sized or not beforehand.
    for (framing, rest) in
        [("content-length: 99", "{"), ("transfer-encoding: chunked", "1\r\n{\r\n")]
    {
        let answer = h1_text(&world, &token, framing, rest).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.contains("in time"), "{answer}");
    }
    let many = format!("1000\r\n{}\r\n0\r\n\r\n", " ".repeat(4096));
    let answer = h1_text(&world, &token, "transfer-encoding: chunked", &many).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

/// The answer to a message whose body is written as it is here, up to its end.
async fn h1_text(world: &World, token: &str, framing: &str, body: &str) -> String {
    let mut stream = tls_stream(world, tls::ALPN_H1).await;
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
         accept: application/json, text/event-stream\r\ncontent-type: application/json\r\n{framing}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    let _end = tokio::time::timeout(SOON, stream.read_to_end(&mut text)).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_7_and_8_one_message_of_one_meaning() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{}{}}}"#,
        "[".repeat(9_999),
        "]".repeat(9_999)
    );
    for way in WAYS {
        for (body, code, id) in [
            ("", -32700, Value::Null),
            ("{\"jsonrpc\":", -32700, Value::Null),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, Value::Null),
            ("[]", -32600, Value::Null),
            ("7", -32600, Value::Null),
            (&deep, -32600, Value::Null),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
                -32600,
                Value::Null,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{"a":{"b":1,"b":2}}}}"#,
                -32600,
                Value::Null,
            ),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, Value::Null),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600, Value::Null),
            (r#"{"jsonrpc":"1.0","id":"a","method":"ping"}"#, -32600, json!("a")),
            (r#"{"jsonrpc":"2.0","id":"a","method":7}"#, -32600, json!("a")),
            (r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":[]}"#, -32600, json!("a")),
            (r#"{"jsonrpc":"2.0","id":"a","result":{}}"#, -32600, Value::Null),
        ] {
            let answer =
                legacy("", json!({})).token(&token).raw(body.to_owned()).send(&world, way).await;
            let told = answer.json();
            assert_eq!((answer.status, answer.code()), (400, code), "{way:?} {body:.80}: {told}");
            assert_eq!(told["id"], id, "{body:.80}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_10_to_13_what_a_modern_request_says_twice_it_says_alike() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    let meta = "/params/_meta";
    let call = || modern("tools/call", json!({ "name": "whoami" }));
    for way in WAYS {
        for (row, message, code) in [
            (10, list().but(meta, json!({})), -32602),
            (10, list().but(meta, json!(1)), -32602),
            (10, list().but("/params", json!({})), -32602),
            (
                10,
                list().but("/params/_meta/io.modelcontextprotocol~1clientCapabilities", json!([])),
                -32602,
            ),
            (
                10,
                list().but("/params/_meta/io.modelcontextprotocol~1protocolVersion", json!(1)),
                -32602,
            ),
            (11, list().without("mcp-protocol-version"), -32020),
            (11, list().and("mcp-protocol-version", MODERN), -32020),
            (11, list().with("mcp-protocol-version", "2027-01-01"), -32020),
            (11, list().with("mcp-protocol-version", "2025-11-25"), -32020),
            (13, list().without("mcp-method"), -32020),
            (13, list().and("mcp-method", "tools/list"), -32020),
            (13, list().with("mcp-method", "tools/call"), -32020),
            (13, list().with("mcp-method", "TOOLS/LIST"), -32020),
            (13, call().without("mcp-name"), -32020),
            (13, call().and("mcp-name", "whoami"), -32020),
            (13, call().with("mcp-name", "Whoami"), -32020),
            (13, call().with("mcp-name", "=?base64?d2hvYW1?="), -32020),
        ] {
            let what = format!("{way:?}, row {row}: {:?} {}", message.headers, message.body);
            let answer = message.token(&token).send(&world, way).await;
            assert_eq!((answer.status, answer.code()), (400, code), "{what}");
            assert_eq!(answer.json()["id"], 1, "{what}");
        }
        let newer = list()
            .but("/params/_meta/io.modelcontextprotocol~1protocolVersion", json!("2027-01-01"))
            .with("mcp-protocol-version", "2027-01-01")
            .token(&token);
        let answer = newer.send(&world, way).await;
        assert_eq!(answer.status, 400, "row 12");
        let error = json!({ "code": -32022, "message": "Unsupported protocol version",
            "data": { "supported": [MODERN], "requested": "2027-01-01" } });
        assert_eq!(answer.json(), json!({ "jsonrpc": "2.0", "id": 1, "error": error }));
        let encoded = call().with("mcp-name", "=?base64?d2hvYW1p?=").token(&token);
        assert_eq!(encoded.send(&world, way).await.status, 200);
        // Names of fields in any case, with blanks around their values.
        let blank = list().with("mcp-method", " tools/list\t").token(&token);
        assert_eq!(blank.send(&world, way).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_14_and_15_methods_and_their_params() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    for way in WAYS {
        for method in [
            "nope",
            "initialize",
            "ping",
            "logging/setLevel",
            "resources/subscribe",
            "subscriptions/listen",
            "completion/complete",
            "tasks/list",
        ] {
            let answer = modern(method, json!({})).token(&token).send(&world, way).await;
            assert_eq!(
                (answer.status, answer.code(), &answer.json()["id"]),
                (404, -32601, &json!(1)),
                "{method}"
            );
        }
        for method in ["nope", "server/discovered", "resources/subscribe", "completion/complete"] {
            let answer = legacy(method, json!({})).token(&token).send(&world, way).await;
            assert_eq!((answer.status, answer.code()), (200, -32601), "{method}");
        }
        for (method, params) in [
            ("tools/call", json!({ "name": "nope" })),
            ("tools/call", json!({ "name": "../whoami" })),
            ("tools/call", json!({ "name": "WHOAMI" })),
            ("tools/call", json!({ "name": "whoami", "arguments": [] })),
            ("tools/call", json!({ "name": "whoami", "arguments": null })),
            ("tools/call", json!({ "name": "whoami", "arguments": { "x": 1 } })),
            ("tools/call", json!({})),
            ("tools/list", json!({ "cursor": "x" })),
            ("prompts/list", json!({ "cursor": "x" })),
            ("prompts/get", json!({ "name": "x" })),
            ("resources/read", json!({ "uri": "test://x" })),
        ] {
            let answer = modern(method, params.clone()).token(&token).send(&world, way).await;
            assert_eq!((answer.status, answer.code()), (200, -32602), "{method} {params}");
        }
        let answer = legacy("resources/read", json!({ "uri": "test://x" }))
            .token(&token)
            .send(&world, way)
            .await;
        assert_eq!((answer.status, answer.code()), (200, -32002));
        assert_eq!(answer.json()["error"]["data"], json!({ "uri": "test://x" }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_of_http_are_told_which_one_there_is() {
    let world = World::start().await;
    for way in WAYS {
        for method in [Method::GET, Method::DELETE, Method::PUT, Method::HEAD] {
            let answer = bare(method.clone(), "/mcp").send(&world, way).await;
            assert_eq!((answer.status, answer.header("allow")), (405, "POST"), "{method}");
        }
        assert_eq!(bare(Method::POST, "/mcp/").send(&world, way).await.status, 404);
    }
    a_moment().await;
    assert!(world.checks().await.is_empty(), "nobody had to say who they are");
}
