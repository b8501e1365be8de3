//! The lake as one snapshot after the other: which events it has, and up to which offset of each partition.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::object_store::{self, ObjectStoreExt as _};
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use tallyport_eventlog::LogId;
use tallyport_lake::{Positions, PositionsError, commit_path};
use tallyport_schemas::lake;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::config::LakeConfig;
use crate::error::QueryError;

mod bounds;
mod files;
mod footers;

pub(crate) use bounds::TIME;
use files::Files;

/// Commits that are followed one by one. Then all positions are read anew, which costs about as much as one read per
/// commit and shows a table that was replaced by another.
const MAX_FOLLOWED: u64 = 64;

/// How often it is looked whether what is known is still there, where nothing newer is.
const THERE_EVERY: Duration = Duration::from_secs(5);

/// How often an outage that lasts is said.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The table of events, read only.
pub(crate) struct Lake {
    log: LogId,
    config: LakeConfig,
    session: Arc<SessionState>,
    state: Mutex<State>,
    said: Said,
}

/// What was said of an outage, and when: it is asked every second, and the answer stays the same.
#[derive(Default)]
struct Said(parking_lot::Mutex<Option<(String, Instant)>>);

impl Said {
    /// Whether to say it now.
    fn is_news(&self, words: &str) -> bool {
        let mut last = self.0.lock();
        let known =
            last.as_ref().is_some_and(|(said, at)| said == words && at.elapsed() < SAY_EVERY);
        if !known {
            *last = Some((words.to_owned(), Instant::now()));
        }
        !known
    }
}

struct State {
    table: Option<DeltaTable>,
    positions: Option<Known>,
    snapshot: Arc<Snapshot>,
    loaded: Option<Instant>,
    /// When its newest commit was last seen.
    seen: Instant,
}

/// Where every partition stands.
#[derive(Clone)]
struct Known {
    positions: Positions,
    /// The version at which they were read anew.
    read_at: u64,
}

/// One state of the table, for ever.
pub(crate) struct Snapshot {
    /// Its version; absent while there is no table.
    pub(crate) version: Option<u64>,
    /// Per partition, the offset of the first event that this snapshot lacks; absent where it has none of a partition.
    pub(crate) next: Vec<Option<u64>>,
    /// Its rows; absent while there is no table.
    pub(crate) rows: Option<Arc<dyn TableProvider>>,
    /// The same, as long as we read them ourselves.
    files: Option<Arc<Files>>,
}

impl Snapshot {
    /// No table.
    pub(crate) const NONE: Self = Self { version: None, next: Vec::new(), rows: None, files: None };
}

impl Lake {
    /// `session` gives the settings of the scan.
    pub(crate) fn new(config: LakeConfig, log: LogId, session: Arc<SessionState>) -> Self {
        let snapshot = Arc::new(Snapshot::NONE);
        let seen = Instant::now();
        let state = State { table: None, positions: None, snapshot, loaded: None, seen };
        Self { log, config, session, state: Mutex::new(state), said: Said::default() }
    }

    /// The newest snapshot, looked up again unless that was done within `max_age`. Never older than one given before.
    pub(crate) async fn newest(
        &self,
        partitions: u32,
        max_age: Duration,
    ) -> Result<Arc<Snapshot>, QueryError> {
        let mut state = self.state.lock().await;
        if state.loaded.is_some_and(|loaded| loaded.elapsed() < max_age) {
            return Ok(Arc::clone(&state.snapshot));
        }
        let now = Instant::now();
        let unreadable = |error: DeltaTableError| {
            let words = error.to_string();
            if self.said.is_news(&words) {
                let fix = words.contains("loading credentials").then_some(
                    "give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role (docs/operations.md, \"Keys of an object store\")",
                );
                tracing::error!(
                    error = words,
                    fix,
                    "the lake's table of events could not be loaded; this is said again every minute"
                );
            }
            QueryError::LakeUnavailable
        };
        let known = state.table.clone();
        let before = known.as_ref().and_then(DeltaTable::version);
        if let Some(table) = self.load(known).await.map_err(unreadable)? {
            if table.version() != before {
                state.seen = now;
            } else if state.seen.elapsed() >= THERE_EVERY {
                is_there(&table).await.map_err(unreadable)?;
                state.seen = now;
            }
            let known = state.table.is_some()
                && table.version() == state.snapshot.version
                && state.snapshot.next.len() == partitions as usize;
            if !known {
                is_of(&table, &self.log)?;
                let at = positions(&table, state.positions.clone(), partitions).await;
                let at = at.map_err(unreadable)?;
                let before = state.snapshot.files.as_deref();
                let snapshot = self.snapshot(&table, &at.positions, partitions, before).await;
                let snapshot = snapshot.map_err(unreadable)?;
                went_on(&state.snapshot, &snapshot)?;
                state.snapshot = Arc::new(snapshot);
                state.positions = Some(at);
                state.table = Some(table);
            }
        }
        state.loaded = Some(now);
        Ok(Arc::clone(&state.snapshot))
    }

