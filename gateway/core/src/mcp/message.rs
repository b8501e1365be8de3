//! One JSON-RPC message, read strictly: two readers of one message must not see two of them.

use serde_json::{Map, Value};
use tallyport_access::strict_object;

use super::error::RpcError;
use super::id::Id;

/// The longest name of a method that is looked at.
const MAX_METHOD_BYTES: usize = 128;

/// What a client sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// It waits for an answer.
    Request {
        /// Names the answer.
        id: Id,
        /// What is asked for.
        method: String,
        /// With what; empty where there is nothing.
        params: Map<String, Value>,
    },
    /// It waits for none.
    Notification {
        /// What happened.
        method: String,
        /// With what; empty where there is nothing.
        params: Map<String, Value>,
    },
    /// It answers what a server asked.
    Answer {
        /// Of the question.
        id: Id,
        /// The result, or the error.
        outcome: Result<Value, Value>,
    },
}

/// Not a message; answered with HTTP 400.
#[derive(Clone, Debug, PartialEq)]
pub struct Malformed {
    /// Of the request, where that can be read.
    pub id: Option<Id>,
    /// What is wrong with it.
    pub error: RpcError,
}

impl Incoming {
    /// The method; an answer has none.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Request { method, .. } | Self::Notification { method, .. } => Some(method),
            Self::Answer { .. } => None,
        }
    }

    /// The id that the answer to it has, where it waits for one.
    #[must_use]
    pub const fn id(&self) -> Option<&Id> {
        match self {
            Self::Request { id, .. } => Some(id),
            Self::Notification { .. } | Self::Answer { .. } => None,
        }
    }

    /// What it says beside its method.
    #[must_use]
    pub const fn params(&self) -> Option<&Map<String, Value>> {
        match self {
            Self::Request { params, .. } | Self::Notification { params, .. } => Some(params),
            Self::Answer { .. } => None,
        }
    }
}

/// Reads a body: one object, in which no name stands twice at any depth, nested 128 levels at most.
///
/// # Errors
/// [`Malformed`], with the code that JSON-RPC has for it.
pub fn parse(body: &[u8]) -> Result<Incoming, Malformed> {
    let Some(mut message) = strict_object(body) else {
        return Err(Malformed { id: None, error: why_no_object(body) });
    };
    let id = message.get("id").map(Id::read);
    let wrong = |what: &'static str| Malformed {
        id: id.clone().flatten(),
        error: RpcError::invalid_request(what),
    };
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(wrong("send \"jsonrpc\": \"2.0\""));
    }
    if matches!(id, Some(None)) {
        return Err(wrong("send an id that is an integer, or a text of at most 256 bytes"));
    }
    let id = id.clone().flatten();
    let outcome = match (message.remove("result"), message.remove("error")) {
        (None, None) => None,
        (Some(result), None) => Some(Ok(result)),
        (None, Some(error)) => Some(Err(error)),
        (Some(_), Some(_)) => return Err(wrong("an answer has a result or an error, not both")),
    };
    let (method, params) = (message.remove("method"), message.remove("params"));
    let params = match params {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return Err(wrong("send params as an object, or leave them out")),
    };
    match (method, outcome, id.clone()) {
        (Some(Value::String(method)), None, id) if method.len() <= MAX_METHOD_BYTES => {
            Ok(match id {
                Some(id) => Incoming::Request { id, method, params },
                None => Incoming::Notification { method, params },
            })
        }
        (None, Some(outcome), Some(id)) => Ok(Incoming::Answer { id, outcome }),
        (None, Some(_), None) => Err(wrong("an answer has the id of what it answers")),
        (Some(_), Some(_), _) => Err(wrong("send a method, or an answer, not both")),
        _ => Err(wrong("send a method: a text of at most 128 bytes")),
    }
}

/// What is no JSON is told from JSON that is no message.
fn why_no_object(body: &[u8]) -> RpcError {
    let is_json = std::str::from_utf8(body)
        .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
    if !is_json {
        return RpcError::parse();
    }
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => RpcError::invalid_request(
            "batches are not taken; send one message, as one object, per request",
        ),
        Some(b'{') => RpcError::invalid_request(
            "send an object in which no name stands twice, of at most 128 levels, with numbers that can be held",
        ),
        _ => RpcError::invalid_request("send one message, as one object"),
    }
}
