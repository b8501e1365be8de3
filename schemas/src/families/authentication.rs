//! A token was checked, on any front.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused or it failed.
    Failure,
}

words!(Outcome { Success => "success", Failure => "failure" });

/// How a principal proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// An OIDC or RFC 9068 bearer token.
    Oidc,
    /// A client certificate of a SPIFFE trust domain (X.509-SVID).
    #[serde(rename = "x509_svid")]
    X509Svid,
    /// A token of a SPIFFE trust domain (JWT-SVID).
    JwtSvid,
    /// The signature of a webhook that vouches for a reviewer (Standard Webhooks).
    Webhook,
    /// A SAML 2.0 assertion, exchanged for a token.
    Saml,
    /// Nothing was presented.
    None,
}

words!(AuthMethod {
    Oidc => "oidc",
    X509Svid => "x509_svid",
    JwtSvid => "jwt_svid",
    Saml => "saml",
    Webhook => "webhook",
    None => "none",
});

/// How a token is bound to whoever holds it (RFC 7800).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenBinding {
    /// To a key, proved by a signature for this very request (DPoP, RFC 9449).
    Dpop,
    /// To a client's certificate, whose key the TLS handshake showed (RFC 8705); an X.509-SVID is that, too.
    Mtls,
}

words!(TokenBinding { Dpop => "dpop", Mtls => "mtls" });

/// Where it knocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Front {
    /// HTTP/3 over QUIC.
    Quic,
    /// HTTP/2 or HTTP/1.1 over TLS.
    Tcp,
    /// The query service's PostgreSQL wire.
    QueryPgwire,
    /// The query service's HTTP API.
    QueryHttp,
}

words!(Front { Quic => "quic", Tcp => "tcp", QueryPgwire => "query_pgwire", QueryHttp => "query_http" });

/// The check of one token. Carries nothing of the token that would let anybody use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authentication {
    /// What came of it.
    pub outcome: Outcome,
    /// How.
    pub method: AuthMethod,
    /// Where.
    pub front: Front,
    /// Why it failed: a stable code such as `expired` or `unknown_issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The failure in words, without any part of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The issuer the token claims; verified only on success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// `jti`, where the token has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    /// `kid` of the key that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// How the token was bound to who sent it, and that was proved; absent for a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<TokenBinding>,
    /// When the token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<Timestamp>,
}

impl Authentication {
    pub(crate) const fn activity(&self) -> &'static str {
        match self.outcome {
            Outcome::Success => "succeeded",
            Outcome::Failure => "failed",
        }
    }
}
