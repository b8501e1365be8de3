//! A service that costs little, as what calls are for: an MCP server (2026-07-28, Streamable HTTP) at `/mcp` and a REST interface at
//! `/orders/ID`, over HTTP/1.1 without TLS. It runs as a process of its own.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Failure;
use crate::stand::Peer;

/// The role of a process that is one.
pub const ROLE: &str = "--upstream";
/// The tool that answers at once.
pub const FIND: &str = "find";
/// The tool that says that it works on it, and answers when it is told to.
pub const WAIT: &str = "wait";
const JSON: &str = "application/json";

/// Starts one; it holds its waiting calls until a line is written to it.
///
/// # Errors
/// When it does not start.
pub async fn start() -> Result<(Peer, u16), Failure> {
    let mut peer = Peer::start(ROLE, std::iter::empty())?;
    let port = peer.line().await?.parse()?;
    Ok((peer, port))
}

/// Serves, as the process of that role.
///
/// # Errors
/// When it cannot listen.
pub async fn serve() -> Result<(), Failure> {
    let (release, released) = watch::channel(());
    let router =
        Router::new().route("/mcp", post(move |body: Bytes| mcp(body, released.clone()))).route(
            "/orders/{id}",
            get(|| async { ([(header::CONTENT_TYPE, JSON)], order().to_string()) }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_line)) = lines.next_line().await {
            release.send_replace(());
        }
        // Its owner is gone.
        std::process::exit(0);
    });
    let listener =
        axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, router).await?)
}

/// What is found: about 300 bytes.
fn order() -> Value {
    json!({
        "id": 7, "customer": "Ada Example", "status": "shipped", "total": "120.50", "currency": "EUR",
        "lines": [
            { "sku": "TEA-100", "name": "Darjeeling, first flush", "count": 2 },
            { "sku": "POT-012", "name": "Tea pot, cast iron", "count": 1 },
        ],
    })
}

async fn mcp(body: Bytes, released: watch::Receiver<()>) -> Response {
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let schema = json!({ "type": "object", "properties": { "id": { "type": "integer" } } });
    let tool = |name| json!({ "name": name, "description": name, "inputSchema": schema });
    let tools = [FIND, WAIT].map(tool);
    let at = |pointer: &str| asked.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let result = match (at("/method"), at("/params/name")) {
        ("server/discover", _) => json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} },
            "serverInfo": { "name": "orders", "version": "1" }, "ttlMs": 60_000, "cacheScope": "public",
        }),
        ("tools/list", _) => json!({
            "resultType": "complete", "ttlMs": 60_000, "cacheScope": "public",
            "tools": tools,
        }),
        ("tools/call", FIND) => found(),
        ("tools/call", WAIT) => return waiting(&asked, released),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, JSON)], answer(&asked, &result).to_string()).into_response()
}

fn found() -> Value {
    let text = order().to_string();
    json!({
        "resultType": "complete", "content": [{ "type": "text", "text": text }], "structuredContent": order(),
        "isError": false,
    })
}

fn answer(asked: &Value, result: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": asked.get("id"), "result": result })
}

/// A stream: that it works on it, and, once it is told to, the answer.
fn waiting(asked: &Value, mut released: watch::Receiver<()>) -> Response {
    let token = asked.pointer("/params/_meta/progressToken");
    let progress = json!({
        "jsonrpc": "2.0", "method": "notifications/progress",
        "params": { "progressToken": token, "progress": 1, "message": "working on it" },
    });
    let answer = answer(asked, &found());
    released.mark_unchanged();
    let first = futures::stream::once(async move { event(&progress) });
    let last = futures::stream::once(async move {
        let _told = released.changed().await;
        event(&answer)
    });
    let events = futures::StreamExt::chain(first, last);
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

fn event(message: &Value) -> Result<Bytes, Infallible> {
    Ok(format!("event: message\ndata: {message}\n\n").into())
}
