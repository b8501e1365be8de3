//! Whether the process can do its work: every check looks when it is asked, and remembers since when it says so.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

/// How often checks look although nobody asks, so that `since` is true.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The state of a process that drains.
const STOPPING: &str = "stopping";

/// What a check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Whether the process can do its work as far as this check goes.
    pub ok: bool,
    /// What it looked at: codes, numbers and configured names. It is told to anybody who asks.
    pub detail: Value,
}

/// One question that readiness depends on.
pub struct Check {
    name: &'static str,
    look: Box<dyn Fn() -> Verdict + Send + Sync>,
    last: Mutex<Option<(bool, Timestamp)>>,
}

/// The checks of this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Starting,
    Serving(Arc<[Check]>),
    /// It drains; and whether that is because something failed.
    Stopping {
        failed: bool,
    },
}

impl Check {
    /// A check of this name; `look` must answer at once.
    pub fn new(name: &'static str, look: impl Fn() -> Verdict + Send + Sync + 'static) -> Self {
        Self { name, look: Box::new(look), last: Mutex::default() }
    }

    fn look(&self) -> (Verdict, Timestamp) {
        let verdict = (self.look)();
        let mut last = self.last.lock();
        let since = last
            .filter(|(ok, _)| *ok == verdict.ok)
            .map_or_else(Timestamp::now, |(_, since)| since);
        *last = Some((verdict.ok, since));
        (verdict, since)
    }
}

impl Readiness {
    /// The services run: from now on these checks say whether the process is ready.
    pub fn serving(&self, checks: Vec<Check>) {
        *self.state.lock() = State::Serving(checks.into());
    }

    /// The process ends: it is not ready any more, so that nothing new is sent to it while it drains. Where it ends because
    /// something failed, nobody takes it out of service but by its readiness.
    pub fn stopping(&self, failed: bool) {
        let mut state = self.state.lock();
        let failed = failed || matches!(*state, State::Stopping { failed: true });
        *state = State::Stopping { failed };
    }

    /// Whether it is ready, and what each check says. What `without` names is told and does not count: checks, and
    /// `stopping`, so that a process that drains is ready for what it has.
    #[must_use]
    pub fn report(&self, without: &[&str]) -> (bool, Value) {
        let state = self.state.lock().clone();
        let (word, checks) = match &state {
            State::Starting => ("starting", None),
            State::Serving(checks) => ("serving", Some(checks)),
            State::Stopping { failed: false } => (STOPPING, None),
            State::Stopping { failed: true } => ("failed", None),
        };
        let drains =
            matches!(state, State::Stopping { failed: false }) && without.contains(&STOPPING);
        let mut ready = checks.is_some() || drains;
        let mut said = Map::new();
        for check in checks.into_iter().flat_map(|checks| checks.iter()) {
            let (verdict, since) = check.look();
            ready &= verdict.ok || without.contains(&check.name);
            let answer = json!({ "ok": verdict.ok, "since": since, "detail": verdict.detail });
            said.insert(check.name.to_owned(), answer);
        }
        // A name that is misspelt would leave nothing out, and look as if it did.
        let is_unknown = |name: &&&str| **name != STOPPING && !said.contains_key(**name);
        let unknown: Vec<_> =
            without.iter().filter(|_| checks.is_some()).filter(is_unknown).collect();
        ready &= unknown.is_empty();
        let report = if without.is_empty() {
            json!({ "ready": ready, "state": word, "checks": said })
        } else {
            json!({ "ready": ready, "state": word, "without": without, "unknown": unknown, "checks": said })
        };
        (ready, report)
    }

    /// Looks now and then until `stop`.
    pub(crate) async fn keep_looking(self, stop: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let _report = self.report(&[]);
            }
        };
        stop.run_until_cancelled(looking).await;
    }
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn it_is_ready_only_while_it_serves_and_every_check_agrees() {
        let readiness = Readiness::default();
        assert!(!readiness.report(&["stopping"]).0, "nothing runs yet");
        let good = Arc::new(AtomicBool::new(true));
        let looked = Arc::clone(&good);
        let sound = Check::new("sound", || Verdict { ok: true, detail: Value::Null });
        let other = Check::new("other", move || Verdict {
            ok: looked.load(Ordering::Relaxed),
            detail: json!({ "n": 1 }),
        });
        readiness.serving(vec![sound, other]);
        let (ready, said) = readiness.report(&[]);
        assert!(ready);
        assert_eq!(said["checks"]["other"]["detail"], json!({ "n": 1 }));
        let since = said["checks"]["other"]["since"].clone();
        assert_eq!(readiness.report(&[]).1["checks"]["other"]["since"], since, "nothing changed");
        good.store(false, Ordering::Relaxed);
        let (ready, said) = readiness.report(&[]);
        assert!(!ready, "one check is enough");
        assert_ne!(said["checks"]["other"]["since"], since, "it says so since now");
        assert_eq!(said["checks"]["sound"]["ok"], json!(true));
        assert!(!readiness.report(&["sound", "stopping"]).0, "another one does not count");
        let (ready, said) = readiness.report(&["other"]);
        assert!(ready, "it does not count");
        assert_eq!(said["checks"]["other"]["ok"], json!(false), "and is told");
        assert_eq!(said["without"], json!(["other"]));
        good.store(true, Ordering::Relaxed);
        assert!(readiness.report(&[]).0);
        let (ready, said) = readiness.report(&["sound", "other", "sounds"]);
        assert!(!ready, "a name that is misspelt is told");
        assert_eq!((&said["unknown"], &said["ready"]), (&json!(["sounds"]), &json!(false)));
        readiness.stopping(false);
        assert!(!readiness.report(&[]).0, "what drains takes nothing new");
        assert!(readiness.report(&["stopping", "other"]).0, "and keeps what it has");
        readiness.stopping(true);
        let (ready, said) = readiness.report(&["stopping"]);
        assert!(!ready, "nobody takes it out of service otherwise");
        assert_eq!(said["state"], "failed");
    }
}
