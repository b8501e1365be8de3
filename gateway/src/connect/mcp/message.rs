//! One message of a client, and how it is sent on.

use bytes::Bytes;
use gateway_core::mcp::encoded;
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use serde_json::{Value, json};

use crate::connect::Ask;

const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A message of JSON-RPC as it came.
pub(super) struct Message {
    text: Bytes,
    value: Value,
}

impl Message {
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let text = Bytes::copy_from_slice(line.trim_ascii());
        let value: Value =
            serde_json::from_slice(&text).map_err(|error| format!("a line is no JSON: {error}"))?;
        if value.is_object() {
            Ok(Self { text, value })
        } else {
            Err("a message is one object on one line".to_owned())
        }
    }

    pub(super) fn method(&self) -> &str {
        self.value.get("method").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its id, where it wants an answer.
    pub(super) fn raw_id(&self) -> Option<&Value> {
        self.value.get("id").filter(|_| !self.method().is_empty())
    }

    /// The same, as a key.
    pub(super) fn id(&self) -> Option<String> {
        self.raw_id().map(Value::to_string)
    }

    /// Whose answer is not wanted any more.
    pub(super) fn cancels(&self) -> Option<String> {
        let is_it = self.method() == "notifications/cancelled";
        self.value.pointer("/params/requestId").filter(|_| is_it).map(Value::to_string)
    }

    /// As a request over HTTP (transport "Streamable HTTP"). `agreed` is the revision of `initialize`.
    pub(super) fn ask(&self, agreed: Option<&str>) -> Result<Ask, String> {
        let fixed = |value| HeaderValue::from_static(value);
        let mut fields = vec![
            (ACCEPT, fixed("application/json, text/event-stream")),
            (CONTENT_TYPE, fixed("application/json")),
        ];
        let own = self
            .value
            .pointer("/params/_meta/io.modelcontextprotocol~1protocolVersion")
            .and_then(Value::as_str);
        if let Some(revision) = own {
            fields.push((REVISION, field(revision)?));
            fields.push((METHOD, field(self.method())?));
            if let Some(name) = self.name() {
                fields.push((NAME, field(name)?));
            }
        } else if let Some(revision) = agreed.filter(|_| self.method() != "initialize") {
            fields.push((REVISION, field(revision)?));
        }
        Ok(Ask { path: "/mcp", fields, body: self.text.clone() })
    }

    /// What a request is about, which a header repeats.
    fn name(&self) -> Option<&str> {
        let place = match self.method() {
            "tools/call" | "prompts/get" => "/params/name",
            "resources/read" => "/params/uri",
            "tasks/get" | "tasks/update" | "tasks/cancel" => "/params/taskId",
            _ => return None,
        };
        self.value.pointer(place).and_then(Value::as_str)
    }
}

fn field(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(encoded(text)).map_err(|_| "a name is too long to be sent".to_owned())
}

/// An error of ours.
pub(super) fn failure(id: Option<&Value>, code: i64, message: &str) -> Vec<u8> {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        .to_string()
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(line: &str, agreed: Option<&str>) -> Vec<(String, String)> {
        let ask = Message::read(line.as_bytes()).unwrap().ask(agreed).unwrap();
        let text = |(name, value): &(HeaderName, HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        ask.fields[2..].iter().map(text).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_message_of_each_revision_has_its_fields() {
        let modern = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"query","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let expected = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "query"),
        ];
        assert_eq!(fields(modern, None), pairs(&expected));
        let other = modern.replace("\"query\"", "\"fråga\"");
        assert_eq!(fields(&other, None)[2].1, "=?base64?ZnLDpWdh?=");
        let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        assert_eq!(fields(legacy, Some("2025-11-25")), pairs(&expected_legacy()));
        assert_eq!(fields(legacy, None), []);
        let first = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
        assert_eq!(fields(first, Some("2025-11-25")), []);
    }

    fn expected_legacy() -> [(&'static str, &'static str); 1] {
        [("mcp-protocol-version", "2025-11-25")]
    }

    #[test]
    fn what_is_no_message_is_said_and_what_is_cancelled_is_known() {
        assert!(Message::read(b"{").is_err());
        assert!(Message::read(b"[]").is_err());
        let cancels =
            br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"7"}}"#;
        let message = Message::read(cancels).unwrap();
        assert_eq!((message.cancels().as_deref(), message.id()), (Some("\"7\""), None));
        // An answer of the client's has an id and wants none.
        let answer = Message::read(br#"{"jsonrpc":"2.0","id":3,"result":{}}"#).unwrap();
        assert_eq!(answer.id(), None);
    }
}
