//! The files of the lake as one snapshot has them, ready to be read: a question chooses among them by what is kept
//! about each and begins.
//!
//! The Delta library can scan a snapshot, too, but goes through its log and reads every file's statistics from JSON for
//! each question; here that is done once per file. What a table may ask of its readers beyond the first reader version
//! (deletion vectors, mapped columns: [protocol](https://github.com/delta-io/delta/blob/master/PROTOCOL.md)) is left to
//! the library: see [`Unusual`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use deltalake::kernel::LogicalFileView;
use deltalake::logstore::object_store::ObjectMeta;
use deltalake::{DeltaTable, DeltaTableError};

use super::bounds::{Bounds, FileBounds};
use super::footers::WholeFooters;
use crate::table::full_schema;

/// Under this name the engine finds the store of the table's files.
const STORE: &str = "lake://events";
/// The reader version that needs nothing but adding and removing whole files.
const PLAIN_READER: i32 = 1;

/// The live files of one snapshot, newest first.
pub(crate) struct Files {
    table: TableSchema,
    store: ObjectStoreUrl,
    reader: Arc<WholeFooters>,
    files: Vec<Arc<LakeFile>>,
    bounds: Bounds,
    rows: u64,
}

/// One file. It is never written again.
struct LakeFile {
    part: PartitionedFile,
    bounds: FileBounds,
}

/// Why the Delta library has to read a table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusual {
    #[error("it asks for reader version {0}")]
    Reader(i32),
    #[error("it is partitioned by {0:?}")]
    Partitions(Vec<String>),
    #[error("the file {0} lies elsewhere or has no partition")]
    File(String),
    /// The library gives an empty list, too, where it has not loaded one: it shall say itself that there is nothing.
    #[error("it has no files")]
    Empty,
    #[error(transparent)]
    Delta(#[from] DeltaTableError),
    #[error(transparent)]
    Engine(#[from] DataFusionError),
}

impl Files {
    /// The files of `table` as it is loaded. What is known of a file from `before` is not read again.
    pub(crate) fn of(
        table: &DeltaTable,
        session: &SessionState,
        before: Option<&Self>,
    ) -> Result<Self, Unusual> {
        let snapshot = table.snapshot()?;
        let reader = snapshot.protocol().min_reader_version();
        if reader != PLAIN_READER {
            return Err(Unusual::Reader(reader));
        }
        let partitions = snapshot.metadata().partition_columns();
        let schema =
            table_schema(partitions).ok_or_else(|| Unusual::Partitions(partitions.to_vec()))?;
        let known: HashMap<_, _> = before
            .iter()
            .flat_map(|files| &files.files)
            .map(|file| (file.part.path(), file))
            .collect();
        let mut files = Vec::new();
        for view in snapshot.snapshot().try_log_data()?.iter() {
            let file = match known.get(&view.object_store_path()) {
                Some(file) => Arc::clone(file),
                None => {
                    let file = LakeFile::new(&view, &schema);
                    Arc::new(file.ok_or_else(|| Unusual::File(view.path().into_owned()))?)
                }
            };
            files.push(file);
        }
        if files.is_empty() {
            return Err(Unusual::Empty);
        }
        // The latest are what most questions are about, and what lets one for the latest rows skip the others.
        files.sort_by_key(|file| std::cmp::Reverse(file.bounds.latest()));
        let store = ObjectStoreUrl::parse(STORE)?;
        let objects = table.log_store().object_store(None);
        let runtime = session.runtime_env();
        runtime.register_object_store(store.as_ref(), Arc::clone(&objects));
        let cache = runtime.cache_manager.get_file_metadata_cache();
        let all = files.iter().map(|file| file.bounds.clone()).collect();
        let rows = files.iter().filter_map(|file| file.bounds.rows());
        let rows = rows.fold(0, u64::saturating_add);
        let readers = CachedParquetFileReaderFactory::new(objects, cache);
        Ok(Self {
            rows,
            bounds: Bounds::new(all, Arc::clone(schema.table_schema())),
            table: schema,
            store,
            reader: Arc::new(WholeFooters::of(readers, files.len() as u64, rows)),
            files,
        })
    }

    /// The files that may hold rows for `predicate`.
    fn chosen(&self, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Vec<PartitionedFile> {
        let schema = self.table.table_schema();
        let pruning = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
        let pruning = predicate.and_then(|predicate| pruning.build(Arc::clone(predicate)));
        // What cannot be told leaves all in.
        let keep = pruning.and_then(|pruning| pruning.prune(&self.bounds).ok());
        let kept = |index: usize| keep.as_ref().is_none_or(|keep| keep.get(index) != Some(&false));
        let files = self.files.iter().enumerate().filter(|(index, _)| kept(*index));
        files.map(|(_, file)| file.part.clone()).collect()
    }

    fn predicate(
        &self,
        state: &dyn Session,
        filters: &[Expr],
    ) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(None) };
        let schema = DFSchema::try_from(Arc::clone(self.table.table_schema()))?;
        state.create_physical_expr(filter, &schema).map(Some)
    }
}

