//! Files of a table give way to others with the same rows, in one commit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::datafusion::error::DataFusionError;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, Add, LogicalFileView, Remove, StructType};
use deltalake::logstore::object_store::ObjectMeta;
use deltalake::protocol::DeltaOperation;
use deltalake::writer::RecordBatchWriter;
use deltalake::{DeltaTable, DeltaTableError, Path};
use jiff::Timestamp;
use jiff::civil::Date;
use url::Url;

use super::publish::{MAX_TRIES, PublishError, commit_bytes, pause, publish};
use super::store::Storage;
use super::{INGEST_DATE, TableDefinition, reconcile, writer_properties};
use crate::error::LakeError;

/// What files that are made of others have at most, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 100 * 1024 * 1024;

/// A table whose files are rewritten.
#[derive(Debug)]
pub(crate) struct Rewrite {
    storage: Storage,
    definition: TableDefinition,
    columns: StructType,
    table: DeltaTable,
}

/// A file that the table has.
#[derive(Clone, Debug)]
pub(crate) struct LakeFile {
    /// Where it lies below the table.
    pub(crate) meta: ObjectMeta,
    /// The UTC date of its records.
    pub(crate) day: Date,
    /// How many rows it has, as the log of the table says.
    pub(crate) rows: u64,
    remove: Remove,
}

impl LakeFile {
    /// `None` for a file that no recorder wrote: that lies elsewhere, or lacks a day or the number of its rows.
    fn of(view: &LogicalFileView) -> Option<Self> {
        if view.path().contains("://") || view.deletion_vector_descriptor().is_some() {
            return None;
        }
        let day = view.partition_values_map().remove(INGEST_DATE)??.parse().ok()?;
        let meta = ObjectMeta {
            location: view.object_store_path(),
            last_modified: view.modification_datetime().ok()?,
            size: u64::try_from(view.size()).ok()?,
            e_tag: None,
            version: None,
        };
        // It is rewritten, not deleted: its rows stay.
        let remove = view.remove_action(false);
        let rows = u64::try_from(view.num_records()?).ok().filter(|rows| *rows > 0)?;
        Some(Self { meta, day, rows, remove })
    }
}

impl Rewrite {
    /// Loads the newest version.
    ///
    /// # Errors
    /// When it cannot be read, or this build must not write to it.
    pub(crate) async fn load(
        storage: Storage,
        definition: TableDefinition,
    ) -> Result<Self, LakeError> {
        let columns: StructType = definition.schema.as_ref().try_into_kernel()?;
        let mut table = DeltaTable::new(Arc::clone(&storage.log_store));
        table.load().await.map_err(|error| LakeError::of(&storage.url, &error))?;
        Ok(Self { storage, definition, columns, table })
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.storage.url
    }

    pub(crate) const fn definition(&self) -> &TableDefinition {
        &self.definition
    }

    pub(crate) const fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The files of the version that was loaded last.
    pub(crate) fn files(&self) -> Result<Vec<LakeFile>, LakeError> {
        let snapshot = self.table.snapshot().map_err(|error| self.error(&error))?;
        let data = snapshot.snapshot().try_log_data().map_err(|error| self.error(&error))?;
        Ok(data.iter().filter_map(|view| LakeFile::of(&view)).collect())
    }

    /// The columns that the table has; that of the day is last, since it is no column of a file.
    ///
    /// # Errors
    /// When this build must not write to it.
    pub(crate) fn schema(&self) -> Result<SchemaRef, LakeError> {
        let missing = self.check()?;
        let there = |field: &&Arc<Field>| !missing.contains(field.name());
        let fields = self.definition.schema.fields().iter().filter(there);
        let (day, rest): (Vec<_>, Vec<_>) =
            fields.cloned().partition(|field| field.name() == INGEST_DATE);
        Ok(Arc::new(Schema::new(rest.into_iter().chain(day).collect::<Vec<_>>())))
    }

    /// Writes files that no commit names yet.
    pub(crate) fn writer(&self) -> Result<RecordBatchWriter, LakeError> {
        let writer = RecordBatchWriter::for_table(&self.table);
        let writer = writer.map_err(|error| self.error(&error))?;
        Ok(writer.with_writer_properties(writer_properties(&self.definition)))
    }

