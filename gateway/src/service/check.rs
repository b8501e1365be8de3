//! Who comes: their token, and whether their access was ended.

use std::net::SocketAddr;

use gateway_core::revocation::Whom;
use jiff::Timestamp;
use tallyport_access::{Asked, AuthFailure, Identity, Presented, authentication_event};
use tallyport_schemas::{Authentication, Context, Endpoint, Front, TraceId};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::inner::Inner;
use super::open::turned_away_by_token;
use crate::tunnel::{BearerToken, Refusal};

/// What came, and what it is to prove.
#[derive(Clone, Copy)]
pub(crate) struct Came<'a> {
    pub token: Option<&'a BearerToken>,
    pub proof: Option<&'a str>,
    pub asked: Asked<'a>,
    pub front: Front,
    pub peer: SocketAddr,
}

/// What was found, to be put on record before anybody is answered.
pub(super) struct Checked {
    pub outcome: Result<Identity, AuthFailure>,
    /// Whose the token is: known also where their access was ended.
    who: Option<Identity>,
    pub at: (Timestamp, Instant),
}

impl Checked {
    pub(super) fn event(&self, front: Front) -> Authentication {
        authentication_event(&self.outcome, front)
    }

    /// The context of what follows.
    pub(super) fn context(&self, peer: SocketAddr, trace_id: TraceId) -> Context {
        let mut context = Context {
            client: Some(Endpoint::from(peer)),
            trace_id: Some(trace_id),
            ..Context::default()
        };
        if let Some(identity) = self.outcome.as_ref().ok().or(self.who.as_ref()) {
            context.principal = Some(identity.principal.clone());
            context.delegation.clone_from(&identity.delegation);
            context.agent = identity.agent.clone();
        }
        context
    }
}

impl Inner {
    /// Checks a token, and whether its principal, its agents and its issuer may still come. A refusal at once is one that
    /// needs no record of its own: the log is not read, or a flood is counted.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn check(&self, came: Came<'_>) -> Result<Checked, Refusal> {
        // Who was revoked is on the control log: without it nobody is known to be welcome.
        self.control.current().await.map_err(|stale| {
            tracing::error!(%stale, "a request was refused");
            Refusal::new(503, "control_unavailable", stale.to_string())
        })?;
        let verified = match came.token {
            Some(token) => {
                let presented = Presented {
                    token: token.expose(),
                    proof: came.proof,
                    asked: came.asked,
                    verifier: &self.proofs,
                };
                let verified = self.authenticator.verify_presented(&presented);
                verified.instrument(tracing::debug_span!("authentication")).await
            }
            None => Err(AuthFailure::missing()),
        };
        let at = (Timestamp::now(), Instant::now());
        let mut checked = Checked { outcome: verified, who: None, at };
        if let Ok(identity) = &checked.outcome
            && let Some(failure) = self.barred(identity, at.0)
        {
            checked.who = Some(identity.clone());
            checked.outcome = Err(failure);
        }
        // To learn a nonce is a step of the protocol, and told by the code of its refusal.
        if !checked.outcome.as_ref().is_err_and(AuthFailure::needs_nonce) {
            self.authentications.checked(&checked.outcome);
        }
        if let Err(failure) = &checked.outcome
            && !self.strangers.may_record(came.front, failure, came.peer)
        {
            // A flood of bad tokens must not fill the log: it is counted, and the count goes on record.
            return Err(self.turned_away(failure));
        }
        Ok(checked)
    }

    /// What is told to whoever is not let in; with a nonce where that is what their proof lacks.
    pub(super) fn turned_away(&self, failure: &AuthFailure) -> Refusal {
        let refusal = turned_away_by_token(failure);
        let nonce = failure.is_about_proof().then(|| self.proofs.nonce());
        Refusal { nonce, ..refusal }
    }

    /// Whether somebody who was let in a while ago still would be.
    pub(crate) fn still_welcome(&self, identity: &Identity) -> Result<(), Refusal> {
        let barred = self.barred(identity, Timestamp::now());
        barred.map_or(Ok(()), |failure| Err(turned_away_by_token(&failure)))
    }

    pub(super) fn barred(&self, identity: &Identity, now: Timestamp) -> Option<AuthFailure> {
        let whom = Whom {
            principal: &identity.principal,
            delegation: &identity.delegation,
            agent: &identity.agent,
            session_id: None,
            grant_id: None,
        };
        let known = self.control.known();
        let by = known.revocations.bars(&whom, now)?;
        Some(AuthFailure::revoked(by.order.revocation_id, &identity.principal.issuer))
    }
}
