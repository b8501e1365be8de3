//! How large QUIC packets may be (RFC 9000 section 14), on both ends: the path is asked by probes (RFC 8899).

use quinn::{EndpointConfig, MtuDiscoveryConfig, TransportConfig};

/// Bytes of a packet's UDP payload where the path takes it: networks with jumbo frames, most of those within a cloud, do.
///
/// quinn hands the kernel ten packets at a time, which together must fit into one datagram of 65,507 bytes.
const LARGEST: u16 = 6_500;

/// Lets a connection find out how much its path takes.
pub(crate) fn discover(transport: &mut TransportConfig) {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(LARGEST);
    transport.mtu_discovery_config(Some(discovery));
}

/// Takes packets of that size: the peer is told, and probes no further.
pub(crate) fn take(endpoint: &mut EndpointConfig) {
    // Refused only below 1,200 and above 65,527.
    let _in_bounds = endpoint.max_udp_payload_size(LARGEST);
}
