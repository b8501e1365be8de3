//! What the fronts are told, and every bound that they hold.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tallyport_access::strangers::Rules;

use crate::tls::ServerIdentity;

/// Where and as whom the fronts answer.
#[derive(Clone, Debug)]
pub struct FrontConfig {
    /// UDP address of HTTP/3.
    pub quic: SocketAddr,
    /// TCP address of HTTP/2 and HTTP/1.1.
    pub tcp: SocketAddr,
    /// Certificate and key.
    pub identity: ServerIdentity,
    /// The name of this gateway, no other's that has this key. With it, clients of a gateway that was killed learn that
    /// from the next one on this address at once, not by their idle timeout.
    pub node: Option<String>,
    /// The Unix socket at which another process of this user, of another `node`, may take the port over, and at which this
    /// one asks for it at its start. Without it the port is bound, and nobody is given it.
    pub takeover_socket: Option<PathBuf>,
    /// The bounds.
    pub limits: Limits,
}

impl FrontConfig {
    /// Both fronts on one address, with the default bounds.
    #[must_use]
    pub fn new(listen: SocketAddr, identity: ServerIdentity) -> Self {
        Self {
            quic: listen,
            tcp: listen,
            identity,
            node: None,
            takeover_socket: None,
            limits: Limits::default(),
        }
    }
}

/// The bounds of the fronts. The defaults suit a gateway that faces a hostile network.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of both fronts together.
    pub max_connections: usize,
    /// Connections of one address (IPv6: of one /64).
    pub max_connections_per_ip: usize,
    /// QUIC connection attempts that wait to be looked at.
    pub max_incoming: usize,
    /// From this many connections on, of all or of a quarter of it per address, a QUIC client must first prove its
    /// address (Retry, RFC 9000 section 8.1.2).
    pub retry_above_connections: usize,
    /// Tunnels of both fronts together, being opened or open.
    pub max_tunnels: usize,
    /// TLS or QUIC handshake.
    pub handshake_deadline: Duration,
    /// From the handshake to the first whole request header.
    pub first_request_deadline: Duration,
    /// From the start of a request stream to its whole header.
    pub headers_deadline: Duration,
    /// From the handshake to the first request that was found authentic.
    pub authentication_deadline: Duration,
    /// How long opening one tunnel may take, approvals included.
    pub open_deadline: Duration,
    /// How long a request body may take to arrive.
    pub body_deadline: Duration,
    /// How long one write of a response may wait for its reader.
    pub write_deadline: Duration,
    /// A QUIC peer that is silent for so long is gone (RFC 9000 section 10.1).
    pub idle_timeout: Duration,
    /// How often a silent peer is asked for a sign of life.
    pub keep_alive: Duration,
    /// How long a connection is kept on which nothing is open.
    pub unused_timeout: Duration,
    /// Request streams at a time on one QUIC connection before anything on it was found authentic.
    pub streams_before_authentication: u32,
    /// Request streams at a time on one connection after that; on HTTP/2, which cannot raise it, from the start.
    pub streams: u32,
    /// Unidirectional streams at a time that a QUIC peer may open (HTTP/3 itself needs three).
    pub uni_streams: u32,
    /// Unread bytes of one QUIC connection before anything on it was found authentic.
    pub receive_window_before_authentication: u32,
    /// Unread bytes of one connection after that.
    pub receive_window: u32,
    /// Unread bytes of one stream.
    pub stream_receive_window: u32,
    /// Bytes of one QUIC connection that are sent and not acknowledged.
    pub send_window: u64,
    /// A request header, decoded, as HTTP/3 counts it (RFC 9114 section 4.2.2); also HTTP/2's header list.
    pub max_header_bytes: u32,
    /// One HTTP/3 frame other than DATA, as it comes.
    pub max_frame_bytes: u64,
    /// The body of one API request.
    pub max_body_bytes: usize,
    /// Requests with a bad token that one connection may send before it is closed.
    pub max_failed_authentications: u32,
}

