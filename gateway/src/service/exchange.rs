//! An assertion for a token (RFC 7522): what came of it is on record before anything is given out.

use std::net::SocketAddr;

use gateway_core::passage::Note;
use jiff::Timestamp;
use tallyport_access::saml::{Exchanged, SamlExchange};
use tallyport_access::{AuthFailure, Identity, authentication_event};
use tallyport_schemas::{
    AuthMethod, Authentication, Body, Context, Draft, Endpoint, Front, Outcome, TraceId,
};

use super::inner::Inner;
use super::open::log_unavailable;
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
    /// A dropped call may leave the assertion used up and the attempt on record; nobody has a token then.
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
        let event = match &outcome {
            Ok(exchanged) => event_of(exchanged, front),
            Err(failure) => authentication_event(&Err(failure.clone()), front),
        };
        let draft = Draft::new(context.into(), None, Body::Authentication(event));
        // A crash right here leaves the attempt on record or not; nobody has the token.
        let recorded = self.appender.commit(Note::new(vec![draft])).await;
        let _on_record = recorded.map_err(|error| NotExchanged::NotNow(log_unavailable(&error)))?;
        outcome.map_err(NotExchanged::Refused)
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
