//! One Delta table: created, kept in step with this build, and appended to by compare-and-swap.

use std::collections::HashMap;
use std::io;

use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{
    Action, Add, Metadata, MetadataExt as _, Protocol, StructField, StructType, Transaction,
    Version, new_metadata,
};
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::writer::{DeltaWriter as _, RecordBatchWriter};
use deltalake::{BlindDeltaTable, DeltaTableError};
use serde_json::json;
use tallyport_eventlog::LogId;
use tallyport_schemas::lake::LOG_ID_PROPERTY;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::checkpoint::Checkpoints;
use super::definition::{INGEST_DATE, TableDefinition};
use super::foreign::RECORDED_TO;
use super::head::Head;
use super::local::Place;
use super::publish::{MAX_TRIES, PublishError, commit_bytes, on_disk, pause, publish};
use super::store::{Storage, io_error};
use super::{local, reconcile, writer_properties};
use crate::error::{IntegrityError, LakeError};
use crate::rows::Rows;

/// Rows put in order and encoded at once: few enough to stay near the processor from the one to the other. In between
/// other tasks of the runtime have their chance.
const ROWS_PER_PIECE: usize = 1_024;

/// A table open for writing. Commits of one process go one after another; those of several race, and one wins.
#[derive(Debug)]
pub(crate) struct Table {
    storage: Storage,
    definition: TableDefinition,
    columns: StructType,
    app_ids: Vec<String>,
    /// The log that it said it was of when it was opened.
    log_id: Option<String>,
    head: Mutex<Head>,
    checkpoints: Checkpoints,
}

/// Files to be added, and the position that this moves.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    pub(crate) app_id: &'a str,
    /// Where the position must be for the change to be right.
    pub(crate) from: Option<u64>,
    /// Where the change moves it.
    pub(crate) to: u64,
    /// What is kept beside it: another application id and its version.
    pub(crate) beside: Option<(&'a str, u64)>,
    pub(crate) adds: &'a [Add],
}

