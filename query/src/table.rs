//! The table `events` as one query sees it: the pinned snapshot and the pinned tail, as one.

use std::fmt;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::{cast, col, lit};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::barrier::tells_nothing;
use crate::lake::Snapshot;
use crate::tail::PinnedTail;

/// The column with the exact bytes of the log, which have a permission of their own.
pub(crate) const RAW: &str = "raw";

/// The columns of a row. All may be null here: what is not null in the lake is for the lake to keep.
pub(crate) fn full_schema() -> SchemaRef {
    static FULL: LazyLock<SchemaRef> = LazyLock::new(|| {
        let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
        let schema = tallyport_schemas::arrow::schema();
        Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Vec<_>>()))
    });
    Arc::clone(&FULL)
}

/// The columns without [`RAW`].
pub(crate) fn schema_without_raw() -> SchemaRef {
    static WITHOUT: LazyLock<SchemaRef> = LazyLock::new(|| {
        let full = full_schema();
        let fields = full.fields().iter().filter(|field| field.name() != RAW).cloned();
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    });
    Arc::clone(&WITHOUT)
}

/// What one query sees, whatever happens meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Pinned {
    /// The lake.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What it lacks.
    pub(crate) tail: PinnedTail,
}

/// The rows of events, on behalf of one view.
pub(crate) struct EventsTable {
    view: &'static str,
    schema: SchemaRef,
    pinned: Arc<Pinned>,
    /// What a row must be to be one of the view's: all of it. Nobody asks anything of other rows.
    only: Vec<Expr>,
}

impl EventsTable {
    /// `view` is what the reader named: permission is asked for it.
    pub(crate) fn new(view: &'static str, raw: bool, pinned: Arc<Pinned>) -> Self {
        let schema = if raw { full_schema() } else { schema_without_raw() };
        Self { view, schema, pinned, only: Vec::new() }
    }

    /// Those of its rows for which all of `only` is true.
    pub(crate) fn only(&self, only: Vec<Expr>) -> Self {
        Self {
            view: self.view,
            schema: Arc::clone(&self.schema),
            pinned: Arc::clone(&self.pinned),
            only,
        }
    }

    /// The view on whose behalf it is read.
    pub(crate) const fn view(&self) -> &'static str {
        self.view
    }

    /// The lake's part, with exactly the columns of `wanted`.
    async fn lake(
        &self,
        rows: &Arc<dyn TableProvider>,
        state: &dyn Session,
        wanted: &SchemaRef,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = rows.schema();
        let projection: Vec<usize> =
            wanted.fields().iter().filter_map(|f| schema.index_of(f.name()).ok()).collect();
        // A column that this snapshot does not have yet is null in it: the filter above the scan deals with that.
        let known = |filter: &&Expr| {
            filter.column_refs().iter().all(|column| schema.index_of(&column.name).is_ok())
        };
        let filters: Vec<Expr> = filters.iter().filter(known).cloned().collect();
        let scan = rows.scan(state, Some(&projection), &filters, limit).await?;
        if wanted.fields().is_empty() {
            return Ok(scan);
        }
        let have = scan.schema();
        let column = |field: &Arc<Field>| -> Result<(Arc<dyn PhysicalExpr>, String)> {
            let expr = match have.field_with_name(field.name()) {
                Ok(found) if found.data_type() == field.data_type() => col(field.name(), &have)?,
                Ok(_) => cast(col(field.name(), &have)?, &have, field.data_type().clone())?,
                Err(_) => lit(ScalarValue::try_from(field.data_type())?),
            };
            Ok((expr, field.name().clone()))
        };
        let columns = wanted.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
    }

    /// Its columns, of all events that `filters` do not leave out: those of the lake.
    async fn rows(
        &self,
        state: &dyn Session,
        columns: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = Arc::new(self.schema.project(columns)?);
        let full = full_schema();
        let of_full = wanted
            .fields()
            .iter()
            .map(|field| full.index_of(field.name()).map_err(DataFusionError::from))
            .collect::<Result<Vec<_>>>()?;
        let mut plans = self.tail(&of_full)?;
        if let Some(rows) = &self.pinned.snapshot.rows {
            plans.push(self.lake(rows, state, &wanted, filters, limit).await?);
        }
        if plans.is_empty() {
            return Ok(Arc::new(EmptyExec::new(wanted)));
        }
        UnionExec::try_new(plans)
    }

    /// The tail's part.
    fn tail(&self, projection: &[usize]) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let mut plans: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        let tail = &self.pinned.tail;
        if !tail.batches.is_empty() {
            plans.push(MemorySourceConfig::try_new_exec(
                std::slice::from_ref(&tail.batches),
                full_schema(),
                Some(projection.to_vec()),
            )?);
        }
        if !tail.ranges.is_empty() {
            let ranges = tail.ranges.iter().cloned();
            let ranges = ranges.map(|range| Arc::new(range) as Arc<dyn PartitionStream>).collect();
            plans.push(Arc::new(StreamingTableExec::try_new(
                full_schema(),
                ranges,
                Some(&projection.to_vec()),
                [],
                false,
                None,
            )?));
        }
        Ok(plans)
    }
}

#[async_trait]
impl TableProvider for EventsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        let wanted = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.schema.fields().len()).collect(),
        };
        if self.only.is_empty() {
            return self.rows(state, &wanted, filters, limit).await;
        }
        let all = DFSchema::try_from(Arc::clone(&self.schema))?;
        let mut looked_at = wanted.clone();
        for column in self.only.iter().flat_map(Expr::column_refs) {
            let index = self.schema.index_of(&column.name)?;
            if !looked_at.contains(&index) {
                looked_at.push(index);
            }
        }
        let before = filters.iter().filter(|filter| tells_nothing(filter, &all));
        let asked: Vec<Expr> = self.only.iter().chain(before).cloned().collect();
        // The first rows of the table may not be rows of the view.
        let rows = self.rows(state, &looked_at, &asked, None).await?;
        let Some(only) = conjunction(self.only.iter().cloned()) else { return Ok(rows) };
        let only = state.create_physical_expr(only, &DFSchema::try_from(rows.schema())?)?;
        let kept = (looked_at.len() > wanted.len()).then(|| (0..wanted.len()).collect());
        let rows = FilterExecBuilder::new(only, rows).apply_projection(kept)?.build()?;
        Ok(Arc::new(rows))
    }

    /// The lake skips files, pages and rows by them; the tail does not, so they stay above the scan.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

impl fmt::Debug for EventsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventsTable")
            .field("view", &self.view)
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}
