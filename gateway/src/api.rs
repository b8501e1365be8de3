//! The HTTP routes beside `CONNECT`: health, for whoever runs the gateway.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tallyport_eventlog::Appender;

/// `GET /healthz`: 200 while events can be put on record, 503 while they cannot: then nothing passes.
pub fn router(appender: Appender) -> Router {
    Router::new().route("/healthz", get(healthz)).with_state(appender)
}

async fn healthz(State(appender): State<Appender>) -> Response {
    // What is wrong is for the gateway's own log: this route asks for no token.
    let healthy = appender.health().ok;
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if healthy { "ok" } else { "log_unavailable" };
    (status, Json(json!({ "status": word }))).into_response()
}
