//! JSON Web Tokens (RFC 7519), by their header.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::edges::opens;
use super::{Found, Window, byte};
use crate::kind::{Kind, Kinds};
use crate::settle::Candidate;
use crate::tail::{Tail, is_base64url};

/// Of the payload, to be more than a word behind a dot.
const MIN_PAYLOAD_BYTES: usize = 4;

/// What is read of a header (RFC 7515, 4.1; RFC 7516, 4.1).
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "alg")]
    _alg: String,
    enc: Option<String>,
}

pub(super) fn verify(window: Window<'_>, _: Kinds, found: &mut Found<'_>) {
    found.out.extend(token(window));
}

fn token(window: Window<'_>) -> Option<Candidate> {
    let Window { bytes, anchor: start } = window;
    if !opens(bytes, start, is_base64url) {
        return None;
    }
    let rest = bytes.get(start..)?;
    let length = rest.iter().take_while(|byte| is_base64url(**byte)).count();
    if byte(rest, length) != b'.' {
        return None;
    }
    let payload = rest.get(length + 1..)?;
    if payload.iter().take_while(|byte| is_base64url(**byte)).count() < MIN_PAYLOAD_BYTES {
        return None;
    }
    let decoded = URL_SAFE_NO_PAD.decode(rest.get(..length)?).ok()?;
    let header: Header = serde_json::from_slice(&decoded).ok()?;
    let dots = if header.enc.is_some() { 4 } else { 2 };
    Some(Candidate { kind: Kind::Jwt, start, end: start, tail: Some(Tail::jwt(dots)) })
}
