//! The live sessions: who can be listed, cancelled, ended.

use std::collections::HashMap;
use std::sync::Arc;

use gateway_core::pg::session::Ending;
use gateway_core::pg::startup::CancelKey;
use jiff::Timestamp;
use parking_lot::Mutex;
use tallyport_schemas::{Principal, SessionId, TargetRef};
use tokio_util::sync::CancellationToken;

use crate::upstream::BackendKey;

/// A live session, as it is listed.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Names it.
    pub session_id: SessionId,
    /// Who.
    pub principal: Principal,
    /// To where.
    pub target: TargetRef,
    /// The client's name for itself.
    pub application: Option<String>,
    /// The peer's address.
    pub peer: std::net::SocketAddr,
    /// Since when.
    pub opened_at: Timestamp,
    /// Until when at the latest.
    pub expires_at: Timestamp,
}

/// A live session, as it is reached from outside.
#[derive(Debug)]
pub(crate) struct LiveSession {
    pub info: SessionInfo,
    pub key: CancelKey,
    pub backend: BackendKey,
    ending: Mutex<Option<Ending>>,
    ended: CancellationToken,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    by_key: Mutex<HashMap<CancelKey, Arc<LiveSession>>>,
}

impl LiveSession {
    /// Asks the session to end; the first who asks is on record.
    pub(crate) fn end(&self, ending: Ending) {
        self.ending.lock().get_or_insert(ending);
        self.ended.cancel();
    }

    /// How it was asked to end, once it was.
    pub(super) async fn asked_to_end(&self) -> Option<Ending> {
        self.ended.cancelled().await;
        self.ending.lock().clone()
    }
}

impl Registry {
    /// Takes a session in under a key of its own.
    pub(super) fn admit(&self, info: SessionInfo, backend: BackendKey) -> Arc<LiveSession> {
        let mut by_key = self.by_key.lock();
        let key = loop {
            let key = CancelKey { pid: rand::random::<u32>() >> 1, key: rand::random() };
            if !by_key.contains_key(&key) {
                break key;
            }
        };
        let live = Arc::new(LiveSession {
            info,
            key,
            backend,
            ending: Mutex::new(None),
            ended: CancellationToken::new(),
        });
        by_key.insert(key, Arc::clone(&live));
        live
    }

    pub(super) fn dismiss(&self, live: &LiveSession) {
        self.by_key.lock().remove(&live.key);
    }

    /// The session that `key` names, if it is one of the same principal.
    pub(super) fn of_principal(
        &self,
        key: &CancelKey,
        principal: &Principal,
    ) -> Option<Arc<LiveSession>> {
        let found = self.by_key.lock().get(key).cloned()?;
        let owner = &found.info.principal;
        let same = owner.issuer == principal.issuer && owner.subject == principal.subject;
        same.then_some(found)
    }

    pub(crate) fn list(&self) -> Vec<Arc<LiveSession>> {
        self.by_key.lock().values().cloned().collect()
    }
}
