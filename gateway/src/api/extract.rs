//! What is taken out of a request, where what does not fit is told as everything here is: in JSON.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::{StatusCode, request};
use axum::response::IntoResponse as _;

use tallyport_schemas::Front;

use super::error::ApiError;
use crate::service::{Caller, Inner};

/// A whole body. Where a [`Caller`] was taken out of the request before it, they are looked at again once it is there: it may
/// have come so slowly that they count no more.
pub(super) struct Sent(pub(super) Bytes);

/// The id in a path, as it was written.
pub(super) struct Id(pub(super) String);

/// Two names in a path, as they were written.
pub(super) struct Names(pub(super) String, pub(super) String);

impl FromRequest<Arc<Inner>> for Sent {
    type Rejection = ApiError;

    async fn from_request(request: Request, inner: &Arc<Inner>) -> Result<Self, ApiError> {
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>().cloned().zip(extensions.get::<Front>().copied());
        let body = Bytes::from_request(request, inner).await.map_err(|rejection| {
            if rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE {
                ApiError::too_large()
            } else {
                ApiError::bad_request("the body did not arrive whole and in time; send it again")
            }
        })?;
        if let Some((caller, front)) = caller {
            let still = inner.still_counts(&caller, front).await;
            still.map_err(|refusal| ApiError::refusal(&refusal, true))?;
        }
        Ok(Self(body))
    }
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
