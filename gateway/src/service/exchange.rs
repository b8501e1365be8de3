//! An assertion for a token (RFC 7522): what came of it is on record before anything is given out.

use std::net::SocketAddr;

use gateway_core::approval::NotCounted;
use gateway_core::passage::Note;
use jiff::Timestamp;
use tallyport_access::saml::{Exchanged, SamlExchange};
use tallyport_access::{AuthFailure, Identity, authentication_event};
use tallyport_schemas::{
    AuthMethod, Authentication, Body, Context, Draft, Endpoint, Front, Outcome, SharedContext,
    TraceId,
};

use super::inner::Inner;
use super::open::log_unavailable;
use crate::control::ControlError;
use crate::tunnel::{BearerToken, Refusal};

/// Why no token was given out.
pub(crate) enum NotExchanged {
    /// The assertion is not taken; that is on record, or counted.
    Refused(AuthFailure),
    /// Nobody is signed in now, whatever they bring.
    NotNow(Refusal),
}

impl Inner {
    /// Exchanges an assertion, and puts the outcome on record, whichever it is.
    ///
    /// # Cancel safety
    /// A dropped call may leave the assertion used up, here or everywhere, and the attempt on record; nobody has a token then.
    pub(crate) async fn exchange(
        &self,
        exchange: &SamlExchange,
        assertion: &BearerToken,
        (peer, front, trace_id): (SocketAddr, Front, TraceId),
    ) -> Result<Exchanged, NotExchanged> {
        // Who was revoked is on the control log: without it nobody is known to be welcome.
        self.control.current().await.map_err(|stale| {
            tracing::error!(%stale, "a request was refused");
            NotExchanged::NotNow(Refusal::new(503, "control_unavailable", stale.to_string()))
        })?;
        let exchanged = exchange.exchange(assertion.expose(), Timestamp::now());
        let (who, outcome) = match exchanged {
            Ok(exchanged) if self.was_exchanged(&exchanged) => (None, Err(exchanged.replayed())),
            Ok(exchanged) => self.welcome(exchanged).await,
            Err(failure) => (None, Err(failure)),
        };
        self.authentications.checked(&outcome);
        if let Err(failure) = &outcome
            && !self.strangers.may_record(front, failure, peer)
        {
            // A flood must not fill the log: it is counted, and the count goes on record.
            return Err(NotExchanged::Refused(failure.clone()));
        }
        let mut context = Context {
            client: Some(Endpoint::from(peer)),
            trace_id: Some(trace_id),
            ..Context::default()
        };
        if let Some(identity) = who {
            context.principal = Some(identity.principal);
            context.agent = identity.agent;
        }
        let context = SharedContext::from(context);
        let failure = match outcome {
            Ok(exchanged) => match self.claim(&exchanged, context.clone(), front).await? {
                Ok(()) => return Ok(exchanged),
                // On record as a success that was not the first: what came of it follows.
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        let event = authentication_event(&Err(failure.clone()), front);
        let draft = Draft::new(context, None, Body::Authentication(event));
        let recorded = self.appender.commit(Note::new(vec![draft])).await;
        let _on_record = recorded.map_err(|error| NotExchanged::NotNow(log_unavailable(&error)))?;
        Err(NotExchanged::Refused(failure))
    }

    /// Whether any gateway exchanged the same assertion, as far as the control log was read.
    fn was_exchanged(&self, exchanged: &Exchanged) -> bool {
        self.control.known().assertions.was_exchanged(&exchanged.token_id)
    }

    /// Puts an exchange on record, and on the control log: it counts when it is the first of its assertion there.
    async fn claim(
        &self,
        exchanged: &Exchanged,
        context: SharedContext,
        front: Front,
    ) -> Result<Result<(), AuthFailure>, NotExchanged> {
        let draft = Draft::new(context, None, Body::Authentication(event_of(exchanged, front)));
        // A crash right here leaves the assertion used up or not; nobody has the token.
        match self.control.commit(draft).await {
            Ok(Ok(())) => Ok(Ok(())),
            Ok(Err(NotCounted::TooManyExchanges)) => Ok(Err(exchanged.not_remembered())),
            Ok(Err(_before)) => Ok(Err(exchanged.replayed())),
            Err(ControlError::Commit(error)) => Err(NotExchanged::NotNow(log_unavailable(&error))),
            Err(error @ ControlError::NotReadBack) => {
                tracing::error!(%error, "a request was refused");
                let refusal = Refusal::new(503, "control_unavailable", error.to_string());
                Err(NotExchanged::NotNow(refusal))
            }
        }
    }

    /// The token is checked as it will be whenever it is used, and so is whether its principal may still come.
    async fn welcome(
        &self,
        exchanged: Exchanged,
    ) -> (Option<Identity>, Result<Exchanged, AuthFailure>) {
        let verified = self.authenticator.verify(exchanged.token.expose()).await;
        match verified {
            Err(failure) => (None, Err(failure.of_exchange(&exchanged.idp))),
            Ok(identity) => match self.barred(&identity, Timestamp::now()) {
                Some(failure) => (Some(identity), Err(failure.of_exchange(&exchanged.idp))),
                None => (Some(identity), Ok(exchanged)),
            },
        }
    }
}

fn event_of(exchanged: &Exchanged, front: Front) -> Authentication {
    Authentication {
        outcome: Outcome::Success,
        method: AuthMethod::Saml,
        front,
        failure: None,
        message: None,
        issuer: Some(exchanged.idp.clone()),
        token_id: Some(exchanged.token_id.clone()),
        key_id: Some(exchanged.certificate.clone()),
        binding: None,
        expires_at: Some(exchanged.expires_at),
    }
}
