//! What a request is answered with, as each revision spells it.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::id::Id;
use super::revision::{Era, MODERN_REVISION};

/// How long a client may keep what it was told of itself: policy may change at any time.
const TTL_MS: u64 = 0;
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// The kinds of lists that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// `tools/list`.
    Tools,
    /// `prompts/list`.
    Prompts,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
}

impl Listed {
    /// By its method.
    #[must_use]
    pub fn by_method(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(Self::Tools),
            "prompts/list" => Some(Self::Prompts),
            "resources/list" => Some(Self::Resources),
            "resources/templates/list" => Some(Self::Templates),
            _ => None,
        }
    }

    const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }
}

/// A whole answer.
#[must_use]
pub fn answer(id: &Id, result: Map<String, Value>) -> Value {
    json!({ "jsonrpc": "2.0", "id": id.as_value(), "result": result })
}

/// A result with nothing to say but that it is done.
#[must_use]
pub fn done(era: Era) -> Map<String, Value> {
    complete(era, Map::new())
}

/// A result of these members.
#[must_use]
pub fn complete(era: Era, members: Map<String, Value>) -> Map<String, Value> {
    match era {
        Era::Legacy => members,
        Era::Modern => of_type("complete", members),
    }
}

fn of_type(kind: &str, members: Map<String, Value>) -> Map<String, Value> {
    let mut result = Map::new();
    result.insert("resultType".to_owned(), json!(kind));
    result.extend(members);
    result.insert("_meta".to_owned(), json!({ SERVER_INFO: server_info() }));
    result
}

/// What a call is that goes on without its client (extension `io.modelcontextprotocol/tasks`).
#[must_use]
pub fn task_created(task: Map<String, Value>) -> Map<String, Value> {
    of_type("task", task)
}

/// What its client is to be asked first.
#[must_use]
pub fn input_required(questions: Map<String, Value>) -> Map<String, Value> {
    let questions = ("inputRequests".to_owned(), Value::Object(questions));
    of_type("input_required", Map::from_iter([questions]))
}

/// `server/discover`. What is declared is what is served: no list changes while a client listens, for none can.
#[must_use]
pub fn discovered(instructions: &str) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("supportedVersions".to_owned(), json!([MODERN_REVISION]));
    members.insert(
        "capabilities".to_owned(),
        json!({ "tools": {}, "prompts": {}, "resources": {}, "extensions": extensions() }),
    );
    members.insert("instructions".to_owned(), json!(instructions));
    complete(Era::Modern, kept(members))
}

/// `initialize`, agreed on `revision`.
#[must_use]
pub fn initialized(revision: &str, instructions: &str) -> Map<String, Value> {
    let capabilities = json!({ "tools": {}, "prompts": {}, "resources": {}, "logging": {} });
    let mut members = Map::new();
    members.insert("protocolVersion".to_owned(), json!(revision));
    members.insert("capabilities".to_owned(), capabilities);
    members.insert("serverInfo".to_owned(), server_info());
    members.insert("instructions".to_owned(), json!(instructions));
    members
}

/// A whole list: there are no pages.
#[must_use]
pub fn listed(era: Era, kind: Listed, items: Vec<Value>) -> Map<String, Value> {
    let members = Map::from_iter([(kind.member().to_owned(), Value::Array(items))]);
    match era {
        Era::Modern => complete(era, kept(members)),
        Era::Legacy => members,
    }
}

/// `tools/call`: what the tool found, as JSON, and as a text for clients that show no JSON.
#[must_use]
pub fn called(era: Era, structured: Value, text: String, is_error: bool) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("content".to_owned(), json!([{ "type": "text", "text": text }]));
    members.insert("structuredContent".to_owned(), structured);
    members.insert("isError".to_owned(), json!(is_error));
    complete(era, members)
}

/// `notifications/progress`.
#[must_use]
pub fn progress(token: &Value, progress: f64, message: &str) -> Value {
    let params = json!({ "progressToken": token, "progress": progress, "message": message });
    json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": params })
}

/// One event of a stream of them (HTML, "Server-sent events").
#[must_use]
pub fn event(message: &[u8]) -> Bytes {
    // JSON has no line ends outside its texts, and inside them they are escaped.
    Bytes::from([b"event: message\ndata: ", message, b"\n\n"].concat())
}

/// Those of the protocol that are served.
#[must_use]
pub fn extensions() -> Value {
    json!({ "io.modelcontextprotocol/tasks": {} })
}

fn kept(mut members: Map<String, Value>) -> Map<String, Value> {
    members.insert("ttlMs".to_owned(), json!(TTL_MS));
    members.insert("cacheScope".to_owned(), json!("private"));
    members
}

fn server_info() -> Value {
    json!({ "name": "tallyport", "version": env!("CARGO_PKG_VERSION") })
}
