//! Errors of the protocol, each with the HTTP status that its revision asks for.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use tallyport_schemas::CommandId;

use super::id::Id;
use super::revision::{Era, MODERN_REVISION};

/// The longest part of a client's words that an error repeats.
const MAX_REPEATED_CHARS: usize = 128;

/// An error that answers a request.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    code: i64,
    message: Cow<'static, str>,
    data: Option<Box<Value>>,
    at: At,
}

/// Where a request failed decides how HTTP puts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// It was not read as a request: 400 in every revision.
    Transport,
    /// There is no such method: 404 where there are no sessions.
    Method,
    /// It was read, and the error is its answer: 200.
    Answer,
    /// The same, and the decision that it tells of is on record: 200.
    OnRecord,
    /// It was sent within a session that is over: 404.
    Session,
    /// It may come again later: 429.
    TooMany,
}

impl RpcError {
    /// A revision that is not spoken (transports, "Protocol Version Header").
    pub const UNSUPPORTED_REVISION: i64 = -32022;
    const fn new(code: i64, message: Cow<'static, str>, at: At) -> Self {
        Self { code, message, data: None, at }
    }

    fn with(self, data: Value) -> Self {
        Self { data: Some(Box::new(data)), ..self }
    }

    /// The body is no JSON.
    #[must_use]
    pub const fn parse() -> Self {
        Self::new(-32700, Cow::Borrowed("send JSON in UTF-8"), At::Transport)
    }

    /// It is JSON and no request.
    #[must_use]
    pub fn invalid_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32600, message.into(), At::Transport)
    }

    /// No such method here.
    #[must_use]
    pub const fn no_method() -> Self {
        Self::new(-32601, Cow::Borrowed("Method not found"), At::Method)
    }

    /// The parameters do not fit the method.
    #[must_use]
    pub fn invalid_params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32602, message.into(), At::Answer)
    }

    /// What every request says of itself is missing.
    #[must_use]
    pub fn invalid_meta(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32602, message.into(), At::Transport)
    }

    /// No tool of this name, or none for this caller.
    #[must_use]
    pub fn unknown_tool(name: &str) -> Self {
        Self::invalid_params(format!("Unknown tool: {}", repeated(name)))
    }

    /// No prompt of this name.
    #[must_use]
    pub fn unknown_prompt(name: &str) -> Self {
        Self::invalid_params(format!("Unknown prompt: {}", repeated(name)))
    }

    /// No resource at this address; the revisions have two codes for it.
    #[must_use]
    pub fn no_resource(uri: &str, era: Era) -> Self {
        let code = match era {
            Era::Modern => -32602,
            Era::Legacy => -32002,
        };
        Self::new(code, Cow::Borrowed("Resource not found"), At::Answer)
            .with(json!({ "uri": repeated(uri) }))
    }

    /// A field of the request does not say what its body says.
    #[must_use]
    pub fn header_mismatch(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32020, message.into(), At::Transport)
    }

    /// The client cannot do what the answer would need. `path` is the capability, outermost name first.
    #[must_use]
    pub fn missing_capability(path: &[&str]) -> Self {
        let required = path.iter().rev().fold(json!({}), |inner, name| {
            Value::Object(Map::from_iter([((*name).to_owned(), inner)]))
        });
        let message = Cow::Borrowed("declare the capability that this request needs");
        Self::new(-32021, message, At::Transport).with(json!({ "requiredCapabilities": required }))
    }

    /// Whoever uses the client is to see these pages, then it may call again (2025-11-25, URL elicitation).
    #[must_use]
    pub fn page_to_show(pages: Vec<Value>) -> Self {
        let message = "this call waits for somebody who must agree; show the page, and call again with exactly the same arguments";
        let data = json!({ "elicitations": pages });
        Self::new(-32042, Cow::Borrowed(message), At::Answer).with(data)
    }

    /// A revision that is not spoken here.
    #[must_use]
    pub fn unsupported_revision(requested: &str) -> Self {
        let data = json!({ "supported": [MODERN_REVISION], "requested": repeated(requested) });
        Self::new(
            Self::UNSUPPORTED_REVISION,
            Cow::Borrowed("Unsupported protocol version"),
            At::Transport,
        )
        .with(data)
    }

    /// No such session, of this caller; the client begins anew.
    #[must_use]
    pub const fn no_session() -> Self {
        let message = "there is no such session; send initialize";
        Self::new(-32600, Cow::Borrowed(message), At::Session)
    }

    /// As many calls are under way as may be.
    #[must_use]
    pub const fn too_many_calls() -> Self {
        let message = "as many calls are under way as may be; wait for one to end, then try again";
        Self::new(-32000, Cow::Borrowed(message), At::TooMany)
    }

    /// The call was ended before it came to an end by itself; `why` says what to do.
    #[must_use]
    pub fn ended(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(-32000, why.into(), At::Answer)
    }

    /// Policy does not permit it; that is on record under this id.
    #[must_use]
    pub fn refused(reasons: &[String], command_id: CommandId) -> Self {
        let why =
            if reasons.is_empty() { "nothing permits it".to_owned() } else { reasons.join("; ") };
        let message = format!(
            "denied by policy: {why}. The same again is refused again; it is on record as command {command_id}"
        );
        Self::new(-32000, message.into(), At::OnRecord)
    }

    /// It carries what its caller was not given, whatever policy says; that is on record under this id.
    #[must_use]
    pub fn foreign(why: &str, command_id: CommandId) -> Self {
        let message = format!("{why}. It is on record as command {command_id}");
        Self::new(-32602, message.into(), At::OnRecord)
    }

    /// The gateway failed; why is in its own log.
    #[must_use]
    pub const fn internal() -> Self {
        Self::new(-32603, Cow::Borrowed("the gateway failed; try again later"), At::Answer)
    }

    /// The code of JSON-RPC or of the protocol.
    #[must_use]
    pub const fn code(&self) -> i64 {
        self.code
    }

    /// Whether nothing else than the answer would tell of it: what policy, an approval or a server said is on record by itself.
    #[must_use]
    pub fn is_unrecorded(&self) -> bool {
        match self.at {
            At::TooMany => true,
            At::OnRecord => false,
            At::Transport | At::Method | At::Answer | At::Session => {
                !matches!(self.code, -32000 | -32042 | -32603)
            }
        }
    }

    /// What to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The HTTP status that it is answered with.
    #[must_use]
    pub const fn status(&self, era: Era) -> u16 {
        match (self.at, era) {
            (At::Transport, _) => 400,
            (At::Method, Era::Modern) => 404,
            (At::Method, Era::Legacy) | (At::Answer | At::OnRecord, _) => 200,
            (At::Session, _) => 404,
            (At::TooMany, _) => 429,
        }
    }

    /// As a client reads it. An id that could not be read is null (JSON-RPC 2.0 section 5).
    #[must_use]
    pub fn body(&self, id: Option<&Id>) -> Value {
        let id = id.map_or(Value::Null, |id| id.as_value().clone());
        json!({ "jsonrpc": "2.0", "id": id, "error": self.object() })
    }

    /// The same where nothing was read that could have an id.
    #[must_use]
    pub fn body_without_id(&self) -> Value {
        json!({ "jsonrpc": "2.0", "error": self.object() })
    }

    fn object(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let (Some(data), Value::Object(error)) = (&self.data, &mut error) {
            error.insert("data".to_owned(), Value::clone(data));
        }
        error
    }
}

/// A client's own words, cut, and without what could pass for more than words.
fn repeated(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(MAX_REPEATED_CHARS).collect()
}
