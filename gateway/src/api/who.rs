//! Who asks: the token of a request is checked, and that is on record, before anything is made of it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, request};
use tallyport_access::{Asked, ClientCertificate};
use tallyport_schemas::{Front, TraceId};

use super::error::ApiError;
use crate::front::{Twice, presented};
use crate::service::{Caller, Came, Inner, NotRecorded, log_unavailable};
use crate::tunnel::{BearerToken, Refusal};

/// One who may ask, and how the request came.
pub(crate) struct Known {
    pub(crate) caller: Caller,
    /// What they showed; nothing where it was a certificate.
    pub(crate) token: Option<BearerToken>,
    pub(crate) peer: SocketAddr,
}

/// Nobody is known to ask.
pub(crate) enum NotKnown {
    /// The request came by no front.
    NoFront,
    /// A field stands twice.
    Twice(&'static str),
    /// As the service says.
    Refused { refusal: Refusal, token_was_sent: bool },
}

impl NotKnown {
    /// The check is not on record.
    pub(crate) fn off_record(error: &NotRecorded) -> Self {
        Self::Refused { refusal: log_unavailable(error), token_was_sent: true }
    }
}

/// Checks a request's token, or its connection's certificate.
///
/// # Cancel safety
/// A dropped call may leave the check on record, and nothing else.
pub(crate) async fn who(parts: &request::Parts, inner: &Inner) -> Result<Known, NotKnown> {
    let known = checked(parts, inner).await?;
    let settled = known.caller.settle(&inner.appender).await;
    settled.map_err(|error| NotKnown::off_record(&error))?;
    Ok(known)
}

/// The same, where a good check goes on record with what is asked: nothing may be told before it is ([`Caller::settle`]).
///
/// # Cancel safety
/// As [`who`].
pub(crate) async fn checked(parts: &request::Parts, inner: &Inner) -> Result<Known, NotKnown> {
    let extensions = &parts.extensions;
    let (peer, front, trace_id) = (
        extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0),
        extensions.get::<Front>().copied(),
        extensions.get::<TraceId>().copied(),
    );
    // The fronts put all three there: without them it is not known who asks.
    let (Some(peer), Some(front), Some(trace_id)) = (peer, front, trace_id) else {
        return Err(NotKnown::NoFront);
    };
    let presented = presented(&parts.headers, false);
    let presented = presented.map_err(|Twice(message)| NotKnown::Twice(message))?;
    let token_was_sent = presented.token.is_some();
    // As it was asked for, not as it was routed.
    let whole = extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
    let came = Came {
        token: presented.token.as_ref(),
        proof: presented.proof.as_deref(),
        certificate: extensions
            .get::<ClientCertificate>()
            .filter(|_| token_was_sent || !is_a_browsers(&parts.headers)),
        asked: Asked { method: parts.method.as_str(), path: whole.path() },
        front,
        peer,
    };
    match inner.caller(came, trace_id).await {
        Ok(caller) => Ok(Known { caller, token: presented.token, peer }),
        Err(refusal) => Err(NotKnown::Refused { refusal, token_was_sent }),
    }
}

/// The caller's token is checked, and that is on record, before a handler runs.
impl FromRequestParts<Arc<Inner>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut request::Parts,
        inner: &Arc<Inner>,
    ) -> Result<Self, ApiError> {
        match who(parts, inner).await {
            Ok(known) => {
                // For whoever takes the body: that may come late.
                parts.extensions.insert(known.caller.clone());
                Ok(known.caller)
            }
            Err(NotKnown::NoFront) => Err(ApiError::internal()),
            Err(NotKnown::Twice(message)) => Err(ApiError::bad_request(message)),
            Err(NotKnown::Refused { refusal, token_was_sent }) => {
                Err(ApiError::refusal(&refusal, token_was_sent))
            }
        }
    }
}

/// Whether a page caused the request. A browser sends its certificate whoever's page that is: alone it would let another site
/// act for the workload (as with cookies, which this API does not take either).
fn is_a_browsers(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site")
}
