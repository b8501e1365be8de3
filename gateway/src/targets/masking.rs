//! What masking configuration is in force, and the file it follows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use gateway_core::masking::{Masking, MaskingError};
use tallyport_schemas::{PolicyChange, PolicyKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(500);
/// Changes that may wait to be recorded; the watch waits beyond it.
const PENDING_CHANGES: usize = 16;

/// The masking configuration in force. Cheap to clone; all clones see the same.
#[derive(Clone, Debug)]
pub struct MaskingStore {
    current: Arc<ArcSwap<Masking>>,
    path: Option<PathBuf>,
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
        Self { current: Arc::new(ArcSwap::from_pointee(masking)), path: None }
    }

    /// Loads a file.
    ///
    /// # Errors
    /// When it cannot be read or is not valid; a gateway must not start then.
    pub fn load(path: &Path) -> Result<Self, MaskingStoreError> {
        let masking = read(path)?;
        Ok(Self { path: Some(path.to_path_buf()), ..Self::fixed(masking) })
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
        let mut seen = None;
        let mut refused = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = changes.closed() => return,
            }
            let now = Some((stamp(&path), self.current().key_file().map(stamp)));
            if now == seen {
                continue;
            }
            seen = now;
            if let Some(change) = self.reload(&path, &mut refused)
                && changes.send(change).await.is_err()
            {
                return;
            }
        }
    }

    fn reload(&self, path: &Path, refused: &mut Option<String>) -> Option<PolicyChange> {
        let before = self.current();
        match read(path) {
            Ok(masking) if masking.fingerprint() == before.fingerprint() => None,
            Ok(masking) => {
                *refused = None;
                let change = self.loaded(&masking, Some(before.version()));
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

fn read(path: &Path) -> Result<Masking, MaskingStoreError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| MaskingStoreError::Read { file: name_of(path), source })?;
    Ok(Masking::parse(&text, &name_of(path))?)
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
}
