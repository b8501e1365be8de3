//! What clients ask a PostgreSQL server about itself, and BI tools more than others: its catalog, the standard's views of what there
//! is, its settings. Made once, at the start: a question changes none of it. It holds no event.

mod asked;
mod information;
mod rows;
mod settings;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProviderList, MemTable, SchemaProvider, TableProvider};
use datafusion::common::exec_err;
use datafusion::error::Result;
use datafusion::execution::SessionState;
use datafusion::execution::context::SessionContext;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::{
    PgCatalogSchemaProvider, PgCatalogStaticTables,
};

pub(crate) use self::asked::as_meant;
use self::rows::{batch, number, text};
pub(crate) use self::settings::{SERVER_VERSION, SETTINGS, setting};
use crate::catalog::{CATALOG, INFORMATION_SCHEMA, PG_CATALOG, PUBLIC};

/// The object id of `pg_catalog` in every PostgreSQL: types and functions are said to be in it.
const OID_OF_PG_CATALOG: i32 = 11;
/// One that no relation here has: those begin at 16,384.
const OID_OF_INFORMATION_SCHEMA: i32 = 13_000;
/// What tells of keys and indexes, and which of its columns are lists.
const KEYS: [(&str, &[&str]); 2] = [
    ("pg_constraint", &["conkey", "confkey", "conpfeqop", "conppeqop", "conffeqop", "conexclop"]),
    ("pg_index", &["indkey", "indcollation", "indclass", "indoption"]),
];
/// PostgreSQL's first user.
const OWNER: i32 = 10;

/// The schemas that describe.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) pg_catalog: Arc<dyn SchemaProvider>,
    pub(crate) information_schema: Arc<dyn SchemaProvider>,
}

impl Described {
    /// Describes what `shape` has.
    pub(crate) async fn new(
        base: &SessionState,
        shape: Arc<dyn CatalogProviderList>,
    ) -> Result<Self> {
        let public = shape.catalog(CATALOG).and_then(|it| it.schema(PUBLIC));
        let Some(public) = public else { return exec_err!("there is no schema {PUBLIC}") };
        let information_schema = information::schema(public.as_ref()).await?;
        let statics = Arc::new(PgCatalogStaticTables::try_new()?);
        let given = PgCatalogSchemaProvider::try_new(shape, statics, EmptyContextProvider)?;
        let given = Catalog { given: Arc::new(given), own: HashMap::new() };
        let pg_catalog = Arc::new(given.corrected(base).await?);
        Ok(Self { pg_catalog, information_schema })
    }
}

/// The library's `pg_catalog`, but for what it does not say as a server does.
struct Catalog {
    given: Arc<dyn SchemaProvider>,
    own: HashMap<&'static str, Arc<dyn TableProvider>>,
}

impl Catalog {
    async fn corrected(mut self, base: &SessionState) -> Result<Self> {
        // Its types and functions are in a schema that it does not have, and drivers look up types by schema.
        self.correct("pg_namespace", base, |mut rows| {
            let schema = rows.first().map(RecordBatch::schema);
            if let Some(schema) = schema {
                let more = [
                    (OID_OF_PG_CATALOG, PG_CATALOG),
                    (OID_OF_INFORMATION_SCHEMA, INFORMATION_SCHEMA),
                ];
                let more = more
                    .map(|(oid, name)| vec![number(Some(oid)), text(name), number(Some(OWNER))]);
                rows.push(batch(&schema, more.to_vec())?);
            }
            Ok(rows)
        })
        .await?;
        // There is one database, and no `postgres` beside it.
        self.correct("pg_database", base, |rows| {
            rows.into_iter().map(|rows| only(&rows, "datname", CATALOG)).collect()
        })
        .await?;
        // Nothing here has a key or an index; what is given are some of the library's own, with lists as texts.
        for (name, lists) in KEYS {
            self.without_rows(name, lists).await?;
        }
        self.correct("pg_settings", base, |rows| {
            let all = SETTINGS.iter().map(|(name, value)| vec![text(name), text(value)]);
            rows.first().map(|one| batch(&one.schema(), all.collect())).into_iter().collect()
        })
        .await?;
        Ok(self)
    }

    /// No rows, and these columns lists of numbers.
    async fn without_rows(&mut self, name: &'static str, lists: &[&str]) -> Result<()> {
        let Some(given) = self.given.table(name).await? else {
            return exec_err!("there is no {name}");
        };
        let numbers = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
        let given = given.schema();
        let fields = given.fields().iter().map(|field| {
            let is_list = lists.contains(&field.name().as_str());
            let field = field.as_ref().clone();
            if is_list { field.with_data_type(numbers.clone()) } else { field }
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self.own.insert(name, Arc::new(MemTable::try_new(schema, vec![vec![]])?));
        Ok(())
    }

    async fn correct(
        &mut self,
        name: &'static str,
        base: &SessionState,
        correct: impl FnOnce(Vec<RecordBatch>) -> Result<Vec<RecordBatch>> + Send,
    ) -> Result<()> {
        let Some(given) = self.given.table(name).await? else {
            return exec_err!("there is no {name}");
        };
        let schema = given.schema();
        let context = SessionContext::new_with_state(base.clone());
        let rows = correct(context.read_table(given)?.collect().await?)?;
        self.own.insert(name, Arc::new(MemTable::try_new(schema, vec![rows])?));
        Ok(())
    }
}

/// The rows whose `column` is `value`.
fn only(rows: &RecordBatch, column: &str, value: &str) -> Result<RecordBatch> {
    let names = rows.column_by_name(column).and_then(|it| it.as_any().downcast_ref());
    let Some(names) = names.map(|names: &StringArray| names.iter()) else {
        return exec_err!("there is no {column}");
    };
    let wanted = names.map(|name| Some(name == Some(value))).collect();
    Ok(arrow::compute::filter_record_batch(rows, &wanted)?)
}

#[async_trait]
impl SchemaProvider for Catalog {
    fn table_names(&self) -> Vec<String> {
        self.given.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.own.get(name) {
            Some(own) => Ok(Some(Arc::clone(own))),
            None => self.given.table(name).await,
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.given.table_exist(name)
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("own", &self.own.keys()).finish_non_exhaustive()
    }
}
