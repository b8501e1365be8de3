//! What policy is in force, and the file it follows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tallyport_schemas::{PolicyChange, PolicyKind};
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::files::{self, Stamp};
use super::{PolicyError, PolicySet};

/// Changes that may wait to be recorded; the watch waits beyond it.
const PENDING_CHANGES: usize = 16;
/// How long a burst of file events is given to end.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How often a file that is being written is looked at before it is read all the same.
const MAX_LOOKS: u32 = 50;
/// How often the files are looked at when the system reports nothing (network mounts, replaced directories).
const POLL: Duration = Duration::from_millis(500);
/// The most bytes of an error that goes into an event.
const MAX_ERROR_BYTES: usize = 4096;

/// The policy in force. Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct PolicyStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    current: ArcSwap<PolicySet>,
    /// Absent when the policy came as a text: it never changes then.
    path: Option<PathBuf>,
}

impl PolicyStore {
    /// Loads a file, or all `*.cedar` files of a directory.
    ///
    /// # Errors
    /// Every variant of [`PolicyError`]; a service must not start without a policy.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, PolicyError> {
        let path = path.as_ref();
        let set = PolicySet::read(path)?;
        Ok(Self::holding(set, Some(path.to_path_buf())))
    }

    /// Holds a text for good; `source` names it in errors and events.
    ///
    /// # Errors
    /// See [`PolicySet::parse`].
    pub fn from_text(text: &str, source: &str) -> Result<Self, PolicyError> {
        Ok(Self::holding(PolicySet::parse(text, source)?, None))
    }

    /// What is in force now. A decision is made wholly by the set that this returns.
    #[must_use]
    pub fn current(&self) -> Arc<PolicySet> {
        self.shared.current.load_full()
    }

    /// Follows the file until `cancel`, and reports every change: first what is in force at the start, then each
    /// set taken or refused. A refused one leaves in force what was. Called once per store.
    ///
    /// A change comes into force, then is reported; the caller puts it on record. While 16 reports
    /// wait to be taken, and once the receiver is dropped, no further change comes into force.
    #[must_use = "policy stops following its file when the receiver is dropped"]
    pub fn watch(&self, cancel: CancellationToken) -> mpsc::Receiver<PolicyChange> {
        let (changes, receiver) = mpsc::channel(PENDING_CHANGES);
        let follower = Follower {
            shared: Arc::clone(&self.shared),
            changes,
            refused: None,
            seen: Stamp::default(),
        };
        tokio::spawn(follower.run(cancel));
        receiver
    }

    fn holding(set: PolicySet, path: Option<PathBuf>) -> Self {
        for warning in set.warnings() {
            tracing::warn!(source = set.source(), warning, "policy looks like a mistake");
        }
        Self { shared: Arc::new(Shared { current: ArcSwap::from_pointee(set), path }) }
    }
}

struct Follower {
    shared: Arc<Shared>,
    changes: mpsc::Sender<PolicyChange>,
    /// The last refusal, so that one bad file is reported once.
    refused: Option<String>,
    seen: Stamp,
}

impl Follower {
    async fn run(mut self, cancel: CancellationToken) {
        let at_start = loaded(&self.shared.current.load(), None);
        let follow = async {
            if self.changes.send(at_start).await.is_err() {
                return;
            }
            match self.shared.path.clone() {
                Some(path) => self.follow(&path).await,
                None => self.changes.closed().await,
            }
        };
        let _finished = cancel.run_until_cancelled(follow).await;
    }

    async fn follow(&mut self, path: &Path) {
        let touched = Arc::new(Notify::new());
        let _watcher = watcher(path, Arc::clone(&touched));
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let reported = tokio::select! {
                () = touched.notified() => { sleep(DEBOUNCE).await; true }
                _ = poll.tick() => false,
                () = self.changes.closed() => return,
            };
            let stamp = Stamp::of(path);
            if !reported && stamp == self.seen {
                continue;
            }
            self.seen = settled(path, stamp).await;
            // A place for the report comes first: what nobody takes note of must not come into force.
            let changes = self.changes.clone();
            let Ok(place) = changes.reserve().await else {
                return;
            };
            if let Some(change) = self.reload(path).await {
                place.send(change);
            }
        }
    }

    /// What changed, if anything did.
    async fn reload(&mut self, path: &Path) -> Option<PolicyChange> {
        let before = self.shared.current.load_full();
        let file = path.to_path_buf();
        // Fails only when the runtime shuts down: nothing is to be reported then.
        let read = tokio::task::spawn_blocking(move || PolicySet::read(&file)).await.ok()?;
        match read {
            Ok(set) if set.version() == before.version() => {
                self.refused = None;
                None
            }
            // What is cut off, or not written yet; whoever means it removes access otherwise.
            Ok(set) if set.is_empty() && !before.is_empty() => {
                let source = set.source();
                let error = format!(
                    "{source}: no policy at all would keep out everybody; to mean that, write one that forbids: forbid (principal, action, resource);"
                );
                self.refuse(path, &before, error)
            }
            Ok(set) => {
                self.refused = None;
                let change = loaded(&set, Some(before.version()));
                tracing::info!(source = set.source(), version = set.version(), "policy loaded");
                self.shared.current.store(Arc::new(set));
                Some(change)
            }
            Err(error) => self.refuse(path, &before, error.to_string()),
        }
    }

    /// A bad one is reported once.
    fn refuse(&mut self, path: &Path, before: &PolicySet, error: String) -> Option<PolicyChange> {
        let error = bounded(error);
        if self.refused.as_ref() == Some(&error) {
            return None;
        }
        tracing::error!(
            error,
            kept = before.version(),
            "policy refused, the old one stays in force"
        );
        self.refused = Some(error.clone());
        Some(PolicyChange::Rejected {
            kind: PolicyKind::Policy,
            kept: before.version().to_owned(),
            source: files::name_of(path),
            error,
        })
    }
}

/// Waits until a file is written: half of one may be a policy, too, without what it forbids.
async fn settled(path: &Path, mut stamp: Stamp) -> Stamp {
    for _ in 0..MAX_LOOKS {
        sleep(DEBOUNCE).await;
        let now = Stamp::of(path);
        if now == stamp {
            break;
        }
        stamp = now;
    }
    stamp
}

fn loaded(set: &PolicySet, previous: Option<&str>) -> PolicyChange {
    PolicyChange::Loaded {
        kind: PolicyKind::Policy,
        version: set.version().to_owned(),
        previous: previous.map(str::to_owned),
        source: set.source().to_owned(),
    }
}

/// Watches the directory that holds the file, since editors and mounts replace files rather than write them.
fn watcher(path: &Path, touched: Arc<Notify>) -> Option<RecommendedWatcher> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let watched = if path.is_dir() { path } else { parent.unwrap_or(Path::new(".")) };
    let made = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Our own reading opens and closes the file; taking that for a change would never end.
        let reading = event.is_ok_and(|event| {
            matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
        });
        if !reading {
            touched.notify_one();
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(watched, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match made {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "file events are not available; policy files are polled");
            None
        }
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_ERROR_BYTES {
        let cut = (0..=MAX_ERROR_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
    }
    text
}
