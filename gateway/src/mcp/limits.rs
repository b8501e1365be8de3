//! Calls that are under way: how many there may be, and which of them a client cancels.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::mcp::{Id, RpcError};
use jiff::Timestamp;
use parking_lot::Mutex;
use tallyport_access::Identity;
use tallyport_schemas::Actor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::config::McpLimits;
use crate::tunnel::Refusal;

/// All calls that are under way.
#[derive(Debug)]
pub(super) struct Calls {
    limits: McpLimits,
    state: Mutex<State>,
    /// Those that come to an end by themselves.
    finite: TaskTracker,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    open: HashMap<u64, Open>,
    of_principal: HashMap<Principal, usize>,
}

/// Issuer and subject.
type Principal = (String, String);

/// Who asks for a call, as far as it is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    principal: Principal,
    delegation: Vec<Actor>,
    ip: IpAddr,
}

#[derive(Debug)]
struct Open {
    owner: Owner,
    id: Id,
    cancel: CancellationToken,
}

/// One call; it is under way until this is dropped.
#[derive(Debug)]
pub(super) struct Call {
    calls: Arc<Calls>,
    number: u64,
    cancel: CancellationToken,
    finite: Option<TaskTrackerToken>,
}

impl Calls {
    pub(super) fn new(limits: McpLimits) -> Self {
        Self { limits, state: Mutex::default(), finite: TaskTracker::new() }
    }

    /// `None` where there are as many as may be.
    pub(super) fn begin(self: &Arc<Self>, owner: Owner, id: Id) -> Option<Call> {
        let mut state = self.state.lock();
        let theirs = state.of_principal.get(&owner.principal).copied().unwrap_or(0);
        if state.open.len() >= self.limits.max_calls
            || theirs >= self.limits.max_calls_per_principal
        {
            return None;
        }
        state.last += 1;
        let (number, cancel) = (state.last, CancellationToken::new());
        state.of_principal.insert(owner.principal.clone(), theirs + 1);
        state.open.insert(number, Open { owner, id, cancel: cancel.clone() });
        Some(Call { calls: Arc::clone(self), number, cancel, finite: Some(self.finite.token()) })
    }

    /// Waits until there is none that comes to an end by itself.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn ended(&self) {
        self.finite.close();
        self.finite.wait().await;
    }

    /// Ends the call that a client means. Without sessions two clients with one token may use one id: which of them is
    /// meant is not known then, and both go on.
    pub(super) fn cancel(&self, owner: &Owner, id: &Id) {
        let state = self.state.lock();
        let mut meant = state.open.values().filter(|it| it.owner == *owner && it.id == *id);
        if let (Some(call), None) = (meant.next(), meant.next()) {
            call.cancel.cancel();
        }
    }
}

impl Owner {
    pub(super) fn new(identity: &Identity, ip: IpAddr) -> Self {
        let principal = &identity.principal;
        Self {
            principal: (principal.issuer.clone(), principal.subject.clone()),
            delegation: identity.delegation.clone(),
            ip,
        }
    }
}

impl Call {
    /// Of one that lasts as long as its client listens: nobody waits for its end.
    pub(super) fn without_end(mut self) -> Self {
        self.finite = None;
        self
    }

