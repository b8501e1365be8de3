//! Keeps an issuer's keys, and bounds how often the issuer is asked for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::failure::Reason;
use super::issuer::KeyTimes;
use super::key_set::KeySet;
use super::key_source::{FetchError, KeySource};

/// The keys of one issuer, fetched when they are needed.
#[derive(Debug)]
pub(super) struct KeyCache {
    source: Arc<KeySource>,
    times: KeyTimes,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    last_start: Option<Instant>,
    last_failed: bool,
    running: Option<Running>,
}

#[derive(Debug)]
struct Kept {
    keys: Arc<KeySet>,
    fetched: Instant,
}

/// The one fetch that is under way; dropping the cache ends it.
#[derive(Debug)]
struct Running {
    done: watch::Receiver<()>,
    _task: AbortOnDropHandle<()>,
}

impl KeyCache {
    pub(super) fn new(source: KeySource, times: KeyTimes) -> Self {
        Self { source: Arc::new(source), times, state: Mutex::default() }
    }

    /// Keys for which `knows` holds. Asks the issuer at most once, and only when that is due.
    ///
    /// # Cancel safety
    /// Cancel safe: a fetch that was begun goes on for others.
    pub(super) async fn keys(
        self: &Arc<Self>,
        knows: impl Fn(&KeySet) -> bool,
    ) -> Result<Arc<KeySet>, Reason> {
        let mut done = match self.begin(&knows, Instant::now()) {
            Begun::Keys(keys) => return Ok(keys),
            Begun::Refused(reason) => return Err(reason),
            Begun::Waiting(done) => done,
        };
        // An error says that the fetch is over and its sender gone: the state tells how it ended.
        let _over = done.changed().await;
        let state = self.state.lock();
        match state.usable(Instant::now(), self.times) {
            Some(kept) if knows(&kept.keys) => Ok(Arc::clone(&kept.keys)),
            Some(_) if !state.last_failed => Err(Reason::UnknownKey),
            _ => Err(Reason::IssuerUnavailable),
        }
    }

    fn begin(self: &Arc<Self>, knows: impl Fn(&KeySet) -> bool, now: Instant) -> Begun {
        let mut state = self.state.lock();
        let known = state
            .usable(now, self.times)
            .filter(|kept| knows(&kept.keys))
            .map(|kept| Arc::clone(&kept.keys));
        match plan(&state.sight(now, known.is_some(), self.times), self.times) {
            Plan::Serve { refresh } => {
                if refresh {
                    self.start(&mut state, now);
                }
                known.map_or(Begun::Refused(Reason::UnknownKey), Begun::Keys)
            }
            Plan::Fetch => Begun::Waiting(self.start(&mut state, now)),
            Plan::Join => match &state.running {
                Some(running) => Begun::Waiting(running.done.clone()),
                None => Begun::Refused(Reason::IssuerUnavailable),
            },
            Plan::Refuse(reason) => Begun::Refused(reason),
        }
    }

    fn start(self: &Arc<Self>, state: &mut State, now: Instant) -> watch::Receiver<()> {
        let (finished, done) = watch::channel(());
        let source = Arc::clone(&self.source);
        let cache = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            let fetched = source.fetch().await;
            if let Some(cache) = cache.upgrade() {
                cache.finish(fetched, Instant::now());
            }
            drop(finished);
        });
        state.last_start = Some(now);
        state.running = Some(Running { done: done.clone(), _task: AbortOnDropHandle::new(task) });
        done
    }

    /// Keys that could not be fetched anew stay as they are, until they are too old.
    fn finish(&self, fetched: Result<KeySet, FetchError>, now: Instant) {
        let mut state = self.state.lock();
        state.last_failed = fetched.is_err();
        match fetched {
            Ok(keys) => {
                tracing::debug!(issuer = self.source.issuer, ?keys, "issuer's keys fetched");
                state.kept = Some(Kept { keys: Arc::new(keys), fetched: now });
            }
            Err(error) => {
                tracing::warn!(issuer = self.source.issuer, %error, "issuer's keys cannot be fetched");
            }
        }
    }
}

