//! Why a policy set was not taken.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A policy set was not taken; what was in force before stays in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file or directory cannot be read.
    #[error("policy `{}` cannot be read: {source}", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
    /// The directory has no policy file.
    #[error("policy directory `{}` holds no `*.cedar` file: add one, or name the file itself", path.display())]
    NoFiles {
        /// The directory.
        path: PathBuf,
    },
    /// There is more than is taken.
    #[error("policy `{}` is too large: at most {max_files} files and {max_bytes} bytes are taken", path.display())]
    TooLarge {
        /// What was to be read.
        path: PathBuf,
        /// The most files taken.
        max_files: usize,
        /// The most bytes taken, in all files together.
        max_bytes: u64,
    },
    /// A policy is wrong.
    #[error("{}", Lines(.0))]
    Invalid(Vec<Problem>),
    /// The Cedar schema of this build is broken; no policy can be loaded.
    #[error("the built-in Cedar schema is broken, reinstall this build: {0}")]
    Vocabulary(String),
}

/// One thing that is wrong in a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
