//! Messages of MCP clients, with the header fields that repeat what they say: `version LF method LF name LF body`.

use gateway_core::mcp::{Era, Field, HeaderView, Incoming, RequestMeta, canonical, parse, reply};
use serde_json::{Map, Value, json};

/// What messages are made of.
pub const WORDS: &[&[u8]] = &[
    b"\"jsonrpc\":\"2.0\"",
    b"\"id\":1",
    b"\"id\":null",
    b"\"method\":\"tools/call\"",
    b"\"method\":\"initialize\"",
    b"\"params\":{}",
    b"\"result\":{}",
    b"\"error\":{}",
    b"\"name\":\"whoami\"",
    b"\"_meta\":{",
    b"\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"",
    b"\"io.modelcontextprotocol/clientCapabilities\":{}",
    b"\"io.modelcontextprotocol/clientInfo\":{\"name\":\"c\"}",
    b"\"progressToken\":1",
    b"2026-07-28\n",
    b"2025-11-25\n",
    b"tools/call\n",
    b"=?base64?d2hvYW1p?=\n",
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"9007199254740993",
    b"[[[[[[[[",
    b"\n",
];

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "url": {} } },
        "progressToken": "p",
    });
    let call = json!({ "name": "whoami", "arguments": {}, "_meta": meta });
    let request = |method: &str, params: &Value| {
        json!({ "jsonrpc": "2.0", "id": "a", "method": method, "params": params }).to_string()
    };
    let call = request("tools/call", &call);
    let initialize = json!({ "protocolVersion": "2025-11-25", "capabilities": {} });
    vec![
        format!("2026-07-28\ntools/call\nwhoami\n{call}").into_bytes(),
        format!("2026-07-28\ntools/call\n=?base64?d2hvYW1p?=\n{call}").into_bytes(),
        format!("\n\n\n{}", request("initialize", &initialize)).into_bytes(),
        b"2025-11-25\n\n\n{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}".to_vec(),
        b"\n\n\n{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"action\":\"accept\"}}".to_vec(),
        b"\n\n\n[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]".to_vec(),
        b"\n\n\n{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"ping\"}".to_vec(),
    ]
}

/// What is read is what another reader reads, what passes both ways says one thing, and whatever is answered is one line.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let [version, method, name, body] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let incoming = match parse(body) {
        Ok(incoming) => incoming,
        Err(malformed) => {
            one_line(&malformed.error.body(malformed.id.as_ref()));
            return assert_eq!(malformed.error.status(Era::Modern), 400);
        }
    };
    as_another_reads_it(body, &incoming);
    let headers = HeaderView {
        protocol_version: present(version),
        method: present(method),
        name: present(name),
    };
    let era = match Era::of(&incoming, &headers) {
        Ok(era) => era,
        Err(error) => return one_line(&error.body(incoming.id())),
    };
    if let Some(params) = incoming.params() {
        match RequestMeta::read(era, params) {
            Ok(meta) => assert!(meta.progress_token().is_none_or(|it| !it.is_null())),
            Err(error) => one_line(&error.body(incoming.id())),
        }
        canonical_once(&Value::Object(params.clone()));
    }
    if era == Era::Modern {
        match headers.check(&incoming) {
            Ok(()) => assert!(incoming.method().is_none_or(|it| it.trim() == trimmed(method))),
            Err(error) => one_line(&error.body(incoming.id())),
        }
    }
    if let Some(id) = incoming.id() {
        one_line(&reply::answer(id, reply::complete(era, Map::new())));
    }
}

fn present(value: &[u8]) -> Field<'_> {
    if value.is_empty() { Field::Absent } else { Field::of([value]) }
}

fn trimmed(value: &[u8]) -> &str {
    std::str::from_utf8(value).expect("it was read").trim()
}

fn as_another_reads_it(body: &[u8], incoming: &Incoming) {
    let other: Value = serde_json::from_slice(body).expect("it is JSON");
    assert_eq!(other["jsonrpc"], "2.0");
    assert_eq!(other.get("method").and_then(Value::as_str), incoming.method());
    if let Some(id) = incoming.id() {
        assert_eq!(&other["id"], id.as_value());
    }
    let params = incoming.params().cloned().map(Value::Object);
    let said = other.get("params").cloned();
    assert_eq!(
        said.or_else(|| params.as_ref().map(|_| json!({}))).filter(|_| params.is_some()),
        params
    );
}

fn canonical_once(value: &Value) {
    let Ok(text) = canonical(value) else { return };
    let again: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(canonical(&again).expect("it was canonical"), text);
}

/// An event of a stream ends with its line.
fn one_line(message: &Value) {
    let event = reply::event(message.to_string().as_bytes());
    let lines = event.split(|byte| *byte == b'\n').count();
    assert_eq!((lines, message["jsonrpc"].as_str()), (4, Some("2.0")));
}
