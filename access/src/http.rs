//! HTTP with bounds: no redirects, a limit on time and size, and TLS wherever the peer is not this very machine.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder};
use url::Url;
use zeroize::Zeroizing;

/// The largest answer that is read.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// `client_assertion_type` (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Asks issuers.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
}

/// As whom a form is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClientAuth<'a> {
    /// `client_secret_basic`: id and secret are form-encoded before they go into the Basic scheme (RFC 6749 section 2.3.1).
    Basic(&'a str, &'a str),
    /// A client that has no secret names itself in the form (RFC 6749 section 3.2.1).
    Public(&'a str),
    /// `private_key_jwt`, with an assertion (RFC 7523 section 2.2).
    Assertion(&'a str, &'a str),
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// `DPoP-Nonce` (RFC 9449 section 8).
    pub(crate) nonce: Option<String>,
}

/// No answer could be had. For our own log; it names URLs of the configuration only.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("{url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} answers more than {MAX_ANSWER_BYTES} bytes")]
    TooLarge { url: String },
}

/// The certificates of a PEM file that is to vouch for somebody: without one in it, it vouches for nobody.
///
/// # Errors
/// Why there is none, in words.
pub(crate) fn roots_of(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    match Certificate::from_pem_bundle(pem) {
        Ok(roots) if roots.is_empty() => Err("it holds no PEM certificate".to_owned()),
        Ok(roots) => Ok(roots),
        Err(error) => Err(format!("it holds no PEM certificate: {}", with_causes(&error))),
    }
}

impl Http {
    /// `loopback`: the peer is this very machine; no proxy is used and no system certificate is needed.
    pub(crate) fn new(
        timeout: Duration,
        loopback: bool,
        extra_roots: Vec<Certificate>,
    ) -> Result<Self, reqwest::Error> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(timeout)
            .timeout(timeout)
            .user_agent(concat!("tallyport/", env!("CARGO_PKG_VERSION")));
        let builder = if loopback {
            builder.no_proxy().tls_certs_only(extra_roots)
        } else {
            builder.tls_certs_merge(extra_roots)
        };
        Ok(Self { client: builder.build()? })
    }

    /// # Cancel safety
    /// Cancel safe: it changes nothing.
    pub(crate) async fn get(&self, url: &Url) -> Result<HttpAnswer, HttpError> {
        let request = self.client.get(url.clone()).header("accept", "application/json");
        answer(request, url).await
    }

    /// # Cancel safety
    /// Cancel safe; the peer may have handled the form.
    pub(crate) async fn post_form(
        &self,
        url: &Url,
        client: ClientAuth<'_>,
        form: &[(&str, &str)],
        proof: Option<&str>,
    ) -> Result<HttpAnswer, HttpError> {
        let encoded = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
        };
        let mut request = self.client.post(url.clone()).header("accept", "application/json");
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        let request = match client {
            ClientAuth::Basic(id, secret) => {
                let secret = Zeroizing::new(encoded(secret));
                request.basic_auth(encoded(id), Some(secret.as_str())).form(form)
            }
            ClientAuth::Public(id) => {
                let mut form = form.to_vec();
                form.push(("client_id", id));
                request.form(&form)
            }
            ClientAuth::Assertion(id, assertion) => {
                let mut form = form.to_vec();
                form.push(("client_id", id));
                form.push(("client_assertion_type", ASSERTION_TYPE));
                form.push(("client_assertion", assertion));
                request.form(&form)
            }
        };
        answer(request, url).await
    }
}

async fn answer(request: RequestBuilder, url: &Url) -> Result<HttpAnswer, HttpError> {
    let unreachable = |error: reqwest::Error| HttpError::Unreachable {
        url: url.to_string(),
        reason: with_causes(&error.without_url()),
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let nonce = response.headers().get("dpop-nonce").and_then(|it| it.to_str().ok());
    let nonce = nonce.map(str::to_owned);
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(unreachable)? {
        if body.len().saturating_add(piece.len()) > MAX_ANSWER_BYTES {
            return Err(HttpError::TooLarge { url: url.to_string() });
        }
        body.extend_from_slice(&piece);
    }
    Ok(HttpAnswer { status, body, nonce })
}

/// An error with all its causes: the HTTP library hides why in them.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
