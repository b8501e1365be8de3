//! Which tools a server has, and which of them may be used: those whose definition is the one that was pinned.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use gateway_core::mcp::{Standing, ToolFacts, canonical};
use jiff::Timestamp;
use parking_lot::{Mutex as Kept, RwLock};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::Upstream;
use super::own::{Known, NotTold, Own};
use super::pin::pin;
use crate::config::McpServer;
use crate::service::Inner;

/// How soon one is that gave no answer.
const AGAIN: Duration = Duration::from_secs(15);
/// The most tools of one server, and the most of one definition.
const MAX_TOOLS: usize = 1_000;
const MAX_DEFINITION_BYTES: usize = 64 * 1024;
/// The most definitions of one server that are kept because they are, or were, pinned.
const MAX_REMEMBERED: usize = 2 * MAX_TOOLS;
/// What clients take as the name of a tool.
const MAX_NAME_CHARS: usize = 128;

/// What is known of a server.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    known: RwLock<Option<Arc<Look>>>,
    /// When the server was asked last, and what came of it.
    last: Kept<Option<LastLook>>,
    /// The definitions that are pinned, as far as this gateway has seen them: the log has their hashes.
    pinned: Kept<HashMap<String, Arc<Definition>>>,
    /// One look at a time.
    looking: Mutex<()>,
}

/// What a server was when it was last looked at.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) modern: Option<Value>,
    pub(super) is_legacy: bool,
    tools: Vec<Arc<Definition>>,
}

/// When a server was asked last.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastLook {
    pub(super) at: Timestamp,
    /// Why it did not tell, in a word; nothing where it did.
    pub(super) failed: Option<&'static str>,
}

/// One tool.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) facts: ToolFacts,
    /// As the server has it.
    pub(super) defined: Value,
    /// Of its canonical text.
    pub(super) sha256: String,
}

impl Definitions {
    /// What is known; the server is asked where nothing is.
    pub(super) async fn get(
        &self,
        inner: &Arc<Inner>,
        upstream: &Arc<Upstream>,
    ) -> Option<Arc<Look>> {
        if let Some(known) = self.now() {
            return Some(known);
        }
        let _one_at_a_time = self.looking.lock().await;
        match self.now() {
            // Somebody looked for all who waited.
            Some(known) => Some(known),
            None => self.look(inner, upstream).await.ok(),
        }
    }

    /// What is known already.
    pub(super) fn now(&self) -> Option<Arc<Look>> {
        self.known.read().clone()
    }

    /// Asks the server, and pins what is new.
    async fn look(
        &self,
        inner: &Arc<Inner>,
        upstream: &Arc<Upstream>,
    ) -> Result<Arc<Look>, NotTold> {
        let known = Own::new(inner, upstream).look().await;
        let failed = known.as_ref().err().map(NotTold::as_str);
        *self.last.lock() = Some(LastLook { at: Timestamp::now(), failed });
        let look = Arc::new(Look::of(&upstream.config, known?));
        // What was accepted since the last look, and may have changed again.
        if let Some(before) = self.now() {
            self.remember(inner, upstream, &before);
        }
        pin(inner, upstream, &look).await;
        self.remember(inner, upstream, &look);
        *self.known.write() = Some(Arc::clone(&look));
        Ok(look)
    }

    /// When the server was asked last.
    pub(super) fn last(&self) -> Option<LastLook> {
        *self.last.lock()
    }

    /// A definition that was seen here while it was pinned.
    pub(super) fn pinned(&self, tool: &str, sha256: &str) -> Option<Arc<Definition>> {
        self.pinned.lock().get(tool).filter(|it| it.sha256 == sha256).cloned()
    }

    /// Keeps those that are pinned, so that a reviewer can be shown what became of them.
    fn remember(&self, inner: &Inner, upstream: &Upstream, look: &Look) {
        let in_use = look.in_use(inner, upstream);
        let mut pinned = self.pinned.lock();
        if pinned.len() + in_use.len() > MAX_REMEMBERED {
            pinned.retain(|tool, _| look.tools.iter().any(|it| it.facts.name == *tool));
        }
        pinned.extend(in_use.into_iter().map(|it| (it.facts.name.clone(), Arc::clone(it))));
    }

