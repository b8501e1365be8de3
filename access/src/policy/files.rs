//! Reads policy files: one file, or all `*.cedar` of a directory in the order of their names.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::PolicyError;

/// The most files of a directory.
pub(super) const MAX_FILES: usize = 256;
/// The most bytes of all files together.
pub(super) const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// One policy text and its name in errors and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SourceFile {
    pub(super) name: String,
    pub(super) text: String,
}

/// SHA-256 in lower-case hexadecimal. Of one file: what `sha256sum` prints for it. Of a directory: the SHA-256 of
/// what `sha256sum *.cedar` prints in it.
pub(super) fn version(files: &[SourceFile], directory: bool) -> String {
    match files {
        [only] if !directory => hex::encode(Sha256::digest(only.text.as_bytes())),
        many => {
            let mut all = Sha256::new();
            for file in many {
                let own = hex::encode(Sha256::digest(file.text.as_bytes()));
                all.update(format!("{own}  {}\n", file.name));
            }
            hex::encode(all.finalize())
        }
    }
}

/// What changes when a file is replaced, written or removed; cheap to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<(PathBuf, Option<SystemTime>, u64)>);

impl Stamp {
    /// Of a path that cannot be read: empty.
    pub(super) fn of(path: &Path) -> Self {
        let files = list(path).unwrap_or_default();
        Self(
            files
                .into_iter()
                .filter_map(|file| {
                    let meta = fs::metadata(&file).ok()?;
                    Some((file, meta.modified().ok(), meta.len()))
                })
                .collect(),
        )
    }
}

/// Reads `path`; the flag says whether it is a directory.
pub(super) fn read(path: &Path) -> Result<(Vec<SourceFile>, bool), PolicyError> {
    let failed = |source| PolicyError::Read { path: path.to_path_buf(), source };
    let too_large = || PolicyError::TooLarge {
        path: path.to_path_buf(),
        max_files: MAX_FILES,
        max_bytes: MAX_BYTES,
    };
    let directory = fs::metadata(path).map_err(failed)?.is_dir();
    let listed = list(path).map_err(failed)?;
    if listed.is_empty() {
        return Err(PolicyError::NoFiles { path: path.to_path_buf() });
    }
    if listed.len() > MAX_FILES {
        return Err(too_large());
    }
    let mut left = MAX_BYTES;
    let mut files = Vec::with_capacity(listed.len());
    for file in listed {
        let failed = |source| PolicyError::Read { path: file.clone(), source };
        let mut bytes = Vec::new();
        let handle = File::open(&file).map_err(failed)?;
        handle.take(left.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        left = left.checked_sub(bytes.len() as u64).ok_or_else(too_large)?;
        let text = String::from_utf8(bytes).map_err(|_| {
            failed(io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8; save it as UTF-8"))
        })?;
        files.push(SourceFile { name: name_of(&file), text });
    }
    Ok((files, directory))
}

/// The file's own name: a path of this machine has no place in an event.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| "policy".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "cedar") && file.is_file() {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            break;
        }
    }
    files.sort_unstable();
    Ok(files)
}
