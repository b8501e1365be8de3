//! The transactions of a checkpoint: a Parquet file of which only two columns are read.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use serde::Deserialize;

use crate::commit::Transaction;
use crate::error::PositionsError;

/// What the first read fetches of the file's end, in bytes: the footer of most checkpoints in one request.
const FOOTER_BYTES: usize = 64 * 1024;

/// The newest checkpoint at or before `version`, as far as the table's log tells; `table` is rooted where the table
/// is.
///
/// One small read where the log's own hint is good. Where there is none, or it is about a later version, the log is
/// listed.
///
/// # Errors
/// When the store cannot be read.
///
/// # Cancel safety
/// It only reads.
pub async fn newest_checkpoint(
    table: &dyn ObjectStore,
    version: u64,
) -> Result<Option<u64>, PositionsError> {
    if let Some(hinted) = hint(table).await?.filter(|hinted| *hinted <= version) {
        return Ok(Some(hinted));
    }
    let log = Path::from("_delta_log");
    let names = table.list(Some(&log)).map_ok(|object| checkpoint_version(&object.location));
    let newest = names.try_fold(None, |newest, found| async move {
        Ok(newest.max(found.filter(|found| *found <= version)))
    });
    Ok(newest.await?)
}

/// What `_last_checkpoint` says. It is a hint: without a good one, the log itself tells.
async fn hint(table: &dyn ObjectStore) -> Result<Option<u64>, PositionsError> {
    #[derive(Deserialize)]
    struct Hint {
        version: u64,
    }
    let content = match table.get(&Path::from("_delta_log/_last_checkpoint")).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(serde_json::from_slice(&content).ok().map(|Hint { version }| version))
}

fn checkpoint_version(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".checkpoint.parquet")?.parse().ok()
}

/// Reads the transactions of the checkpoint of `version`.
pub(crate) async fn read(
    table: &Arc<dyn ObjectStore>,
    version: u64,
) -> Result<Vec<Transaction>, PositionsError> {
    let path = Path::from(format!("_delta_log/{version:020}.checkpoint.parquet"));
    let size = match table.head(&path).await {
        Ok(found) => found.size,
        Err(object_store::Error::NotFound { .. }) => {
            return Err(PositionsError::Foreign { version });
        }
        Err(error) => return Err(error.into()),
    };
    let file = File { store: Arc::clone(table), path, size };
    transactions(file).await.map_err(|source| match source {
        ParquetError::External(inner) => match inner.downcast::<object_store::Error>() {
            Ok(outage) => PositionsError::Store(*outage),
            Err(other) => {
                PositionsError::Checkpoint { version, source: ParquetError::External(other) }
            }
        },
        source => PositionsError::Checkpoint { version, source },
    })
}

async fn transactions(file: File) -> Result<Vec<Transaction>, ParquetError> {
    let builder = ParquetRecordBatchStreamBuilder::new(file).await?;
    let columns = ProjectionMask::columns(builder.parquet_schema(), ["txn.appId", "txn.version"]);
    let mut batches = builder.with_projection(columns).build()?;
    let mut found = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        gather(&batch, &mut found)?;
    }
    Ok(found)
}

/// A row has a transaction, or is another kind of action.
fn gather(batch: &RecordBatch, found: &mut Vec<Transaction>) -> Result<(), ParquetError> {
    let Some(txn) = batch.column_by_name("txn") else { return Ok(()) };
    let unlike = || ParquetError::General("`txn` is not a text and a number".to_owned());
    let txn = txn.as_struct_opt().ok_or_else(unlike)?;
    let ids = txn.column_by_name("appId").and_then(|ids| ids.as_string_opt::<i32>());
    let versions =
        txn.column_by_name("version").and_then(|versions| versions.as_primitive_opt::<Int64Type>());
    let (ids, versions) = (ids.ok_or_else(unlike)?, versions.ok_or_else(unlike)?);
    for row in (0..txn.len()).filter(|row| txn.is_valid(*row) && ids.is_valid(*row)) {
        found.push((ids.value(row).to_owned(), versions.value(row)));
    }
    Ok(())
}

/// A file in the store, read by ranges.
struct File {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for File {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.store.get_range(&self.path, range).map_err(external).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size = self.size;
            let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER_BYTES));
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}
