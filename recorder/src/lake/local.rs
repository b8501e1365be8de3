//! Makes a local lake survive the loss of power: object stores are durable when they answer, a file system is not.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::store::DELTA_LOG;

/// Which directory on which disk.
pub(super) type Place = (u64, u64);

/// The directory of the log of a table below `root`, where there is one.
///
/// # Errors
/// When it cannot be said.
pub(super) fn place(root: &Path) -> io::Result<Option<Place>> {
    match std::fs::metadata(root.join(DELTA_LOG)) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a file is there in its whole length.
pub(super) fn has((path, bytes): &(PathBuf, i64)) -> bool {
    std::fs::metadata(path).is_ok_and(|found| i64::try_from(found.len()) == Ok(*bytes))
}

/// Syncs files below `root`, and their directories. Before the commit that names them: a crash right here leaves
/// files that no commit names.
pub(super) fn sync_files(root: &Path, files: &[String]) -> io::Result<()> {
    for file in files {
        let path = root.join(file);
        File::open(&path)?.sync_all()?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
    }
    File::open(root)?.sync_all()
}

/// Writes commit `version` unless it exists. Its content is on the disk before its name is there, so that no crash
/// leaves a commit that is empty or torn.
///
/// # Errors
/// `AlreadyExists` when another commit has that version. After any other error the commit may or may not be there.
pub(super) fn publish(root: &Path, version: u64, content: &[u8]) -> io::Result<()> {
    let log = root.join(DELTA_LOG);
    // Where the log of an open table has gone, none is begun.
    if version == 0 {
        std::fs::create_dir_all(&log)?;
    }
    // Readers of Delta logs skip this name, and the cleanup of expired logs removes what a crash right here leaves.
    let staged = log.join(format!("_commit_{}.json.tmp", Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&staged)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    // A hard link fails when the name is taken: this is the compare-and-swap of a local table.
    let linked =
        written.and_then(|()| std::fs::hard_link(&staged, log.join(format!("{version:020}.json"))));
    let removed = std::fs::remove_file(&staged);
    linked?;
    removed?;
    File::open(&log)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_published_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(DELTA_LOG);
        assert_eq!(place(dir.path()).unwrap(), None);
        let nowhere = publish(dir.path(), 7, b"first").unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
        assert!(!log.exists());
        publish(dir.path(), 0, b"first").unwrap();
        let there = place(dir.path()).unwrap();
        assert!(there.is_some() && there == place(dir.path()).unwrap());
        let second = publish(dir.path(), 0, b"second").unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
        let names: Vec<_> =
            std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["00000000000000000000.json"], "nothing staged is left");
        assert_eq!(std::fs::read(log.join("00000000000000000000.json")).unwrap(), b"first");
    }

    #[test]
    fn syncing_a_missing_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sync_files(dir.path(), &["ingest_date=x/part.parquet".to_owned()]).is_err());
    }
}
