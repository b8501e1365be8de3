//! Sessions of the revisions that have them, with one server each. An id is a secret of whoever began it: for all others there
//! is no such session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngCore as _;
use tokio::time::Instant;

use super::exchange::Capabilities;
use super::wire::WireSession;
use crate::inside::{Who, who};
use crate::service::Caller;

/// One that is not used for so long is over.
const MAX_IDLE: Duration = Duration::from_secs(30 * 60);
const MAX_SESSIONS: usize = 4_096;
const MAX_OF_ONE: usize = 32;
const ID_BYTES: usize = 32;

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
    /// What its client said that it can do.
    pub(super) capabilities: Capabilities,
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
        (wire, capabilities): (WireSession, Capabilities),
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
        let session = Arc::new(Session { who, server: server.to_owned(), wire, capabilities });
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