enum Begun {
    Keys(Arc<KeySet>),
    Waiting(watch::Receiver<()>),
    Refused(Reason),
}

impl State {
    fn usable(&self, now: Instant, times: KeyTimes) -> Option<&Kept> {
        self.kept.as_ref().filter(|kept| now.saturating_duration_since(kept.fetched) < times.keep)
    }

    fn sight(&self, now: Instant, known: bool, times: KeyTimes) -> Sight {
        let age = |since: Instant| now.saturating_duration_since(since);
        Sight {
            keys_age: self.usable(now, times).map(|kept| age(kept.fetched)),
            known,
            // A sender that is gone says that the fetch is over.
            running: self.running.as_ref().is_some_and(|run| run.done.has_changed().is_ok()),
            since_start: self.last_start.map(age),
            last_failed: self.last_failed,
        }
    }
}

/// What is known when a token asks for a key.
struct Sight {
    /// Absent when there are none, or only such as are too old to serve.
    keys_age: Option<Duration>,
    known: bool,
    running: bool,
    since_start: Option<Duration>,
    last_failed: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Serve { refresh: bool },
    Fetch,
    Join,
    Refuse(Reason),
}

fn plan(sight: &Sight, times: KeyTimes) -> Plan {
    let may_start =
        !sight.running && sight.since_start.is_none_or(|since| since >= times.min_refresh);
    match sight.keys_age {
        Some(age) if sight.known => Plan::Serve { refresh: age >= times.max_age && may_start },
        _ if sight.running => Plan::Join,
        _ if may_start => Plan::Fetch,
        Some(_) if !sight.last_failed => Plan::Refuse(Reason::UnknownKey),
        _ => Plan::Refuse(Reason::IssuerUnavailable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: KeyTimes = KeyTimes {
        max_age: Duration::from_secs(600),
        min_refresh: Duration::from_secs(5),
        keep: Duration::from_secs(3600),
    };

    fn sight(keys_age: Option<u64>, known: bool, since_start: Option<u64>) -> Sight {
        Sight {
            keys_age: keys_age.map(Duration::from_secs),
            known,
            running: false,
            since_start: since_start.map(Duration::from_secs),
            last_failed: false,
        }
    }

    #[test]
    fn fresh_keys_serve_and_old_ones_serve_while_they_are_fetched_anew() {
        assert_eq!(plan(&sight(Some(10), true, Some(10)), TIMES), Plan::Serve { refresh: false });
        assert_eq!(plan(&sight(Some(601), true, Some(601)), TIMES), Plan::Serve { refresh: true });
        assert_eq!(
            plan(&sight(Some(601), true, Some(1)), TIMES),
            Plan::Serve { refresh: false },
            "a failed try is not repeated at once"
        );
    }

    #[test]
    fn an_unknown_key_asks_the_issuer_at_most_once_per_interval() {
        assert_eq!(plan(&sight(Some(10), false, Some(5)), TIMES), Plan::Fetch);
        assert_eq!(plan(&sight(Some(10), false, Some(4)), TIMES), Plan::Refuse(Reason::UnknownKey));
    }

    #[test]
    fn without_keys_everything_is_refused_until_the_issuer_answers() {
        assert_eq!(plan(&sight(None, false, None), TIMES), Plan::Fetch);
        let mut failed = sight(None, false, Some(1));
        failed.last_failed = true;
        assert_eq!(plan(&failed, TIMES), Plan::Refuse(Reason::IssuerUnavailable));
    }

    #[test]
    fn a_fetch_under_way_is_joined_never_doubled() {
        let mut busy = sight(None, false, Some(60));
        busy.running = true;
        assert_eq!(plan(&busy, TIMES), Plan::Join);
        let mut busy = sight(Some(700), true, Some(60));
        busy.running = true;
        assert_eq!(plan(&busy, TIMES), Plan::Serve { refresh: false });
    }
}
