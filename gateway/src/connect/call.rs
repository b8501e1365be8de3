//! The CONNECT itself, the same for HTTP/3 and HTTP/2.

use std::net::Ipv6Addr;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};

use super::TokenError;
use super::error::ConnectError;
use super::token::Credentials;
use crate::front::{DPOP, DPOP_NONCE, TargetName, USE_NONCE};

/// One try to open a tunnel.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) target: &'a str,
    pub(super) identified: Identified<'a>,
    /// The gateway's, as its certificate has it.
    pub(super) host: &'a str,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Identified<'a> {
    pub(super) credentials: &'a Credentials,
    /// The gateway's last one, for a proof.
    pub(super) nonce: Option<&'a str>,
}

impl Identified<'_> {
    /// Puts the token into a request, with a proof where it is bound to a key.
    pub(super) fn show(
        &self,
        request: &mut Request<()>,
        method: &str,
        uri: &str,
    ) -> Result<(), ConnectError> {
        let Some(token) = &self.credentials.token else { return Ok(()) };
        let token = token.expose();
        let scheme: &[u8] = if self.credentials.key.is_some() { b"DPoP " } else { b"Bearer " };
        let mut text = BytesMut::with_capacity(scheme.len() + token.len());
        text.put_slice(scheme);
        text.put_slice(token.as_bytes());
        request.headers_mut().insert(AUTHORIZATION, secret(text.freeze())?);
        if let Some(key) = &self.credentials.key {
            let proof = key.prove(method, uri, Some(token), self.nonce);
            let proof = proof.map_err(TokenError::new)?;
            request.headers_mut().insert(DPOP, secret(proof.into())?);
        }
        Ok(())
    }
}

impl Call<'_> {
    pub(super) fn request(&self) -> Result<Request<()>, ConnectError> {
        let bad_target = || ConnectError::BadTarget { target: self.target.to_owned() };
        let uri: Uri = Uri::builder().authority(self.target).build().map_err(|_| bad_target())?;
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = uri;
        // A CONNECT has no URI beyond its authority: this one names gateway and target (docs/reference/identity.md).
        // As the gateway reads it: a port that clients insist on is none of the name.
        let name = TargetName::parse(self.target).ok_or_else(bad_target)?.into_string();
        let uri = format!("https://{}/{name}", bracketed(self.host));
        self.identified.show(&mut request, "CONNECT", &uri)?;
        Ok(request)
    }
}

fn secret(text: Bytes) -> Result<HeaderValue, ConnectError> {
    let mut value = HeaderValue::from_maybe_shared(text)
        .map_err(|_| TokenError::new("it has characters that no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn bracketed(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

/// The nonce of an answer that only tells it (RFC 9449 section 9).
pub(super) fn nonce_of<T>(response: &Response<T>) -> Option<String> {
    let headers = response.headers();
    let asks = |challenge: &HeaderValue| {
        challenge.to_str().is_ok_and(|challenge| challenge.contains(USE_NONCE))
    };
    let told = response.status() == StatusCode::UNAUTHORIZED
        && headers.get_all(WWW_AUTHENTICATE).iter().any(asks);
    let nonce = headers.get(DPOP_NONCE).filter(|_| told)?;
    nonce.to_str().ok().map(str::to_owned)
}
