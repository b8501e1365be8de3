//! What the gateway counts. Handles are taken once per gateway, target or session; labels are names of targets and
//! codes from a closed list, never who, what or from where.

use std::time::Duration;

use gateway_core::pg::session::Ending;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tallyport_schemas::Front;

use crate::tunnel::Refusal;
use crate::upstream::DialError;

/// The sessions of one target.
#[derive(Debug)]
pub(crate) struct TargetMeters {
    target: String,
    sessions: Gauge,
    opened: Counter,
    /// Statements that policy let pass.
    pub(crate) allowed: Counter,
    /// Units that it did not.
    pub(crate) denied: Counter,
}

/// Counts as a session until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenSession(Gauge);

impl TargetMeters {
    pub(crate) fn new(target: &str) -> Self {
        let statements = |decision: &'static str| counter!("tallyport_gateway_statements_total", "target" => target.to_owned(), "decision" => decision);
        let sessions = gauge!("tallyport_gateway_sessions", "target" => target.to_owned());
        sessions.set(0.0);
        Self {
            sessions,
            opened: counter!("tallyport_gateway_sessions_opened_total", "target" => target.to_owned()),
            allowed: statements("allow"),
            denied: statements("deny"),
            target: target.to_owned(),
        }
    }

    pub(crate) fn opened(&self) -> OpenSession {
        self.opened.increment(1);
        self.sessions.increment(1.0);
        OpenSession(self.sessions.clone())
    }

    pub(crate) fn closed(&self, ending: &Ending) {
        let reason = match ending {
            Ending::Closed(end) => end.as_str().to_owned(),
            Ending::Expired(_) => "expired".to_owned(),
            Ending::Revoked { .. } => "revoked".to_owned(),
            // A code of the gateway's own, from a closed list.
            Ending::Lost { cause, .. } => cause.clone(),
        };
        let target = self.target.clone();
        counter!("tallyport_gateway_sessions_closed_total", "target" => target, "reason" => reason)
            .increment(1);
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// The ways to one target.
#[derive(Clone, Debug)]
pub(crate) struct DialMeters {
    target: String,
    seconds: Histogram,
}

impl DialMeters {
    pub(crate) fn new(target: &str) -> Self {
        let seconds = histogram!("tallyport_gateway_dial_seconds", "target" => target.to_owned());
        Self { target: target.to_owned(), seconds }
    }

    pub(crate) fn dialled<T>(&self, took: Duration, outcome: &Result<T, DialError>) {
        self.seconds.record(took);
        if let Err(error) = outcome {
            let (target, code) = (self.target.clone(), error.code());
            counter!("tallyport_gateway_dial_failures_total", "target" => target, "code" => code)
                .increment(1);
        }
    }
}

/// What is asked of one service, cluster or MCP server, each request by itself.
#[derive(Debug)]
pub(crate) struct RequestMeters {
    target: String,
    /// Requests that policy let pass.
    pub(crate) allowed: Counter,
    /// Those that it did not.
    pub(crate) denied: Counter,
    seconds: Histogram,
}

impl RequestMeters {
    pub(crate) fn new(target: &str) -> Self {
        let requests = |decision: &'static str| counter!("tallyport_gateway_statements_total", "target" => target.to_owned(), "decision" => decision);
        let seconds =
            histogram!("tallyport_gateway_request_seconds", "target" => target.to_owned());
        let (allowed, denied) = (requests("allow"), requests("deny"));
        Self { target: target.to_owned(), allowed, denied, seconds }
    }

    /// The answer is over.
    pub(crate) fn answered(&self, took: Duration) {
        self.seconds.record(took);
    }

    /// The target did not do what it should; `code` is one of a closed list.
    pub(crate) fn failed(&self, code: &'static str) {
        counter!("tallyport_gateway_dial_failures_total", "target" => self.target.clone(), "code" => code)
            .increment(1);
    }
}

/// Tokens that were checked.
#[derive(Debug)]
pub(crate) struct AuthenticationMeters {
    accepted: Counter,
    refused: Counter,
}

impl AuthenticationMeters {
    pub(crate) fn new() -> Self {
        let by = |outcome: &'static str| counter!("tallyport_gateway_authentications_total", "outcome" => outcome);
        Self { accepted: by("accepted"), refused: by("refused") }
    }

    pub(crate) fn checked<T, E>(&self, outcome: &Result<T, E>) {
        let counter = if outcome.is_ok() { &self.accepted } else { &self.refused };
        counter.increment(1);
    }
}

/// The connections of one front.
pub(crate) fn connections(front: Front) -> Gauge {
    let gauge = gauge!("tallyport_gateway_connections", "front" => front.as_str());
    gauge.set(0.0);
    gauge
}

/// A `CONNECT` that became no session.
pub(crate) fn refused(refusal: &Refusal) {
    turned_away(refusal.code);
}

/// The same by its code, also where the tunnel was open already.
/// So many events of the control log were passed over. Counted from the start on, so that the first is seen to come.
pub(crate) fn control_not_understood(events: u64) {
    counter!("tallyport_gateway_control_not_understood_total").increment(events);
}

pub(crate) fn turned_away(code: &'static str) {
    counter!("tallyport_gateway_sessions_refused_total", "code" => code).increment(1);
}
