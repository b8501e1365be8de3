//! Where the key of keyed hashes is.

use std::path::PathBuf;

use serde::Deserialize;

/// Where a secret is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// A file; a line break at its end is not part of the secret.
    File(PathBuf),
    /// The standard output of a program with its arguments; a line break at its end is not part of the secret. Who runs programs
    /// runs it.
    Command(Vec<String>),
}

impl SecretSource {
    /// What is there now, byte for byte. A program is not run.
    ///
    /// # Errors
    /// What is wrong, and never the secret.
    pub fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Env(name) => std::env::var_os(name)
                .map(std::os::unix::ffi::OsStringExt::into_vec)
                .ok_or_else(|| format!("the environment variable {name} is not set")),
            Self::File(path) => std::fs::read(path)
                .map_err(|error| format!("{} cannot be read: {error}", path.display())),
            Self::Command(_) => Err("no program is run here".to_owned()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum RawSecret {
    Env(String),
    File(PathBuf),
    Command(Vec<String>),
}

impl From<RawSecret> for SecretSource {
    fn from(raw: RawSecret) -> Self {
        match raw {
            RawSecret::Env(name) => Self::Env(name),
            RawSecret::File(path) => Self::File(path),
            RawSecret::Command(words) => Self::Command(words),
        }
    }
}
