//! What is known of a table at its newest version: enough to write to it, without a list of its files.

use std::collections::BTreeMap;

use deltalake::kernel::{Action, EagerSnapshot, Version};
use deltalake::logstore::get_actions;
use deltalake::{BlindDeltaTable, DeltaTableError};
use tallyport_lake::{Positions, PositionsError};
use tallyport_schemas::lake::LOG_ID_PROPERTY;

use super::foreign;
use super::local::Place;
use super::store::Storage;
use crate::error::LakeError;

/// Commits of others that are read one by one; beyond it the whole state is loaded anew.
const MAX_CATCH_UP: u64 = 256;

/// A table at one version.
#[derive(Debug)]
pub(super) struct Head {
    version: Version,
    /// The newest checkpoint when it was loaded.
    checkpoint: Option<Version>,
    /// The offset per application id, exactly as of `version`.
    positions: BTreeMap<String, u64>,
    /// Where it was read last; on this machine alone.
    pub(super) place: Option<Place>,
    /// It may be another table by now: it is to be read from its beginning.
    pub(super) suspect: bool,
    /// Schema, properties and protocol as of `version`.
    pub(super) table: BlindDeltaTable,
}

impl Head {
    /// Loads the newest version. `app_ids` are those that will be asked for. Whether rows were removed is looked at for the
    /// versions behind `seen`, as far back as the last commit of a recorder.
    pub(super) async fn load(
        storage: &Storage,
        app_ids: &[String],
        seen: Option<Version>,
    ) -> Result<Self, LakeError> {
        let lake = |error: DeltaTableError| LakeError::of(&storage.url, &error);
        let table = BlindDeltaTable::try_new_with_log_store(storage.log_store.clone())
            .await
            .map_err(lake)?;
        let version = table.version();
        foreign::check_back(storage, seen, version, foreign::MAX_LOOK_BACK).await?;
        let known = positions(storage, version, app_ids).await?;
        let checkpoint = known.checkpoint();
        let of_ours = |app_id: &String| Some((app_id.clone(), known.get(app_id)?));
        let positions = app_ids.iter().filter_map(of_ours).collect();
        Ok(Self { version, checkpoint, positions, place: None, suspect: false, table })
    }

    /// The log that the table says it is of.
    pub(super) fn log_id(&self) -> Option<String> {
        self.table.metadata().configuration().get(LOG_ID_PROPERTY).cloned()
    }

    pub(super) const fn version(&self) -> Version {
        self.version
    }

    pub(super) const fn checkpoint(&self) -> Option<Version> {
        self.checkpoint
    }

    pub(super) fn position(&self, app_id: &str) -> Option<u64> {
        self.positions.get(app_id).copied()
    }

    /// A commit of our own made `version`.
    pub(super) fn advance<'a>(
        &mut self,
        version: Version,
        moved: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.version = version;
        self.positions.extend(moved.map(|(app_id, position)| (app_id.to_owned(), position)));
    }

    /// Brings everything known to the table's newest version.
    pub(super) async fn refresh(
        &mut self,
        storage: &Storage,
        app_ids: &[String],
    ) -> Result<(), LakeError> {
        let newest = match storage.log_store.get_latest_version(self.version).await {
            Ok(newest) => newest,
            // Our version is gone from the log: expired while we slept, or the table was replaced.
            Err(DeltaTableError::InvalidVersion(_)) => return self.reload(storage, app_ids).await,
            Err(error) => return Err(LakeError::of(&storage.url, &error)),
        };
        if newest.saturating_sub(self.version) > MAX_CATCH_UP {
            return self.reload(storage, app_ids).await;
        }
        for version in self.version.saturating_add(1)..=newest {
            if !self.apply(storage, version, app_ids).await? {
                return self.reload(storage, app_ids).await;
            }
        }
        Ok(())
    }

    /// Applies one commit of somebody else; false when it changes more than positions and files.
    async fn apply(
        &mut self,
        storage: &Storage,
        version: Version,
        app_ids: &[String],
    ) -> Result<bool, LakeError> {
        let lake = |error: DeltaTableError| LakeError::of(&storage.url, &error);
        let Some(commit) = storage.log_store.read_commit_entry(version).await.map_err(lake)? else {
            return Ok(false);
        };
        let actions = get_actions(version, &commit).map_err(lake)?;
        foreign::check(&storage.url, version, &actions)?;
        for action in actions {
            match action {
                Action::Txn(txn) if app_ids.contains(&txn.app_id) => {
                    self.positions.insert(txn.app_id, offset_of(txn.version));
                }
                Action::Metadata(_) | Action::Protocol(_) => return Ok(false),
                _ => {}
            }
        }
        self.version = version;
        Ok(true)
    }

    pub(super) async fn reload(
        &mut self,
        storage: &Storage,
        app_ids: &[String],
    ) -> Result<(), LakeError> {
        *self = Self::load(storage, app_ids, Some(self.version)).await?;
        Ok(())
    }
}

/// All positions as of `version`, in one pass over the newest checkpoint and the commits behind it.
async fn positions(
    storage: &Storage,
    version: Version,
    app_ids: &[String],
) -> Result<Positions, LakeError> {
    match Positions::read(&storage.log_store.object_store(None), version).await {
        Ok(known) => return Ok(known),
        Err(PositionsError::Store(error)) => return Err(storage.store_error(error)),
        Err(error) => {
            tracing::warn!(url = %storage.url, %error, "positions are read by the Delta library, which is slower");
        }
    }
    let lake = |error: DeltaTableError| LakeError::of(&storage.url, &error);
    let log_store = storage.log_store.as_ref();
    // The one place where the table's files are listed; the list is dropped right after.
    let snapshot = EagerSnapshot::try_new(log_store, Some(version)).await.map_err(lake)?;
    let mut known = Vec::new();
    for app_id in app_ids {
        let position = snapshot.transaction_version(log_store, app_id).await.map_err(lake)?;
        known.extend(position.map(|position| (app_id.clone(), position)));
    }
    Ok(Positions::known(version, known))
}

/// Positions are written by this crate alone, never negative.
fn offset_of(version: i64) -> u64 {
    u64::try_from(version).unwrap_or_default()
}
