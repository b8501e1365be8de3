//! One HTTP/3 connection: its handshake, its requests, its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::error::Code;
use rustls_pki_types::CertificateDer;
use tallyport_access::ClientCertificate;
use tallyport_access::strangers::{Over, Watch};
use tallyport_schemas::Front;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::request;
use super::transport::{self, Departures, Transport};
use crate::front::LAST_REQUESTS;
use crate::front::admission::Admitted;
use crate::front::gate::{Gate, Peer};
use crate::front::strangers::ConnectionsRoom;
use crate::turned_away::Cause;

/// How long the last answers may take to be acknowledged before the connection is closed over them.
const LINGER: Duration = Duration::from_secs(2);

/// Requests that a client may have sent before it knew; more than it may have open at a time.
const REQUESTS_UNDER_WAY: usize = 1024;

type Http3 = h3::server::Connection<Transport, Bytes>;

/// One connection, as its requests see it.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) gate: Arc<Gate>,
    pub(super) conn: quinn::Connection,
    pub(super) peer: Peer,
    pub(super) departures: Departures,
}

/// Why the loop of a connection ended.
enum End {
    /// The client closed it, or it broke.
    Gone,
    /// Everything is answered and the fronts are going down.
    Drained,
    Over(Over),
}

/// Serves one connection to its end.
pub(in crate::front) async fn serve(
    gate: Arc<Gate>,
    incoming: quinn::Incoming,
    _admitted: Admitted,
) {
    let limits = &gate.limits;
    let Ok(connecting) = incoming.accept() else { return };
    let conn = match tokio::time::timeout(limits.handshake_deadline, connecting).await {
        Ok(Ok(conn)) => conn,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a QUIC handshake failed");
            return gate.turned_away(Front::Quic, Cause::HandshakeFailed, None);
        }
        Err(_) => return gate.turned_away(Front::Quic, Cause::HandshakeTimeout, None),
    };
    let addr = conn.remote_address();
    let turned_away = |cause| gate.turned_away(Front::Quic, cause, Some(addr));
    let acks = TaskTracker::new();
    let departures = Departures::default();
    let transport = Transport::new(conn.clone(), limits.max_frame_bytes, acks.clone());
    let transport = transport.telling(departures.clone());
    let mut builder = h3::server::builder();
    builder.max_field_section_size(u64::from(limits.max_header_bytes)).send_grease(false);
    let built = tokio::time::timeout(limits.handshake_deadline, builder.build(transport)).await;
    let Ok(Ok(mut http3)) = built else {
        transport::close(&conn, Code::H3_GENERAL_PROTOCOL_ERROR, b"HTTP/3 could not be set up");
        return turned_away(Cause::ProtocolError);
    };
    let watch = Arc::new(Watch::new(limits.rules()));
    let certificate = certificate(&conn);
    let room = ConnectionsRoom::new(limits.streams_before_authentication);
    let peer = Peer { addr, front: Front::Quic, watch, certificate, room };
    let link = Link { gate: gate.clone(), conn: conn.clone(), peer, departures };
    let (code, reason, over) = match requests(&link, &mut http3).await {
        End::Gone => {
            // Only a breach closes it from this side before anything is over.
            if let Some(quinn::ConnectionError::LocallyClosed) = conn.close_reason() {
                turned_away(Cause::ProtocolError);
            }
            return;
        }
        End::Drained => (Code::H3_NO_ERROR, "the gateway is shutting down", None),
        End::Over(over @ Over::Unused) => (Code::H3_NO_ERROR, over.reason(), None),
        End::Over(over) => (Code::H3_EXCESSIVE_LOAD, over.reason(), Some(over)),
    };
    if let Some(cause) = over.and_then(Cause::of) {
        turned_away(cause);
    }
    acks.close();
    tokio::select! {
        () = gate.cut.cancelled() => {}
        _acknowledged = tokio::time::timeout(LINGER, acks.wait()) => {}
    }
    transport::close(&conn, code, reason.as_bytes());
}

/// What the client sent in the handshake.
fn certificate(conn: &quinn::Connection) -> Option<ClientCertificate> {
    let identity = conn.peer_identity()?;
    let chain = identity.downcast_ref::<Vec<CertificateDer<'static>>>()?;
    ClientCertificate::of(chain)
}

/// Takes requests until the connection ends; they run as tasks of their own and outlive it, so that every session puts
/// its end on record.
async fn requests(link: &Link, http3: &mut Http3) -> End {
    let gate = &link.gate;
    let watch = &link.peer.watch;
    let mut phase = Phase::Open;
    let mut was_asked = false;
    loop {
        tokio::select! {
            biased;
            () = gate.cut.cancelled() => return End::Drained,
            () = gate.stop.cancelled(), if matches!(phase, Phase::Open) => {
                phase = Phase::Leaving(Instant::now() + LAST_REQUESTS);
                // Of a connection without a request it could only be said that it takes none; the first may be under way.
                if was_asked {
                    say_goaway(http3, REQUESTS_UNDER_WAY).await;
                }
            }
            () = phase.last_requests_came() => {
                phase = Phase::Closing;
                say_goaway(http3, 0).await;
            }
            () = watch.empty(), if matches!(phase, Phase::Closing) => return End::Drained,
            over = watch.over() => return End::Over(over),
            accepted = http3.accept() => match accepted {
                Ok(Some(resolver)) => {
                    was_asked = true;
                    let open = watch.request();
                    gate.tasks.spawn(request::serve(link.clone(), resolver, open));
                }
                Ok(None) => return End::Gone,
                Err(error) => {
                    tracing::debug!(%error, "an HTTP/3 connection ended");
                    return End::Gone;
                }
            },
        }
    }
}

/// What a connection takes.
#[derive(Clone, Copy)]
enum Phase {
    Open,
    /// The client was told to open what is next elsewhere; what it asked before it knew is taken until then.
    Leaving(Instant),
    /// Nothing more.
    Closing,
}

impl Phase {
    async fn last_requests_came(self) {
        match self {
            Self::Leaving(until) => tokio::time::sleep_until(until).await,
            Self::Open | Self::Closing => std::future::pending().await,
        }
    }
}

/// Tells the client that so many requests more are taken, and none after.
async fn say_goaway(http3: &mut Http3, more: usize) {
    // A failure to send it shows in `accept` as well.
    let _told = tokio::time::timeout(LINGER, http3.shutdown(more)).await;
}
