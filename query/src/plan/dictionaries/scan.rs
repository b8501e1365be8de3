//! A scan of Parquet files that leaves texts in the dictionaries in which they lie.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    FileOpener, FileScanConfig, FileScanConfigBuilder, FileSource, ParquetFileReaderFactory,
    ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::object_store::ObjectStore;
use datafusion::parquet::arrow::arrow_reader::ArrowReaderOptions;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::file::metadata::PageIndexPolicy;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, ExecutionPlan};
use datafusion_datasource::morsel::{MorselPlan, MorselPlanner, Morselizer};

use crate::lake::TIME;

/// The type of a column of texts, or of lists of them, that stay in their dictionary.
pub(super) fn in_dictionary(of: &DataType) -> Option<DataType> {
    match of {
        DataType::Utf8 => {
            Some(DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)))
        }
        DataType::List(element) => {
            let inner = in_dictionary(element.data_type())?;
            Some(DataType::List(Arc::new(element.as_ref().clone().with_data_type(inner))))
        }
        _ => None,
    }
}

/// `scan` with the texts of the column of this name left in their dictionary, if it reads Parquet as we do.
pub(super) fn with_dictionary(
    scan: &DataSourceExec,
    column: &str,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (config, parquet, mut columns) =
        if let Some((config, source)) = scan.downcast_to_file_source::<InDictionaries>() {
            (config, &source.parquet, source.columns.as_ref().clone())
        } else if let Some((config, source)) = scan.downcast_to_file_source::<ParquetSource>() {
            (config, source, BTreeSet::new())
        } else {
            return Ok(None);
        };
    let table = parquet.table_schema();
    let in_files = table.file_schema().field_with_name(column).is_ok();
    let skips = parquet.filter().is_some_and(|filter| skips_files(&filter, table));
    if !in_files || skips || parquet.parquet_file_reader_factory().is_none() {
        return Ok(None);
    }
    columns.insert(column.to_owned());
    let Some(source) = InDictionaries::new(parquet, columns)? else { return Ok(None) };
    let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source)).build();
    Ok(Some(DataSourceExec::from_data_source(config)))
}

/// `scan` without its filter row by row, if it has one that does not narrow while it runs.
pub(super) fn without_asking(scan: &DataSourceExec) -> Option<Arc<dyn ExecutionPlan>> {
    let asks = |parquet: &ParquetSource| {
        let filter = parquet.filter().filter(|filter| !narrows(filter));
        filter.is_some() && parquet.table_parquet_options().global.pushdown_filters
    };
    let unasked = |parquet: &ParquetSource| parquet.clone().with_pushdown_filters(false);
    let (config, source): (_, Arc<dyn FileSource>) =
        if let Some((config, source)) = scan.downcast_to_file_source::<InDictionaries>() {
            let parquet = asks(&source.parquet).then(|| unasked(&source.parquet))?;
            (config, Arc::new(InDictionaries { parquet, ..source.clone() }))
        } else {
            let (config, source) = scan.downcast_to_file_source::<ParquetSource>()?;
            (config, Arc::new(asks(source).then(|| unasked(source))?))
        };
    let config = FileScanConfigBuilder::from(config.clone()).with_source(source).build();
    Some(DataSourceExec::from_data_source(config))
}

/// Whether `filter` has a part that is known only while the question runs.
fn narrows(filter: &Arc<dyn PhysicalExpr>) -> bool {
    let dynamic = filter.exists(|expr| Ok(expr.is::<DynamicFilterPhysicalExpr>()));
    dynamic.unwrap_or(true)
}

/// Whether a part of `filter` that is known only while the question runs may skip whole files of `table`, by their time or
/// their partition: their footers are then not to be asked for.
fn skips_files(filter: &Arc<dyn PhysicalExpr>, table: &TableSchema) -> bool {
    let by_file = |expr: &Arc<dyn PhysicalExpr>| {
        let column = expr.downcast_ref::<Column>();
        Ok(column.is_some_and(|column| {
            let partitions = table.table_partition_cols();
            column.name() == TIME || partitions.iter().any(|one| one.name() == column.name())
        }))
    };
    let skips = filter.exists(|expr| {
        let mut columns = expr.children().into_iter();
        Ok(expr.is::<DynamicFilterPhysicalExpr>()
            && columns.any(|column| column.exists(by_file).unwrap_or(true)))
    });
    skips.unwrap_or(true)
}

