//! A request that runs to its end, whether somebody waits for it or not.

use std::sync::Arc;

use bytes::Bytes;
use gateway_core::mcp::RpcError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::exchange::{Ended, Exchange};
use super::question::Allowed;
use super::wire::{Manner, WireSession};

/// How it is sent.
#[derive(Clone, Copy)]
pub(super) enum Method<'a> {
    Post(&'a Manner),
    Listen(&'a WireSession),
    End(&'a WireSession),
}

/// The same, to be kept.
pub(super) enum Sent {
    Post(Manner),
    Listen(WireSession),
    End(WireSession),
}

impl Sent {
    const fn method(&self) -> Method<'_> {
        match self {
            Self::Post(manner) => Method::Post(manner),
            Self::Listen(session) => Method::Listen(session),
            Self::End(session) => Method::End(session),
        }
    }
}

/// Does what was allowed, to the record of its end, whether somebody waits for it or not.
///
/// # Errors
/// As [`Exchange::run`].
///
/// # Cancel safety
/// A dropped call ends what it began.
pub(super) async fn run(
    exchange: Exchange,
    allowed: Allowed,
    sent: Sent,
    to: mpsc::Sender<Bytes>,
) -> Result<Ended, RpcError> {
    let Allowed { call, pass, .. } = allowed;
    let gone = CancellationToken::new();
    let _guard = gone.clone().drop_guard();
    let (told, ended) = oneshot::channel();
    let inner = Arc::clone(&exchange.inner);
    let stops = Arc::clone(&inner);
    let running = async move {
        let _pass = pass;
        let gone = async {
            stops.until_it_stops(gone.cancelled()).await;
            if gone.is_cancelled() {
                "the client left, or cancelled it"
            } else {
                "the gateway stops; ask again"
            }
        };
        let ended = exchange.run(call, sent.method(), &to, gone).await;
        // Gone: nobody waits.
        let _gone = told.send(ended);
    };
    inner.spawn(running.in_current_span());
    ended.await.map_err(|_| RpcError::internal())?
}