    /// Looks again and again, so often where the server answers. What was known stays where it does not.
    pub(super) async fn keep(inner: Arc<Inner>, upstream: Arc<Upstream>, every: Duration) {
        loop {
            let looked = upstream.definitions.look_anew(&inner, &upstream).await;
            if let Err(error) = &looked {
                tracing::warn!(server = upstream.name(), %error, "an MCP server does not tell its tools");
            }
            sleep(if looked.is_ok() { every } else { every.min(AGAIN) }).await;
        }
    }

    async fn look_anew(&self, inner: &Arc<Inner>, upstream: &Arc<Upstream>) -> Result<(), NotTold> {
        let _one_at_a_time = self.looking.lock().await;
        self.look(inner, upstream).await.map(|_look| ())
    }
}

impl Look {
    pub(super) fn of(server: &McpServer, known: Known) -> Self {
        let Known { modern, is_legacy, tools } = known;
        let mut taken: Vec<Arc<Definition>> = Vec::new();
        let mut twice = BTreeSet::new();
        for defined in tools {
            match Definition::of(server, defined) {
                // Of two with one name nobody could say which is meant; nor of more.
                Ok(definition)
                    if twice.contains(&definition.facts.name)
                        || taken.iter().any(|it| it.facts.name == definition.facts.name) =>
                {
                    let tool = definition.facts.name;
                    tracing::warn!(
                        server = server.name(),
                        tool,
                        "a tool is left out: the server defines it twice"
                    );
                    taken.retain(|it| it.facts.name != tool);
                    twice.insert(tool);
                }
                Ok(definition) if taken.len() >= MAX_TOOLS => {
                    let tool = definition.facts.name;
                    tracing::warn!(
                        server = server.name(),
                        tool,
                        "a tool is left out: the server has more than {MAX_TOOLS}"
                    );
                }
                Ok(definition) => taken.push(Arc::new(definition)),
                Err(why) => tracing::warn!(server = server.name(), why, "a tool is left out"),
            }
        }
        taken.sort_by(|one, other| one.facts.name.cmp(&other.facts.name));
        Self { modern, is_legacy, tools: taken }
    }

    /// All, in the order of their names.
    pub(super) fn tools(&self) -> &[Arc<Definition>] {
        &self.tools
    }

    /// Those that are what was pinned, in the order of their names.
    pub(super) fn in_use<'a>(
        &'a self,
        inner: &'a Inner,
        upstream: &'a Upstream,
    ) -> Vec<&'a Arc<Definition>> {
        let known = inner.control.known();
        let is_in_use = |it: &&Arc<Definition>| {
            known.pins.standing(upstream.name(), &it.facts.name, &it.sha256) == Standing::InUse
        };
        self.tools.iter().filter(is_in_use).collect()
    }

    /// The tool of this name, where it may be used.
    pub(super) fn tool(
        &self,
        inner: &Inner,
        upstream: &Upstream,
        name: &str,
    ) -> Option<Arc<Definition>> {
        self.in_use(inner, upstream).into_iter().find(|it| it.facts.name == name).cloned()
    }
}

impl Definition {
    fn of(server: &McpServer, defined: Value) -> Result<Self, &'static str> {
        let name = defined.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if !(1..=MAX_NAME_CHARS).contains(&name.len()) || !name.chars().all(is_part) {
            return Err("its name is none that clients take");
        }
        if !defined.get("inputSchema").is_some_and(Value::is_object) {
            return Err("it has no inputSchema");
        }
        // Numbers beyond those that all readers hold are as the server wrote them, or not at all.
        let text = canonical(&defined).map_err(|_| "it has numbers that not all readers hold")?;
        if text.len() > MAX_DEFINITION_BYTES {
            return Err("its definition is too long");
        }
        let hint =
            |name: &str| defined.pointer(&format!("/annotations/{name}")).and_then(Value::as_bool);
        let read_only = hint("readOnlyHint").unwrap_or(false);
        let facts = ToolFacts {
            read_only,
            destructive: !read_only && hint("destructiveHint").unwrap_or(true),
            open_world: hint("openWorldHint").unwrap_or(true),
            labels: server.labels.get(&name).cloned().unwrap_or_default(),
            name,
        };
        Ok(Self { facts, defined, sha256: hex::encode(Sha256::digest(text)) })
    }
}
