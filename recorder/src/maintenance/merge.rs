//! The rows of several files as one stream, in the order of the table.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use deltalake::datafusion::common::ScalarValue;
use deltalake::datafusion::datasource::listing::PartitionedFile;
use deltalake::datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use deltalake::datafusion::datasource::physical_plan::{
    FileGroup, FileScanConfigBuilder, ParquetSource,
};
use deltalake::datafusion::datasource::source::DataSourceExec;
use deltalake::datafusion::datasource::table_schema::TableSchema;
use deltalake::datafusion::error::{DataFusionError, Result};
use deltalake::datafusion::execution::SendableRecordBatchStream;
use deltalake::datafusion::execution::memory_pool::FairSpillPool;
use deltalake::datafusion::execution::object_store::ObjectStoreUrl;
use deltalake::datafusion::execution::runtime_env::RuntimeEnvBuilder;
use deltalake::datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use deltalake::datafusion::physical_plan::expressions::col;
use deltalake::datafusion::physical_plan::sorts::sort::SortExec;
use deltalake::datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use deltalake::datafusion::physical_plan::{ExecutionPlan, execute_stream};
use deltalake::datafusion::prelude::{SessionConfig, SessionContext};
use deltalake::parquet::file::metadata::RowGroupMetaData;

use crate::lake::{INGEST_DATE, LakeFile, Storage, TableDefinition, is_sorted};

/// Rows of each file that are in memory at once, at most. A row has its event's exact bytes: some KB.
const MAX_ROWS_AT_ONCE: u64 = 1_024;
/// About what those of all files that are merged come to.
const MERGE_BYTES: u64 = 256 * 1024 * 1024;
/// What sorting a file may take of memory before it goes to disk.
const SORT_BYTES: usize = 512 * 1024 * 1024;
/// Under this name the engine finds the store of the table's files.
const STORE: &str = "lake://rewritten";

/// Reads files of one table.
pub(super) struct Merger {
    store: ObjectStoreUrl,
    storage: Storage,
    schema: TableSchema,
    definition: TableDefinition,
}

/// A file and what its footer says.
#[derive(Clone, Debug)]
pub(super) struct Looked {
    pub(super) file: LakeFile,
    /// Whether its rows are in the order of the table.
    pub(super) sorted: bool,
    /// What a row takes outside the file, in bytes.
    row_bytes: u64,
}

impl Merger {
    /// `schema` has the columns of the table, that of the day last.
    pub(super) fn new(
        storage: Storage,
        definition: TableDefinition,
        schema: &SchemaRef,
    ) -> Result<Self> {
        let (of_path, in_file): (Vec<_>, Vec<_>) =
            schema.fields().iter().cloned().partition(|field| field.name() == INGEST_DATE);
        let in_file = Arc::new(Schema::new(in_file));
        let schema = TableSchema::builder(in_file).with_table_partition_cols(of_path).build();
        Ok(Self { store: ObjectStoreUrl::parse(STORE)?, storage, schema, definition })
    }

    /// Reads the footer of a file.
    pub(super) async fn look(&self, file: LakeFile) -> Result<Looked> {
        let store = self.storage.log_store.object_store(None);
        let footer = DFParquetMetadata::new(store.as_ref(), &file.meta).fetch_metadata().await?;
        let bytes = |group: &RowGroupMetaData| u64::try_from(group.total_byte_size()).unwrap_or(0);
        let bytes: u64 = footer.row_groups().iter().map(bytes).sum();
        let rows = u64::try_from(footer.file_metadata().num_rows()).unwrap_or(0).max(1);
        let sorted = is_sorted(&footer, &self.definition);
        Ok(Looked { file, sorted, row_bytes: bytes.div_ceil(rows).max(1) })
    }

    /// All rows of `files`, which are in the order of the table, in that order: merged as they are read.
    pub(super) fn merged(&self, files: &[Looked]) -> Result<SendableRecordBatchStream> {
        let row_bytes: u64 = files.iter().map(|file| file.row_bytes).sum();
        let rows = (MERGE_BYTES / row_bytes.max(1)).clamp(1, MAX_ROWS_AT_ONCE);
        // What it holds is bounded by what is read at once. A pool could only make it fail, since a merge does not spill.
        let session = self.session(rows, None)?;
        let groups = files.iter().map(|looked| FileGroup::new(vec![part(&looked.file)]));
        let merged = SortPreservingMergeExec::new(self.order()?, self.scan(groups.collect()));
        execute_stream(Arc::new(merged), session.task_ctx())
    }

    /// All rows of a file that is in another order, sorted.
    pub(super) fn sorted(&self, looked: &Looked) -> Result<SendableRecordBatchStream> {
        let rows = (MERGE_BYTES / 16 / looked.row_bytes.max(1)).clamp(1, MAX_ROWS_AT_ONCE);
        let session = self.session(rows, Some(SORT_BYTES))?;
        let file = self.scan(vec![FileGroup::new(vec![part(&looked.file)])]);
        execute_stream(Arc::new(SortExec::new(self.order()?, file)), session.task_ctx())
    }

    fn session(&self, rows: u64, memory: Option<usize>) -> Result<SessionContext> {
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = memory {
            runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
        }
        let runtime = runtime.build_arc()?;
        let objects = self.storage.log_store.object_store(None);
        runtime.register_object_store(self.store.as_ref(), objects);
        let rows = usize::try_from(rows).unwrap_or(1);
        let config = SessionConfig::new().with_batch_size(rows);
        Ok(SessionContext::new_with_config_rt(config, runtime))
    }

    fn scan(&self, groups: Vec<FileGroup>) -> Arc<dyn ExecutionPlan> {
        let source = Arc::new(ParquetSource::new(self.schema.clone()));
        // Each file stays a stream of its own: two behind each other would be in no order.
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(groups)
            .with_preserve_order(true);
        DataSourceExec::from_data_source(config.build())
    }

    fn order(&self) -> Result<LexOrdering> {
        let schema = self.schema.table_schema();
        let by = self.definition.sorted_by.iter();
        let by = by.map(|name| Ok(PhysicalSortExpr::new_default(col(name, schema)?)));
        let by: Result<Vec<_>> = by.collect();
        let no_order = || DataFusionError::Internal("the table has no order".to_owned());
        LexOrdering::new(by?).ok_or_else(no_order)
    }
}

fn part(file: &LakeFile) -> PartitionedFile {
    let mut part = PartitionedFile::new_from_meta(file.meta.clone());
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    let days = (file.day - epoch).get_days();
    part.partition_values = vec![ScalarValue::Date32(Some(days))];
    part
}
