//! Sessions of the revisions that have them, with one server each. An id is a secret of whoever began it: for all others there
//! is no such session.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngCore as _;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::wire::WireSession;
use crate::inside::{Who, who};
use crate::service::Caller;

/// One that is not used for so long is over.
const MAX_IDLE: Duration = Duration::from_secs(30 * 60);
const MAX_SESSIONS: usize = 4_096;
const MAX_OF_ONE: usize = 32;
const ID_BYTES: usize = 32;
/// What a server may have asked a client at once.
const MAX_ASKED: usize = 64;

/// All that are open.
#[derive(Debug, Default)]
pub(in crate::mcp) struct Sessions {
    open: Mutex<HashMap<String, Open>>,
}

#[derive(Debug)]
struct Open {
    session: Arc<Session>,
    used: Instant,
}

/// One.
#[derive(Debug)]
pub(super) struct Session {
    who: Who,
    server: String,
    pub(super) wire: WireSession,
    /// Its client.
    pub(super) client: Arc<Answerer>,
}

/// A client that a server may ask.
#[derive(Debug)]
pub(super) struct Answerer {
    /// What it said that it can do.
    pub(super) capabilities: Map<String, Value>,
    /// The ids of what it was asked and did not answer yet, as JSON: it answers nothing else. A server without sessions would
    /// take an answer for that of any client.
    asked: Mutex<HashSet<String>>,
}

impl Answerer {
    pub(super) fn new(capabilities: Map<String, Value>) -> Self {
        Self { capabilities, asked: Mutex::default() }
    }

    /// Whether it said that it can do what the server asks of it, and has not too much to answer.
    pub(super) fn may_be_asked(&self, message: &Value) -> bool {
        let needed = match message.get("method").and_then(Value::as_str) {
            Some("ping") => None,
            Some("sampling/createMessage") => Some("sampling"),
            Some("elicitation/create") => Some("elicitation"),
            Some("roots/list") => Some("roots"),
            _ => return false,
        };
        let can = |needed| self.capabilities.get(needed).is_some_and(Value::is_object);
        let Some(id) = message.get("id").filter(|_| needed.is_none_or(can)) else { return false };
        let mut asked = self.asked.lock();
        asked.len() < MAX_ASKED && asked.insert(id.to_string())
    }

    /// Whether it was asked something of this id; once.
    pub(super) fn answers(&self, id: &Value) -> bool {
        self.asked.lock().remove(&id.to_string())
    }
}

/// There are as many as may be.
#[derive(Debug)]
pub(super) struct TooMany;

impl Sessions {
    /// Keeps one; gives the id that its client knows it by.
    pub(super) fn keep(
        &self,
        caller: &Caller,
        server: &str,
        (wire, capabilities): (WireSession, Map<String, Value>),
    ) -> Result<String, TooMany> {
        let (who, now) = (who(caller), Instant::now());
        let mut open = self.open.lock();
        open.retain(|_, it| now.duration_since(it.used) < MAX_IDLE);
        let of_one = open.values().filter(|it| it.session.who == who).count();
        if open.len() >= MAX_SESSIONS || of_one >= MAX_OF_ONE {
            return Err(TooMany);
        }
        let mut secret = [0; ID_BYTES];
        rand::rng().fill_bytes(&mut secret);
        let id = hex::encode(secret);
        let client = Arc::new(Answerer::new(capabilities));
        let session = Arc::new(Session { who, server: server.to_owned(), wire, client });
        open.insert(id.clone(), Open { session, used: now });
        Ok(id)
    }

    /// The one of this id, where it is the caller's, with this server.
    pub(super) fn get(&self, caller: &Caller, server: &str, id: &str) -> Option<Arc<Session>> {
        let now = Instant::now();
        let mut open = self.open.lock();
        let found = open.get_mut(id)?;
        let is_theirs = found.session.who == who(caller) && found.session.server == server;
        if !is_theirs || now.duration_since(found.used) >= MAX_IDLE {
            return None;
        }
        found.used = now;
        Some(Arc::clone(&found.session))
    }

    /// Forgets one.
    pub(super) fn forget(&self, id: &str) {
        self.open.lock().remove(id);
    }
}
