//! The directory: made for its owner only, held by one process.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::EmbeddedError;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// A process id fits; anything longer in the lock file is not ours.
const MAX_PID_DIGITS: u64 = 16;

/// A directory whose lock is held while this lives.
#[derive(Debug)]
pub(super) struct LogDir {
    path: PathBuf,
    _lock: File,
}

impl LogDir {
    pub(super) fn open(path: &Path) -> Result<Self, EmbeddedError> {
        make_dir(path)?;
        let lock = hold(path)?;
        let dir = Self { path: path.to_owned(), _lock: lock };
        // SQLite gives its other files the mode of the database file.
        open_file(&dir.database())?;
        // A crash before this may forget the new files; nothing was acknowledged in them yet.
        sync_dir(path)?;
        Ok(dir)
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join("events.db")
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.path.join("events.db-wal")
    }

    pub(super) fn open_mark(&self) -> Result<File, EmbeddedError> {
        let file = open_file(&self.path.join("acknowledged"))?;
        sync_dir(&self.path)?;
        Ok(file)
    }
}

/// Makes the directory and what is missing above it, each durable in its parent.
fn make_dir(path: &Path) -> Result<(), EmbeddedError> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = parent(path);
    make_dir(parent)?;
    match DirBuilder::new().mode(DIR_MODE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(source) => return Err(failed("making the directory", path, source)),
    }
    sync_dir(parent)
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_dir(path: &Path) -> Result<(), EmbeddedError> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(|source| failed("syncing the directory", path, source))
}

fn open_file(path: &Path) -> Result<File, EmbeddedError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
    options.open(path).map_err(|source| failed("opening", path, source))
}

fn hold(dir: &Path) -> Result<File, EmbeddedError> {
    let path = dir.join("LOCK");
    let mut file = open_file(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(EmbeddedError::InUse { dir: dir.to_owned(), holder: read_pid(&file) });
        }
        Err(TryLockError::Error(source)) => return Err(failed("locking", &path, source)),
    }
    // Only for the message above; the lock is what counts.
    let written = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
    written.map_err(|source| failed("writing", &path, source))?;
    Ok(file)
}

fn read_pid(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(MAX_PID_DIGITS).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn failed(action: &'static str, path: &Path, source: std::io::Error) -> EmbeddedError {
    EmbeddedError::Io { action, path: path.to_owned(), source }
}