/// The engine's reader of Parquet, which is told of each file that some of its columns are dictionaries.
#[derive(Clone)]
struct InDictionaries {
    parquet: ParquetSource,
    reader: Arc<dyn ParquetFileReaderFactory>,
    columns: Arc<BTreeSet<String>>,
}

impl InDictionaries {
    fn new(parquet: &ParquetSource, columns: BTreeSet<String>) -> Result<Option<Self>> {
        let Some(reader) = parquet.parquet_file_reader_factory() else { return Ok(None) };
        let before = parquet.table_schema();
        let schema = told(before.file_schema(), &columns);
        let table = TableSchema::builder(schema)
            .with_table_partition_cols(before.table_partition_cols().clone())
            .build();
        let mut source = ParquetSource::new(table)
            .with_parquet_file_reader_factory(Arc::clone(reader))
            .with_table_parquet_options(parquet.table_parquet_options().clone());
        if let Some(hint) = parquet.table_parquet_options().global.metadata_size_hint {
            source = source.with_metadata_size_hint(hint);
        }
        if let Some(predicate) = parquet.filter() {
            source = source.with_predicate(predicate);
        }
        let mut source: Arc<dyn FileSource> = Arc::new(source);
        if let Some(projection) = parquet.projection() {
            let Some(projected) = source.try_pushdown_projection(projection)? else {
                return Ok(None);
            };
            source = projected;
        }
        let Some(parquet) = source.downcast_ref::<ParquetSource>() else { return Ok(None) };
        Ok(Some(Self {
            parquet: parquet.clone(),
            reader: Arc::clone(reader),
            columns: Arc::new(columns),
        }))
    }
}

/// `schema` with `columns` as dictionaries, those that can be.
fn told(schema: &Schema, columns: &BTreeSet<String>) -> SchemaRef {
    let field = |field: &FieldRef| match in_dictionary(field.data_type()) {
        Some(of) if columns.contains(field.name()) => {
            Arc::new(Field::clone(field).with_data_type(of))
        }
        _ => Arc::clone(field),
    };
    let fields: Vec<FieldRef> = schema.fields().iter().map(field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

impl FileSource for InDictionaries {
    fn create_file_opener(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.parquet.create_file_opener(object_store, base_config, partition)
    }

    fn create_morselizer(
        &self,
        object_store: Arc<dyn ObjectStore>,
        base_config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let files = self.parquet.create_morselizer(object_store, base_config, partition)?;
        let told = Told { files: files.into(), source: self.clone(), partition };
        Ok(Box::new(told))
    }

    fn table_schema(&self) -> &TableSchema {
        self.parquet.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        let source = self.parquet.with_batch_size(batch_size);
        match source.downcast_ref::<ParquetSource>() {
            Some(parquet) => Arc::new(Self { parquet: parquet.clone(), ..self.clone() }),
            None => source,
        }
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.parquet.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.parquet.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.parquet.metrics()
    }

    fn file_type(&self) -> &str {
        self.parquet.file_type()
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ", dictionaries=[{}]", Vec::from_iter(self.columns.iter().cloned()).join(", "))?;
        self.parquet.fmt_extra(t, f)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.parquet.apply_expressions(f)
    }
}

/// Gives each file the schema that it is read by: its own, with dictionaries.
struct Told {
    files: Arc<dyn Morselizer>,
    source: InDictionaries,
    partition: usize,
}

impl Morselizer for Told {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        Ok(Box::new(ToldFile {
            files: Arc::clone(&self.files),
            source: self.source.clone(),
            partition: self.partition,
            file,
        }))
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("columns", &self.source.columns).finish_non_exhaustive()
    }
}

/// One file, of which only the footer is asked for, which whoever reads it then finds kept.
struct ToldFile {
    files: Arc<dyn Morselizer>,
    source: InDictionaries,
    partition: usize,
    file: PartitionedFile,
}

impl MorselPlanner for ToldFile {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let Self { files, source, partition, file } = *self;
        let planned = async move {
            let hint = source.parquet.table_parquet_options().global.metadata_size_hint;
            let mut reader =
                source.reader.create_reader(partition, file.clone(), hint, source.metrics())?;
            let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Skip);
            let footer = reader.get_metadata(Some(&options)).await?;
            let footer = footer.file_metadata();
            let own = parquet_to_arrow_schema(footer.schema_descr(), footer.key_value_metadata())?;
            files.plan_file(file.with_arrow_schema(told(&own, &source.columns)))
        };
        Ok(Some(MorselPlan::new().with_pending_planner(planned)))
    }
}

impl fmt::Debug for ToldFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToldFile").field("file", &self.file.path()).finish_non_exhaustive()
    }
}
