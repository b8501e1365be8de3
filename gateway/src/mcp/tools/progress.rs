//! How far a call is, for clients that want to know.

use bytes::Bytes;
use gateway_core::mcp::reply;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;

/// What may wait for a client to read it; what is more is left out, as the protocol allows.
const MAX_WAITING: usize = 16;

/// Tells a client how far its call is. Nothing waits for that.
pub(crate) struct Progress(Option<Wanted>);

struct Wanted {
    token: Value,
    to: mpsc::Sender<Bytes>,
    last: Mutex<Option<f64>>,
}

impl Progress {
    /// `token` is what the client gave to know it by, where it wants to know.
    pub(crate) fn of(token: Option<&Value>) -> (Self, mpsc::Receiver<Bytes>) {
        let (to, told) = mpsc::channel(MAX_WAITING);
        let wanted = token.map(|token| Wanted { token: token.clone(), to, last: Mutex::new(None) });
        (Self(wanted), told)
    }

    /// The same, told through what tells other things, too.
    pub(crate) fn through(token: Option<&Value>, to: mpsc::Sender<Bytes>) -> Self {
        Self(token.map(|token| Wanted { token: token.clone(), to, last: Mutex::new(None) }))
    }

    /// Tells it. The protocol wants `progress` to grow with every notification: what does not is not told.
    pub(crate) fn tell(&self, progress: f64, message: &str) {
        let Some(wanted) = &self.0 else { return };
        let mut last = wanted.last.lock();
        if last.is_some_and(|last| progress <= last) {
            return;
        }
        let told = reply::progress(&wanted.token, progress, message).to_string();
        if wanted.to.try_send(told.into()).is_ok() {
            *last = Some(progress);
        }
    }
}
