//! What is taken out of a request, where what does not fit is told as everything here is: in JSON.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Request};
use axum::http::request;
use http_body_util::LengthLimitError;
use tallyport_schemas::Front;

use super::error::ApiError;
use crate::front::{ConnectionsRoom, Taken};
use crate::service::{Caller, Inner};
use crate::turned_away::{Cause, TurnedAway};

/// Of callers who are known. That of the fronts comes first (`max_body_bytes`).
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// A whole body. Where a [`Caller`] was taken out of the request before it, they are looked at again once it is there: it may
/// have come so slowly that they count no more. Of anybody else it takes room of the strangers' until it is dropped.
pub(super) struct Sent(pub(super) Bytes, pub(super) Option<Taken>);

/// How large the body of a route may be, put there by a layer of it: of routes that strangers send to.
#[derive(Clone, Copy)]
pub(super) struct Most(pub(super) usize);

/// The id in a path, as it was written.
pub(super) struct Id(pub(super) String);

/// Two names in a path, as they were written.
pub(super) struct Names(pub(super) String, pub(super) String);

impl FromRequest<Arc<Inner>> for Sent {
    type Rejection = ApiError;

    async fn from_request(request: Request, inner: &Arc<Inner>) -> Result<Self, ApiError> {
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>().cloned().zip(extensions.get::<Front>().copied());
        let Some((caller, front)) = caller else {
            let (room, most) = strangers_room(&request, inner)?;
            let body = axum::body::to_bytes(request.into_body(), most).await;
            return Ok(Self(body.map_err(|error| not_whole(&error))?, Some(room)));
        };
        let body = axum::body::to_bytes(request.into_body(), MAX_BYTES).await;
        let body = body.map_err(|error| not_whole(&error))?;
        let still = inner.still_counts(&caller, front).await;
        still.map_err(|refusal| ApiError::refusal(&refusal, true))?;
        Ok(Self(body, None))
    }
}

/// Room for what a stranger sends, and how much that is at most.
fn strangers_room(request: &Request, inner: &Inner) -> Result<(Taken, usize), ApiError> {
    let extensions = request.extensions();
    let Some(Most(most)) = extensions.get().copied() else {
        return Err(ApiError::internal());
    };
    let said = request.body().size_hint();
    if said.lower() > most as u64 {
        return Err(ApiError::too_large());
    }
    let most = said.upper().and_then(|said| usize::try_from(said).ok()).unwrap_or(most).min(most);
    let connection = extensions.get::<ConnectionsRoom>();
    inner.strangers_room.take(most, connection).map(|room| (room, most)).ok_or_else(|| {
        if let Some(front) = extensions.get::<Front>().copied() {
            let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
            inner.count_stranger(TurnedAway { front, cause: Cause::TooManyBodies, peer });
        }
        ApiError::too_many_bodies()
    })
}

fn not_whole(error: &axum::Error) -> ApiError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return ApiError::too_large();
        }
        cause = error.source();
    }
    ApiError::bad_request("the body did not arrive whole and in time; send it again")
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|_| ApiError::bad_request("the id in the path is not text"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        path.map(|Path((one, other))| Self(one, other))
            .map_err(|_| ApiError::bad_request("the names in the path are not text"))
    }
}
