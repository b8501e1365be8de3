//! The live sessions: who can be listed, cancelled, ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use gateway_core::pg::session::Ending;
use gateway_core::pg::startup::CancelKey;
use gateway_core::revocation::Whom;
use jiff::Timestamp;
use parking_lot::Mutex;
use tallyport_access::Identity;
use tallyport_schemas::{ApprovalId, Principal, SessionId, TargetRef};
use tokio::sync::Notify;
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
    /// What cancels what runs for it, where the target has such.
    pub backend: Option<BackendKey>,
    identity: Arc<Identity>,
    grant_id: Option<ApprovalId>,
    ending: Mutex<Option<Ending>>,
    ended: CancellationToken,
    /// A statement waits for an approval: a cancel request is for that.
    holding: AtomicBool,
    hold_cancelled: Notify,
}

/// A statement waits while this lives.
pub(super) struct Holding<'a>(&'a LiveSession);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.holding.store(false, Ordering::Release);
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_key: HashMap<CancelKey, Arc<LiveSession>>,
    /// All were ended; who comes now was on their way in.
    ending: Option<Ending>,
}

impl LiveSession {
    /// Asks the session to end; the first who asks is on record.
    pub(crate) fn end(&self, ending: Ending) {
        self.ending.lock().get_or_insert(ending);
        self.ended.cancel();
    }

    /// Whom a revocation may mean.
    pub(crate) fn whom(&self) -> Whom<'_> {
        Whom {
            principal: &self.identity.principal,
            delegation: &self.identity.delegation,
            agent: &self.identity.agent,
            session_id: Some(self.info.session_id),
            grant_id: self.grant_id,
        }
    }

    /// Says that a statement waits from now on.
    pub(super) fn holds(&self) -> Holding<'_> {
        // Of an earlier wait: it must not cancel this one.
        let _stale = self.hold_cancelled.notified().now_or_never();
        self.holding.store(true, Ordering::Release);
        Holding(self)
    }

    /// Cancels what waits for an approval; false when nothing does.
    pub(super) fn cancel_hold(&self) -> bool {
        let holding = self.holding.load(Ordering::Acquire);
        if holding {
            self.hold_cancelled.notify_one();
        }
        holding
    }

    /// Waits until what waits for an approval is to be cancelled.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn hold_cancelled(&self) {
        self.hold_cancelled.notified().await;
    }

    /// How it was asked to end, if it was by now.
    pub(crate) fn ordered_end(&self) -> Option<Ending> {
        self.ending.lock().clone().filter(|_| self.ended.is_cancelled())
    }

    /// How it was asked to end, once it was.
    pub(crate) async fn asked_to_end(&self) -> Option<Ending> {
        self.ended.cancelled().await;
        self.ending.lock().clone()
    }
}

impl Registry {
    /// Takes a session in under a key of its own.
    pub(crate) fn admit(
        &self,
        info: SessionInfo,
        identity: Arc<Identity>,
        grant_id: Option<ApprovalId>,
        backend: Option<BackendKey>,
    ) -> Arc<LiveSession> {
        let mut state = self.state.lock();
        let State { by_key, ending } = &mut *state;
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
            identity,
            grant_id,
            ending: Mutex::new(None),
            ended: CancellationToken::new(),
            holding: AtomicBool::new(false),
            hold_cancelled: Notify::new(),
        });
        if let Some(ending) = ending {
            live.end(ending.clone());
        }
        by_key.insert(key, Arc::clone(&live));
        live
    }

    /// Ends all of them, and whoever is still on their way in.
    pub(crate) fn end_all(&self, ending: &Ending) {
        let mut state = self.state.lock();
        state.ending = Some(ending.clone());
        for live in state.by_key.values() {
            live.end(ending.clone());
        }
    }

    pub(crate) fn dismiss(&self, live: &LiveSession) {
        self.state.lock().by_key.remove(&live.key);
    }

    /// The session that `key` names, if it is one of the same principal.
    pub(super) fn of_principal(
        &self,
        key: &CancelKey,
        principal: &Principal,
    ) -> Option<Arc<LiveSession>> {
        let found = self.state.lock().by_key.get(key).cloned()?;
        let owner = &found.info.principal;
        let same = owner.issuer == principal.issuer && owner.subject == principal.subject;
        same.then_some(found)
    }

    pub(crate) fn list(&self) -> Vec<Arc<LiveSession>> {
        self.state.lock().by_key.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use tallyport_schemas::{AgentAttributes, AuthMethod, PrincipalKind, SessionEnd, TargetKind};

    use super::*;

    fn info() -> SessionInfo {
        SessionInfo {
            session_id: SessionId::new(),
            principal: Principal {
                issuer: "https://idp".to_owned(),
                subject: "agent".to_owned(),
                display_name: "agent".to_owned(),
                kind: PrincipalKind::Agent,
                groups: Vec::new(),
                owner: None,
            },
            target: TargetRef {
                name: "db".to_owned(),
                kind: TargetKind::Postgresql,
                database: None,
            },
            application: None,
            peer: "192.0.2.1:1".parse().unwrap(),
            opened_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn admit(registry: &Registry, backend: BackendKey) -> Arc<LiveSession> {
        let info = info();
        let identity = Identity {
            method: AuthMethod::Oidc,
            principal: info.principal.clone(),
            email: None,
            delegation: Vec::new(),
            agent: AgentAttributes::default(),
            scopes: Default::default(),
            expires_at: info.expires_at,
            token_id: None,
            key_id: None,
            binding: None,
        };
        registry.admit(info, Arc::new(identity), None, Some(backend))
    }

    fn backend() -> BackendKey {
        BackendKey { pid: 1, key: 1, addr: None }
    }

    #[tokio::test]
    async fn whoever_is_on_their_way_in_when_all_are_ended_is_ended_too() {
        let (registry, key) = (Registry::default(), backend());
        let before = admit(&registry, key);
        let ending = Ending::Closed(SessionEnd::Shutdown);
        registry.end_all(&ending);
        let after = admit(&registry, key);
        for live in [before, after] {
            assert_eq!(live.asked_to_end().now_or_never(), Some(Some(ending.clone())));
        }
    }

    #[tokio::test]
    async fn a_cancel_request_of_an_earlier_wait_does_not_end_a_later_one() {
        let registry = Registry::default();
        let live = admit(&registry, backend());
        assert!(!live.cancel_hold(), "nothing waits");
        let first = live.holds();
        assert!(live.cancel_hold());
        drop(first);
        let _second = live.holds();
        assert_eq!(live.hold_cancelled().now_or_never(), None);
        assert!(live.cancel_hold());
        assert_eq!(live.hold_cancelled().now_or_never(), Some(()));
    }
}
