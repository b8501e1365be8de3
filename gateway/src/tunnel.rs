//! What a front asks of the gateway: open a tunnel to a target, then run it.
//!
//! The fronts (QUIC, TCP) know HTTP and nothing of tokens or targets; the service knows those and nothing of HTTP.

use std::net::SocketAddr;

use async_trait::async_trait;
use tallyport_access::ClientCertificate;
use tallyport_schemas::{Front, TraceId};
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use crate::turned_away::TurnedAway;

/// One `CONNECT <target-name>`.
#[derive(Debug)]
pub struct ConnectRequest {
    /// The authority of the request: a configured target's name, never a host.
    pub target: String,
    /// The token, as presented. `Debug` of [`BearerToken`] never shows it.
    pub token: Option<BearerToken>,
    /// The proof that came with it, where it was presented as one that is bound to a key (RFC 9449 section 7.1); empty
    /// where it came without.
    pub proof: Option<String>,
    /// The certificate of its connection, where it sent one.
    pub certificate: Option<ClientCertificate>,
    /// The peer's address.
    pub peer: SocketAddr,
    /// Where it came in.
    pub front: Front,
    /// The trace it belongs to.
    pub trace_id: TraceId,
}

/// A bearer token: wiped on drop, never shown.
#[derive(Clone)]
pub struct BearerToken(Zeroizing<String>);

impl BearerToken {
    /// A token that a client presents.
    #[must_use]
    pub fn new(token: String) -> Self {
        Self(Zeroizing::new(token))
    }

    /// Takes the token out of an `Authorization` header's value, and whether it is one that is bound to a key; `None` when
    /// the scheme is neither Bearer (RFC 6750) nor DPoP (RFC 9449 section 7.1).
    #[must_use]
    pub fn from_authorization(value: &str) -> Option<(Self, bool)> {
        let (scheme, token) = value.trim().split_once(' ')?;
        let token = token.trim();
        let bound = scheme.eq_ignore_ascii_case("dpop");
        ((bound || scheme.eq_ignore_ascii_case("bearer")) && !token.is_empty())
            .then(|| (Self(Zeroizing::new(token.to_owned())), bound))
    }

    /// The token, for its verification only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BearerToken(redacted)")
    }
}

/// Why a tunnel was not opened, as the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status: 401, 403, 404, 429 or 503.
    pub status: u16,
    /// A stable code such as `invalid_token`, `denied_by_policy`, `unknown_target`, `log_unavailable`.
    pub code: &'static str,
    /// What to do, in words; no part of the token, no backend's text.
    pub message: String,
    /// A nonce for the proof of a bound token, where that lacks one (RFC 9449 section 9).
    pub nonce: Option<String>,
}

impl Refusal {
    /// A refusal with these words.
    #[must_use]
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), nonce: None }
    }
}

/// The bytes of a tunnel, both ways. `shutdown` of the write half ends the stream in order.
pub trait TunnelIo: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> TunnelIo for T {}

/// Opens tunnels. Implemented by the gateway; the fronts drive it.
#[async_trait]
pub trait TunnelService: Send + Sync + 'static {
    /// Checks the token, decides, and puts both on record before it answers.
    ///
    /// # Errors
    /// A [`Refusal`], itself already on record where the log still takes events.
    ///
    /// # Cancel safety
    /// A dropped call may leave events of an attempt that came to nothing; no tunnel is open then.
    async fn open(&self, request: ConnectRequest) -> Result<Box<dyn OpenTunnel>, Refusal>;

    /// Counts one whom a front turned away without a look at a token; the count goes on record. Must not wait: floods
    /// come through here.
    fn turned_away(&self, who: TurnedAway);
}

/// A tunnel that may run once.
#[async_trait]
pub trait OpenTunnel: Send {
    /// Serves the target's protocol on `io` until the session ends. Its end is on record when this returns.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call ends the session without its closing event.
    async fn run(self: Box<Self>, io: Box<dyn TunnelIo>);
}
