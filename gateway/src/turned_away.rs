//! Whom a front turned away without a look at a token: before there is an identity, there is only a count.

use std::net::SocketAddr;

use tallyport_access::strangers::Over;
use tallyport_schemas::Front;

/// One connection or request that was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TurnedAway {
    /// Where.
    pub front: Front,
    /// Why.
    pub cause: Cause,
    /// From where; `None` while the address may be forged.
    pub peer: Option<SocketAddr>,
}

/// Why somebody was turned away without a look at a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A QUIC client had to prove its address first (Retry).
    AddressUnproved,
    /// The gateway, or one address, has as many connections as it may.
    TooManyConnections,
    /// The handshake failed or was left.
    HandshakeFailed,
    /// The handshake took too long.
    HandshakeTimeout,
    /// No request came in time.
    NoRequest,
    /// No request with a valid token came in time.
    NotAuthenticated,
    /// More invalid tokens on one connection than it may send.
    TooManyFailures,
    /// A request header took too long.
    HeadersTimeout,
    /// A request header, or a frame other than DATA, is over its bound.
    HeadersTooLarge,
    /// A request was reset before its header was whole.
    ResetBeforeRequest,
    /// An HTTP/2 client asked for more of the connection's own work than it may.
    StreamFlood,
    /// What came was no HTTP, or no request that the front takes.
    ProtocolError,
    /// The gateway has as many tunnels open as it may.
    TooManyTunnels,
    /// What strangers send at once, on one connection or in all, is as much as may be read.
    TooManyBodies,
    /// A request to `/mcp` was for another host.
    ForeignHost,
    /// A page of another origin caused it.
    ForeignOrigin,
}

impl Cause {
    /// Why a connection was over; none where it was merely unused.
    pub(crate) const fn of(over: Over) -> Option<Self> {
        match over {
            Over::NoRequest => Some(Self::NoRequest),
            Over::NotAuthenticated => Some(Self::NotAuthenticated),
            Over::TooManyFailures => Some(Self::TooManyFailures),
            Over::Unused => None,
        }
    }

    /// A stable code: `failure` of the event that reports it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::AddressUnproved => "address_unproved",
            Self::TooManyConnections => "too_many_connections",
            Self::HandshakeFailed => "handshake_failed",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::NoRequest => "no_request",
            Self::NotAuthenticated => "not_authenticated",
            Self::TooManyFailures => "too_many_failures",
            Self::HeadersTimeout => "headers_timeout",
            Self::HeadersTooLarge => "headers_too_large",
            Self::ResetBeforeRequest => "reset_before_request",
            Self::StreamFlood => "stream_flood",
            Self::ProtocolError => "front_protocol_error",
            Self::TooManyTunnels => "too_many_tunnels",
            Self::TooManyBodies => "too_many_bodies",
            Self::ForeignHost => "foreign_host",
            Self::ForeignOrigin => "foreign_origin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_over_is_counted_alike_by_gateway_and_query_service() {
        for over in [Over::NoRequest, Over::NotAuthenticated, Over::TooManyFailures, Over::Unused] {
            assert_eq!(Cause::of(over).map(Cause::code), over.code());
        }
    }
}
