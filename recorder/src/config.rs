//! Where the lake is, when to commit, and how much of the log to keep behind.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use url::Url;

use crate::error::{LakeError, RecorderError};

/// What [`crate::Recorder::start`] needs to know.
#[derive(Clone)]
pub struct RecorderConfig {
    /// Where the lake is.
    pub lake: LakeUrl,
    /// Options of the object store, by the names its own clients use (`AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, ...).
    /// What is not given here is taken from the environment.
    pub storage_options: HashMap<String, String>,
    /// When to commit.
    pub commit: CommitPolicy,
    /// How much of the log to keep although the lake has it.
    pub retention: Retention,
    /// The partitions to record; all of them when `None`. Several recorders may share a log by partitions.
    pub partitions: Option<Vec<u32>>,
    /// The longest a stop waits for the last records to reach the lake.
    pub drain_timeout: Duration,
    /// Begin a partition that the lake does not have yet at the log's first offset even when that is not 0, and go
    /// on after records that the log has lost. Off, both are integrity errors.
    pub accept_missing_history: bool,
}

impl fmt::Debug for RecorderConfig {
    /// Of the options of the store the names alone: some are keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.storage_options.keys().collect();
        f.debug_struct("RecorderConfig")
            .field("lake", &self.lake)
            .field("storage_options", &options)
            .field("commit", &self.commit)
            .field("retention", &self.retention)
            .field("partitions", &self.partitions)
            .field("drain_timeout", &self.drain_timeout)
            .field("accept_missing_history", &self.accept_missing_history)
            .finish()
    }
}

impl RecorderConfig {
    /// The settings of production for this lake.
    #[must_use]
    pub fn new(lake: LakeUrl) -> Self {
        Self {
            lake,
            storage_options: HashMap::new(),
            commit: CommitPolicy::default(),
            retention: Retention::default(),
            partitions: None,
            drain_timeout: Duration::from_secs(20),
            accept_missing_history: false,
        }
    }

    pub(crate) fn check(&self) -> Result<(), RecorderError> {
        let commit = &self.commit;
        let bad = if commit.max_rows == 0 || commit.max_bytes == 0 {
            Some("commit.max_rows and commit.max_bytes must be at least 1".to_owned())
        } else if commit.max_bytes > CommitPolicy::LARGEST_BYTES {
            Some(format!("commit.max_bytes must be at most {}", CommitPolicy::LARGEST_BYTES))
        } else if self.partitions.as_ref().is_some_and(Vec::is_empty) {
            Some("partitions must name at least one partition, or be left out for all".to_owned())
        } else {
            None
        };
        bad.map_or(Ok(()), |reason| Err(RecorderError::Config(reason)))
    }
}

/// When the collected records of a partition become a commit: at the first of these.
#[derive(Clone, Copy, Debug)]
pub struct CommitPolicy {
    /// So many records.
    pub max_rows: usize,
    /// So many bytes of keys and values. Memory per partition is about four times this: the values, their columns,
    /// the Parquet pages being written, and one read from the log.
    pub max_bytes: usize,
    /// The oldest record waits so long.
    pub max_age: Duration,
}

impl CommitPolicy {
    /// The largest `max_bytes`: Arrow's offsets within a column are 32 bits wide.
    pub const LARGEST_BYTES: usize = 256 * 1024 * 1024;

    /// Small files soon: for one machine and for tests.
    #[must_use]
    pub fn development() -> Self {
        Self { max_age: Duration::from_secs(1), ..Self::default() }
    }
}

impl Default for CommitPolicy {
    fn default() -> Self {
        Self { max_rows: 131_072, max_bytes: 32 * 1024 * 1024, max_age: Duration::from_secs(10) }
    }
}

/// How much of the log stays although the lake has it. A query reads the log from the position of the snapshot it
/// pinned, so what that snapshot lacks must not be released under it. Both must hold before a position is released.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// The commit that covers it is at least so old.
    pub keep_for: Duration,
    /// At least so many later commits of the partition exist.
    pub keep_commits: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep_for: Duration::from_mins(10), keep_commits: 2 }
    }
}

/// Where a lake is: `file:///DIR` or `s3://BUCKET/PREFIX`. The tables are below it.
#[derive(Clone, PartialEq, Eq)]
pub struct LakeUrl(Url);

