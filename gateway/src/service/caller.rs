//! Who calls the API: the token is checked, and that is on record before the answer.

use std::net::SocketAddr;

use gateway_core::passage::Note;
use tallyport_access::{AuthFailure, Identity, authentication_event};
use tallyport_schemas::{Body, Context, Draft, Endpoint, Front, TraceId};

use super::inner::Inner;
use super::open::{log_unavailable, turned_away_by_token};
use crate::tunnel::{BearerToken, Refusal};

/// A caller whose token is good.
#[derive(Debug)]
pub(crate) struct Caller {
    identity: Identity,
}

impl Caller {
    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Inner {
    /// Checks a caller's token and puts the outcome on record, whichever it is.
    ///
    /// # Cancel safety
    /// A dropped call may leave the check on record, and nothing else.
    pub(crate) async fn caller(
        &self,
        token: Option<BearerToken>,
        front: Front,
        peer: SocketAddr,
        trace_id: TraceId,
    ) -> Result<Caller, Refusal> {
        let outcome = match &token {
            Some(token) => self.authenticator.verify(token.expose()).await,
            None => Err(AuthFailure::missing()),
        };
        self.authentications.checked(&outcome);
        if let Err(failure) = &outcome
            && !self.strangers.may_record(front, failure, peer)
        {
            return Err(turned_away_by_token(failure));
        }
        let mut context = Context {
            client: Some(Endpoint::from(peer)),
            trace_id: Some(trace_id),
            ..Context::default()
        };
        if let Ok(identity) = &outcome {
            context.principal = Some(identity.principal.clone());
            context.delegation.clone_from(&identity.delegation);
            context.agent = identity.agent.clone();
        }
        let checked = Body::Authentication(authentication_event(&outcome, front));
        let draft = Draft::new(context.into(), None, checked);
        let recorded = self.appender.commit(Note::new(vec![draft])).await;
        let _on_record = recorded.map_err(|error| log_unavailable(&error))?;
        match outcome {
            Ok(identity) => Ok(Caller { identity }),
            Err(failure) => Err(turned_away_by_token(&failure)),
        }
    }
}
