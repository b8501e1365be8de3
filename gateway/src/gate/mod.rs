//! How much may be asked of one server, and whether it is well: one that is sick or slow keeps no other waiting.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tallyport_schemas::{Decision, Effect, Principal};
use tokio::time::Instant;

use crate::config::McpServerLimits;

mod whole;

use whole::Place;
pub(crate) use whole::Whole;

/// After so many failures in a row nothing is asked of a server,
const MAX_FAILURES: u32 = 5;
/// for so long; then one request tries it again.
const REST: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_secs(60);
/// The most principals whose rate is remembered.
const MAX_REMEMBERED: usize = 65_536;

/// Issuer and subject.
pub(crate) type Asker = (String, String);

/// Whose requests are counted together.
pub(crate) fn asker(principal: &Principal) -> Asker {
    (principal.issuer.clone(), principal.subject.clone())
}

/// The gate before one server.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: McpServerLimits,
    whole: Arc<Whole>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    of: HashMap<Asker, Use>,
    failures: u32,
    /// When the last failure was; a request that tries again sets it anew, so that there is one at a time.
    failed_at: Option<Instant>,
}

#[derive(Debug)]
struct Use {
    open: usize,
    /// What is left of the minute's requests, at `since`.
    left: f64,
    since: Instant,
}

/// A request that is under way, until this is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    asker: Asker,
    _place: Place,
}

/// Why a request may not go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Shut {
    #[error(
        "as many requests to this server are under way as may be; wait for one to end, then try again"
    )]
    Full,
    #[error(
        "as many of your requests to this server are under way as may be; wait for one to end, then try again"
    )]
    FullOfYours,
    #[error(
        "this gateway has {max} requests under way, as many as may be; wait a moment, then try again"
    )]
    GatewayFull { max: usize },
    #[error(
        "you have {max} requests under way on this gateway, as many as may be; wait for one to end, then try again"
    )]
    GatewayFullOfYours { max: usize },
    #[error("you have asked this server as often as you may in a minute; try again in {0} s")]
    TooOften(u64),
    #[error("this server failed several times in a row; try again in {0} s")]
    Sick(u64),
}

impl Shut {
    /// The decision, now that it is known that nothing passes: a limit is a refusal as policy's is.
    pub(crate) fn settle(self, decision: &mut Decision) {
        decision.effect = Effect::Deny;
        decision.policy_ids = vec![self.rule().to_owned()];
        decision.obligations.clear();
        decision.reasons = vec![self.to_string()];
    }

    /// Names the rule in a decision.
    const fn rule(self) -> &'static str {
        match self {
            Self::Sick(_) => "tallyport:health",
            _ => "tallyport:limit",
        }
    }

    /// How an answer over HTTP says it: its status, and its code.
    pub(crate) const fn http(self) -> (u16, &'static str) {
        match self {
            Self::Full | Self::Sick(_) => (503, "target_unavailable"),
            Self::GatewayFull { .. } => (503, "gateway_busy"),
            // RFC 6585 section 4: it is the asker who has too many.
            Self::FullOfYours | Self::GatewayFullOfYours { .. } | Self::TooOften(_) => {
                (429, "too_many_requests")
            }
        }
    }

    /// In how many seconds it may be tried again, where that is known.
    pub(crate) const fn again(self) -> Option<u64> {
        match self {
            Self::TooOften(seconds) | Self::Sick(seconds) => Some(seconds),
            _ => None,
        }
    }
}

impl Gate {
    pub(crate) fn new(limits: McpServerLimits, whole: Arc<Whole>) -> Self {
        Self { limits, whole, state: Mutex::default() }
    }

    /// Lets a request through.
    pub(crate) fn pass(self: &Arc<Self>, asker: Asker) -> Result<Pass, Shut> {
        self.pass_at(asker, Instant::now())
    }

