//! All positions of a table at one version.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ObjectStore;

use crate::commit::{self, Transaction};
use crate::error::PositionsError;
use crate::{checkpoint, newest_checkpoint};

/// Commits that are read at once.
const READS_AT_ONCE: usize = 16;

/// Where every application id of a table stands, exactly as of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    version: u64,
    checkpoint: Option<u64>,
    by_app_id: BTreeMap<String, i64>,
}

impl Positions {
    /// Reads them as of `version`, which must be there; `table` is rooted where the table is. A checkpoint and the
    /// commits behind it are read, each once, however many application ids there are.
    ///
    /// # Errors
    /// See [`PositionsError`].
    ///
    /// # Cancel safety
    /// It only reads.
    pub async fn read(table: &Arc<dyn ObjectStore>, version: u64) -> Result<Self, PositionsError> {
        let checkpoint = newest_checkpoint(table.as_ref(), version).await?;
        let mut known = Self { version, checkpoint, by_app_id: BTreeMap::new() };
        if let Some(checkpoint) = checkpoint {
            known.by_app_id.extend(checkpoint::read(table, checkpoint).await?);
        }
        let first = checkpoint.map_or(0, |checkpoint| checkpoint.saturating_add(1));
        known.by_app_id.extend(commits(table.as_ref(), first..=version).await?);
        Ok(known)
    }

    /// What another reader found out, as of `version`.
    #[must_use]
    pub fn known(version: u64, by_app_id: impl IntoIterator<Item = (String, i64)>) -> Self {
        Self { version, checkpoint: None, by_app_id: by_app_id.into_iter().collect() }
    }

    /// Goes on to `version` by reading the commits since [`Self::version`], each once. After an error nothing has
    /// changed.
    ///
    /// # Errors
    /// See [`PositionsError`]; after [`PositionsError::Gone`] they have to be read anew.
    ///
    /// # Cancel safety
    /// A dropped call changes nothing.
    pub async fn advance(
        &mut self,
        table: &dyn ObjectStore,
        version: u64,
    ) -> Result<(), PositionsError> {
        let behind = commits(table, self.version.saturating_add(1)..=version).await?;
        self.by_app_id.extend(behind);
        self.version = self.version.max(version);
        Ok(())
    }

    /// The version they are of.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The checkpoint that a cold read began with.
    #[must_use]
    pub const fn checkpoint(&self) -> Option<u64> {
        self.checkpoint
    }

    /// Where `app_id` stands; nothing where it never was in a commit. A negative number is none of ours.
    #[must_use]
    pub fn get(&self, app_id: &str) -> Option<u64> {
        self.by_app_id.get(app_id).and_then(|version| u64::try_from(*version).ok())
    }
}

/// The transactions of these commits, in their order: what comes later counts.
async fn commits(
    table: &dyn ObjectStore,
    versions: RangeInclusive<u64>,
) -> Result<Vec<Transaction>, PositionsError> {
    let each = stream::iter(versions).map(|version| commit::read(table, version));
    let each: Vec<Vec<Transaction>> = each.buffered(READS_AT_ONCE).try_collect().await?;
    Ok(each.into_iter().flatten().collect())
}
