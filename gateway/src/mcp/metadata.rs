//! What a client reads before it has a token: where tokens for this gateway are had (RFC 9728).

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::{ENDPOINT, McpState, form, turned_away};
use crate::api::ApiError;
use crate::service::Inner;
use tallyport_access::ProofVerifier;

/// `GET` of both well-known paths: one resource, whichever is asked.
pub(super) async fn document(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    let Some(mcp) = &inner.mcp else { return ApiError::no_route().into_response() };
    let (parts, _body) = request.into_parts();
    let came = match mcp.names.check_host(&parts) {
        Ok(came) => came,
        Err(refused) => return turned_away(&inner, &parts, *refused),
    };
    let mut response = form::json(StatusCode::OK, &mcp.metadata(&came.base));
    let kept = HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(CACHE_CONTROL, kept);
    response
}

impl McpState {
    fn metadata(&self, base: &str) -> Value {
        let scopes: BTreeSet<&String> =
            self.config.connect.iter().chain(&self.config.write).collect();
        let algorithms: Vec<&str> = ProofVerifier::ALGORITHMS.split(' ').collect();
        let mut document = json!({
            "resource": format!("{base}{ENDPOINT}"),
            "resource_name": "Tallyport",
            "authorization_servers": self.authorization_servers,
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": algorithms,
        });
        // Where none is asked, none is named: a client asks its issuer for what is named here.
        if let (false, Value::Object(document)) = (scopes.is_empty(), &mut document) {
            document.insert("scopes_supported".to_owned(), json!(scopes));
        }
        document
    }
}
