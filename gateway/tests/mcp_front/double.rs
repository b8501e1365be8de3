//! A server behind the gateway that does as a test says: also what no real one does. Real ones are behind it in `--test mcp`.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// What the double got.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn said(&self) -> String {
        self.json()["method"].as_str().unwrap_or_default().to_owned()
    }
}

type Script = Arc<dyn Fn(&Seen) -> Option<Response> + Send + Sync>;

/// One server on a free port of this machine.
pub struct Double {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Mutex<Script>>,
}

impl Double {
    pub async fn start() -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Arc::new(|_| None)));
        let (kept, ran) = (Arc::clone(&seen), Arc::clone(&script));
        let serve = move |method: Method, headers: HeaderMap, body: Bytes| {
            let (kept, ran) = (Arc::clone(&kept), Arc::clone(&ran));
            async move {
                let seen = Seen { method, headers, body };
                kept.lock().push(seen.clone());
                let script = Arc::clone(&ran.lock());
                script(&seen).unwrap_or_else(|| well(&seen))
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = Router::new().fallback(serve);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, seen, script }
    }

    /// What it does from now on; where that is nothing, it does well.
    pub fn does(&self, script: impl Fn(&Seen) -> Option<Response> + Send + Sync + 'static) {
        *self.script.lock() = Arc::new(script);
    }

    /// What it got of this method.
    pub fn seen(&self, said: &str) -> Vec<Seen> {
        self.seen.lock().iter().filter(|it| it.said() == said).cloned().collect()
    }

    /// What it got so far is not looked at any more.
    pub fn forget(&self) {
        self.seen.lock().clear();
    }

    pub fn all(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

/// The tools that it has where it does well.
pub fn tools() -> Value {
    let schema = json!({ "type": "object", "properties": { "id": { "type": "integer" }, "region": { "type": "string", "x-mcp-header": "Region" } } });
    json!([
        { "name": "find", "description": "Finds a customer", "inputSchema": schema, "annotations": { "readOnlyHint": true }, "vendor": { "kept": 1 } },
        { "name": "refund", "description": "Gives money back", "inputSchema": schema },
    ])
}

/// What it finds.
pub fn customer() -> Value {
    json!({ "rows": [{ "id": 7, "email": "ada@example.com", "card": "4111 1111 1111 1111", "note": "likes tea" }] })
}

fn well(seen: &Seen) -> Response {
    let asked = seen.json();
    let modern = asked.pointer("/params/_meta/io.modelcontextprotocol~1protocolVersion").is_some();
    let result = match seen.said().as_str() {
        "server/discover" => {
            json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {}, "prompts": {}, "resources": {} } })
        }
        "tools/list" => json!({ "tools": tools() }),
        "tools/call" => json!({
            "content": [{ "type": "text", "text": customer().to_string() }], "structuredContent": customer(), "isError": false,
            "vendor": "kept",
        }),
        "prompts/list" => json!({ "prompts": [{ "name": "open" }, { "name": "closed" }] }),
        "resources/read" => json!({ "contents": [{ "uri": "note:1", "text": "a note" }] }),
        _ => return error(&asked, -32601, StatusCode::NOT_FOUND),
    };
    let mut result = result;
    if modern {
        result["resultType"] = json!("complete");
    }
    answer(&asked, result)
}

pub fn answer(asked: &Value, result: Value) -> Response {
    whole(StatusCode::OK, &json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }))
}

pub fn error(asked: &Value, code: i64, status: StatusCode) -> Response {
    whole(
        status,
        &json!({ "jsonrpc": "2.0", "id": asked["id"], "error": { "code": code, "message": "no" } }),
    )
}

pub fn whole(status: StatusCode, message: &Value) -> Response {
    raw(status, "application/json", message.to_string())
}

pub fn raw(status: StatusCode, media: &str, body: impl Into<Body>) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, media)
        .body(body.into())
        .unwrap()
}

/// These messages, as events.
pub fn events(messages: &[Value]) -> Response {
    let text: String =
        messages.iter().map(|it| format!("event: message\ndata: {it}\n\n")).collect();
    raw(StatusCode::OK, "text/event-stream", text)
}
