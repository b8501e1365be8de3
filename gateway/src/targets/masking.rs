//! What masking configuration is in force, and the file it follows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use gateway_core::masking::{Masking, MaskingError, SecretSource};
use parking_lot::Mutex;
use tallyport_access::SecretCommand;
use tallyport_schemas::{PolicyChange, PolicyKind};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Credential;

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(500);
/// How often a key's program is run, unless what it printed is fresh.
const ASK_PROGRAM: Duration = Duration::from_secs(5);
/// Changes that may wait to be recorded; the watch waits beyond it.
const PENDING_CHANGES: usize = 16;

/// The masking configuration in force. Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct MaskingStore {
    current: Arc<ArcSwap<Masking>>,
    path: Option<PathBuf>,
    program: Program,
}

/// The program that prints the key of keyed hashes, where one does. It is kept over the file that names it, so that what it printed is.
#[derive(Clone, Debug)]
struct Program {
    known: Arc<Mutex<Option<Known>>>,
    /// How often it is run, unless what it printed is fresh.
    every: Duration,
}

/// A program by the words that name it.
type Known = (Vec<String>, SecretCommand);

impl Default for Program {
    fn default() -> Self {
        Self { known: Arc::default(), every: ASK_PROGRAM }
    }
}

impl Program {
    /// The one of these words.
    fn of(&self, words: &[String]) -> Result<SecretCommand, String> {
        let mut kept = self.known.lock();
        if let Some((known, command)) = &*kept
            && known == words
        {
            return Ok(command.clone());
        }
        let command = SecretCommand::try_from(words.to_vec())?;
        *kept = Some((words.to_vec(), command.clone()));
        Ok(command)
    }

    /// What a masking file's key is. A program that was not run yet is waited for.
    fn key(&self, source: &SecretSource) -> Result<Vec<u8>, String> {
        let SecretSource::Command(words) = source else { return source.read() };
        let secret = Credential::Command(self.of(words)?).read_first();
        secret.map(|it| it.expose().as_bytes().to_vec()).map_err(|error| error.to_string())
    }
}

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaskingStoreError {
    /// It cannot be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It says nothing at all.
    #[error("{file}: is empty; where nothing is to be masked, write `[columns]`")]
    Empty {
        /// The file.
        file: String,
    },
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] MaskingError),
}

impl MaskingStore {
    /// No column bears a label.
    #[must_use]
    pub fn none() -> Self {
        Self::fixed(Masking::default())
    }

    /// Holds a configuration for good.
    #[must_use]
    pub fn fixed(masking: Masking) -> Self {
        let current = Arc::new(ArcSwap::from_pointee(masking));
        Self { current, path: None, program: Program::default() }
    }

    /// Loads a file.
    ///
    /// # Errors
    /// When it cannot be read or is not valid; a gateway must not start then.
    pub fn load(path: &Path) -> Result<Self, MaskingStoreError> {
        let program = Program::default();
        let masking = read(path, &program)?;
        Ok(Self { path: Some(path.to_path_buf()), program, ..Self::fixed(masking) })
    }

    /// What is in force now.
    #[must_use]
    pub fn current(&self) -> Arc<Masking> {
        self.current.load_full()
    }

    /// Follows the file until `cancel` and reports every change, what is in force at the start first. A file that is
    /// refused leaves in force what was.
    #[must_use = "masking stops following its file when the receiver is dropped"]
    pub fn watch(&self, cancel: CancellationToken) -> mpsc::Receiver<PolicyChange> {
        let (changes, receiver) = mpsc::channel(PENDING_CHANGES);
        let store = self.clone();
        tokio::spawn(async move {
            cancel.run_until_cancelled(store.follow(changes)).await;
        });
        receiver
    }