    fn pass_at(self: &Arc<Self>, asker: Asker, now: Instant) -> Result<Pass, Shut> {
        let limits = self.limits;
        let mut state = self.state.lock();
        if state.failures >= MAX_FAILURES
            && let Some(rest) =
                state.failed_at.and_then(|at| REST.checked_sub(now.duration_since(at)))
            && !rest.is_zero()
        {
            return Err(Shut::Sick(rest.as_secs() + 1));
        }
        if state.open >= limits.max_requests {
            return Err(Shut::Full);
        }
        if state.of.len() >= MAX_REMEMBERED {
            state.of.retain(|_, it| it.open > 0 || now.duration_since(it.since) < MINUTE);
        }
        let most = f64::from(limits.requests_per_minute);
        let used = state.of.entry(asker.clone()).or_insert(Use { open: 0, left: most, since: now });
        if used.open >= limits.max_requests_per_principal {
            return Err(Shut::FullOfYours);
        }
        let per_second = most / MINUTE.as_secs_f64();
        used.left =
            (used.left + now.duration_since(used.since).as_secs_f64() * per_second).min(most);
        used.since = now;
        if used.left < 1.0 {
            let wait = Duration::from_secs_f64((1.0 - used.left) / per_second);
            return Err(Shut::TooOften(wait.as_secs() + 1));
        }
        let place = self.whole.take(&asker)?;
        used.left -= 1.0;
        used.open += 1;
        state.open += 1;
        if state.failures >= MAX_FAILURES {
            state.failed_at = Some(now);
        }
        Ok(Pass { gate: Arc::clone(self), asker, _place: place })
    }

    /// Takes note of how the server did.
    pub(crate) fn did(&self, well: bool) {
        let mut state = self.state.lock();
        if well {
            (state.failures, state.failed_at) = (0, None);
        } else {
            state.failures = state.failures.saturating_add(1);
            state.failed_at = Some(Instant::now());
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        state.open = state.open.saturating_sub(1);
        if let Some(used) = state.of.get_mut(&self.asker) {
            used.open = used.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asker, Gate, Instant, MAX_FAILURES, REST, Shut, Whole};
    use crate::config::{GatewayLimits, McpServerLimits};
    use std::sync::Arc;
    use std::time::Duration;

    fn gate(max_requests: usize, of_one: usize, per_minute: u32) -> Arc<Gate> {
        let limits = McpServerLimits {
            max_requests,
            max_requests_per_principal: of_one,
            requests_per_minute: per_minute,
        };
        Arc::new(Gate::new(limits, Whole::new(&GatewayLimits::default())))
    }

    fn asker(name: &str) -> Asker {
        ("https://id".to_owned(), name.to_owned())
    }

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let gate = gate(3, 2, 1000);
        let first = gate.pass(asker("ada")).unwrap();
        let _second = gate.pass(asker("ada")).unwrap();
        assert_eq!(gate.pass(asker("ada")).unwrap_err(), Shut::FullOfYours);
        let _third = gate.pass(asker("bob")).unwrap();
        assert_eq!(gate.pass(asker("bob")).unwrap_err(), Shut::Full);
        drop(first);
        assert!(gate.pass(asker("bob")).is_ok());
    }

    #[test]
    fn a_minute_has_so_many_requests_of_one_principal() {
        let (gate, now) = (gate(9, 9, 60), Instant::now());
        for _ in 0..60 {
            drop(gate.pass_at(asker("ada"), now).unwrap());
        }
        assert_eq!(gate.pass_at(asker("ada"), now).unwrap_err(), Shut::TooOften(2));
        assert!(gate.pass_at(asker("bob"), now).is_ok(), "another's are another's");
        let later = now + Duration::from_millis(1500);
        drop(gate.pass_at(asker("ada"), later).unwrap());
        assert!(gate.pass_at(asker("ada"), later).is_err());
    }

    #[test]
    fn a_sick_server_is_left_alone_and_tried_again_by_one() {
        let gate = gate(9, 9, 1000);
        for _ in 0..MAX_FAILURES {
            assert!(gate.pass(asker("ada")).is_ok());
            gate.did(false);
        }
        let now = Instant::now();
        assert!(matches!(gate.pass_at(asker("ada"), now), Err(Shut::Sick(_))));
        let later = now + REST + Duration::from_secs(1);
        let tries = gate.pass_at(asker("ada"), later);
        assert!(tries.is_ok());
        assert!(matches!(gate.pass_at(asker("bob"), later), Err(Shut::Sick(_))), "one at a time");
        gate.did(true);
        assert!(gate.pass_at(asker("bob"), later).is_ok());
    }
}
