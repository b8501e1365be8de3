//! The event that every check of a token leaves.

use tallyport_schemas::{Authentication, Front, Outcome};

use crate::{AuthFailure, Identity};

/// The event of one check. It carries nothing of the token that would let anybody use it.
#[must_use]
pub fn authentication_event(
    outcome: &Result<Identity, AuthFailure>,
    front: Front,
) -> Authentication {
    match outcome {
        Ok(identity) => Authentication {
            outcome: Outcome::Success,
            method: identity.method,
            front,
            failure: None,
            message: None,
            issuer: Some(identity.principal.issuer.clone()),
            token_id: identity.token_id.clone(),
            key_id: identity.key_id.clone(),
            binding: identity.binding,
            expires_at: Some(identity.expires_at),
        },
        Err(failure) => Authentication {
            outcome: Outcome::Failure,
            method: failure.method(),
            front,
            failure: Some(failure.code().to_owned()),
            message: Some(match failure.proven().and_then(|it| it.subject.as_deref()) {
                Some(subject) => format!("{failure} (it was {subject})"),
                None => failure.to_string(),
            }),
            issuer: failure.claimed_issuer().map(str::to_owned),
            token_id: failure.proven().and_then(|it| it.token_id.clone()),
            key_id: failure.proven().and_then(|it| it.key_id.clone()),
            binding: None,
            expires_at: None,
        },
    }
}