impl<'a> Change<'a> {
    /// The application ids that it moves, and where to.
    fn transactions(&self) -> impl Iterator<Item = (&'a str, u64)> + use<'a> {
        [(self.app_id, self.to)].into_iter().chain(self.beside)
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the table. (The version is for the logs.)
    Committed(Version),
    /// It is not, and must not be: the position is not where the change begins. When it is where the change ends,
    /// the same records are in the table already, by an earlier try of ours or by another recorder.
    Elsewhere(Option<u64>),
}

impl Table {
    /// Opens the table, creates it where there is none and one may be `new`, and adds the columns that this build has and it
    /// lacks. With `accept_removed`, rows that others removed are told of and gone on without.
    pub(crate) async fn open(
        storage: Storage,
        definition: TableDefinition,
        log: &LogId,
        app_ids: Vec<String>,
        (accept_removed, new): (bool, bool),
        background: TaskTracker,
    ) -> Result<Self, LakeError> {
        let columns: StructType = definition.schema.as_ref().try_into_kernel()?;
        if !storage.has_table().await? {
            if !new {
                let table = definition.name;
                return Err(LakeError::Violated(IntegrityError::TableGone { table }));
            }
            create(&storage, &definition, &columns, log).await?;
        }
        let head = match Head::load(&storage, &app_ids, None).await {
            Err(LakeError::Violated(removed)) if accept_removed => {
                tracing::error!(%removed, "it was accepted as it is");
                Head::load(&storage, &app_ids, Some(Version::MAX)).await?
            }
            loaded => loaded?,
        };
        let checkpoints = Checkpoints::new(head.checkpoint(), background);
        let log_id = head.log_id();
        let head = Mutex::new(head);
        let table = Self { storage, definition, columns, app_ids, log_id, head, checkpoints };
        table.add_missing_columns().await?;
        table.storage.must_not_overwrite(table.head.lock().await.version()).await?;
        Ok(table)
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.definition.name
    }

    /// Refuses a table that was recorded from another log, or does not say from which.
    ///
    /// # Errors
    /// [`IntegrityError::OtherLog`].
    pub(crate) async fn check_log(&self, ours: &LogId) -> Result<(), IntegrityError> {
        let found = self.head.lock().await.log_id();
        if found.as_deref() == Some(ours.as_str()) {
            return Ok(());
        }
        Err(IntegrityError::OtherLog { table: self.name(), found, ours: ours.to_string() })
    }

    /// Refuses a table that has come into the place of the one that was opened: its positions are another log's.
    fn check_same(&self, head: &Head) -> Result<(), LakeError> {
        let found = head.log_id();
        if found == self.log_id {
            return Ok(());
        }
        let ours = self.log_id.clone().unwrap_or_default();
        Err(LakeError::OtherLog(IntegrityError::OtherLog { table: self.name(), found, ours }))
    }

    /// Looks at the newest version.
    pub(crate) async fn touch(&self) -> Result<(), LakeError> {
        self.refresh(&mut *self.head.lock().await).await
    }

    /// Whether anything was recorded into it.
    pub(crate) async fn has_positions(&self) -> bool {
        let head = self.head.lock().await;
        self.app_ids.iter().any(|app_id| head.position(app_id).is_some())
    }

    /// Where two application ids are, as of one version, the newest.
    pub(crate) async fn positions(
        &self,
        (one, other): (&str, &str),
    ) -> Result<(Option<u64>, Option<u64>), LakeError> {
        let mut head = self.head.lock().await;
        self.refresh(&mut head).await?;
        Ok((head.position(one), head.position(other)))
    }

    /// Where an application id is, as of the newest version.
    pub(crate) async fn position(&self, app_id: &str) -> Result<Option<u64>, LakeError> {
        let mut head = self.head.lock().await;
        self.refresh(&mut head).await?;
        Ok(head.position(app_id))
    }

    /// Writes rows to files that no commit names yet. A crash right here leaves files that nobody sees; a vacuum
    /// removes them. On this machine nothing is written where the table is not: a disk that is not mounted leaves an
    /// empty directory.
    pub(crate) async fn write(&self, rows: &Rows) -> Result<Vec<Add>, LakeError> {
        if rows.len() == 0 {
            return Ok(Vec::new());
        }
        self.place().await?;
        let table = self.head.lock().await.table.clone();
        let adds = self.encode(&table, rows).await.map_err(|error| self.error(&error))?;
        if let Some(root) = self.storage.local.clone() {
            let files = adds.iter().map(|add| add.path.clone()).collect::<Vec<_>>();
            self.on_disk(move || local::sync_files(&root, &files)).await?;
        }
        Ok(adds)
    }

    /// Adds the files and moves the position in one commit, if the position is where the change begins.
    ///
    /// Every try reads the newest version, compares the position there, and writes exactly the version after it,
    /// which fails when somebody else has written it. So what was compared is what the commit builds on. A try whose
    /// outcome is unknown is settled by the next: if it was written, the position has moved.
    pub(crate) async fn commit(&self, change: &Change<'_>) -> Result<Outcome, LakeError> {
        let mut head = self.head.lock().await;
        for attempt in 1..=MAX_TRIES {
            self.refresh(&mut head).await?;
            let position = head.position(change.app_id);
            if position != change.from {
                return Ok(Outcome::Elsewhere(position));
            }
            self.check(&head)?;
            self.have(change.adds).await?;
            let version = head.version().saturating_add(1);
            let content = self.append_commit(change)?;
            // A crash right here: nothing is committed, the files are written again after the restart.
            match self.publish(version, content).await {
                // A crash right here: it is committed, and the restart finds the position moved.
                Ok(()) => {
                    head.advance(version, change.transactions());
                    self.checkpoints.committed(&self.storage, self.name(), version);
                    return Ok(Outcome::Committed(version));
                }
                Err(PublishError::Taken) => pause(attempt).await,
                Err(PublishError::Unknown(error)) => {
                    tracing::warn!(table = self.name(), version, %error, "outcome of a commit is unknown; its position tells");
                    return Err(error);
                }
            }
        }
        Err(LakeError::Contended { url: self.storage.url.clone(), tries: MAX_TRIES })
    }

    /// Brings what is known to the newest version. After an error, and where the directory is another one, nothing that
    /// was known counts: another table may have come into its place.
    async fn refresh(&self, head: &mut Head) -> Result<(), LakeError> {
        let place = self.place().await;
        head.suspect |= place.as_ref().map_or(true, |place| *place != head.place);
        let place = place?;
        let read = match head.suspect {
            true => head.reload(&self.storage, &self.app_ids).await,
            false => head.refresh(&self.storage, &self.app_ids).await,
        };
        head.suspect = read.is_err();
        read.map_err(LakeError::once_open)?;
        head.place = place;
        self.check_same(head)
    }

    /// On this machine: where the table is, which was open.
    async fn place(&self) -> Result<Option<Place>, LakeError> {
        let Some(root) = self.storage.local.clone() else { return Ok(None) };
        let place = tokio::task::spawn_blocking(move || local::place(&root)).await;
        let place = place.unwrap_or_else(|error| Err(io::Error::other(error)));
        match place.map_err(|error| io_error(&self.storage.url, &error))? {
            Some(place) => Ok(Some(place)),
            None => Err(LakeError::Gone { url: self.storage.url.clone() }),
        }
    }

    /// On this machine: whether the files of a commit are where they were written. A disk may have come between.
    async fn have(&self, adds: &[Add]) -> Result<(), LakeError> {
        let Some(root) = self.storage.local.clone() else { return Ok(()) };
        let files: Vec<_> = adds.iter().map(|add| (root.join(&add.path), add.size)).collect();
        let there = tokio::task::spawn_blocking(move || files.iter().all(local::has));
        match there.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(LakeError::FilesGone { url: self.storage.url.clone() }),
            Err(error) => Err(io_error(&self.storage.url, &io::Error::other(error))),
        }
    }

    async fn encode(
        &self,
        table: &BlindDeltaTable,
        rows: &Rows,
    ) -> Result<Vec<Add>, DeltaTableError> {
        let mut writer = RecordBatchWriter::for_blind_appends(table)?
            .with_writer_properties(writer_properties(&self.definition));
        for start in (0..rows.len()).step_by(ROWS_PER_PIECE) {
            writer.write(rows.piece(start, ROWS_PER_PIECE)?).await?;
            tokio::task::yield_now().await;
        }
        writer.flush().await
    }

    fn append_commit(&self, change: &Change<'_>) -> Result<Vec<u8>, LakeError> {
        let actions = change.adds.iter().cloned().map(Action::Add).collect();
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![INGEST_DATE.to_owned()]),
            predicate: None,
        };
        let info = HashMap::from([
            ("isBlindAppend".to_owned(), json!(true)),
            ("tallyportFrom".to_owned(), json!(change.from)),
            (RECORDED_TO.to_owned(), json!(change.to)),
        ]);
        let signed = |version| i64::try_from(version).unwrap_or(i64::MAX);
        let moves = change.transactions();
        let moves = moves.map(|(app_id, version)| Transaction::new(app_id, signed(version)));
        commit_bytes(CommitData::new(actions, operation, info, moves.collect()))
            .map_err(|error| self.error(&error))
    }

    /// Refuses to write into a table that was altered since it was opened.
    fn check(&self, head: &Head) -> Result<Vec<StructField>, LakeError> {
        let (table, url) = (&head.table, &self.storage.url);
        let theirs = table.schema();
        reconcile::writable(url, &self.columns, table.protocol(), table.metadata(), &theirs)
    }

    async fn add_missing_columns(&self) -> Result<(), LakeError> {
        let mut head = self.head.lock().await;
        for attempt in 1..=MAX_TRIES {
            head.refresh(&self.storage, &self.app_ids).await?;
            let missing = self.check(&head)?;
            if missing.is_empty() {
                return Ok(());
            }
            let content = self.evolve_commit(&head, missing).map_err(|error| self.error(&error))?;
            match self.publish(head.version().saturating_add(1), content).await {
                Ok(()) => {}
                Err(PublishError::Taken) => pause(attempt).await,
                Err(PublishError::Unknown(error)) => return Err(error),
            }
        }
        Err(LakeError::Contended { url: self.storage.url.clone(), tries: MAX_TRIES })
    }

    fn evolve_commit(
        &self,
        head: &Head,
        missing: Vec<StructField>,
    ) -> Result<Vec<u8>, DeltaTableError> {
        let columns =
            head.table.schema().fields().cloned().chain(missing.clone()).collect::<Vec<_>>();
        let metadata = head.table.metadata().clone().with_schema(&StructType::try_new(columns)?)?;
        let names: Vec<_> = missing.iter().map(|field| field.name().as_str()).collect();
        tracing::info!(table = self.name(), columns = ?names, "columns are added to the table");
        let actions = vec![Action::Metadata(metadata)];
        let operation = DeltaOperation::AddColumn { fields: missing };
        commit_bytes(CommitData::new(actions, operation, HashMap::new(), Vec::new()))
    }

    async fn publish(&self, version: Version, content: Vec<u8>) -> Result<(), PublishError> {
        publish(&self.storage, version, content).await
    }

    async fn on_disk(
        &self,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Result<(), LakeError> {
        on_disk(work).await.map_err(|error| io_error(&self.storage.url, &error))
    }

    fn error(&self, error: &DeltaTableError) -> LakeError {
        LakeError::of(&self.storage.url, error)
    }
}