impl LakeFile {
    /// `None` when it lies elsewhere or lacks a value of its partition.
    fn new(view: &LogicalFileView, table: &TableSchema) -> Option<Self> {
        if view.path().contains("://") {
            return None;
        }
        let values = view.partition_values_map();
        let mut partition = Vec::new();
        for field in table.table_partition_cols() {
            let value = values.get(field.name())?.as_ref()?;
            let value = ScalarValue::try_from_string(value.clone(), field.data_type()).ok()?;
            partition.push((field.name().clone(), value));
        }
        let meta = ObjectMeta {
            location: view.object_store_path(),
            last_modified: view.modification_datetime().ok()?,
            size: u64::try_from(view.size()).ok()?,
            e_tag: None,
            version: None,
        };
        let bounds = FileBounds::new(
            view.stats().as_deref(),
            partition.iter().cloned(),
            table.table_schema(),
        );
        let mut part = PartitionedFile::new_from_meta(meta);
        part.partition_values = partition.into_iter().map(|(_, value)| value).collect();
        // For a question whose answer narrows as it is found (the latest 100), and for nothing else: a bound that was cut
        // must not be taken for a value.
        part.statistics = Some(Arc::new(bounds.time_only(table.file_schema())));
        Some(Self { part, bounds })
    }
}

/// The columns of a row, those of `partitions` last; `None` where a row has no such column.
fn table_schema(partitions: &[String]) -> Option<TableSchema> {
    let full = full_schema();
    let of_path = partitions
        .iter()
        .map(|name| full.field_with_name(name).ok().map(|field| Arc::new(field.clone())))
        .collect::<Option<Vec<_>>>()?;
    let in_file = full.fields().iter().filter(|field| !partitions.contains(field.name())).cloned();
    let in_file = Schema::new(in_file.collect::<Vec<_>>());
    Some(TableSchema::builder(Arc::new(in_file)).with_table_partition_cols(of_path).build())
}

#[async_trait]
impl TableProvider for Files {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let predicate = self.predicate(state, filters)?;
        let files = self.chosen(predicate.as_ref());
        let schema = self.table.table_schema();
        if files.is_empty() {
            let schema = match projection {
                Some(projection) => Arc::new(schema.project(projection)?),
                None => Arc::clone(schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let mut options = state.table_options().parquet.clone();
        options.global = state.config_options().execution.parquet.clone();
        let mut source = ParquetSource::new(self.table.clone())
            .with_parquet_file_reader_factory(Arc::clone(&self.reader) as _);
        if let Some(hint) = options.global.metadata_size_hint {
            source = source.with_metadata_size_hint(hint);
        }
        source = source.with_table_parquet_options(options);
        if let Some(predicate) = predicate {
            source = source.with_predicate(predicate);
        }
        // No more than a guess: an answer is counted, never taken from what the log of the table says.
        let mut statistics = Statistics::new_unknown(schema);
        statistics.num_rows = Precision::Inexact(usize::try_from(self.rows).unwrap_or(usize::MAX));
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(vec![FileGroup::new(files)])
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// Files, pages and rows are skipped by them; the question asks them again above the scan.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("files", &self.files.len()).finish_non_exhaustive()
    }
}
