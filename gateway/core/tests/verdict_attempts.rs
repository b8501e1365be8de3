//! The hostile attempts of the masking fixture, judged over the catalog of a real PostgreSQL: each is refused, or what
//! the server really answers carries no secret once the columns are masked by their origin.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use std::sync::Arc;

use dev_services::{DevService, StartError, repo_root};
use gateway_core::masking::Masked;
use gateway_core::sql::catalog::{CatalogRows, QUERIES};
use gateway_core::sql::{Catalog, Parsed};
use serde_json::Value;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use verdict_support::{Bench, LABELS, OPEN_BUT_MASKED};

/// What only secrets look like in the fixture.
const SECRETS: &[&str] = &[
    "900-",
    "901-",
    "4111111111111111",
    "5555555555554444",
    "378282246310005",
    "6011111111111117",
    "30569309025904",
    "4000056655665556",
    ".zq",
];

async fn connect(server: &DevService, user: &str, database: &str) -> Client {
    let config =
        format!("host=127.0.0.1 port={} user={user} dbname={database}", server.port("port"));
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A script for psql, without psql's own commands.
fn script(path: &str) -> String {
    let text = std::fs::read_to_string(repo_root().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n")
}

async fn read_catalog(client: &Client) -> Catalog {
    let mut rows = CatalogRows::default();
    for query in QUERIES {
        let messages = client
            .simple_query(query.sql)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", query.name));
        let values = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
            }
            _ => None,
        });
        rows.insert(query, values.collect());
    }
    Catalog::from_rows(rows).unwrap()
}

/// What the agent would see of an allowed statement; an error of the server as its message without details.
async fn seen(client: &Client, bench: &Bench, sql: &str) -> Vec<String> {
    let statement = client.prepare(sql).await.ok();
    let columns = statement.as_ref().map(tokio_postgres::Statement::columns).unwrap_or_default();
    let masks: Vec<_> = columns
        .iter()
        .map(|column| {
            let origin = column.table_oid().zip(column.column_id());
            let mask = origin.and_then(|(oid, attnum)| bench.judge.masks().for_column(oid, attnum));
            (mask, column.type_().oid())
        })
        .collect();
    let mut out = Vec::new();
    for message in client.simple_query(sql).await.unwrap_or_default() {
        let SimpleQueryMessage::Row(row) = message else { continue };
        for column in 0..row.len() {
            let Some(value) = row.get(column) else { continue };
            out.push(match masks.get(column) {
                Some((Some(mask), type_oid)) => match mask.apply(value.as_bytes(), *type_oid, 0) {
                    Masked::Null => "NULL".to_owned(),
                    Masked::Value(bytes) => String::from_utf8(bytes).unwrap(),
                },
                _ => value.to_owned(),
            });
        }
    }
    out
}

async fn start() -> Option<(DevService, Client)> {
    let server = match DevService::start("postgres", &[]) {
        Ok(server) => server,
        Err(error @ StartError::NotInstallable { .. }) => {
            eprintln!("NOT RUN: verdict_attempts: {error}");
            return None;
        }
        Err(error) => panic!("{error}"),
    };
    let admin = connect(&server, server.text("superuser"), "postgres").await;
    admin.batch_execute("CREATE DATABASE masklab").await.unwrap();
    let admin = connect(&server, server.text("superuser"), "masklab").await;
    admin.batch_execute(&script("tests/fixtures/masking/fixture.sql")).await.unwrap();
    admin.batch_execute("RESET ALL").await.unwrap();
    admin.batch_execute(&script("gateway/core/tests/fixtures/extra.sql")).await.unwrap();
    admin.batch_execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA app TO mk_full; GRANT SELECT ON app.customers TO mk_full").await.unwrap();
    Some((server, admin))
}

