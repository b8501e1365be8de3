//! Targets that are asked by HTTP: one session a connection, one question a request. What a request means says the target's
//! [`gateway_core::target::Protocol`]; everything else is the same for all of them.
//!
//! * `session`: from the first byte to the event of the end;
//! * `request`: one request, from its bytes to its answer; `decide`: what policy, people and limits say of it;
//! * `browsers`: pages of elsewhere that found the local port of an agent;
//! * `exchange`: what was let through, to the record of its end;
//! * `patient`: agents that take nothing of their answers;
//! * `pin`: what a name means now, for approvals that must not outlive it;
//! * `streams`: what becomes a connection of streams;
//! * `wire`: the way to the target, with the gateway's credential and nothing of the agent's.

mod approval;
mod body;
mod browsers;
mod credentials;
mod decide;
mod exchange;
mod patient;
mod pin;
mod request;
mod session;
mod streams;
mod wire;

use std::sync::Arc;

use gateway_core::target::Protocol;
use tallyport_schemas::TargetRef;

use crate::config;
use crate::gate::{Gate, Whole};
use crate::meters::RequestMeters;
use crate::service::Inner;
use crate::session::Tunnel;
use crate::tunnel::TunnelIo;
use crate::upstream::LastReach;
use wire::Wire;
use wire::WireError;
pub(crate) use wire::WireSetup;

/// A target, with the way to it.
#[derive(Debug)]
pub(crate) struct HttpTarget {
    config: config::RequestTarget,
    protocol: Arc<dyn Protocol>,
    wire: Wire,
    gate: Arc<Gate>,
    reach: LastReach,
    meters: RequestMeters,
}

/// A target was not reached.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotReached(String);

impl HttpTarget {
    pub(crate) fn new(target: config::HttpTarget, whole: Arc<Whole>) -> Result<Self, WireSetup> {
        let config::HttpTarget { target: config, protocol } = target;
        let wire = Wire::new(&config)?;
        let gate = Arc::new(Gate::new(config.limits, whole));
        let meters = RequestMeters::new(&config.reference.name);
        Ok(Self { config, protocol, wire, gate, reach: LastReach::default(), meters })
    }

    pub(crate) const fn reference(&self) -> &TargetRef {
        &self.config.reference
    }

    pub(crate) const fn reach(&self) -> &LastReach {
        &self.reach
    }

    /// Takes note of how it did: an answer that is slow or broken off says nothing of others.
    fn note(&self, error: Option<&WireError>) {
        match error {
            None => {
                self.gate.did(true);
                self.reach.note(None);
            }
            Some(WireError::Unreachable(_) | WireError::Cut(_)) => {
                self.gate.did(false);
                self.meters.failed("unreachable");
                self.reach.note(Some("unreachable"));
            }
            Some(WireError::Credential(_) | WireError::NotLetIn) => {
                self.meters.failed("credential");
                self.reach.note(Some("credential"));
            }
            Some(WireError::Late) => self.meters.failed("timed_out"),
            Some(WireError::Fields) => self.meters.failed("protocol"),
        }
    }

    /// Whether it can be reached, without a request: what a request would do is not known.
    pub(crate) async fn probe(&self, _inner: &Inner) -> Result<(), NotReached> {
        let reached = self.wire.reach().await;
        self.reach.note(reached.as_ref().err().map(|_| "unreachable"));
        reached.map_err(|error| NotReached(error.to_string()))
    }
}

/// Serves a session on `io` until its end is on record.
pub(crate) async fn serve(tunnel: Tunnel, target: Arc<HttpTarget>, io: Box<dyn TunnelIo>) {
    session::serve(tunnel, target, io).await;
}
