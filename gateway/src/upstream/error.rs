//! Why a target could not be reached.

use std::path::PathBuf;
use std::time::Duration;

use gateway_core::pg::write::ErrorReply;

use crate::config::CredentialError;

/// A target could not be reached, or did not let the gateway in.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The network says no.
    #[error("the target cannot be reached: {0}")]
    Io(#[from] std::io::Error),
    /// It did not answer in time.
    #[error("the target was not ready within {} ms", waited.as_millis())]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
    /// It does not speak TLS, but must.
    #[error(
        "the target does not offer TLS; turn it on there (ssl = on), or set sslmode = \"disable\""
    )]
    NoTls,
    /// TLS failed: an unknown certificate, another host.
    #[error("TLS with the target failed: {0}")]
    Tls(std::io::Error),
    /// A certificate or key file cannot be used.
    #[error("{file}: {problem}")]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        problem: String,
    },
    /// The host is no name that a certificate could bear.
    #[error("`{0}` is no host name that a certificate could bear")]
    BadHost(String),
    /// The credential cannot be read.
    #[error("the target's credential cannot be read: {0}")]
    Credential(#[from] CredentialError),
    /// The target wants a password and none is configured.
    #[error("the target asks for a password and none is configured")]
    NoPassword,
    /// The target wants the password in clear over a way that is not encrypted.
    #[error("the target asks for the password in clear over a connection without TLS; refused")]
    ClearPassword,
    /// The target wants another way of authentication.
    #[error(
        "the target asks for authentication method {0}, which is not supported; use scram-sha-256, md5 or cert"
    )]
    Method(i32),
    /// The target could not prove that it knows the password, or broke the exchange.
    #[error("SCRAM with the target failed")]
    Scram,
    /// The target refused.
    #[error("the target refused with SQLSTATE {sqlstate}")]
    Refused {
        /// Its reason.
        sqlstate: String,
    },
    /// The target broke the protocol.
    #[error("the target broke the protocol at start-up: {0}")]
    Protocol(String),
}

impl DialError {
    /// Whether the target says that the password is wrong (SQLSTATE class 28).
    pub(super) fn refuses_password(&self) -> bool {
        matches!(self, Self::Refused { sqlstate } if sqlstate.starts_with("28"))
    }

    /// What went wrong in one word: for metrics and readiness, which carry no text of a target.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "io",
            Self::TimedOut { .. } => "timed_out",
            Self::NoTls => "no_tls",
            Self::Tls(_) => "tls",
            Self::File { .. } => "file",
            Self::BadHost(_) => "bad_host",
            Self::Credential(_) => "credential",
            Self::NoPassword => "no_password",
            Self::ClearPassword => "clear_password",
            Self::Method(_) => "method",
            Self::Scram => "scram",
            Self::Refused { .. } => "refused",
            Self::Protocol(_) => "protocol",
        }
    }

    /// What the agent gets: no text of the target, nothing about how the gateway logs in.
    #[must_use]
    pub fn reply(&self) -> ErrorReply {
        let (sqlstate, message) = match self {
            Self::Refused { sqlstate } => match sqlstate.as_str() {
                "53300" => ("53300", "the target has too many connections; try again later"),
                "57P03" => ("57P03", "the target is starting up or shutting down; try again later"),
                "3D000" => ("3D000", "the target has no such database"),
                "22023" => ("22023", "the target refused a startup parameter"),
                _ => ("08004", "the target refused the gateway; tell the operator of the gateway"),
            },
            Self::Io(_) | Self::TimedOut { .. } => {
                ("08001", "the target cannot be reached; try again later")
            }
            _ => (
                "08001",
                "the gateway cannot log in to the target; tell the operator of the gateway",
            ),
        };
        ErrorReply::fatal(sqlstate, format!("tallyport: {message}"))
    }
}