    /// Puts `adds`, which have the rows of `old`, in their place, and gives them as the table has them then.
    ///
    /// Every try reads the newest version, looks whether all of `old` are still there, and writes exactly the version after
    /// it: what was looked at is what the commit builds on. A recorder may go on meanwhile.
    ///
    /// # Errors
    /// [`LakeError::Replaced`] when somebody else has rewritten one of them; nothing changed then.
    pub(crate) async fn replace(
        &mut self,
        old: &[LakeFile],
        adds: Vec<Add>,
    ) -> Result<Vec<LakeFile>, LakeError> {
        // Durable before a commit names them.
        let names: Vec<_> = adds.iter().map(|add| add.path.clone()).collect();
        self.storage.sync(names.clone(), None).await?;
        let names: HashSet<_> = names.iter().map(|name| Path::from(name.as_str())).collect();
        let removed = Some(Timestamp::now().as_millisecond());
        let remove =
            |file: &LakeFile| Remove { deletion_timestamp: removed, ..file.remove.clone() };
        let adds = adds.into_iter().map(|add| Action::Add(Add { data_change: false, ..add }));
        let actions: Vec<_> =
            old.iter().map(|file| Action::Remove(remove(file))).chain(adds).collect();
        for attempt in 1..=MAX_TRIES {
            self.table.update_state().await.map_err(|error| self.error(&error))?;
            self.check()?;
            let live = self.files()?;
            let there: HashSet<_> = live.iter().map(|file| &file.meta.location).collect();
            // Made by the try before this one: a store may say "taken" of one's own commit, too.
            let made = names.iter().all(|name| there.contains(name));
            let mut left = old.iter().filter(|file| there.contains(&file.meta.location));
            if made {
                return match left.next() {
                    None => {
                        Ok(live.into_iter().filter(|f| names.contains(&f.meta.location)).collect())
                    }
                    Some(both) => Err(self.twice(both)),
                };
            }
            if left.count() < old.len() {
                return Err(LakeError::Replaced { url: self.storage.url.clone() });
            }
            let version = self.table.version().map_or(0, |version| version.saturating_add(1));
            match publish(&self.storage, version, self.content(&actions)?).await {
                // The next look finds it made.
                Ok(()) => {}
                Err(PublishError::Taken) => pause(attempt).await,
                Err(PublishError::Unknown(error)) => return Err(error),
            }
        }
        Err(LakeError::Contended { url: self.storage.url.clone(), tries: MAX_TRIES })
    }

    /// A file did not go although its commit says so: its name is written in a way that is not ours.
    fn twice(&self, file: &LakeFile) -> LakeError {
        let made = self.table.version().unwrap_or_default();
        LakeError::Damaged {
            url: self.storage.url.clone(),
            reason: format!(
                "{} stayed beside the file that took its place, so its rows are there twice since version {made}. Rewrite nothing more there, and report it. Do not RESTORE or DELETE: that would take what was recorded since, and its position stays. Until it is mended count by event_id",
                file.meta.location
            ),
        }
    }

    fn content(&self, actions: &[Action]) -> Result<Vec<u8>, LakeError> {
        let target_size = i64::try_from(MAX_FILE_BYTES).unwrap_or(i64::MAX);
        let operation = DeltaOperation::Optimize { predicate: None, target_size };
        commit_bytes(CommitData::new(actions.to_vec(), operation, HashMap::new(), Vec::new()))
            .map_err(|error| self.error(&error))
    }

    /// The names of the columns that this build has and the table lacks.
    fn check(&self) -> Result<HashSet<String>, LakeError> {
        let url = &self.storage.url;
        let snapshot = self.table.snapshot().map_err(|error| self.error(&error))?;
        let (protocol, metadata) = (snapshot.protocol(), snapshot.metadata());
        let missing =
            reconcile::writable(url, &self.columns, protocol, metadata, &snapshot.schema())?;
        Ok(missing.into_iter().map(|field| field.name().clone()).collect())
    }

    pub(crate) fn error(&self, error: &DeltaTableError) -> LakeError {
        LakeError::of(&self.storage.url, error)
    }

    /// What an error of reading and sorting means.
    pub(crate) fn failed(&self, error: DataFusionError) -> LakeError {
        match error.find_root() {
            DataFusionError::ObjectStore(_) => self.error(&error.into()),
            root => LakeError::Rewrite { url: self.storage.url.clone(), reason: root.to_string() },
        }
    }
}

#[cfg(test)]
impl LakeFile {
    /// A file that is nowhere.
    pub(crate) fn named(name: &str, day: Date, seconds: i64, size: u64) -> Self {
        let last_modified = jiff::Timestamp::from_second(seconds).unwrap().to_string();
        let meta = ObjectMeta {
            location: name.into(),
            last_modified: last_modified.parse().unwrap(),
            size,
            e_tag: None,
            version: None,
        };
        Self { meta, day, rows: 1, remove: Remove::default() }
    }
}

#[cfg(test)]
mod tests;
