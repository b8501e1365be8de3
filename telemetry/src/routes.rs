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

/// Answers a request by its method, path and query.
pub(crate) fn answer(
    method: &Method,
    path: &str,
    query: Option<&str>,
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
            let Some(without) = without(query) else {
                let message = "write `?without=` and names of checks, or `stopping`, with commas: ?without=targets,stopping";
                return told(StatusCode::BAD_REQUEST, "invalid_request", message);
            };
            let (ready, report) = readiness.report(&without);
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            as_json(status, &report)
        }
    }
}

/// The names of `without=a,b`; none where the query asks for something else, which must not look like an answer to it.
fn without(query: Option<&str>) -> Option<Vec<&str>> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Some(Vec::new()) };
    let names = query.strip_prefix("without=")?.split(',');
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    names.map(|name| is_name(&name).then_some(name)).collect()
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
