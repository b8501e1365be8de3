//! The servers behind the gateway as those see them who may accept what has changed: their tools, and how these stand to their
//! pins. docs/reference/mcp-servers.md.

use std::sync::Arc;

use gateway_core::mcp::{LEGACY_REVISIONS, MODERN_REVISION, Pin, Standing, ToolFacts};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tallyport_schemas::TargetRef;

use super::Upstream;
use super::definitions::{Definition, Look};
use crate::config::McpWay;
use crate::service::Inner;

/// One server.
#[derive(Debug, Serialize)]
pub(crate) struct ServerView {
    pub(crate) name: String,
    /// Host and port of its URL, or the name of its program: what follows may hold what is for nobody to see.
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    looked_at: Option<Timestamp>,
    /// `ok`, or why the last look found nothing; `not_yet` before the first.
    look: &'static str,
    /// The revisions of the protocol that it speaks, newest first.
    revisions: Vec<&'static str>,
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<Vec<ToolView>>,
}

/// How many tools stand how.
#[derive(Debug, Default, Serialize)]
struct Counts {
    in_use: usize,
    changed: usize,
    gone: usize,
    waiting: usize,
}

/// One tool.
#[derive(Debug, Serialize)]
pub(crate) struct ToolView {
    name: String,
    state: ToolState,
    /// Of its definition now.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_sha256: Option<String>,
    /// As the server has it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    definition: Option<Value>,
    /// As it was pinned, where that is another and was seen here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_definition: Option<Value>,
}

/// How a tool stands to its pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ToolState {
    /// It is what was pinned.
    InUse,
    /// It is not, which is on record: it can be accepted.
    Changed,
    /// The server has it no more.
    Gone,
    /// For the server, or for the log.
    Waiting,
}

/// A tool as somebody might accept it.
pub(crate) struct Defined {
    pub(crate) reference: TargetRef,
    pub(crate) facts: ToolFacts,
    pub(crate) sha256: String,
    /// What is pinned, where the change is on record.
    pub(crate) pinned_sha256: Option<String>,
}

impl Upstream {
    /// As it is now; with its tools where `whole`.
    pub(in crate::mcp) fn view(&self, inner: &Inner, whole: bool) -> ServerView {
        let (look, last) = (self.definitions.now(), self.definitions.last());
        let tools = self.tools(inner, look.as_deref());
        let of = |state| tools.iter().filter(|it| it.state == state).count();
        let counts = Counts {
            in_use: of(ToolState::InUse),
            changed: of(ToolState::Changed),
            gone: of(ToolState::Gone),
            waiting: of(ToolState::Waiting),
        };
        ServerView {
            name: self.name().to_owned(),
            host: place(&self.config.way),
            looked_at: last.map(|it| it.at),
            look: last.map_or("not_yet", |it| it.failed.unwrap_or("ok")),
            revisions: look.as_deref().map(Look::revisions).unwrap_or_default(),
            counts,
            tools: whole.then_some(tools),
        }
    }

    /// One of its tools.
    pub(in crate::mcp) fn tool_view(&self, inner: &Inner, name: &str) -> Option<ToolView> {
        let look = self.definitions.now();
        self.tools(inner, look.as_deref()).into_iter().find(|it| it.name == name)
    }

    /// One of its tools, as it might be accepted.
    pub(in crate::mcp) fn defined(&self, inner: &Inner, name: &str) -> Option<Defined> {
        let look = self.definitions.now()?;
        let defined = look.tools().iter().find(|it| it.facts.name == name)?;
        let known = inner.control.known();
        let standing = known.pins.standing(self.name(), name, &defined.sha256);
        let pin = known.pins.pin(self.name(), name);
        let pin = pin.filter(|_| standing == Standing::Changed { on_record: true });
        Some(Defined {
            reference: self.reference(),
            facts: defined.facts.clone(),
            sha256: defined.sha256.clone(),
            pinned_sha256: pin.map(|pin| pin.sha256.clone()),
        })
    }

    /// Those that it has, and those that it had.
    fn tools(&self, inner: &Inner, look: Option<&Look>) -> Vec<ToolView> {
        let known = inner.control.known();
        let now = look.map(Look::tools).unwrap_or_default();
        let has = |tool: &str| now.iter().any(|it| it.facts.name == tool);
        let gone = known.pins.of(self.name()).filter(|(tool, _)| !has(tool));
        // Of a server that was never seen here it is not known what it has.
        let missing = if look.is_some() { ToolState::Gone } else { ToolState::Waiting };
        let gone = gone.map(|(tool, pin)| self.missing(tool, pin, missing));
        let here = now.iter().map(|it| {
            let name = &it.facts.name;
            let pin = known.pins.pin(self.name(), name);
            self.present(it, pin, known.pins.standing(self.name(), name, &it.sha256))
        });
        let mut all: Vec<_> = here.chain(gone).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }

    fn present(&self, it: &Arc<Definition>, pin: Option<&Pin>, standing: Standing) -> ToolView {
        let name = &it.facts.name;
        let state = match standing {
            Standing::InUse => ToolState::InUse,
            Standing::Changed { on_record: true } => ToolState::Changed,
            Standing::New | Standing::Changed { on_record: false } => ToolState::Waiting,
        };
        let other = pin.filter(|pin| pin.sha256 != it.sha256);
        ToolView {
            name: name.clone(),
            state,
            sha256: Some(it.sha256.clone()),
            pinned_sha256: pin.map(|pin| pin.sha256.clone()),
            definition: Some(it.defined.clone()),
            pinned_definition: other.and_then(|pin| self.pinned_text(name, pin)),
        }
    }

    fn missing(&self, name: &str, pin: &Pin, state: ToolState) -> ToolView {
        ToolView {
            name: name.to_owned(),
            state: if pin.is_gone { ToolState::Gone } else { state },
            sha256: None,
            pinned_sha256: Some(pin.sha256.clone()),
            definition: None,
            pinned_definition: self.pinned_text(name, pin),
        }
    }

    fn pinned_text(&self, tool: &str, pin: &Pin) -> Option<Value> {
        self.definitions.pinned(tool, &pin.sha256).map(|it| it.defined.clone())
    }
}

fn place(way: &McpWay) -> String {
    match way {
        McpWay::Http(endpoint) => {
            let host = endpoint.url.host_str().unwrap_or_default();
            endpoint.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
        }
        McpWay::Child(process) => {
            let program = process.program.file_name().unwrap_or_default();
            format!("stdio:{}", program.to_string_lossy())
        }
    }
}

impl Look {
    /// Newest first. Which of those with sessions a server speaks is said when one begins.
    fn revisions(&self) -> Vec<&'static str> {
        let modern = self.modern.is_some().then_some(MODERN_REVISION);
        let legacy = self.is_legacy.then(|| LEGACY_REVISIONS.last().copied()).flatten();
        modern.into_iter().chain(legacy).collect()
    }
}
