//! How the service describes itself to clients of PostgreSQL: both catalogs agree, settings are what `SHOW` says, and nothing is made up.

use serde_json::{Value, json};
use tokio_postgres::SimpleQueryMessage;

use crate::pg::connect;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn both_catalogs_say_the_same_of_every_column() {
    let world = World::start().await;
    let columns = world.value("SELECT count(*) FROM information_schema.columns").await;
    assert!(columns.as_i64() > Some(500), "{columns}");
    let described = "SELECT c.relname || '.' || a.attname AS name, t.typname AS kind, a.attnotnull AS never_null, a.attnum AS place \
         FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         JOIN pg_catalog.pg_namespace tn ON tn.oid = t.typnamespace AND tn.nspname = 'pg_catalog' ORDER BY 1";
    let said = "SELECT table_name || '.' || column_name AS name, udt_name AS kind, is_nullable = 'NO' AS never_null, ordinal_position AS place \
         FROM information_schema.columns ORDER BY 1";
    let (described, said) = (world.rows(described).await, world.rows(said).await);
    assert_eq!(described.len(), said.len());
    let differ: Vec<_> = described.iter().zip(&said).filter(|(one, other)| one != other).collect();
    assert!(differ.is_empty(), "{differ:?}");
    let relations = "SELECT table_name, table_type FROM information_schema.tables ORDER BY 1";
    let by_class = "SELECT relname, CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'BASE TABLE' END FROM pg_catalog.pg_class ORDER BY 1";
    assert_eq!(world.rows(relations).await, world.rows(by_class).await);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_database_with_three_schemas_and_no_key() {
    let world = World::start().await;
    let databases = world.rows("SELECT datname FROM pg_catalog.pg_database").await;
    assert_eq!(databases, [json!(["tallyport"])]);
    let schemas = "SELECT nspname FROM pg_catalog.pg_namespace ORDER BY 1";
    let standard = "SELECT schema_name FROM information_schema.schemata ORDER BY 1";
    let three = ["information_schema", "pg_catalog", "public"].map(|name| json!([name]));
    assert_eq!(world.rows(schemas).await, three);
    assert_eq!(world.rows(standard).await, three);
    for none in
        ["pg_catalog.pg_index", "pg_catalog.pg_constraint", "information_schema.table_constraints"]
    {
        assert_eq!(world.value(&format!("SELECT count(*) FROM {none}")).await, json!(0), "{none}");
    }
    // It would be two rows.
    let (status, refused) = world.try_sql("auditor", "SELECT _pg_expandarray([7, 8])").await;
    assert_eq!((status, &refused["code"]), (400, &json!("invalid_query")), "{refused}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_what_show_says() {
    let world = World::start().await;
    let all = "SELECT name, setting, current_setting(name) FROM pg_catalog.pg_settings";
    let all = world.rows(all).await;
    assert!(all.len() > 15, "{all:?}");
    let client = connect(&world, "auditor").await;
    for row in all {
        let [Value::String(name), Value::String(setting), Value::String(current)] =
            row.as_array().unwrap().as_slice()
        else {
            panic!("{row}");
        };
        assert_eq!(setting, current, "{name}");
        let shown = client.simple_query(&format!("SHOW {name}")).await.unwrap();
        let shown = shown.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        assert_eq!(shown, Some(setting.as_str()), "{name}");
    }
    let unknown = client.simple_query("SELECT current_setting('no.such')").await.unwrap_err();
    assert_eq!(unknown.as_db_error().unwrap().code().code(), "42704", "{unknown}");
    assert_eq!(world.value("SELECT current_setting('no.such', true)").await, Value::Null);
    let version = world.value("SELECT version()").await;
    assert!(version.as_str().unwrap().starts_with("PostgreSQL 16."), "{version}");
    world.running.stop().await;
}
