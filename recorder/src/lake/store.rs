//! Opens the storage of a table and says plainly what is wrong with it.

use std::collections::HashMap;
use std::path::PathBuf;

use deltalake::DeltaTableBuilder;
use deltalake::ObjectStoreError;
use deltalake::logstore::LogStoreRef;
use deltalake::logstore::object_store::{ObjectStoreExt as _, PutMode};
use futures::TryStreamExt as _;
use url::Url;

use super::local;
use crate::error::{IntegrityError, LakeError};

/// Settings of a networked store unless the configuration has its own: an outage shows within seconds, not minutes,
/// since the recorder itself tries again for as long as it takes.
const NETWORK_DEFAULTS: [(&str, &str); 4] =
    [("timeout", "30s"), ("connect_timeout", "5s"), ("max_retries", "3"), ("retry_timeout", "15s")];

/// The directory of a table's Delta log, below the table.
pub(super) const DELTA_LOG: &str = "_delta_log";

/// A place where a table is or will be.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) url: Url,
    pub(crate) log_store: LogStoreRef,
    /// The table's directory when it is on this machine.
    pub(crate) local: Option<PathBuf>,
}

/// Opens the place at `url`; nothing is read yet.
pub(crate) fn open_storage(
    url: Url,
    options: &HashMap<String, String>,
) -> Result<Storage, LakeError> {
    let local = match url.scheme() {
        "file" => url.to_file_path().ok(),
        _ => None,
    };
    let mut options = options.clone();
    if local.is_none() {
        for (name, value) in NETWORK_DEFAULTS {
            options.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    if let Some(dir) = &local {
        std::fs::create_dir_all(dir).map_err(|error| io_error(&url, &error))?;
    }
    let log_store = DeltaTableBuilder::from_url(url.clone())
        .and_then(|builder| builder.with_storage_options(options).build_storage())
        .map_err(|error| LakeError::of(&url, &error))?;
    Ok(Storage { url, log_store, local })
}

impl Storage {
    /// Whether a table is there.
    ///
    /// # Errors
    /// When it cannot be said, or when there is something else.
    pub(crate) async fn has_table(&self) -> Result<bool, LakeError> {
        let store = self.log_store.object_store(None);
        let log = deltalake::Path::from(DELTA_LOG);
        let mut commits = store.list(Some(&log));
        while let Some(object) =
            commits.try_next().await.or_else(none_if_missing).map_err(|e| self.store_error(e))?
        {
            if object.location.extension().is_some_and(|kind| kind == "json" || kind == "parquet") {
                return Ok(true);
            }
        }
        let mut others = store.list(None);
        while let Some(object) =
            others.try_next().await.or_else(none_if_missing).map_err(|e| self.store_error(e))?
        {
            // Left behind by a creation that was interrupted; a table may still be made here.
            if !object.location.as_ref().starts_with(DELTA_LOG) {
                return Err(LakeError::NotATable { url: self.url.clone() });
            }
        }
        Ok(false)
    }

    /// Puts the commit of `version` a second time, as it is: the store has to refuse that.
    ///
    /// # Errors
    /// [`IntegrityError::StoreOverwrites`]; or the store cannot be asked.
    pub(crate) async fn must_not_overwrite(&self, version: u64) -> Result<(), LakeError> {
        let store = self.log_store.object_store(None);
        let path = deltalake::Path::from(format!("{DELTA_LOG}/{version:020}.json"));
        let same = match store.get(&path).await {
            Ok(found) => found.bytes().await.map_err(|error| self.store_error(error))?,
            // Cleaned up behind a checkpoint.
            Err(ObjectStoreError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(self.store_error(error)),
        };
        match store.put_opts(&path, same.into(), PutMode::Create.into()).await {
            Err(ObjectStoreError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(self.store_error(error)),
            Ok(_) => {
                let url = self.url.to_string();
                Err(LakeError::Violated(IntegrityError::StoreOverwrites { url }))
            }
        }
    }

    /// Syncs files and the commit of `version`, where they are on this machine.
    ///
    /// # Errors
    /// When one is not there or cannot be synced.
    pub(crate) async fn sync(
        &self,
        mut files: Vec<String>,
        version: Option<u64>,
    ) -> Result<(), LakeError> {
        let Some(root) = self.local.clone() else { return Ok(()) };
        files.extend(version.map(|version| format!("{DELTA_LOG}/{version:020}.json")));
        let synced = tokio::task::spawn_blocking(move || local::sync_files(&root, &files)).await;
        let synced = synced.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        synced.map_err(|error| io_error(&self.url, &error))
    }

    pub(crate) fn store_error(&self, error: ObjectStoreError) -> LakeError {
        LakeError::of_store(&self.url, error)
    }
}

fn none_if_missing<T>(error: ObjectStoreError) -> Result<Option<T>, ObjectStoreError> {
    match error {
        // An empty place of a local store is a missing directory. A missing bucket is an error of another kind.
        ObjectStoreError::NotFound { path, .. } if !path.contains("://") => Ok(None),
        other => Err(other),
    }
}

pub(super) fn io_error(url: &Url, error: &std::io::Error) -> LakeError {
    let reason = error.to_string();
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => LakeError::Denied { url: url.clone(), reason },
        _ => LakeError::Unreachable { url: url.clone(), reason },
    }
}