    async fn follow(self, changes: mpsc::Sender<PolicyChange>) {
        let start = self.loaded(&self.current(), None);
        if changes.send(start).await.is_err() {
            return;
        }
        let Some(path) = self.path.clone() else { return changes.closed().await };
        // Nothing is seen yet: the file may have changed since it was loaded.
        let (mut seen, mut last, mut due) = (None, None, false);
        let (mut refused, mut asked) = (None, Instant::now());
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = changes.closed() => return,
            }
            let printed = match self.current().key_source() {
                Some(SecretSource::Command(words)) => self.program_ran(words, &mut asked).await,
                _ => false,
            };
            let now = Some((stamp(&path), self.key_stamp()));
            // One that is being written is read at the next look: half of it may be one, too, with fewer labels.
            let is_whole = std::mem::replace(&mut last, now) == now;
            due |= printed || now != seen;
            if !is_whole || !due {
                continue;
            }
            due = false;
            seen = now;
            let read = self.read(&path).await;
            if let Some(change) = self.reload(&path, read, &mut refused)
                && changes.send(change).await.is_err()
            {
                return;
            }
        }
    }

    /// Where the key is in a file, which it is now.
    fn key_stamp(&self) -> Option<(SystemTime, u64)> {
        match self.current().key_source() {
            Some(SecretSource::File(path)) => stamp(path),
            _ => None,
        }
    }

    /// Whether the key's program was run again, or failed to.
    async fn program_ran(&self, words: &[String], asked: &mut Instant) -> bool {
        if asked.elapsed() < self.program.every {
            return false;
        }
        *asked = Instant::now();
        match self.program.of(words).map(Credential::Command) {
            Ok(credential) => credential.refresh().await.unwrap_or(true),
            Err(_) => true,
        }
    }

    /// Reads the file where a program may be waited for.
    async fn read(&self, path: &Path) -> Result<Masking, MaskingStoreError> {
        let (from, program) = (path.to_path_buf(), self.program.clone());
        let read = tokio::task::spawn_blocking(move || read(&from, &program)).await;
        read.unwrap_or_else(|error| {
            let source = std::io::Error::other(error);
            Err(MaskingStoreError::Read { file: name_of(path), source })
        })
    }

    fn reload(
        &self,
        path: &Path,
        read: Result<Masking, MaskingStoreError>,
        refused: &mut Option<String>,
    ) -> Option<PolicyChange> {
        let before = self.current();
        match read {
            Ok(masking) if masking.fingerprint() == before.fingerprint() => None,
            Ok(masking) => {
                *refused = None;
                let change = self.loaded(&masking, Some(before.version()));
                tracing::info!(version = masking.version(), "masking loaded");
                let unlabelled = before.unlabelled_in(&masking);
                if !unlabelled.is_empty() {
                    tracing::warn!(
                        columns = unlabelled.join(", "),
                        "columns have no label any more: what was hidden in them is shown from now on, wherever policy lets them be read"
                    );
                }
                self.current.store(Arc::new(masking));
                Some(change)
            }
            Err(error) => {
                let error = error.to_string();
                if refused.as_ref() == Some(&error) {
                    return None;
                }
                tracing::error!(error, "masking refused, the old one stays in force");
                *refused = Some(error.clone());
                Some(PolicyChange::Rejected {
                    kind: PolicyKind::Masking,
                    kept: before.version().to_owned(),
                    source: name_of(path),
                    error,
                })
            }
        }
    }

    fn loaded(&self, masking: &Masking, previous: Option<&str>) -> PolicyChange {
        PolicyChange::Loaded {
            kind: PolicyKind::Masking,
            version: masking.version().to_owned(),
            previous: previous.map(str::to_owned),
            source: self.path.as_deref().map_or_else(|| "built in".to_owned(), name_of),
        }
    }
}

