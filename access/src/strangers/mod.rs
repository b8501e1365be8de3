//! Who was turned away before there was an identity. A flood of strangers must leave its trace and not fill the log:
//! so many get an event each, all others are counted, and the counts go on record once an interval.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tallyport_schemas::{
    AuthMethod, Authentication, Body, Context, Draft, Endpoint, Front, Outcome,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::identity::AuthFailure;

mod places;
mod watch;

pub use places::{Full, Place, Places};
pub use watch::{OpenRequest, Over, Rules, Watch};

/// Refused tokens that get an event each, within one interval: of all, and of one address (IPv6: of one /64), so that
/// one loud address does not take the places of all others.
const MAX_SINGLE_EVENTS: u32 = 128;
const MAX_SINGLE_EVENTS_PER_ADDRESS: u32 = 32;

/// The address as limits count it: IPv4 in one form, IPv6 by its /64, which is what one host can choose from.
#[must_use]
pub fn counted(ip: IpAddr) -> IpAddr {
    const HOST_BITS: u32 = 64;
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> HOST_BITS << HOST_BITS).into()),
        v4 => v4,
    }
}

/// What became of counts that were to go on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// They are on record.
    Durable,
    /// They are not, and may be later.
    NotNow,
    /// They never will be: nothing goes on record any more.
    Stopped,
}

/// Counts strangers between two reports.
#[derive(Debug)]
pub struct Strangers {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Instant,
    /// As long as there are fronts and codes: codes are the program's own.
    counts: HashMap<(Front, &'static str), Count>,
    /// Never longer than [`MAX_SINGLE_EVENTS`].
    single: HashMap<IpAddr, u32>,
    singles: u32,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    times: u64,
    method: AuthMethod,
    last: Option<SocketAddr>,
}

/// The counts of one interval.
struct Counted {
    since: Instant,
    counts: HashMap<(Front, &'static str), Count>,
}

impl Strangers {
    /// Nobody came yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let (counts, single) = (HashMap::new(), HashMap::new());
        Arc::new(Self {
            state: Mutex::new(State { since: Instant::now(), counts, single, singles: 0 }),
        })
    }

    /// Counts one whom a front turned away. `peer` only where the address is proved.
    pub fn turned_away(&self, front: Front, code: &'static str, peer: Option<SocketAddr>) {
        self.count(front, code, AuthMethod::None, peer);
    }

    /// Whether a refused token of `peer` gets an event of its own. Where it does not, it is counted: in a flood, and where
    /// its proof lacks a nonce, with which each client begins.
    #[must_use]
    pub fn may_record(&self, front: Front, failure: &AuthFailure, peer: SocketAddr) -> bool {
        let method = failure.method();
        if failure.needs_nonce() {
            self.count(front, failure.code(), method, Some(peer));
            return false;
        }
        self.may_record_code((front, method), failure.code(), peer)
    }

    /// The same of anything else that was to prove who comes.
    #[must_use]
    pub fn may_record_code(
        &self,
        (front, method): (Front, AuthMethod),
        code: &'static str,
        peer: SocketAddr,
    ) -> bool {
        if self.state.lock().take_place(counted(peer.ip())) {
            return true;
        }
        self.count(front, code, method, Some(peer));
        false
    }

    fn count(
        &self,
        front: Front,
        code: &'static str,
        method: AuthMethod,
        peer: Option<SocketAddr>,
    ) {
        let mut state = self.state.lock();
        let count =
            state.counts.entry((front, code)).or_insert(Count { times: 0, method, last: None });
        count.times = count.times.saturating_add(1);
        count.last = peer.or(count.last);
    }

    /// What was counted since the last time; a new interval begins.
    fn take(&self) -> Counted {
        let mut state = self.state.lock();
        state.single.clear();
        state.singles = 0;
        let since = std::mem::replace(&mut state.since, Instant::now());
        Counted { since, counts: std::mem::take(&mut state.counts) }
    }

    /// Joins what could not be put on record to what was counted meanwhile.
    fn put_back(&self, counted: Counted) {
        let mut state = self.state.lock();
        state.since = counted.since;
        for (key, older) in counted.counts {
            let count = state.counts.entry(key).or_insert(Count { times: 0, ..older });
            count.times = count.times.saturating_add(older.times);
        }
    }

