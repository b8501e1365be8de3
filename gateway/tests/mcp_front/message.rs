//! Messages, as clients of both eras send them, and what a test makes wrong with them.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use serde_json::{Value, json};

use crate::client::{Answer, Way, send};
use crate::world::World;

pub const MODERN: &str = "2026-07-28";
pub const BOTH: &str = "application/json, text/event-stream";

/// A request under way.
#[derive(Clone)]
pub struct Message {
    pub method: Method,
    pub path: String,
    pub authority: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Value,
    pub raw: Option<Bytes>,
}

/// As a client of 2026-07-28 sends it.
pub fn modern(method: &str, params: Value) -> Message {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str);
    let name = name.map(|name| ("mcp-name".to_owned(), name.to_owned()));
    let mut message = legacy(method, params);
    message.headers.push(("mcp-protocol-version".to_owned(), MODERN.to_owned()));
    message.headers.push(("mcp-method".to_owned(), method.to_owned()));
    message.headers.extend(name);
    message
}

/// As a client of 2025-03-26 sends it: without any header of the protocol.
pub fn legacy(method: &str, params: Value) -> Message {
    let headers = [("accept", BOTH), ("content-type", "application/json")];
    Message {
        method: Method::POST,
        path: "/mcp".to_owned(),
        authority: None,
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }),
        raw: None,
    }
}

/// A request that is none of the protocol.
pub fn bare(method: Method, path: &str) -> Message {
    let path = path.to_owned();
    Message { method, path, headers: Vec::new(), raw: Some(Bytes::new()), ..legacy("", json!({})) }
}

impl Message {
    pub fn token(self, token: &str) -> Self {
        self.and("authorization", &format!("Bearer {token}"))
    }

    /// One more header of this name.
    pub fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// This header alone of its name.
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).and(name, value)
    }

    /// Something of its body is another.
    pub fn but(mut self, pointer: &str, value: Value) -> Self {
        *self.body.pointer_mut(pointer).unwrap() = value;
        self
    }

    /// Not even JSON, perhaps.
    pub fn raw(mut self, body: impl Into<Bytes>) -> Self {
        self.raw = Some(body.into());
        self
    }

    pub fn to(mut self, authority: &str) -> Self {
        self.authority = Some(authority.to_owned());
        self
    }

    pub fn request(self, world: &World) -> Request<Bytes> {
        let own = format!("localhost:{}", world.front.tcp_addr.port());
        let authority = self.authority.unwrap_or(own);
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("https://{authority}{}", self.path))
            .body(self.raw.unwrap_or_else(|| self.body.to_string().into()))
            .unwrap();
        for (name, value) in self.headers {
            let name = HeaderName::try_from(name).unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        request
    }

    pub async fn send(self, world: &World, way: Way) -> Answer {
        let request = self.request(world);
        send(world, way, request).await
    }
}
