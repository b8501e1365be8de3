//! What is answered to whom. No IO.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::meters::Meters;
use crate::readiness::Readiness;

/// All there is.
const ROUTES: [&str; 3] = ["/metrics", "/healthz", "/readyz"];
/// The text format that Prometheus reads.
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers a request by its method and path.
pub(crate) fn answer(
    method: &Method,
    path: &str,
    meters: &Meters,
    readiness: &Readiness,
) -> Response<Bytes> {
    if !ROUTES.contains(&path) {
        return told(StatusCode::NOT_FOUND, "not_found", "there is no such route");
    }
    if !matches!(*method, Method::GET | Method::HEAD) {
        let message = "routes are read only: ask by GET";
        let mut response = told(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => response(StatusCode::OK, PROMETHEUS, meters.render()),
        // Whoever reads this answer knows that the process lives and its runtime takes up work: no more is said.
        "/healthz" => as_json(StatusCode::OK, &json!({ "status": "ok" })),
        _ => {
            let (ready, report) = readiness.report();
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            as_json(status, &report)
        }
    }
}

fn told(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    as_json(status, &json!({ "code": code, "message": message, "routes": ROUTES }))
}

fn as_json(status: StatusCode, body: &Value) -> Response<Bytes> {
    response(status, JSON, body.to_string())
}

fn response(status: StatusCode, kind: HeaderValue, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