    /// Runs it for as long as its client wants the answer, and may have it: `until` its token ends, or its issuer takes it back
    /// (`lapsed`), and as `may_have` says once it is there.
    ///
    /// # Errors
    /// [`RpcError`] of the call, or of what ended it.
    ///
    /// # Cancel safety
    /// A dropped call drops what runs for it.
    pub(super) async fn run<T>(
        self,
        (until, lapsed): (Timestamp, impl Future<Output = String>),
        call: impl Future<Output = Result<T, RpcError>>,
        may_have: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<T, RpcError> {
        let left = Duration::try_from(until.duration_since(Timestamp::now()));
        let answered = tokio::select! {
            biased;
            () = self.cancel.cancelled() => {
                return Err(RpcError::ended("the client cancelled it"));
            }
            () = tokio::time::sleep(left.unwrap_or(Duration::ZERO)) => {
                let why = "the token expired during the call; get a new one and call again";
                return Err(RpcError::ended(why));
            }
            why = lapsed => return Err(RpcError::ended(why)),
            answered = call => answered?,
        };
        // It may have taken a while; whoever was turned away meanwhile gets nothing of it.
        may_have().map_err(|refusal| RpcError::ended(refusal.message))?;
        Ok(answered)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.calls.state.lock();
        let Some(open) = state.open.remove(&self.number) else { return };
        let left = state.of_principal.get(&open.owner.principal).copied().unwrap_or(0);
        if left > 1 {
            state.of_principal.insert(open.owner.principal, left - 1);
        } else {
            state.of_principal.remove(&open.owner.principal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(subject: &str, ip: &str) -> Owner {
        let principal = ("https://id.example".to_owned(), subject.to_owned());
        Owner { principal, delegation: Vec::new(), ip: ip.parse().unwrap() }
    }

    fn id(number: u64) -> Id {
        Id::read(&number.into()).unwrap()
    }

    fn limits(max_calls: usize, max_calls_per_principal: usize) -> McpLimits {
        McpLimits { max_calls, max_calls_per_principal, patience: Duration::ZERO }
    }

    #[test]
    fn there_are_no_more_calls_than_may_be() {
        let limits = limits(3, 2);
        let calls = Arc::new(Calls::new(limits));
        let (ada, bob) = (owner("ada", "192.0.2.1"), owner("bob", "192.0.2.1"));
        let first = calls.begin(ada.clone(), id(1)).unwrap();
        let _second = calls.begin(ada.clone(), id(1)).unwrap();
        assert!(calls.begin(ada.clone(), id(2)).is_none(), "of one principal");
        let _third = calls.begin(bob.clone(), id(1)).unwrap();
        assert!(calls.begin(bob.clone(), id(2)).is_none(), "of all");
        drop(first);
        let fourth = calls.begin(ada, id(3));
        assert!(fourth.is_some());
        drop((fourth, _second, _third));
        assert!(calls.state.lock().of_principal.is_empty(), "nothing is kept of who was here");
    }

    #[test]
    fn only_the_one_call_that_can_be_meant_is_cancelled() {
        let calls = Arc::new(Calls::new(limits(9, 9)));
        let ada = owner("ada", "192.0.2.1");
        let one = calls.begin(ada.clone(), id(1)).unwrap();
        for other in [owner("bob", "192.0.2.1"), owner("ada", "192.0.2.2")] {
            calls.cancel(&other, &id(1));
        }
        calls.cancel(&ada, &id(2));
        assert!(!one.cancel.is_cancelled());
        let twin = calls.begin(ada.clone(), id(1)).unwrap();
        calls.cancel(&ada, &id(1));
        assert!(!one.cancel.is_cancelled() && !twin.cancel.is_cancelled());
        drop(twin);
        calls.cancel(&ada, &id(1));
        assert!(one.cancel.is_cancelled());
    }
    fn alone() -> (Arc<Calls>, Call) {
        let calls = Arc::new(Calls::new(limits(9, 9)));
        let call = calls.begin(owner("ada", "192.0.2.1"), id(1)).unwrap();
        (calls, call)
    }

    async fn never() -> Result<&'static str, RpcError> {
        std::future::pending().await
    }

    async fn soon() -> Result<&'static str, RpcError> {
        Ok("rows")
    }

    #[tokio::test]
    async fn an_answer_is_for_whom_may_have_it_while_they_want_it() {
        let good = std::future::pending::<String>;
        let later = || (Timestamp::now() + Duration::from_secs(60), good());
        let (calls, call) = alone();
        assert_eq!(call.run(later(), soon(), || Ok(())).await, Ok("rows"));
        assert!(calls.state.lock().open.is_empty());

        let (_, call) = alone();
        let out = || Err(Refusal::new(401, "invalid_token", "your access was ended"));
        let told = call.run(later(), soon(), out).await.unwrap_err();
        assert_eq!((told.code(), told.message()), (-32000, "your access was ended"));

        let (_, call) = alone();
        let brief = (Timestamp::now() + Duration::from_millis(30), good());
        let ended = call.run(brief, never(), || Ok(()));
        let told = tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap().unwrap_err();
        assert!(told.message().contains("the token expired"), "{told:?}");

        let (_, call) = alone();
        let taken_back = async { "the issuer says no".to_owned() };
        let ended = call.run((later().0, taken_back), never(), || Ok(()));
        let told = tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap().unwrap_err();
        assert_eq!(told.message(), "the issuer says no");

        let (calls, call) = alone();
        calls.cancel(&owner("ada", "192.0.2.1"), &id(1));
        let ended = call.run(later(), never(), || Ok(()));
        let told = tokio::time::timeout(Duration::from_secs(5), ended).await.unwrap().unwrap_err();
        assert!(told.message().contains("cancelled"), "{told:?}");
        assert!(calls.state.lock().open.is_empty());
    }
}
