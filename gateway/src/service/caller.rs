//! Who calls the API: the token is checked, and that is on record before the answer.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_core::passage::Note;
use jiff::Timestamp;
use tallyport_access::policy::AskContext;
use tallyport_access::{AuthFailure, Identity, authentication_event};
use tallyport_eventlog::Appender;
use tallyport_schemas::{Body, Context, Draft, Endpoint, Front, SharedContext, TraceId};

use super::check::Came;
use super::inner::Inner;
use super::open::log_unavailable;
use super::unrecorded::{NotRecorded, Unrecorded};
use crate::session::TokenWatch;
use crate::tunnel::Refusal;

/// A caller whose token is good.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    identity: Identity,
    context: SharedContext,
    peer: SocketAddr,
    /// The check, where it is to go on record with something else.
    unrecorded: Option<Arc<Unrecorded>>,
    /// Where the issuer is asked whether the token still counts.
    token_watch: Option<Arc<TokenWatch>>,
}

impl Caller {
    pub(super) const fn new(identity: Identity, context: SharedContext, peer: SocketAddr) -> Self {
        Self { identity, context, peer, unrecorded: None, token_watch: None }
    }

    /// The check of their token, where it is not on record yet: [`Inner::caller`].
    pub(crate) const fn unrecorded(&self) -> Option<&Arc<Unrecorded>> {
        self.unrecorded.as_ref()
    }

    /// Sees to it that their check is on record.
    ///
    /// # Errors
    /// Where the log takes nothing.
    ///
    /// # Cancel safety
    /// As [`Unrecorded::settle`].
    pub(crate) async fn settle(&self, appender: &Appender) -> Result<(), NotRecorded> {
        match &self.unrecorded {
            Some(unrecorded) => unrecorded.settle(appender).await,
            None => Ok(()),
        }
    }

    /// Waits until the issuer says that the token does not count any more, or has not said that it does for too long: what goes on
    /// for the caller ends then. Why, in words.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn lapsed(&self) -> String {
        match &self.token_watch {
            Some(watch) => watch.lapsed().await.to_string(),
            None => std::future::pending().await,
        }
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The context of what the caller does.
    pub(crate) const fn context(&self) -> &SharedContext {
        &self.context
    }

    pub(crate) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The facts of the moment that policy is asked with.
    pub(crate) fn ask_context(&self) -> AskContext {
        AskContext { source_ip: Some(self.peer.ip()), ..AskContext::at(Timestamp::now()) }
    }
}

impl Inner {
    /// Whether a caller may still come whose request took its time: nobody was known to be turned away when it began. That
    /// they are goes on record.
    ///
    /// # Errors
    /// What they are told.
    ///
    /// # Cancel safety
    /// A dropped call may leave the refusal on record, and nothing else.
    pub(crate) async fn still_counts(&self, caller: &Caller, front: Front) -> Result<(), Refusal> {
        let asked = match &caller.token_watch {
            Some(watch) => watch.still_counts().await,
            None => Ok(()),
        };
        let now = Timestamp::now();
        let over = now >= caller.identity.expires_at;
        let failure = match self.barred(&caller.identity, now) {
            Some(barred) => barred,
            None if over => AuthFailure::over(&caller.identity),
            None => match asked {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
        };
        let event = Body::Authentication(authentication_event(&Err(failure.clone()), front));
        let note = Note::new(vec![Draft::new(caller.context.clone(), None, event)]);
        let recorded = self.appender.commit(note).await;
        let _on_record = recorded.map_err(|error| log_unavailable(&error))?;
        Err(self.turned_away(&failure))
    }

    /// Checks a caller's token. That it is bad is on record; that it is good goes on record with what is asked by it, and nothing may be told
    /// before it [is](Caller::settle).
    ///
    /// # Cancel safety
    /// A dropped call may leave the check on record, and nothing else.
    pub(crate) async fn caller(
        &self,
        came: Came<'_>,
        trace_id: TraceId,
    ) -> Result<Caller, Refusal> {
        let Came { front, peer, token, .. } = came;
        let checked = self.check(came).await?;
        let context = SharedContext::from(checked.context(peer, trace_id));
        let event = Body::Authentication(checked.event(front));
        let draft = Draft::new(context.clone(), None, event);
        let note = Note::new(vec![draft]);
        match checked.outcome {
            Ok(identity) => {
                let unrecorded = Some(Unrecorded::new(note));
                let issuer = &identity.principal.issuer;
                // Copied only where it is asked about again.
                let kept = self.authenticator.asks_again_after(issuer).and(token).cloned();
                let token_watch = TokenWatch::new(&self.authenticator, issuer, kept);
                let token_watch = token_watch.map(Arc::new);
                Ok(Caller { identity, context, peer, unrecorded, token_watch })
            }
            Err(failure) => {
                let recorded = self.appender.commit(note).await;
                let _on_record = recorded.map_err(|error| log_unavailable(&error))?;
                Err(self.turned_away(&failure))
            }
        }
    }

    /// Puts a sign-in that failed on record, or counts it where there is a flood of them.
    pub(super) async fn sign_in_failed(
        &self,
        peer: SocketAddr,
        front: Front,
        trace_id: TraceId,
        failure: AuthFailure,
    ) {
        if !self.strangers.may_record(front, &failure, peer) {
            return;
        }
        let context = Context {
            client: Some(Endpoint::from(peer)),
            trace_id: Some(trace_id),
            ..Context::default()
        };
        let event = Body::Authentication(authentication_event(&Err(failure), front));
        let draft = Draft::new(context.into(), None, event);
        if let Err(error) = self.appender.commit(Note::new(vec![draft])).await {
            tracing::error!(%error, "a sign-in that failed is not on record");
        }
    }
}