/// Makes version 0, unless somebody else makes it at the same time.
async fn create(
    storage: &Storage,
    definition: &TableDefinition,
    columns: &StructType,
    log: &LogId,
) -> Result<(), LakeError> {
    let lake = |error: DeltaTableError| LakeError::of(&storage.url, &error);
    let protocol: Protocol =
        serde_json::from_value(json!({"minReaderVersion": 1, "minWriterVersion": 2}))
            .map_err(|error| lake(error.into()))?;
    let metadata = first_metadata(definition, columns, log).map_err(lake)?;
    let actions = vec![Action::Protocol(protocol.clone()), Action::Metadata(metadata.clone())];
    let operation = DeltaOperation::Create {
        mode: SaveMode::ErrorIfExists,
        location: storage.url.clone(),
        protocol,
        metadata,
    };
    let commit = CommitData::new(actions, operation, HashMap::new(), Vec::new());
    match publish(storage, 0, commit_bytes(commit).map_err(lake)?).await {
        Ok(()) | Err(PublishError::Taken) => Ok(()),
        Err(PublishError::Unknown(error)) => Err(error),
    }
}

fn first_metadata(
    definition: &TableDefinition,
    columns: &StructType,
    log: &LogId,
) -> Result<Metadata, DeltaTableError> {
    let mut properties = definition.properties();
    properties.push((LOG_ID_PROPERTY, log.to_string()));
    let metadata = new_metadata(columns, [INGEST_DATE], properties)?;
    Ok(metadata.with_name(definition.name.to_owned())?)
}

#[cfg(test)]
mod tests;
