//! The names a query may use: `public` with `events` and the views, `pg_catalog`, and nothing else that holds rows.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemTable, MemoryCatalogProvider,
    MemoryCatalogProviderList, MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::ViewTable;
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{LogicalPlan, TableType};
use datafusion::sql::parser::Statement;

use crate::barrier;
use crate::described::Described;
use crate::error::QueryError;
use crate::functions::{DESCRIBING, MAKING};
use crate::table::{EventsTable, Pinned, RAW, full_schema};
use crate::views::{EVENTS, VIEWS, View};

/// The one catalog; on the PostgreSQL wire it is the database.
pub(crate) const CATALOG: &str = "tallyport";
/// The schema with `events` and the views.
pub(crate) const PUBLIC: &str = "public";
/// How the record has it that the exact bytes of events were read.
pub(crate) const EXACT_BYTES: &str = "events.raw";
/// PostgreSQL's own catalog, as far as clients ask it.
pub(crate) const PG_CATALOG: &str = "pg_catalog";
/// What is known of tables and columns, as the standard of SQL has it.
pub(crate) const INFORMATION_SCHEMA: &str = "information_schema";

/// A session state whose names are those of one query.
pub(crate) fn state_for(
    base: &SessionState,
    described: &Described,
    raw: bool,
    pinned: Arc<Pinned>,
) -> Result<SessionState> {
    let public = PublicSchema { base: base.clone(), raw, pinned };
    with_schemas(base, Arc::new(public), Some(described))
}

fn with_schemas(
    base: &SessionState,
    public: Arc<dyn SchemaProvider>,
    described: Option<&Described>,
) -> Result<SessionState> {
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(PUBLIC, public)?;
    if let Some(described) = described {
        catalog.register_schema(PG_CATALOG, Arc::clone(&described.pg_catalog))?;
        catalog.register_schema(INFORMATION_SCHEMA, Arc::clone(&described.information_schema))?;
    }
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(SessionStateBuilder::new_from_existing(base.clone())
        .with_catalog_list(Arc::new(catalogs))
        .build())
}

/// `events` and the views over one pinned state. A view is planned when it is named.
struct PublicSchema {
    base: SessionState,
    raw: bool,
    pinned: Arc<Pinned>,
}

impl PublicSchema {
    /// The view's plan over rows that know on whose behalf they are read.
    async fn view(&self, view: &'static View) -> Result<ViewTable> {
        let rows = EventsTable::new(view.name, false, Arc::clone(&self.pinned));
        let schema = MemorySchemaProvider::new();
        schema.register_table(EVENTS.to_owned(), Arc::new(rows))?;
        let state = with_schemas(&self.base, Arc::new(schema), None)?;
        let broken = |error| DataFusionError::Internal(format!("view {}: {error}", view.name));
        let statement = view.statement().map_err(broken)?;
        let plan = state.statement_to_plan(Statement::Statement(Box::new(statement))).await?;
        Ok(ViewTable::new(barrier::inside(plan)?, Some(view.sql())))
    }
}

#[async_trait]
impl SchemaProvider for PublicSchema {
    fn table_names(&self) -> Vec<String> {
        let views = VIEWS.iter().map(|view| view.name.to_owned());
        std::iter::once(EVENTS.to_owned()).chain(views).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if name == EVENTS {
            let rows = EventsTable::new(EVENTS, self.raw, Arc::clone(&self.pinned));
            return Ok(Some(Arc::new(rows)));
        }
        let Some(view) = View::named(name) else { return Ok(None) };
        Ok(Some(Arc::new(self.view(view).await?)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(match name {
            EVENTS => Some(TableType::Base),
            _ => View::named(name).map(|_| TableType::View),
        })
    }

    fn table_exist(&self, name: &str) -> bool {
        name == EVENTS || View::named(name).is_some()
    }
}

impl fmt::Debug for PublicSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicSchema").field("raw", &self.raw).finish_non_exhaustive()
    }
}

/// The same names without rows, for ever: what `pg_catalog` describes. Its object ids stay the same between queries,
/// which is what psql's `\d` relies on.
pub(crate) async fn shape(
    base: &SessionState,
    empty: Arc<Pinned>,
) -> Result<Arc<dyn CatalogProviderList>> {
    let live = PublicSchema { base: base.clone(), raw: true, pinned: empty };
    let public = MemorySchemaProvider::new();
    let rows = MemTable::try_new(full_schema(), vec![vec![]])?;
    public.register_table(EVENTS.to_owned(), Arc::new(rows))?;
    for view in &VIEWS {
        public.register_table(view.name.to_owned(), Arc::new(live.view(view).await?))?;
    }
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(PUBLIC, Arc::new(public))?;
    let catalogs = MemoryCatalogProviderList::new();
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(catalogs))
}

/// What a plan reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    /// The views, `events` among them where it was named itself.
    pub(crate) views: BTreeSet<&'static str>,
    /// Everything by name, for the record.
    pub(crate) relations: BTreeSet<String>,
    /// A table function that makes as many rows as it is told to.
    pub(crate) made: Option<String>,
}

/// What `plan` reads, wherever in it: in subqueries, CTEs and views too. A name that the reader gave as an alias means
/// nothing here: every scan says itself on whose behalf it is.
pub(crate) fn reads(plan: &LogicalPlan) -> Result<Reads, QueryError> {
    let mut reads = Reads::default();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            if let Some(events) = provider.downcast_ref::<EventsTable>() {
                reads.views.insert(events.view());
                reads.relations.insert(events.view().to_owned());
                let raw = scan.projected_schema.has_column_with_unqualified_name(RAW);
                if raw && scan.projection.is_some() {
                    reads.relations.insert(EXACT_BYTES.to_owned());
                }
            } else {
                let name = &scan.table_name;
                let described = matches!(name.schema(), Some(PG_CATALOG | INFORMATION_SCHEMA));
                let function = name.table().trim_end_matches("()");
                let own = name.schema().is_none();
                if own && MAKING.contains(&function) {
                    reads.made = Some(function.to_owned());
                } else if !(described || own && DESCRIBING.contains(&function)) {
                    let what = format!("reading `{name}`");
                    return Err(QueryError::ReadOnly { what }.into());
                }
                if described {
                    reads.relations.insert(name.to_string());
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(reads)
}