impl LakeUrl {
    /// A lake by URL.
    ///
    /// # Errors
    /// [`LakeError::BadUrl`] when it is no URL, has credentials in it, or is of a scheme this build cannot write.
    pub fn parse(text: &str) -> Result<Self, LakeError> {
        let bad =
            |reason: &str| LakeError::BadUrl { url: redacted(text), reason: reason.to_owned() };
        let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        match url.scheme() {
            "file" => {
                url.to_file_path().map_err(|()| bad("it is no absolute path on this machine"))?;
            }
            "s3" | "s3a" => {
                if url.host_str().unwrap_or_default().is_empty() {
                    return Err(bad("it names no bucket"));
                }
            }
            "gs" | "az" | "abfs" | "abfss" => {
                return Err(bad("this build has no support for that object store"));
            }
            _ => return Err(bad("the scheme is unknown")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("credentials belong into the storage options, not into the URL"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("options belong into the storage options, not into the URL"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }

    /// A lake in a directory.
    ///
    /// # Errors
    /// [`LakeError::BadUrl`] when the path is not absolute.
    pub fn from_dir(dir: &Path) -> Result<Self, LakeError> {
        Url::from_directory_path(dir).map(Self).map_err(|()| LakeError::BadUrl {
            url: dir.display().to_string(),
            reason: "the path is not absolute".to_owned(),
        })
    }

    /// The URL, ending in a slash.
    #[must_use]
    pub const fn as_url(&self) -> &Url {
        &self.0
    }

    /// The URL of a table in it.
    ///
    /// # Errors
    /// [`LakeError::BadUrl`] when `name` cannot be part of a URL.
    pub fn table(&self, name: &str) -> Result<Url, LakeError> {
        self.0.join(&format!("{name}/")).map_err(|error| LakeError::BadUrl {
            url: format!("{}{name}", self.0),
            reason: error.to_string(),
        })
    }
}

impl fmt::Display for LakeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for LakeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LakeUrl({})", self.0)
    }
}

/// The text without what may be a secret, since it goes into an error.
fn redacted(text: &str) -> String {
    let without_query = text.split(['?', '#']).next().unwrap_or_default();
    match (without_query.find("://"), without_query.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            let (head, _) = without_query.split_at(scheme + 3);
            let (_, tail) = without_query.split_at(at + 1);
            format!("{head}{tail}")
        }
        _ => without_query.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_files_and_buckets() {
        for (text, table) in [
            ("file:///data/lake", "file:///data/lake/events/"),
            ("file:///data/lake/", "file:///data/lake/events/"),
            ("s3://bucket", "s3://bucket/events/"),
            ("s3://bucket/a/b", "s3://bucket/a/b/events/"),
        ] {
            let lake = LakeUrl::parse(text).unwrap();
            assert_eq!(lake.table("events").unwrap().as_str(), table);
        }
    }

    #[test]
    fn refuses_what_it_cannot_write_and_says_what_to_do() {
        for (text, part) in [
            ("data/lake", "relative URL"),
            ("s3:///prefix", "no bucket"),
            ("gs://bucket", "no support"),
            ("http://host/x", "unknown"),
            ("s3://bucket?key=1", "storage options"),
        ] {
            let error = LakeUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.contains("use file:///DIR or s3://BUCKET/PREFIX"), "{error}");
        }
    }

    #[test]
    fn options_are_never_shown() {
        let mut config = RecorderConfig::new(LakeUrl::parse("s3://bucket").unwrap());
        config.storage_options.insert("AWS_SECRET_ACCESS_KEY".into(), "hunter2".into());
        let shown = format!("{config:?}");
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn never_shows_a_secret_of_a_refused_url() {
        for text in ["s3://key:topsecret@bucket/x", "s3://bucket/x?secret=topsecret"] {
            let error = LakeUrl::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("topsecret"), "{error}");
        }
    }

    #[test]
    fn refuses_bounds_that_make_no_sense() {
        let lake = LakeUrl::parse("file:///lake").unwrap();
        let mut config = RecorderConfig::new(lake);
        config.check().unwrap();
        config.commit.max_rows = 0;
        assert!(config.check().unwrap_err().to_string().contains("at least 1"));
        config.commit = CommitPolicy { max_bytes: usize::MAX, ..CommitPolicy::default() };
        assert!(config.check().unwrap_err().to_string().contains("at most"));
        config.commit = CommitPolicy::default();
        config.partitions = Some(Vec::new());
        assert!(config.check().unwrap_err().to_string().contains("at least one partition"));
    }
}
