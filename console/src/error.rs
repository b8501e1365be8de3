//! What the page is told when it does not get what it asked for.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An answer `{"code":...,"message":...}`, as everywhere on the fronts.
#[derive(Debug)]
pub(crate) struct PageError(StatusCode, &'static str, String);

impl PageError {
    /// Something else than the page asks: another site in the same browser, or a person's own program.
    pub(crate) fn not_from_the_page(why: &str) -> Self {
        let message = format!(
            "only the page itself may ask this: {why}; programs use /v1 with a bearer token"
        );
        Self(StatusCode::FORBIDDEN, "not_from_the_page", message)
    }

    /// Nobody is signed in, or not any more.
    pub(crate) fn signed_out() -> Self {
        Self(
            StatusCode::UNAUTHORIZED,
            "signed_out",
            "you are not signed in: sign in again".to_owned(),
        )
    }

    pub(crate) fn no_audit() -> Self {
        let message = "this gateway has no query service to ask: set console.query_url".to_owned();
        Self(StatusCode::NOT_FOUND, "no_audit", message)
    }

    pub(crate) fn no_route() -> Self {
        Self(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is no such page; begin at /console/".to_owned(),
        )
    }

    pub(crate) fn bad_request(message: &str) -> Self {
        Self(StatusCode::BAD_REQUEST, "invalid_request", message.to_owned())
    }

    pub(crate) fn unavailable(message: &str) -> Self {
        Self(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message.to_owned())
    }

    pub(crate) fn internal(message: &str) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, "internal", message.to_owned())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "code": self.1, "message": self.2 }))).into_response()
    }
}
