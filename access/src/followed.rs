//! Files that count as they are: read anew once they were written anew.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// How often it is looked whether the file changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a file says, in the form of `T`.
pub(crate) struct Followed<T> {
    file: PathBuf,
    is: Kind<T>,
    state: Mutex<State<T>>,
}

/// What such a file is.
pub(crate) struct Kind<T> {
    /// For the log, such as "the trust domain's bundle".
    pub(crate) name: &'static str,
    /// No larger one is read.
    pub(crate) max_bytes: u64,
    /// What a content means, or why it is none.
    pub(crate) parse: fn(&[u8]) -> Result<T, String>,
}

struct State<T> {
    value: Arc<T>,
    stamp: Option<Stamp>,
    looked: Instant,
}

/// A file that was written anew has another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl<T> Followed<T> {
    /// Reads the file; what is wrong with it does not name it.
    pub(crate) fn load(file: &Path, is: Kind<T>) -> Result<Self, String> {
        let (value, stamp) = is.read(file)?;
        Ok(Self { file: file.to_owned(), is, state: Mutex::new(State::new(value, stamp)) })
    }

    /// What is of no file, and stays as it is.
    #[cfg(feature = "fuzz")]
    pub(crate) fn fixed(value: T, is: Kind<T>) -> Self {
        Self { file: PathBuf::new(), is, state: Mutex::new(State::new(value, None)) }
    }

    /// What the file says. What is of no use changes nothing, and is said once.
    pub(crate) fn current(&self) -> Arc<T> {
        let mut state = self.state.lock();
        if state.looked.elapsed() < LOOK_EVERY {
            return Arc::clone(&state.value);
        }
        state.looked = Instant::now();
        let stamp = std::fs::metadata(&self.file).ok().and_then(|meta| Stamp::of(&meta));
        if stamp == state.stamp {
            return Arc::clone(&state.value);
        }
        let (file, what) = (self.file.display(), self.is.name);
        match self.is.read(&self.file) {
            Ok((value, stamp)) => {
                tracing::info!(%file, "{what} was read anew");
                (state.value, state.stamp) = (Arc::new(value), stamp);
            }
            Err(error) => {
                tracing::error!(%file, %error, "{what} is not taken; what it said before counts on");
                state.stamp = stamp;
            }
        }
        Arc::clone(&state.value)
    }
}

impl<T> Kind<T> {
    fn read(&self, file: &Path) -> Result<(T, Option<Stamp>), String> {
        let unreadable = |error: std::io::Error| format!("it cannot be read: {error}");
        // Before the content: what is written meanwhile is read with the next look.
        let meta = std::fs::metadata(file).map_err(unreadable)?;
        if meta.len() > self.max_bytes {
            return Err(format!("it is larger than {} bytes", self.max_bytes));
        }
        let content = std::fs::read(file).map_err(unreadable)?;
        Ok(((self.parse)(&content)?, Stamp::of(&meta)))
    }
}

impl<T> State<T> {
    fn new(value: T, stamp: Option<Stamp>) -> Self {
        Self { value: Arc::new(value), stamp, looked: Instant::now() }
    }
}

impl Stamp {
    fn of(meta: &std::fs::Metadata) -> Option<Self> {
        Some(Self { modified: meta.modified().ok()?, bytes: meta.len() })
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("file", &self.file).finish_non_exhaustive()
    }
}
