//! `information_schema`: what there is to ask, as the standard of SQL describes it and PostgreSQL names it.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::TableType;

use super::rows::{number, table, text};
use crate::catalog::{CATALOG, INFORMATION_SCHEMA, PG_CATALOG, PUBLIC};

const TABLES: [&str; 5] =
    ["table_catalog", "table_schema", "table_name", "table_type", "is_insertable_into"];
const VIEWS: [&str; 6] = [
    "table_catalog",
    "table_schema",
    "table_name",
    "view_definition",
    "check_option",
    "is_updatable",
];
const SCHEMATA: [&str; 3] = ["catalog_name", "schema_name", "schema_owner"];
const COLUMNS: [(&str, DataType); 23] = [
    ("table_catalog", DataType::Utf8),
    ("table_schema", DataType::Utf8),
    ("table_name", DataType::Utf8),
    ("column_name", DataType::Utf8),
    ("ordinal_position", DataType::Int32),
    ("column_default", DataType::Utf8),
    ("is_nullable", DataType::Utf8),
    ("data_type", DataType::Utf8),
    ("character_maximum_length", DataType::Int32),
    ("character_octet_length", DataType::Int32),
    ("numeric_precision", DataType::Int32),
    ("numeric_precision_radix", DataType::Int32),
    ("numeric_scale", DataType::Int32),
    ("datetime_precision", DataType::Int32),
    ("interval_type", DataType::Utf8),
    ("collation_name", DataType::Utf8),
    ("udt_catalog", DataType::Utf8),
    ("udt_schema", DataType::Utf8),
    ("udt_name", DataType::Utf8),
    ("is_identity", DataType::Utf8),
    ("is_generated", DataType::Utf8),
    ("generation_expression", DataType::Utf8),
    ("is_updatable", DataType::Utf8),
];
/// No relation here has a key, so these have no rows.
const WITHOUT_ROWS: [(&str, &[&str]); 4] = [
    (
        "table_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
            "enforced",
        ],
    ),
    (
        "key_column_usage",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "ordinal_position",
            "position_in_unique_constraint",
        ],
    ),
    (
        "constraint_column_usage",
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
        ],
    ),
    (
        "referential_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
    ),
];

/// Describes the relations of `public`.
pub(super) async fn schema(public: &dyn SchemaProvider) -> Result<Arc<dyn SchemaProvider>> {
    let (mut tables, mut views, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for name in public.table_names() {
        let Some(relation) = public.table(&name).await? else { continue };
        let place = || [text(CATALOG), text(PUBLIC), text(&name)].into_iter();
        let kind = match relation.table_type() {
            TableType::View => "VIEW",
            TableType::Base | TableType::Temporary => "BASE TABLE",
        };
        tables.push(place().chain([text(kind), text("NO")]).collect());
        if relation.table_type() == TableType::View {
            let definition = relation.get_table_definition().map(str::to_owned);
            let rest = [ScalarValue::Utf8(definition), text("NONE"), text("NO")];
            views.push(place().chain(rest).collect());
        }
        columns.extend(columns_of(&name, &relation.schema()));
    }
    let schemata = [PUBLIC, PG_CATALOG, INFORMATION_SCHEMA];
    let schemata = schemata.map(|name| vec![text(CATALOG), text(name), text("postgres")]);
    let made = MemorySchemaProvider::new();
    let texts = |names: &[&'static str]| -> Vec<_> {
        names.iter().map(|name| (*name, DataType::Utf8)).collect()
    };
    for (name, kinds, rows) in [
        ("schemata", texts(&SCHEMATA), schemata.to_vec()),
        ("tables", texts(&TABLES), tables),
        ("views", texts(&VIEWS), views),
        ("columns", COLUMNS.to_vec(), columns),
    ] {
        made.register_table(name.to_owned(), table(&kinds, rows)?)?;
    }
    for (name, names) in WITHOUT_ROWS {
        made.register_table(name.to_owned(), table(&texts(names), Vec::new())?)?;
    }
    Ok(Arc::new(made))
}

fn columns_of(relation: &str, schema: &SchemaRef) -> Vec<Vec<ScalarValue>> {
    let fields = (1..).zip(schema.fields());
    let rows = fields.map(|(position, field)| {
        let (kind, udt) = names_of(field.data_type());
        let (precision, radix, scale) = match field.data_type() {
            DataType::Int32 => (Some(32), Some(2), Some(0)),
            DataType::Int64 => (Some(64), Some(2), Some(0)),
            DataType::Float64 => (Some(53), Some(2), None),
            _ => (None, None, None),
        };
        let moment = matches!(field.data_type(), DataType::Timestamp(..)).then_some(6);
        COLUMNS
            .iter()
            .map(|(column, _)| match *column {
                "table_catalog" | "udt_catalog" => text(CATALOG),
                "table_schema" => text(PUBLIC),
                "table_name" => text(relation),
                "column_name" => text(field.name()),
                "ordinal_position" => number(Some(position)),
                "is_nullable" => text(if field.is_nullable() { "YES" } else { "NO" }),
                "data_type" => text(kind),
                "numeric_precision" => number(precision),
                "numeric_precision_radix" => number(radix),
                "numeric_scale" => number(scale),
                "datetime_precision" => number(moment),
                "character_maximum_length" | "character_octet_length" => number(None),
                "udt_schema" => text(PG_CATALOG),
                "udt_name" => text(udt),
                "is_identity" | "is_updatable" => text("NO"),
                "is_generated" => text("NEVER"),
                _ => ScalarValue::Utf8(None),
            })
            .collect()
    });
    rows.collect()
}

/// As the standard calls the type, and as PostgreSQL does.
const fn names_of(kind: &DataType) -> (&'static str, &'static str) {
    match kind {
        DataType::Boolean => ("boolean", "bool"),
        DataType::Int16 => ("smallint", "int2"),
        DataType::Int8 | DataType::UInt8 | DataType::UInt16 | DataType::Int32 => {
            ("integer", "int4")
        }
        DataType::Int64 | DataType::UInt32 => ("bigint", "int8"),
        DataType::UInt64 => ("numeric", "numeric"),
        DataType::Float32 => ("real", "float4"),
        DataType::Float64 => ("double precision", "float8"),
        DataType::Date32 => ("date", "date"),
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            ("timestamp with time zone", "timestamptz")
        }
        DataType::Timestamp(..) => ("timestamp without time zone", "timestamp"),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => ("bytea", "bytea"),
        DataType::List(_) | DataType::LargeList(_) => ("ARRAY", "_text"),
        _ => ("text", "text"),
    }
}
