//! How the log does, as the appender sees it.

use std::time::{Duration, Instant, SystemTime};

use metrics::{Gauge, gauge};
use parking_lot::Mutex;

use crate::log::AppendError;

/// How the log does, as an [`crate::Appender`] sees it.
#[derive(Clone, Debug, Default)]
pub struct LogHealth {
    /// Whether the last append succeeded, and none takes longer than it may; true before the first.
    pub ok: bool,
    /// When an append last succeeded.
    pub last_success: Option<SystemTime>,
    /// The last error and when it came; kept after a recovery.
    pub last_error: Option<(SystemTime, AppendError)>,
    /// Bytes of events that wait for the log.
    pub pending_bytes: usize,
    /// Ranges of numbers that were not acknowledged and are not explained on the log yet.
    pub unexplained_gaps: usize,
}

#[derive(Debug)]
pub(super) struct Health {
    state: Mutex<State>,
    healthy: Gauge,
}

#[derive(Debug, Default)]
struct State {
    failing: bool,
    last_success: Option<SystemTime>,
    last_error: Option<(SystemTime, AppendError)>,
    unexplained_gaps: usize,
    /// Since when an append is under way.
    under_way: Option<Instant>,
}

impl Health {
    pub(super) fn new(role: &str) -> Self {
        let healthy = gauge!("tallyport_log_healthy", "producer" => role.to_owned());
        healthy.set(1.0);
        Self { state: Mutex::default(), healthy }
    }

    /// An append begins.
    pub(super) fn begin(&self) {
        self.state.lock().under_way = Some(Instant::now());
    }

    /// Counts an append that takes longer than `limit` as failed, before its outcome is known; true when that is news.
    pub(super) fn note_overdue(&self, limit: Duration) -> bool {
        let mut state = self.state.lock();
        let overdue = state.is_overdue(limit);
        if overdue {
            self.healthy.set(0.0);
            let reason = format!("no answer within {} ms", limit.as_millis());
            state.last_error = Some((SystemTime::now(), AppendError::Unknown { reason }));
        }
        overdue && !std::mem::replace(&mut state.failing, true)
    }

    /// Notes an outcome; true when it differs from the one before, so that a change is logged once.
    pub(super) fn note(&self, outcome: Result<(), AppendError>) -> bool {
        let mut state = self.state.lock();
        let failing = outcome.is_err();
        state.under_way = None;
        match outcome {
            Ok(()) => state.last_success = Some(SystemTime::now()),
            Err(error) => state.last_error = Some((SystemTime::now(), error)),
        }
        let changed = std::mem::replace(&mut state.failing, failing) != failing;
        if changed {
            self.healthy.set(if failing { 0.0 } else { 1.0 });
        }
        changed
    }

    pub(super) fn note_gaps(&self, unexplained: usize) {
        self.state.lock().unexplained_gaps = unexplained;
    }

    pub(super) fn view(&self, pending_bytes: usize, limit: Duration) -> LogHealth {
        let state = self.state.lock();
        LogHealth {
            ok: !state.failing && !state.is_overdue(limit),
            last_success: state.last_success,
            last_error: state.last_error.clone(),
            pending_bytes,
            unexplained_gaps: state.unexplained_gaps,
        }
    }
}

impl State {
    fn is_overdue(&self, limit: Duration) -> bool {
        self.under_way.is_some_and(|since| since.elapsed() > limit)
    }
}