#[tokio::test]
async fn no_attempt_shows_a_secret() {
    let Some((server, _admin)) = start().await else { return };
    let client = connect(&server, "mk_full", "masklab").await;
    let catalog = Arc::new(read_catalog(&client).await);
    let attempts: Vec<Value> = serde_json::from_str(
        &std::fs::read_to_string(repo_root().join("tests/fixtures/masking/attempts.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(attempts.len(), 64);
    let mut refused = 0;
    let mut masked = 0;
    for attempt in &attempts {
        let client = connect(&server, "mk_full", "masklab").await;
        let mut bench =
            Bench::over(Arc::clone(&catalog), OPEN_BUT_MASKED, LABELS, &["agents"], "t");
        for sql in attempt["sql"].as_array().unwrap() {
            let sql = sql.as_str().unwrap();
            if !bench.run(sql).is_allowed() {
                refused += 1;
                continue;
            }
            let seen = seen(&client, &bench, sql).await;
            masked += seen.iter().filter(|value| *value == "[redacted]").count();
            for value in seen {
                assert!(
                    !SECRETS.iter().any(|secret| value.contains(secret)),
                    "{}: {sql}: {value}",
                    attempt["id"]
                );
            }
        }
        // What is meant to be answered masked is answered, unless it writes.
        if attempt["want"] == "mask" {
            let writes = attempt["sql"].to_string().contains("RETURNING");
            let verdicts: Vec<bool> = attempt["sql"]
                .as_array()
                .unwrap()
                .iter()
                .map(|sql| bench.judge(sql.as_str().unwrap()).is_allowed())
                .collect();
            assert!(writes || verdicts.iter().all(|allowed| *allowed), "{}", attempt["id"]);
        }
    }
    assert!(refused >= 50, "{refused}");
    assert!(masked > 100, "{masked}");
}

/// Everything that the rules let pass keeps its origin on the wire: the masks find every masked value.
#[tokio::test]
async fn whatever_passes_is_masked_by_its_origin() {
    let Some((server, _admin)) = start().await else { return };
    let client = connect(&server, "mk_full", "masklab").await;
    let catalog = Arc::new(read_catalog(&client).await);
    let bench = Bench::over(catalog, OPEN_BUT_MASKED, LABELS, &["agents"], "t");
    let sources = [
        "customers",
        "customers c JOIN orders o ON o.customer_id = c.id",
        "customers c LEFT JOIN orders o USING (id)",
        "orders o RIGHT JOIN customers c USING (id)",
        "customers c FULL JOIN orders o USING (id)",
        "customers a JOIN customers b USING (id) JOIN orders o USING (id)",
        "(customers c CROSS JOIN orders o)",
        "(customers JOIN (orders o JOIN notes n USING (id)) USING (id))",
        "ONLY customers",
        "customers, LATERAL (SELECT 1 AS one) x",
    ];
    let results = [
        "*",
        "ssn",
        "id, ssn AS name, name AS ssn, email",
        "customers.*",
        "c.*, c.card",
        "a.ssn, b.ssn",
        "o.*",
        "ssn, card_used",
    ];
    let endings = [
        "",
        " WHERE name IS NOT NULL",
        " LIMIT 3",
        " ORDER BY id LIMIT 2",
        " ORDER BY name DESC",
        " GROUP BY 1, 2, 3, 4",
    ];
    let mut passed = 0;
    for source in sources {
        for result in results {
            for ending in endings {
                let sql = format!("SELECT {result} FROM {source}{ending}");
                if Parsed::parse(&sql).is_err() || !bench.judge(&sql).is_allowed() {
                    continue;
                }
                for value in seen(&client, &bench, &sql).await {
                    passed += 1;
                    assert!(!SECRETS.iter().any(|secret| value.contains(secret)), "{sql}: {value}");
                }
            }
        }
    }
    assert!(passed > 1_000, "{passed}");
}

/// The rows that the hermetic tests use are those that a server gives.
#[tokio::test]
async fn the_committed_rows_are_a_servers() {
    let Some((server, _admin)) = start().await else { return };
    let client = connect(&server, "mk_full", "masklab").await;
    let live = read_catalog(&client).await;
    assert_eq!(live.search_path(), ["app"]);
    let again = read_catalog(&client).await;
    assert_eq!(live.version(), again.version(), "the same database gives the same version");
    let bench = Bench::over(Arc::new(live), OPEN_BUT_MASKED, LABELS, &["agents"], "t");
    let kept = Bench::masked();
    for sql in [
        "SELECT ssn FROM customers",
        "SELECT upper(ssn) FROM customers",
        "SELECT * FROM note_vv",
        "SELECT * FROM sneaky_v",
        "SELECT 1 === 2",
        "INSERT INTO scratch VALUES (1, 'x')",
    ] {
        assert_eq!(bench.judge(sql).is_allowed(), kept.judge(sql).is_allowed(), "{sql}");
        assert_eq!(bench.judge(sql).decision.reasons, kept.judge(sql).decision.reasons, "{sql}");
    }
}