    /// Has `put` put the counts on record every `interval`, and once more at the end.
    pub async fn report<F: Future<Output = Put>>(
        self: Arc<Self>,
        put: impl Fn(Vec<Draft>) -> F,
        interval: Duration,
        cancel: CancellationToken,
    ) {
        loop {
            let is_last = tokio::select! {
                () = tokio::time::sleep(interval) => false,
                () = cancel.cancelled() => true,
            };
            let counted = self.take();
            let drafts = counted.drafts(Instant::now());
            // A crash right here loses the counts of one interval: nobody of them was let in.
            let outcome = if drafts.is_empty() { Put::Durable } else { put(drafts).await };
            match outcome {
                Put::Durable => {}
                Put::NotNow => self.put_back(counted),
                Put::Stopped => return,
            }
            if is_last {
                return;
            }
        }
    }
}

impl State {
    fn take_place(&mut self, address: IpAddr) -> bool {
        if self.singles >= MAX_SINGLE_EVENTS {
            return false;
        }
        let of_address = self.single.entry(address).or_default();
        if *of_address >= MAX_SINGLE_EVENTS_PER_ADDRESS {
            return false;
        }
        *of_address += 1;
        self.singles += 1;
        true
    }
}

impl Counted {
    /// One event for every front and cause.
    fn drafts(&self, now: Instant) -> Vec<Draft> {
        let seconds = now.saturating_duration_since(self.since).as_secs().max(1);
        let draft = |((front, code), count): (&(Front, &'static str), &Count)| {
            let context = Context { client: count.last.map(Endpoint::from), ..Context::default() };
            let failed = Authentication {
                outcome: Outcome::Failure,
                method: count.method,
                front: *front,
                failure: Some((*code).to_owned()),
                message: Some(format!(
                    "counted {} times in {seconds} s, in place of an event each; the address is that of the last, where it is proved",
                    count.times
                )),
                issuer: None,
                token_id: None,
                key_id: None,
                binding: None,
                expires_at: None,
            };
            Draft::new(context.into(), None, Body::Authentication(failed))
        };
        self.counts.iter().map(draft).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1)
    }

    #[test]
    fn a_flood_gets_so_many_events_and_is_counted_beyond() {
        let strangers = Strangers::new();
        let failure = AuthFailure::missing();
        let asked = |address: &str, times: usize| {
            let may = || strangers.may_record(Front::Quic, &failure, peer(address));
            (0..times).filter(|_| may()).count()
        };
        assert_eq!(asked("192.0.2.1", 1_000), 32);
        // One loud /64 is one address.
        assert_eq!(asked("2001:db8::1", 20) + asked("2001:db8::2", 20), 32);
        assert_eq!(asked("192.0.2.2", 3), 3);
        let of_many: usize = (0..=255).map(|n| asked(&format!("198.51.100.{n}"), 1)).sum();
        assert_eq!(of_many, 128 - 32 - 32 - 3);
        let counted = strangers.take();
        let count = counted.counts[&(Front::Quic, "no_token")];
        assert_eq!(count.times, 1_000 - 32 + 8 + 256 - 61);
        assert_eq!(counted.counts.len(), 1);
        // A new interval has new places, and nothing is kept of the old one.
        assert!(strangers.take().counts.is_empty());
        assert_eq!(asked("192.0.2.1", 1), 1);
    }

    #[test]
    fn counts_that_are_not_on_record_are_not_lost() {
        let strangers = Strangers::new();
        strangers.turned_away(Front::Tcp, "no_request", None);
        let first = strangers.take();
        let since = first.since;
        strangers.turned_away(Front::Tcp, "no_request", Some(peer("192.0.2.1")));
        strangers.put_back(first);
        let both = strangers.take();
        let count = both.counts[&(Front::Tcp, "no_request")];
        assert_eq!((count.times, count.last), (2, Some(peer("192.0.2.1"))));
        assert_eq!(both.since, since);
    }
}