fn read(path: &Path, program: &Program) -> Result<Masking, MaskingStoreError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| MaskingStoreError::Read { file: name_of(path), source })?;
    // Cut off, or not written yet.
    if text.trim().is_empty() {
        return Err(MaskingStoreError::Empty { file: name_of(path) });
    }
    Ok(Masking::parse_with(&text, &name_of(path), |source| program.key(source))?)
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_between_load_and_watch_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("masking.toml");
        std::fs::write(&file, "[columns]\n").unwrap();
        let store = MaskingStore::load(&file).unwrap();
        std::fs::write(&file, "[columns]\n\"app.customers.ssn\" = \"pii.ssn\"\n").unwrap();
        let before = store.current().version().to_owned();
        let mut changes = store.watch(CancellationToken::new());
        let start = changes.recv().await.unwrap();
        assert!(matches!(start, PolicyChange::Loaded { previous: None, .. }), "{start:?}");
        let next = tokio::time::timeout(Duration::from_secs(20), changes.recv()).await.unwrap();
        let Some(PolicyChange::Loaded { previous, version, .. }) = next else { panic!("{next:?}") };
        assert_eq!(previous.as_deref(), Some(before.as_str()));
        assert_eq!(store.current().version(), version);
    }

    /// `cp` and editors write a file in place: it is empty for a moment, then begun.
    #[tokio::test]
    async fn a_file_that_is_being_written_is_not_taken_for_one_with_fewer_labels() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("masking.toml");
        let whole = "[columns]\n\"app.customers.ssn\" = \"pii.ssn\"\n\"app.customers.card\" = \"pii.card\"\n";
        std::fs::write(&file, whole).unwrap();
        let store = MaskingStore::load(&file).unwrap();
        let mut changes = store.watch(CancellationToken::new());
        let _start = changes.recv().await.unwrap();
        // Longer each time, as long as it is looked at.
        let written =
            format!("{whole}\"app.orders.card\" = \"pii.card\"\n{}", "# more\n".repeat(40));
        let began = tokio::time::Instant::now();
        let mut length = whole.len() / 2;
        while length < written.len() {
            std::fs::write(&file, &written[..length]).unwrap();
            tokio::time::sleep(POLL / 5).await;
            length += written.len() / 30;
            assert!(changes.try_recv().is_err(), "after {:?}", began.elapsed());
        }
        std::fs::write(&file, &written).unwrap();
        let next = tokio::time::timeout(Duration::from_secs(20), changes.recv()).await.unwrap();
        let Some(PolicyChange::Loaded { version, .. }) = next else { panic!("{next:?}") };
        assert_eq!(version, Masking::parse(&written, "masking.toml").unwrap().version());
        std::fs::write(&file, " \n").unwrap();
        let next = tokio::time::timeout(Duration::from_secs(20), changes.recv()).await.unwrap();
        let Some(PolicyChange::Rejected { error, kept, .. }) = next else { panic!("{next:?}") };
        assert!(error.contains("is empty") && error.contains("[columns]"), "{error}");
        assert_eq!(kept, version);
        assert!(MaskingStore::load(&file).is_err(), "nor does a gateway start with it");
    }

    #[tokio::test]
    async fn a_new_key_of_hashes_is_seen_although_the_file_that_names_it_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (file, key) = (folder.path().join("masking.toml"), folder.path().join("key"));
        std::fs::write(&key, "the first key of hashes\n").unwrap();
        let text = format!("hash_key = {{ file = \"{}\" }}\n", key.display());
        std::fs::write(&file, text).unwrap();
        let store = MaskingStore::load(&file).unwrap();
        let before = store.current();
        let mut changes = store.watch(CancellationToken::new());
        let _start = changes.recv().await.unwrap();
        std::fs::write(&key, "short").unwrap();
        let next = tokio::time::timeout(Duration::from_secs(20), changes.recv()).await.unwrap();
        let Some(PolicyChange::Rejected { error, .. }) = next else { panic!("{next:?}") };
        assert!(error.contains("shorter") && !error.contains("short\""), "{error}");
        assert_eq!(store.current().fingerprint(), before.fingerprint());
        std::fs::write(&key, "the second key of hashes\n").unwrap();
        let next = tokio::time::timeout(Duration::from_secs(20), changes.recv()).await.unwrap();
        let Some(PolicyChange::Loaded { previous, version, .. }) = next else { panic!("{next:?}") };
        assert_eq!(previous.as_deref(), Some(version.as_str()), "the text is the same");
        assert_ne!(store.current().fingerprint(), before.fingerprint());
    }

    #[tokio::test]
    async fn a_key_that_a_program_prints_is_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let (file, key) = (folder.path().join("masking.toml"), folder.path().join("key"));
        let runs = folder.path().join("runs");
        std::fs::write(&key, "the first key of hashes\n").unwrap();
        let script = format!("echo >> {}; cat {}", runs.display(), key.display());
        let text = format!("hash_key = {{ command = [\"/bin/sh\", \"-c\", \"{script}\"] }}\n");
        std::fs::write(&file, text).unwrap();
        let ran = || std::fs::read_to_string(&runs).unwrap().lines().count();
        let mut store = MaskingStore::load(&file).unwrap();
        store.program.every = Duration::ZERO;
        let before = store.current();
        assert!(before.has_hash_key());
        // As it is once a minute is over.
        let a_minute_later = || {
            let Some(SecretSource::Command(words)) = before.key_source() else {
                panic!("no program")
            };
            Credential::Command(store.program.of(words).unwrap()).forget();
        };
        assert_eq!(ran(), 1);
        let mut changes = store.watch(CancellationToken::new());
        let _start = changes.recv().await.unwrap();
        std::fs::write(&key, "the second key of hashes\n").unwrap();
        tokio::time::sleep(POLL * 3).await;
        assert_eq!(ran(), 1, "what it printed is fresh");
        a_minute_later();
        let Some(PolicyChange::Loaded { .. }) = changes.recv().await else { panic!("not loaded") };
        assert_ne!(store.current().fingerprint(), before.fingerprint());
        assert_eq!(ran(), 2, "not for each look at the file");
        std::fs::remove_file(&key).unwrap();
        a_minute_later();
        let next = changes.recv().await;
        let Some(PolicyChange::Rejected { error, .. }) = next else { panic!("{next:?}") };
        assert!(error.contains("/bin/sh ended with"), "{error}");
        assert!(store.current().has_hash_key(), "the one before it counts on");
    }
}