impl Limits {
    /// When a connection is over.
    pub(super) const fn rules(&self) -> Rules {
        Rules {
            first_request: self.first_request_deadline,
            authentication: self.authentication_deadline,
            open: self.open_deadline,
            unused: self.unused_timeout,
            max_failures: self.max_failed_authentications,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_connections_per_ip: 512,
            max_incoming: 1024,
            retry_above_connections: 512,
            max_tunnels: 8192,
            handshake_deadline: Duration::from_secs(10),
            first_request_deadline: Duration::from_secs(10),
            headers_deadline: Duration::from_secs(10),
            authentication_deadline: Duration::from_secs(30),
            open_deadline: Duration::from_secs(120),
            body_deadline: Duration::from_secs(30),
            write_deadline: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
            unused_timeout: Duration::from_secs(120),
            streams_before_authentication: 16,
            streams: 256,
            uni_streams: 8,
            receive_window_before_authentication: 1 << 20,
            receive_window: 16 << 20,
            stream_receive_window: 1 << 20,
            send_window: 8 << 20,
            max_header_bytes: 32 << 10,
            max_frame_bytes: 64 << 10,
            max_body_bytes: 1 << 20,
            max_failed_authentications: 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENTED: &str = include_str!("../../../docs/reference/front.md");

    fn seconds(duration: Duration) -> String {
        assert_eq!(duration.subsec_nanos(), 0);
        format!("{} s", duration.as_secs())
    }

    fn bytes(count: u64) -> String {
        let units = [(1 << 20, "MiB"), (1 << 10, "KiB")];
        let (unit, name) = units.into_iter().find(|(unit, _)| count.is_multiple_of(*unit)).unwrap();
        format!("{} {name}", count / unit)
    }

    /// What may come at once, and how long it may take.
    fn times(limits: &Limits) -> Vec<(&'static str, String)> {
        let count = |number: usize| number.to_string();
        vec![
            ("connections, both fronts", count(limits.max_connections)),
            ("connections of one address (IPv6: one /64)", count(limits.max_connections_per_ip)),
            (
                "connections from which QUIC clients must prove their address (Retry)",
                format!(
                    "{}, or a quarter of the bound of their address",
                    limits.retry_above_connections
                ),
            ),
            ("QUIC attempts waiting to be looked at", count(limits.max_incoming)),
            ("tunnels, both fronts", count(limits.max_tunnels)),
            ("handshake", seconds(limits.handshake_deadline)),
            ("first request after it", seconds(limits.first_request_deadline)),
            ("a whole request header", seconds(limits.headers_deadline)),
            (
                "first request with a valid token",
                format!(
                    "{}, and 120 s more while one is open",
                    seconds(limits.authentication_deadline)
                ),
            ),
            (
                "invalid tokens on a connection that never sent a valid one",
                limits.max_failed_authentications.to_string(),
            ),
            ("opening a tunnel", seconds(limits.open_deadline)),
            (
                "a request body",
                format!(
                    "{}, {}",
                    bytes(limits.max_body_bytes as u64),
                    seconds(limits.body_deadline)
                ),
            ),
            ("a write that nobody reads", seconds(limits.write_deadline)),
            (
                "a silent QUIC peer",
                format!(
                    "{}, asked every {}",
                    seconds(limits.idle_timeout),
                    seconds(limits.keep_alive)
                ),
            ),
            ("a connection on which nothing is open", seconds(limits.unused_timeout)),
        ]
    }

    /// What may stand open, and how much it may hold.
    fn sizes(limits: &Limits) -> Vec<(&'static str, String)> {
        let grows = |before: String, after: String| {
            format!("{before}, then {after} once a request was authentic")
        };
        vec![
            (
                "request streams, QUIC",
                grows(limits.streams_before_authentication.to_string(), limits.streams.to_string()),
            ),
            ("request streams, HTTP/2", limits.streams.to_string()),
            ("unidirectional streams", limits.uni_streams.to_string()),
            (
                "unread bytes of a QUIC connection",
                grows(
                    bytes(limits.receive_window_before_authentication.into()),
                    bytes(limits.receive_window.into()),
                ),
            ),
            ("unread bytes of a stream", bytes(limits.stream_receive_window.into())),
            ("unacknowledged bytes of a QUIC connection", bytes(limits.send_window)),
            ("a request header, decoded", bytes(limits.max_header_bytes.into())),
            ("an HTTP/3 frame other than DATA", bytes(limits.max_frame_bytes)),
        ]
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let limits = Limits::default();
        for (what, bound) in times(&limits).into_iter().chain(sizes(&limits)) {
            let row = format!("| {what} | {bound} |");
            assert!(DOCUMENTED.contains(&row), "docs/reference/front.md does not say: {row}");
        }
    }
}
