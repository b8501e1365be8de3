//! The fields of a request that repeat what its body says, so that what stands between can route it. One that says
//! something else than the body would be routed by one meaning and served by the other.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::error::RpcError;
use super::message::Incoming;
use super::revision::{MODERN_REVISION, version_in_body};

/// Marks a value that is not plain text.
const ENCODED: (&str, &str) = ("=?base64?", "?=");

/// A field of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field<'a> {
    /// It does not stand there.
    #[default]
    Absent,
    /// It stands there once, with this text.
    Once(&'a str),
    /// It stands there more than once, or is no visible ASCII: what it says is unknown.
    Unclear,
    /// The same, and one of its values is this.
    Twice(&'a str),
}

/// What of a request's fields counts here.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeaderView<'a> {
    /// `MCP-Protocol-Version`.
    pub protocol_version: Field<'a>,
    /// `Mcp-Method`.
    pub method: Field<'a>,
    /// `Mcp-Name`.
    pub name: Field<'a>,
}

impl<'a> Field<'a> {
    /// Of all values of one name.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return Self::Absent };
        match (text(first), values.next()) {
            (Some(text), None) => Self::Once(text),
            (Some(text), Some(_)) => Self::Twice(text),
            (None, _) => Self::Unclear,
        }
    }

    /// Whether a value that can be read is so.
    pub(super) fn any(&self, is: impl FnOnce(&str) -> bool) -> bool {
        match self {
            Self::Once(text) | Self::Twice(text) => is(text),
            Self::Absent | Self::Unclear => false,
        }
    }
}

impl HeaderView<'_> {
    /// Whether the fields say what the body says, for the revisions that have them (2026-07-28, "Request Headers").
    ///
    /// # Errors
    /// [`RpcError`] with -32020, or -32022 where both agree on a revision that is not spoken here.
    pub fn check(&self, incoming: &Incoming) -> Result<(), RpcError> {
        self.check_revision(incoming)?;
        let Some(method) = incoming.method() else { return Ok(()) };
        if self.method != Field::Once(method) {
            return Err(RpcError::header_mismatch("Mcp-Method header does not match the body"));
        }
        let Some(member) = named_by(method) else { return Ok(()) };
        let meant = incoming.params().and_then(|params| params.get(member));
        let agrees = match (&self.name, meant) {
            (Field::Absent, None | Some(Value::Null)) => true,
            (Field::Once(text), Some(Value::String(name))) => {
                decoded(text).is_some_and(|text| text == *name)
            }
            _ => false,
        };
        if agrees {
            return Ok(());
        }
        Err(RpcError::header_mismatch("Mcp-Name header does not match the body"))
    }

    fn check_revision(&self, incoming: &Incoming) -> Result<(), RpcError> {
        let in_body = incoming.params().and_then(version_in_body).and_then(Value::as_str);
        let Field::Once(revision) = self.protocol_version else {
            return Err(RpcError::header_mismatch(
                "send one MCP-Protocol-Version header that says what the body says",
            ));
        };
        // A notification need not repeat it.
        if in_body.is_some_and(|in_body| in_body != revision) {
            return Err(RpcError::header_mismatch(
                "MCP-Protocol-Version header does not match the body",
            ));
        }
        if revision != MODERN_REVISION {
            return Err(RpcError::unsupported_revision(revision));
        }
        Ok(())
    }
}

/// The fields that a message of the revision without sessions is sent with: names in lower case, and values as they are sent.
#[must_use]
pub fn fields_of(message: &Value) -> Vec<(&'static str, String)> {
    let mut fields = vec![("mcp-protocol-version", MODERN_REVISION.to_owned())];
    if let Some(method) = message.get("method").and_then(Value::as_str) {
        fields.push(("mcp-method", encoded(method)));
        let name = named_by(method).and_then(|member| message.get("params")?.get(member)?.as_str());
        fields.extend(name.map(|name| ("mcp-name", encoded(name))));
    }
    fields
}

/// A field's value: as it is where it can be, else encoded.
#[must_use]
pub fn encoded(text: &str) -> String {
    let plain = !text.is_empty()
        && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.trim() == text
        && !text.starts_with("=?");
    if plain {
        text.to_owned()
    } else {
        format!("{}{}{}", ENCODED.0, STANDARD.encode(text), ENCODED.1)
    }
}

/// The parameter that `Mcp-Name` repeats.
fn named_by(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

/// Without the blanks around it; `None` where it is no visible ASCII.
fn text(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte)).then_some(text)
}

/// What a field's value says; `None` where it is no text.
#[must_use]
pub fn decoded(text: &str) -> Option<Cow<'_, str>> {
    let encoded = text.strip_prefix(ENCODED.0).and_then(|rest| rest.strip_suffix(ENCODED.1));
    match encoded {
        None => Some(Cow::Borrowed(text)),
        Some(encoded) => {
            let bytes = STANDARD.decode(encoded).ok()?;
            String::from_utf8(bytes).ok().map(Cow::Owned)
        }
    }
}
