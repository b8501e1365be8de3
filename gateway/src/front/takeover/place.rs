//! The file of the Unix socket at which a process can be asked for its port.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use super::TakeoverError;

/// For its owner only.
const MODE: u32 = 0o600;

/// The file, while this process is the one to be asked.
#[derive(Debug)]
pub(super) struct Place {
    listener: UnixListener,
    path: PathBuf,
    /// Device and number: whether the file is still this one.
    id: (u64, u64),
}

/// The socket, before it is where others look.
#[derive(Debug)]
pub(super) struct Prepared {
    listener: UnixListener,
    made: PathBuf,
    path: PathBuf,
    id: (u64, u64),
}

impl Prepared {
    /// Makes the socket beside its place.
    pub(super) fn new(path: &Path) -> Result<Self, TakeoverError> {
        check(path)?;
        let listen = |source| TakeoverError::Listen { path: path.to_owned(), source };
        // A crash right here leaves this file; the next process of this number removes it.
        let made = beside(path);
        match std::fs::remove_file(&made) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(listen(error)),
            Err(_) | Ok(()) => {}
        }
        let listener = UnixListener::bind(&made).map_err(listen)?;
        let mut prepared = Self { listener, made, path: path.to_owned(), id: (0, 0) };
        let file = std::fs::set_permissions(&prepared.made, Permissions::from_mode(MODE))
            .and_then(|()| std::fs::metadata(&prepared.made))
            .map_err(|error| prepared.remove(listen(error)))?;
        prepared.id = (file.dev(), file.ino());
        Ok(prepared)
    }

    /// Puts it in its place, instead of whatever socket is there, in one step.
    pub(super) fn put(self) -> Result<Place, TakeoverError> {
        match std::fs::rename(&self.made, &self.path) {
            Ok(()) => Ok(Place { listener: self.listener, path: self.path, id: self.id }),
            Err(source) => {
                let path = self.path.clone();
                Err(self.remove(TakeoverError::Listen { path, source }))
            }
        }
    }

    /// Leaves nothing behind.
    pub(super) fn remove<T>(&self, with: T) -> T {
        let _removed = std::fs::remove_file(&self.made);
        with
    }
}

impl Place {
    /// Takes the place of whatever socket is there.
    pub(super) fn take(path: &Path) -> Result<Self, TakeoverError> {
        Prepared::new(path)?.put()
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    /// Removes the file: nobody is to be asked there.
    pub(super) fn leave(self) {
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == self.id);
        if is_ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the takeover socket stays behind");
        }
    }
}

/// Whoever is to be asked; none where nobody has listened, or not any more.
pub(super) async fn reach(path: &Path) -> Result<Option<UnixStream>, TakeoverError> {
    check(path)?;
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            Ok(None)
        }
        Err(source) => Err(TakeoverError::Ask { path: path.to_owned(), source }),
    }
}

/// What is there must be a socket: anything else would be replaced by one.
fn check(path: &Path) -> Result<(), TakeoverError> {
    match std::fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            Err(TakeoverError::NoSocket { path: path.to_owned() })
        }
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(TakeoverError::Ask { path: path.to_owned(), source })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}