    /// The table at its newest version, or nothing before the recorder made it.
    async fn load(&self, known: Option<DeltaTable>) -> Result<Option<DeltaTable>, DeltaTableError> {
        if let Some(mut table) = known {
            table.update_incremental(None).await?;
            return Ok(Some(table));
        }
        let url = self.config.table(lake::EVENTS_TABLE);
        let absent = url.scheme() == "file"
            && !url.to_file_path().is_ok_and(|path| path.join("_delta_log").exists());
        if absent {
            return Ok(None);
        }
        let mut table = DeltaTableBuilder::from_url(url)?
            .with_storage_options(self.config.storage_options.clone())
            .build()?;
        if !table.verify_deltatable_existence().await? {
            return Ok(None);
        }
        table.load().await?;
        Ok(Some(table))
    }

    async fn snapshot(
        &self,
        table: &DeltaTable,
        positions: &Positions,
        partitions: u32,
        before: Option<&Files>,
    ) -> Result<Snapshot, DeltaTableError> {
        let next = (0..partitions).map(|one| positions.get(&lake::app_id(one))).collect();
        let (files, rows): (_, Arc<dyn TableProvider>) =
            match Files::of(table, &self.session, before) {
                Ok(files) => {
                    let files = Arc::new(files);
                    (Some(Arc::clone(&files)), files)
                }
                Err(unusual) => {
                    tracing::debug!(%unusual, "the Delta library reads the table");
                    let session = Arc::clone(&self.session);
                    (None, Arc::new(table.table_provider().with_session(session).build().await?))
                }
            };
        Ok(Snapshot { version: table.version(), next, rows: Some(rows), files })
    }
}

/// That nothing newer is found tells nothing of what is known: where a lake is gone, nothing newer is found either.
async fn is_there(table: &DeltaTable) -> Result<(), DeltaTableError> {
    let commit = commit_path(table.snapshot()?.version());
    match table.log_store().object_store(None).head(&commit).await {
        // Whoever cleans up a log leaves a checkpoint.
        Err(object_store::Error::NotFound { .. })
            if table.verify_deltatable_existence().await? =>
        {
            Ok(())
        }
        looked => Ok(looked.map(drop)?),
    }
}

/// Where every partition stands in `table`: by the commits since `known`, else by one pass over its log.
async fn positions(
    table: &DeltaTable,
    known: Option<Known>,
    partitions: u32,
) -> Result<Known, DeltaTableError> {
    let version = table.snapshot()?.version();
    let store = table.log_store().object_store(None);
    let near = |known: &Known| {
        known.positions.version() <= version && version - known.read_at <= MAX_FOLLOWED
    };
    if let Some(mut known) = known.filter(near) {
        match known.positions.advance(store.as_ref(), version).await {
            Ok(()) => return Ok(known),
            Err(PositionsError::Store(error)) => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "the positions are read anew"),
        }
    }
    match Positions::read(&store, version).await {
        Ok(positions) => return Ok(Known { positions, read_at: version }),
        Err(PositionsError::Store(error)) => return Err(error.into()),
        Err(error) => {
            tracing::warn!(%error, "positions are read by the Delta library, which is slower")
        }
    }
    let log_store = table.log_store();
    let mut found = Vec::new();
    for app_id in (0..partitions).map(lake::app_id) {
        let position = table.snapshot()?.transaction_version(log_store.as_ref(), &app_id).await?;
        found.extend(position.map(|position| (app_id, position)));
    }
    Ok(Known { positions: Positions::known(version, found), read_at: version })
}

/// A lake that says that it was recorded from another log: its positions say nothing about the tail of this one.
fn is_of(table: &DeltaTable, log: &LogId) -> Result<(), QueryError> {
    let snapshot = table.snapshot().map_err(|error| {
        tracing::error!(%error, "the lake's table of events could not be read");
        QueryError::LakeUnavailable
    })?;
    match snapshot.metadata().configuration().get(lake::LOG_ID_PROPERTY) {
        Some(other) if *other != log.as_str() => {
            let reason =
                format!("the lake was recorded from the log {other}, and this one is {log}");
            tracing::error!(%reason, "integrity violation");
            Err(QueryError::Integrity { reason })
        }
        // A lake that another program made says nothing of a log.
        _ => Ok(()),
    }
}

/// A lake whose position goes back was replaced: answering from it would show a hole as if nothing had been there.
fn went_on(before: &Snapshot, after: &Snapshot) -> Result<(), QueryError> {
    for (partition, (before, after)) in before.next.iter().zip(&after.next).enumerate() {
        if after < before {
            let place =
                |next: &Option<u64>| next.map_or("none".to_owned(), |next| next.to_string());
            let reason = format!(
                "the lake's position in partition {partition} went back from {} to {}; was the table replaced or restored?",
                place(before),
                place(after)
            );
            tracing::error!(%reason, "integrity violation");
            return Err(QueryError::Integrity { reason });
        }
    }
    Ok(())
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_that_lasts_is_said_once_in_a_while() {
        let said = Said::default();
        let news = ["out", "out", "gone", "out", "out"].map(|words| said.is_news(words));
        assert_eq!(news, [true, false, true, true, false]);
    }
}
