//! `list_tables` and `describe_table`: the catalog, read by statements that stand on record.

use serde_json::{Map, Value, json};

use super::arguments::{BadArguments, DescribeTable, ListTables, read, target};
use super::statements::{first_page, next_page};
use super::{Answer, Call, told};
use crate::inside::{InsideSession, NotRun, Page, Statement, Wish};
use crate::service::Inside;

const PAGE: u32 = 200;
const TABLES: &str = "\
SELECT n.nspname AS schema, c.relname AS name, \
CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind, \
CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END AS estimated_rows, obj_description(c.oid, 'pg_class') AS comment \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition \
AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%' \
AND ($1::text IS NULL OR n.nspname = $1) AND ($2::text IS NULL OR c.relname LIKE $2) \
ORDER BY n.nspname, c.relname";
const COLUMNS: &str = "\
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, NOT a.attnotnull AS nullable, \
pg_get_expr(d.adbin, d.adrelid) AS default, col_description(a.attrelid, a.attnum) AS comment \
FROM pg_catalog.pg_attribute a \
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
const KEYS: &str = "\
SELECT k.conname AS name, pg_get_constraintdef(k.oid) AS definition FROM pg_catalog.pg_constraint k \
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE n.nspname = $1 AND c.relname = $2 AND k.contype IN ('p', 'u', 'f', 'c') ORDER BY k.contype DESC, k.conname";

pub(super) async fn list(
    call: Call<'_>,
    arguments: Map<String, Value>,
) -> Result<Answer, BadArguments> {
    let asked: ListTables = read(arguments)?;
    let target = target(&call, asked.target)?;
    let of = format!("list_tables {target}");
    if let Some(cursor) = asked.cursor {
        return Ok(next_page(&call, (&cursor, &of), PAGE, &target).await);
    }
    let statement = Statement {
        application: "tallyport-mcp/list_tables",
        target,
        database: asked.database,
        text: TABLES.to_owned(),
        values: vec![asked.schema, asked.like],
        page_rows: Some(PAGE),
        reads_only: true,
    };
    Ok(first_page(&call, statement, &of).await)
}

pub(super) async fn describe(
    call: Call<'_>,
    arguments: Map<String, Value>,
) -> Result<Answer, BadArguments> {
    let asked: DescribeTable = read(arguments)?;
    let target = target(&call, asked.target)?;
    let (schema, table) = name(&asked.table)?;
    let token = call.token.clone();
    let inside = Inside { caller: call.caller, token, target: &target, reads_only: true };
    let wish = Wish {
        inside,
        database: asked.database.as_deref(),
        application: "tallyport-mcp/describe_table",
    };
    let described = async {
        let mut session = InsideSession::open(call.inner, wish).await?;
        let name = [Some(schema.clone()), Some(table.clone())];
        let columns = session.run(COLUMNS, &name, None).await?;
        let keys = session.run(KEYS, &name, None).await?;
        let read = format!("SELECT * FROM {}.{} LIMIT 0", quoted(&schema), quoted(&table));
        // What it says of each column is how a statement would see it: with its mask.
        let seen = session.run(&read, &[], None).await;
        call.inner.spawn(session.close());
        Ok::<_, NotRun>((columns, keys, seen))
    };
    Ok(match described.await {
        Err(why) => told::not_run(why),
        Ok((columns, ..)) if columns.rows.is_empty() => told::error_of(json!({
            "code": "unknown_table",
            "message": format!("there is no table {schema}.{table}, or you may not know of it"),
            "hint": "list_tables shows what there is; names are case-sensitive.",
        })),
        Ok((columns, keys, seen)) => {
            Answer::good(description(&target, (&schema, &table), &columns, &keys, seen))
        }
    })
}

fn description(
    target: &str,
    (schema, table): (&str, &str),
    columns: &Page,
    keys: &Page,
    seen: Result<Page, NotRun>,
) -> Value {
    let mut all = named(columns);
    let mut told = Map::new();
    if let Ok(page) = &seen {
        all.iter_mut().for_each(|column| add_mask(column, page));
    }
    let not_readable = seen.err().map(|why| told::not_run(why).structured);
    for (field, value) in [
        ("target", json!(target)),
        ("schema", json!(schema)),
        ("name", json!(table)),
        ("columns", Value::Array(all)),
        ("keys", json!(named(keys))),
        ("readable", json!(not_readable.is_none())),
        ("example", json!(format!("SELECT * FROM {}.{} LIMIT 100", quoted(schema), quoted(table)))),
    ] {
        told.insert(field.to_owned(), value);
    }
    told.extend(not_readable.map(|why| ("not_readable".to_owned(), why)));
    Value::Object(told)
}

/// How the column is masked for whoever asks, where it is.
fn add_mask(column: &mut Value, seen: &Page) {
    let Value::Object(column) = column else { return };
    let name = column.get("name").and_then(Value::as_str);
    let found = seen.columns.iter().find(|seen| Some(seen.name.as_str()) == name);
    if let Some((mask, labels)) = found.and_then(|seen| seen.mask.as_ref()) {
        column.insert("masked".to_owned(), json!({ "by": mask, "labels": labels }));
    }
}

/// Each row as an object, NULLs left out.
fn named(page: &Page) -> Vec<Value> {
    let names: Vec<&String> = page.columns.iter().map(|column| &column.name).collect();
    let object = |row: Value| {
        let Value::Array(values) = row else { return Value::Null };
        let fields = names.iter().map(|name| (*name).clone()).zip(values);
        Value::Object(fields.filter(|(_, value)| !value.is_null()).collect())
    };
    page.rows_json().into_iter().map(object).collect()
}

/// `schema.table` as PostgreSQL reads names: folded where they are not quoted.
fn name(text: &str) -> Result<(String, String), BadArguments> {
    let wrong = || {
        let fix = "`table` is schema.table, as list_tables shows it; put \"double quotes\" around a part that has capitals or dots";
        BadArguments(fix.to_owned())
    };
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let Some(part) = parts.last_mut() else { return Err(wrong()) };
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => part.push('"'),
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            _ if quoted => part.push(character),
            _ => part.extend(character.to_lowercase()),
        }
    }
    match <[String; 2]>::try_from(parts) {
        Ok([schema, table]) if !quoted && !schema.is_empty() && !table.is_empty() => {
            Ok((schema, table))
        }
        _ => Err(wrong()),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_postgresql_reads_them() {
        let read = |text: &str| name(text).ok();
        let pair = |schema: &str, table: &str| Some((schema.to_owned(), table.to_owned()));
        assert_eq!(read("app.Orders"), pair("app", "orders"));
        assert_eq!(read(r#"app."Order.Lines""#), pair("app", "Order.Lines"));
        assert_eq!(read(r#""a""b".c"#), pair("a\"b", "c"));
        for text in ["orders", "", ".", "a.", "a.b.c", r#"a."b"#] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
    }
}
