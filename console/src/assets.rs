//! The page's files, out of this binary, and the fields that keep them apart from everything else in the browser.
//!
//! `console/dist` is what `npm run build` makes of `console/web`; it is committed, so that `cargo build` needs no Node.

use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use crate::error::PageError;

const INDEX: (&str, &[u8]) = ("text/html; charset=utf-8", include_bytes!("../dist/index.html"));
const ASSETS: [(&str, &str, &[u8]); 3] = [
    ("app.js", "text/javascript; charset=utf-8", include_bytes!("../dist/assets/app.js")),
    ("app.css", "text/css; charset=utf-8", include_bytes!("../dist/assets/app.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("../dist/assets/icon.svg")),
];

/// Nothing but the page's own files, no inline program or style, no frame, no form, no markup made of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const PROTECTION: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// What every answer below `/console` carries.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in PROTECTION {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

pub(crate) async fn index(headers: HeaderMap) -> Response {
    file(&headers, INDEX.0, INDEX.1)
}

pub(crate) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, bytes)) => file(&headers, kind, bytes),
        None => PageError::no_route().into_response(),
    }
}

/// Asked for again at every visit, and sent again only when it has changed (RFC 9110 section 13.1.2).
fn file(headers: &HeaderMap, kind: &'static str, bytes: &'static [u8]) -> Response {
    let tag = Sha256::digest(bytes)
        .iter()
        .take(16)
        .fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}"))
        + "\"";
    let kept = headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let fields = [(CACHE_CONTROL, "no-cache".to_owned()), (ETAG, tag)];
    if kept {
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    (fields, [(CONTENT_TYPE, kind)], bytes).into_response()
}
