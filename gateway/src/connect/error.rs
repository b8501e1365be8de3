//! Why there is no tunnel.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;

use super::token::TokenError;
use crate::tls::TlsError;

/// A tunnel could not be opened, or a local port not served.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The gateway refused; code and message are its own.
    #[error("the gateway refused: {message} ({code})")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The gateway's stable code.
        code: String,
        /// The gateway's words.
        message: String,
    },
    /// The gateway told the nonce that the next proof must have.
    #[error("the gateway asks for a proof with a nonce of its own again and again")]
    Nonce {
        /// It.
        nonce: String,
    },
    /// There is no token to present.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The target's name cannot be one.
    #[error("`{target}` cannot be the name of a target; use a-z, 0-9, `-`, `_` and `.`")]
    BadTarget {
        /// The name.
        target: String,
    },
    /// It is no address.
    #[error("the gateway `{gateway}`: {why}; give HOST:PORT, such as gateway.example.com:8443")]
    Address {
        /// As it was given.
        gateway: String,
        /// What it is, or lacks.
        why: &'static str,
    },
    /// The gateway's name does not resolve.
    #[error("the gateway's name in `{gateway}` does not resolve: {source}; check the name")]
    Name {
        /// The gateway.
        gateway: String,
        /// Why.
        source: io::Error,
    },
    /// The server name is not one.
    #[error("`{name}` cannot be a server name; use a DNS name or an IP address")]
    ServerName {
        /// The name.
        name: String,
    },
    /// The CA cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The cryptography lacks what QUIC needs.
    #[error("QUIC needs the AES-128-GCM-SHA256 cipher suite, which this build does not offer")]
    NoCipherSuite,
    /// The gateway is not answering.
    #[error("the gateway {gateway} cannot be reached over {protocol}: {reason}")]
    Unreachable {
        /// The gateway.
        gateway: String,
        /// QUIC or TCP.
        protocol: &'static str,
        /// What went wrong last.
        reason: String,
    },
    /// The gateway's certificate is not trusted.
    #[error("the gateway's certificate is not trusted: {reason}")]
    NotTrusted {
        /// What TLS says.
        reason: String,
    },
    /// The connection broke while the tunnel was being opened.
    #[error("the connection to the gateway broke: {reason}; try again")]
    Broken {
        /// What went wrong.
        reason: String,
    },
    /// The gateway did not answer in time.
    #[error("the gateway did not open the tunnel within {within:?}; try again later")]
    Slow {
        /// The bound.
        within: Duration,
    },
    /// The local port cannot be served.
    #[error("local connections cannot be accepted: {0}")]
    Local(io::Error),
}

/// The body of a refusal.
#[derive(Deserialize)]
struct Words {
    code: String,
    message: String,
}

impl ConnectError {
    /// A refusal, from what the gateway answered; a body that is not ours is not shown.
    pub(super) fn refused(status: http::StatusCode, body: &Bytes) -> Self {
        let words = serde_json::from_slice(body).unwrap_or_else(|_| Words {
            code: "refused".to_owned(),
            message: format!("it answered {status}"),
        });
        Self::Refused { status: status.as_u16(), code: words.code, message: words.message }
    }

    /// Whether the gateway refused since it ends: nothing was opened, and another may have its address.
    pub(super) fn is_shutting_down(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "shutting_down")
    }

    pub(super) fn broken(reason: impl std::fmt::Display) -> Self {
        Self::Broken { reason: reason.to_string() }
    }
}
