//! The spans of a session's statements: what each waited for. They carry no text, no name and no value, and where
//! nobody collects traces they cost one look at a flag.

use gateway_core::pg::session::After;
use parking_lot::Mutex;
use tracing::Span;

use super::Tunnel;

/// The statement that comes in and the one that is answered.
///
/// A client that does not wait for its answers has several under way: then a statement's span ends when the next one
/// goes out, and what comes back belongs to the one that went out last.
pub(super) struct Statements {
    /// Whether the session's trace is collected: decided once, at its start.
    traced: bool,
    incoming: Mutex<Option<Span>>,
    answered: Mutex<Option<Sent>>,
}

struct Sent {
    statement: Span,
    /// Until the first answer.
    target: Option<Span>,
}

impl Statements {
    pub(super) fn new() -> Self {
        let traced = tracing::span_enabled!(tracing::Level::DEBUG);
        Self { traced, incoming: Mutex::default(), answered: Mutex::default() }
    }

    /// Bytes of the agent came.
    pub(super) fn arrived(&self) {
        if self.traced {
            self.incoming.lock().get_or_insert_with(|| {
                tracing::debug_span!("statement", commands = tracing::field::Empty)
            });
        }
    }

    /// What came is read and judged.
    pub(super) fn judge(&self) -> Span {
        if !self.traced {
            return Span::none();
        }
        match self.incoming.lock().as_ref() {
            Some(statement) => tracing::debug_span!(parent: statement, "judge"),
            None => Span::none(),
        }
    }

    /// It goes on record before it goes out.
    pub(super) fn commit_intent(&self, tunnel: &Tunnel, after: &After) -> Span {
        tunnel.entry.meters.allowed.increment(after.commands());
        tunnel.entry.meters.denied.increment(after.refused());
        if !self.traced {
            return Span::none();
        }
        self.arrived();
        match self.incoming.lock().as_ref() {
            Some(statement) => {
                // A number at the collector only when it is signed.
                statement.record("commands", after.commands().cast_signed());
                tracing::debug_span!(parent: statement, "commit_intent")
            }
            None => Span::none(),
        }
    }

    /// It goes to the target.
    pub(super) fn sent(&self) {
        if !self.traced {
            return;
        }
        if let Some(statement) = self.incoming.lock().take() {
            let target = Some(tracing::debug_span!(parent: &statement, "target"));
            *self.answered.lock() = Some(Sent { statement, target });
        }
    }

    /// It does not: that is on record, and its answer is the gateway's own.
    pub(super) fn refused(&self) {
        if !self.traced {
            return;
        }
        if let Some(statement) = self.incoming.lock().take() {
            *self.answered.lock() = Some(Sent { statement, target: None });
        }
    }

    /// An answer goes on record before it goes to the agent.
    pub(super) fn commit_outcome(&self) -> Span {
        if !self.traced {
            return Span::none();
        }
        match self.answered.lock().as_mut() {
            Some(sent) => {
                sent.target = None;
                tracing::debug_span!(parent: &sent.statement, "commit_outcome")
            }
            None => Span::none(),
        }
    }

    /// The agent has its answer; `drained` says that it was the last one due.
    pub(super) fn answered(&self, drained: bool) {
        if self.traced && drained {
            *self.answered.lock() = None;
        }
    }
}
