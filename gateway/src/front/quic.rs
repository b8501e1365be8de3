//! The QUIC endpoint: its settings, and who gets in.

use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    ConnectionId, ConnectionIdGenerator, EndpointConfig, Incoming, TransportConfig, VarInt,
};
use rand::Rng as _;
use tallyport_schemas::Front;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::config::Limits;
use super::gate::Gate;
use super::{FrontError, h3};
use crate::tls::ServerIdentity;
use crate::turned_away::Cause;

/// Bytes that one connection attempt, and all of them together, may have waiting before they are looked at.
const INCOMING_BUFFER_BYTES: u64 = 64 * 1024;
const INCOMING_BUFFER_TOTAL_BYTES: u64 = 16 * 1024 * 1024;
/// TLS handshake bytes that may wait for their missing parts.
const CRYPTO_BUFFER_BYTES: usize = 16 * 1024;
/// An address that has this part of its connections already must prove itself as well.
const RETRY_PER_IP_DIVISOR: usize = 4;

/// Length of the connection ids that this side chooses.
const CONNECTION_ID_BYTES: usize = 8;

/// What belongs to the socket rather than to a connection.
///
/// Packets of a connection that a killed process left behind are answered with the reset token which that process told
/// its peer. Nobody else may answer so: whoever has another's key could be made to end its connections (RFC 9000
/// section 21.11). So the key is this node's own, and without a name it is random.
pub(super) fn endpoint_config(identity: &ServerIdentity, node: Option<&str>) -> EndpointConfig {
    let Some(node) = node else { return EndpointConfig::default() };
    let mut config = EndpointConfig::new(Arc::new(identity.reset_key(node)));
    config.cid_generator(|| Box::new(RandomIds));
    config
}

/// Connection ids that mean nothing. quinn's own are checked against a key of the process before a reset is sent.
#[derive(Debug)]
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&rand::rng().random::<[u8; CONNECTION_ID_BYTES]>())
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

/// The settings of the endpoint.
pub(super) fn server_config(
    identity: &ServerIdentity,
    limits: &Limits,
) -> Result<quinn::ServerConfig, FrontError> {
    let tls = identity.quic_config()?;
    let crypto = QuicServerConfig::try_from(tls).map_err(|_| FrontError::NoCipherSuite)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport_config(limits)?))
        // Sessions bind to an identity, never to an address: an agent may move between networks.
        .migration(true)
        .max_incoming(limits.max_incoming)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL_BYTES);
    Ok(config)
}

fn transport_config(limits: &Limits) -> Result<TransportConfig, FrontError> {
    let idle =
        limits.idle_timeout.try_into().map_err(|_| FrontError::Limit { name: "idle_timeout" })?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams_before_authentication))
        .max_concurrent_uni_streams(VarInt::from_u32(limits.uni_streams))
        .receive_window(VarInt::from_u32(limits.receive_window_before_authentication))
        .stream_receive_window(VarInt::from_u32(limits.stream_receive_window))
        .send_window(limits.send_window)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(limits.keep_alive))
        .crypto_buffer_size(CRYPTO_BUFFER_BYTES)
        .datagram_receive_buffer_size(None);
    Ok(transport)
}

/// What a connection gets once something on it was found authentic.
pub(super) fn raise_limits(conn: &quinn::Connection, limits: &Limits) {
    conn.set_max_concurrent_bi_streams(VarInt::from_u32(limits.streams));
    conn.set_receive_window(VarInt::from_u32(limits.receive_window));
}

/// Takes connections until `stop`.
pub(super) async fn accept(gate: Arc<Gate>, endpoint: quinn::Endpoint, stop: CancellationToken) {
    loop {
        let incoming = tokio::select! {
            () = stop.cancelled() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        admit(&gate, incoming);
    }
}

fn admit(gate: &Arc<Gate>, incoming: Incoming) {
    let ip = incoming.remote_address().ip();
    if must_prove_address(gate, &incoming) {
        gate.turned_away(Front::Quic, Cause::AddressUnproved, None);
        if let Err(error) = incoming.retry() {
            error.into_incoming().refuse();
        }
        return;
    }
    match gate.admission.admit(ip, Front::Quic) {
        Ok(admitted) => {
            let span = tracing::debug_span!("connection", front = "quic");
            gate.tasks.spawn(h3::serve(gate.clone(), incoming, admitted).instrument(span));
        }
        Err(full) => {
            tracing::debug!(%ip, ?full, "a QUIC connection was refused");
            let proved = incoming.remote_address_validated().then(|| incoming.remote_address());
            gate.turned_away(Front::Quic, Cause::TooManyConnections, proved);
            incoming.refuse();
        }
    }
}

/// Under load an address that may be forged gets one small packet and nothing else, no counter included.
fn must_prove_address(gate: &Gate, incoming: &Incoming) -> bool {
    let ip = incoming.remote_address().ip();
    let loaded = gate.admission.total() >= gate.limits.retry_above_connections
        || gate.admission.of_ip(ip)
            >= gate.limits.max_connections_per_ip.div_ceil(RETRY_PER_IP_DIVISOR);
    loaded && !incoming.remote_address_validated() && incoming.may_retry()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tls::DevCa;

    /// quinn tells its settings only by `Debug`; how they work is in `tests/front_suite/hardening.rs`.
    fn told(limits: &Limits) -> String {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::create_or_load(folder.path()).unwrap();
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
        format!("{:?}", server_config(&identity, limits).unwrap())
    }

    #[test]
    fn the_transport_gets_every_default() {
        let told = told(&Limits::default());
        for setting in [
            "max_concurrent_bidi_streams: 16",
            "max_concurrent_uni_streams: 8",
            "max_idle_timeout: Some(30000)",
            "stream_receive_window: 1048576",
            " receive_window: 1048576",
            "send_window: 8388608",
            "keep_alive_interval: Some(10s)",
            "crypto_buffer_size: 16384",
            "datagram_receive_buffer_size: None",
            "migration: true",
            "max_incoming: 1024",
            "incoming_buffer_size: 65536",
            "incoming_buffer_size_total: 16777216",
        ] {
            assert!(told.contains(&format!("{setting},")), "no `{setting}` in {told}");
        }
    }

    #[test]
    fn the_transport_gets_what_is_configured() {
        let told = told(&Limits {
            streams_before_authentication: 17,
            uni_streams: 9,
            idle_timeout: Duration::from_secs(31),
            stream_receive_window: 1001,
            receive_window_before_authentication: 1002,
            send_window: 1003,
            keep_alive: Duration::from_secs(11),
            max_incoming: 1004,
            ..Limits::default()
        });
        for setting in [
            "max_concurrent_bidi_streams: 17",
            "max_concurrent_uni_streams: 9",
            "max_idle_timeout: Some(31000)",
            "stream_receive_window: 1001",
            " receive_window: 1002",
            "send_window: 1003",
            "keep_alive_interval: Some(11s)",
            "max_incoming: 1004",
        ] {
            assert!(told.contains(&format!("{setting},")), "no `{setting}` in {told}");
        }
    }
}
