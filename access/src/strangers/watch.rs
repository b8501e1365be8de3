//! When a connection is over by the rules: nothing asked, nobody authenticated, nothing open, or too many bad tokens.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The life of one connection.
#[derive(Debug)]
pub struct Watch {
    rules: Rules,
    state: Mutex<State>,
    /// One waiter at most: the connection's task.
    changed: Notify,
    emptied: Notify,
}

/// When a connection is over.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Without a whole header until then.
    pub first_request: Duration,
    /// Without a request that was authentic until then.
    pub authentication: Duration,
    /// And so much later while one is open.
    pub open: Duration,
    /// After so long without anything open.
    pub unused: Duration,
    /// With so many requests that were not, and none that was.
    pub max_failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct State {
    started: Instant,
    asked: bool,
    authenticated: bool,
    failures: u32,
    open: usize,
    empty_since: Instant,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nothing was asked.
    NoRequest,
    /// Nobody was authentic.
    NotAuthenticated,
    /// Too many were not.
    TooManyFailures,
    /// Nothing was open.
    Unused,
}

impl Over {
    /// In words, for whoever is at the other end.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoRequest => "no request came in time",
            Self::NotAuthenticated => "no request with a valid token came in time",
            Self::TooManyFailures => "too many requests with an invalid token",
            Self::Unused => "nothing was open for too long; connect again when needed",
        }
    }

    /// As it is counted; nobody is turned away from a connection that is merely unused.
    #[must_use]
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::NoRequest => Some("no_request"),
            Self::NotAuthenticated => Some("not_authenticated"),
            Self::TooManyFailures => Some("too_many_failures"),
            Self::Unused => None,
        }
    }
}

/// One open request or tunnel; it is open until this is dropped.
#[derive(Debug)]
pub struct OpenRequest(Arc<Watch>);

impl Watch {
    /// A connection that begins now.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let now = Instant::now();
        Self {
            rules,
            state: Mutex::new(State {
                started: now,
                asked: false,
                authenticated: false,
                failures: 0,
                open: 0,
                empty_since: now,
            }),
            changed: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// A request stream is there; its header need not be.
    pub fn request(self: &Arc<Self>) -> OpenRequest {
        self.state.lock().open += 1;
        self.changed.notify_one();
        OpenRequest(self.clone())
    }

    /// A whole header came.
    pub fn asked(&self) {
        self.state.lock().asked = true;
        self.changed.notify_one();
    }

    /// Waits for the first whole header. One caller at a time, and nobody beside who waits for the end.
    pub async fn first_request(&self) {
        while !self.state.lock().asked {
            self.changed.notified().await;
        }
    }

    /// A request was found authentic; `true` the first time.
    pub fn authenticated(&self) -> bool {
        let first = !std::mem::replace(&mut self.state.lock().authenticated, true);
        self.changed.notify_one();
        first
    }

    /// Whether a request was.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.state.lock().authenticated
    }

    /// A request came with a token that is not valid, or with none where one is due. Only a stranger's count: who was
    /// authentic once guesses at nothing, and its other tunnels must not suffer for an expired token.
    pub fn failed_authentication(&self) {
        let mut state = self.state.lock();
        if !state.authenticated {
            state.failures = state.failures.saturating_add(1);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Whether this connection has had all its tries; no further token of it is looked at.
    pub fn is_exhausted(&self) -> bool {
        let state = self.state.lock();
        !state.authenticated && state.failures >= self.rules.max_failures
    }

    /// Waits until the connection is over by the rules. One caller at a time.
    pub async fn over(&self) -> Over {
        loop {
            let state = *self.state.lock();
            match verdict(&self.rules, &state, Instant::now()) {
                Verdict::Over(over) => return over,
                Verdict::Until(deadline) => tokio::select! {
                    () = tokio::time::sleep_until(deadline) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    /// Waits until nothing is open. One caller at a time.
    pub async fn empty(&self) {
        while self.state.lock().open > 0 {
            self.emptied.notified().await;
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.open = state.open.saturating_sub(1);
        state.empty_since = Instant::now();
        drop(state);
        self.0.changed.notify_one();
        self.0.emptied.notify_one();
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Over(Over),
    Until(Instant),
}

fn verdict(rules: &Rules, state: &State, now: Instant) -> Verdict {
    // What is open is still to be answered.
    if !state.authenticated && state.failures >= rules.max_failures && state.open == 0 {
        return Verdict::Over(Over::TooManyFailures);
    }
    let (deadline, over) = if !state.asked {
        (state.started + rules.first_request, Over::NoRequest)
    } else if !state.authenticated {
        let waiting = if state.open > 0 { rules.open } else { Duration::ZERO };
        (state.started + rules.authentication + waiting, Over::NotAuthenticated)
    } else if state.open == 0 {
        (state.empty_since + rules.unused, Over::Unused)
    } else {
        // Something authentic is open; it wakes the caller when it ends.
        return Verdict::Until(now + rules.unused);
    };
    if now >= deadline { Verdict::Over(over) } else { Verdict::Until(deadline) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        first_request: Duration::from_secs(10),
        authentication: Duration::from_secs(30),
        open: Duration::from_secs(120),
        unused: Duration::from_secs(60),
        max_failures: 3,
    };

    fn fresh() -> (State, Instant) {
        let now = Instant::now();
        let state = State {
            started: now,
            asked: false,
            authenticated: false,
            failures: 0,
            open: 0,
            empty_since: now,
        };
        (state, now)
    }

    fn after(state: &State, start: Instant, secs: u64) -> Option<Over> {
        match verdict(&RULES, state, start + Duration::from_secs(secs)) {
            Verdict::Over(over) => Some(over),
            Verdict::Until(_) => None,
        }
    }

    #[test]
    fn silence_ends_it() {
        let (mut state, start) = fresh();
        state.open = 1;
        assert_eq!(after(&state, start, 9), None);
        assert_eq!(after(&state, start, 10), Some(Over::NoRequest));
    }

    #[test]
    fn requests_without_a_valid_token_end_it_though_one_may_be_waiting() {
        let (mut state, start) = fresh();
        state.asked = true;
        assert_eq!(after(&state, start, 29), None);
        assert_eq!(after(&state, start, 30), Some(Over::NotAuthenticated));
        state.open = 1;
        assert_eq!(after(&state, start, 149), None);
        assert_eq!(after(&state, start, 150), Some(Over::NotAuthenticated));
    }

    #[test]
    fn authentic_and_open_stays_and_ends_when_unused() {
        let (mut state, start) = fresh();
        (state.asked, state.authenticated, state.open) = (true, true, 1);
        assert_eq!(after(&state, start, 100_000), None);
        state.open = 0;
        state.empty_since = start + Duration::from_secs(1000);
        assert_eq!(after(&state, start, 1059), None);
        assert_eq!(after(&state, start, 1060), Some(Over::Unused));
    }

    #[test]
    fn bad_tokens_end_it_once_they_are_answered_unless_it_was_authentic() {
        let (mut state, start) = fresh();
        (state.asked, state.failures) = (true, 2);
        assert_eq!(after(&state, start, 1), None);
        state.failures = 3;
        assert_eq!(after(&state, start, 1), Some(Over::TooManyFailures));
        state.open = 1;
        assert_eq!(after(&state, start, 1), None);
        (state.authenticated, state.open) = (true, 0);
        assert_eq!(after(&state, start, 1), None);
    }
}
