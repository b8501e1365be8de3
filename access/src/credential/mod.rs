//! A credential: by reference, read when it is used, wiped after.

mod command;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use zeroize::Zeroizing;

pub use command::{SecretCommand, SecretCommandError};

/// The largest secret.
const MAX_BYTES: usize = 64 * 1024;

/// Where a secret is: `{ env = "NAME" }`, `{ file = "PATH" }`, `{ command = ["PROGRAM", "ARGUMENT"] }` or
/// `{ value = "..." }`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Credential {
    /// In an environment variable.
    Env(String),
    /// In a file; one line break at its end is not part of it.
    File(PathBuf),
    /// On the standard output of a program; one line break at its end is not part of it.
    Command(#[schemars(with = "Vec<String>")] SecretCommand),
    /// Here. For development: a configuration file is a bad place for a secret.
    Value(#[schemars(with = "String")] Secret),
}

/// A secret: wiped on drop, never shown.
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

/// A secret cannot be read. Carries nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set, or is not UTF-8")]
    Env(String),
    /// The file cannot be read.
    #[error("{file} cannot be read: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The program gave none.
    #[error(transparent)]
    Command(#[from] SecretCommandError),
}

impl Credential {
    /// Makes [`Self::read`] give what is there now: runs the program of a command, unless what it printed is fresh.
    /// Whether it ran.
    ///
    /// # Errors
    /// When the program gives no secret.
    ///
    /// # Cancel safety
    /// A dropped call ends the program.
    pub async fn refresh(&self) -> Result<bool, CredentialError> {
        match self {
            Self::Command(command) => Ok(command.refresh().await?),
            Self::Env(_) | Self::File(_) | Self::Value(_) => Ok(true),
        }
    }

    /// Says that the secret was refused where it was used: it may have been changed since it was kept.
    pub fn forget(&self) {
        if let Self::Command(command) = self {
            command.forget();
        }
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// When it is not where it should be.
    pub fn read(&self) -> Result<Secret, CredentialError> {
        match self {
            Self::Env(name) => {
                std::env::var(name).map(Secret::new).map_err(|_| CredentialError::Env(name.clone()))
            }
            Self::File(file) => read_file(file)
                .map_err(|source| CredentialError::File { file: file.clone(), source }),
            Self::Command(command) => Ok(command.read()?),
            Self::Value(secret) => Ok(secret.clone()),
        }
    }

    /// What it is now: [`Self::refresh`], then [`Self::read`].
    ///
    /// # Errors
    /// When it is not where it should be, or the program gives none.
    ///
    /// # Cancel safety
    /// A dropped call ends the program.
    pub async fn current(&self) -> Result<Secret, CredentialError> {
        let _ran = self.refresh().await?;
        self.read()
    }

    /// The same as [`Self::current`], where nothing else runs yet: this thread waits for a program.
    ///
    /// # Errors
    /// When it is not where it should be, or the program gives none.
    pub fn read_first(&self) -> Result<Secret, CredentialError> {
        if let Self::Command(command) = self {
            command.refresh_first()?;
        }
        self.read()
    }

    /// The same, with a relative file taken from `folder`.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::File(file) => Self::File(folder.join(file)),
            other => other,
        }
    }
}

impl Secret {
    /// Takes a secret.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The secret, for its one use.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

fn read_file(file: &Path) -> std::io::Result<Secret> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES + 1));
    std::fs::File::open(file)?.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
    if text.len() > MAX_BYTES {
        return Err(std::io::Error::other("it is larger than 64 KiB, which no secret is"));
    }
    Ok(Secret::new(without_line_break(&text).to_owned()))
}

fn without_line_break(text: &str) -> &str {
    text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Credential::Value(Secret::new("hunter2".to_owned()));
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(secret.read().unwrap().expose(), "hunter2");
    }

    #[test]
    fn a_file_ends_with_one_line_break_at_most() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "pass word\r\n").unwrap();
        let read = Credential::File(file.path().to_path_buf()).read().unwrap();
        assert_eq!(read.expose(), "pass word");
        std::fs::write(file.path(), "pass word\r").unwrap();
        let read = Credential::File(file.path().to_path_buf()).read().unwrap();
        assert_eq!(read.expose(), "pass word\r", "which is no line break");
    }

    #[test]
    fn a_file_that_no_secret_fills_is_refused_before_it_is_read() {
        let refused = Credential::File("/dev/zero".into()).read().unwrap_err().to_string();
        assert!(refused.contains("larger than 64 KiB"), "{refused}");
    }
}
