//! The PostgreSQL wire with real clients: psql and tokio-postgres.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tallyport_query::Limits;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::story;
use crate::world::{Setup, World};

async fn told() -> World {
    let world = World::start().await;
    for draft in story::drafts() {
        world.commit(draft).await;
    }
    world
}

pub fn config(world: &World, token: &str) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(world.running.pg_addr.unwrap().port());
    config.user("whoever").password(token).dbname("tallyport");
    config
}

pub async fn connect(world: &World, client: &str) -> Client {
    let token = world.token(client).await;
    let (client, connection) = config(world, &token).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// psql, installed with PostgreSQL where it is missing.
fn psql() -> Option<PathBuf> {
    let found = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let known = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let known = known.map(|version| version.path().join("bin"));
        std::env::split_paths(&path).chain(known).map(|dir| dir.join("psql")).find(|p| p.exists())
    };
    found().or_else(|| {
        let service = dev_services::DevService::start("postgres", &[]);
        service.ok().and_then(|_installed| found())
    })
}

/// What psql prints, and whether it was content.
fn run_psql(psql: &PathBuf, port: u16, token: &str, commands: &[&str]) -> (bool, String) {
    let mut command = Command::new(psql);
    command.args(["-X", "-h", "127.0.0.1", "-U", "whoever", "-d", "tallyport", "-p"]);
    command.arg(port.to_string()).args(["-v", "ON_ERROR_STOP=1", "-P", "pager=off"]);
    command.env("PGPASSWORD", token).env("PGCONNECT_TIMEOUT", "20");
    for text in commands {
        command.args(["-c", text]);
    }
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_connects_describes_and_asks() {
    let Some(psql) = psql() else {
        eprintln!(
            "NOT RUN: psql_connects_describes_and_asks: psql is neither installed nor installable"
        );
        return;
    };
    let world = told().await;
    let token = world.token("auditor").await;
    let port = world.running.pg_addr.unwrap().port();
    let run = |commands: Vec<&'static str>| {
        let (psql, token) = (psql.clone(), token.clone());
        tokio::task::spawn_blocking(move || run_psql(&psql, port, &token, &commands))
    };
    let (fine, text) = run(vec!["\\d"]).await.unwrap();
    assert!(fine, "{text}");
    for name in ["events", "commands", "sessions", "integrity"] {
        assert!(text.contains(name), "\\d lacks {name}: {text}");
    }
    let (fine, text) = run(vec!["\\dt"]).await.unwrap();
    assert!(fine && text.contains("events"), "{text}");
    let (fine, text) = run(vec!["\\dv"]).await.unwrap();
    assert!(fine && text.contains("commands") && text.contains("sessions"), "{text}");
    for view in ["\\d events", "\\d commands"] {
        let (fine, text) = run(vec![view]).await.unwrap();
        assert!(fine, "{view}: {text}");
        assert!(text.contains("principal_subject") && text.contains("timestamp"), "{view}: {text}");
    }
    let join = "SELECT c.statement, d.effect, r.rows FROM commands c JOIN decisions d USING (command_id) \
                LEFT JOIN responses r USING (command_id) ORDER BY c.time";
    let (fine, text) = run(vec![join]).await.unwrap();
    assert!(fine && text.contains("DELETE FROM app.customers") && text.contains("deny"), "{text}");
    assert!(text.contains("(4 rows)"), "{text}");
    let script = vec![
        "BEGIN",
        "SELECT count(*) FROM sessions",
        "COMMIT",
        "SHOW server_version",
        "SELECT 1; SELECT 2",
    ];
    let (fine, text) = run(script).await.unwrap();
    assert!(fine && text.contains("tallyport") && text.contains("(1 row)"), "{text}");
    let (fine, text) = run(vec!["DELETE FROM events"]).await.unwrap();
    assert!(!fine && text.contains("changes nothing"), "{text}");
    let bad = token.replace('.', "x");
    let refused = tokio::task::spawn_blocking(move || run_psql(&psql, port, &bad, &["SELECT 1"]));
    let (fine, text) = refused.await.unwrap();
    assert!(!fine && text.contains("FATAL") && !text.contains("(1 row)"), "{text}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_take_parameters_and_see_what_is_new() {
    let world = told().await;
    let client = connect(&world, "auditor").await;
    let sql = "SELECT statement, wire_bytes, tables, time::text AS at FROM commands \
               WHERE principal_subject = $1 AND wire_bytes > $2 ORDER BY time";
    let statement = client.prepare(sql).await.unwrap();
    let rows = client.query(&statement, &[&"bot-1", &40_i64]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].get::<_, &str>(0), "SELECT name, ssn FROM app.customers WHERE id = 1");
    assert_eq!(rows[0].get::<_, i64>(1), 54);
    assert_eq!(rows[0].get::<_, Vec<String>>(2), ["app.customers"]);
    let times =
        client.query_one("SELECT time FROM commands ORDER BY time LIMIT 1", &[]).await.unwrap();
    let time: std::time::SystemTime = times.get(0);
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_micros(), 1_709_546_401_000_001);

    let counted = client.prepare("SELECT count(*) FROM commands").await.unwrap();
    let count = async || client.query_one(&counted, &[]).await.unwrap().get::<_, i64>(0);
    let before = count().await;
    world.commit(story::drafts().pop().unwrap()).await;
    let body = story::command(9, tallyport_schemas::Disposition::Forwarded, "SELECT 9", &[], &[]);
    world
        .commit(tallyport_schemas::Draft::new(
            tallyport_schemas::SharedContext::default(),
            None,
            body,
        ))
        .await;
    assert_eq!(count().await, before + 1, "each run sees what is there then");

    let recorded = "SELECT sql FROM queries WHERE activity = 'completed' AND face = 'pgwire' AND sql LIKE '%parameters%'";
    let recorded = world.value(recorded).await;
    assert!(
        recorded.as_str().unwrap().ends_with(r#"-- parameters: $1 = "bot-1", $2 = "40""#),
        "{recorded}"
    );
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bound_values_are_on_record_whole_or_refused() {
    let limits = Limits { max_sql_bytes: 4_000, ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    let client = connect(&world, "auditor").await;
    let long = format!("{}the end", "x".repeat(1_000));
    let asked = "SELECT count(*) FROM commands WHERE statement = $1";
    let _none = client.query_one(asked, &[&long]).await.unwrap();
    let bytes: Vec<u8> = (0..100).collect();
    let curator = connect(&world, "curator").await;
    let exact = "SELECT count(*) FROM events WHERE raw = $1";
    let _none = curator.query_one(exact, &[&bytes]).await.unwrap();
    let on_record = "SELECT sql FROM queries WHERE activity = 'completed' AND sql LIKE '%-- parameters: %' \
                     AND sql NOT LIKE '%FROM queries%' ORDER BY log_offset";
    let rows = world.rows(on_record).await;
    assert!(rows[0][0].as_str().unwrap().ends_with(r#"the end""#), "{rows:?}");
    assert!(rows[1][0].as_str().unwrap().contains("5e5f60616263"), "{rows:?}");
    let error = client.query_one(asked, &[&"x".repeat(4_000)]).await.unwrap_err();
    assert_eq!(error.code().map(SqlState::code), Some("54000"), "{error}");
    let refused = "SELECT count(*) FROM queries WHERE activity = 'failed' AND reason LIKE 'query_too_long: the parameters%'";
    assert_eq!(world.value(refused).await, json!(1));
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_stop_at_the_first_that_fails() {
    let world = told().await;
    let client = connect(&world, "auditor").await;
    let messages = client.simple_query("SELECT 1 AS a; SELECT 2 AS b").await.unwrap();
    let rows = messages.iter().filter(|m| matches!(m, SimpleQueryMessage::Row(_))).count();
    assert_eq!(rows, 2);
    let error =
        client.simple_query("SELECT 1; SELECT nonsense FROM commands; SELECT 3").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_COLUMN));
    client.simple_query("BEGIN").await.unwrap();
    client.simple_query("SELECT nonsense FROM commands").await.unwrap_err();
    let error = client.simple_query("SELECT 1").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::IN_FAILED_SQL_TRANSACTION));
    client.simple_query("ROLLBACK").await.unwrap();
    assert_eq!(client.query_one("SELECT 1::bigint", &[]).await.unwrap().get::<_, i64>(0), 1);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_are_who_their_tokens_say_and_see_what_policy_says() {
    let world = told().await;
    let apprentice = connect(&world, "apprentice").await;
    let auditor = connect(&world, "auditor").await;
    assert_eq!(apprentice.query("SELECT 1 FROM commands", &[]).await.unwrap().len(), 5);
    let error = apprentice.query("SELECT 1 FROM decisions", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    assert!(error.as_db_error().unwrap().message().contains("`decisions`"), "{error:?}");
    assert_eq!(auditor.query("SELECT 1 FROM decisions", &[]).await.unwrap().len(), 4);
    for forbidden in [
        "INSERT INTO events SELECT * FROM events",
        "CREATE TABLE t (a int)",
        "COPY events TO STDOUT",
        "SET datafusion.execution.time_zone = 'x'",
        "SET ROLE admin",
        "BEGIN; CREATE VIEW v AS SELECT 1",
        "SET TRANSACTION READ WRITE",
    ] {
        let error = auditor.simple_query(forbidden).await.unwrap_err();
        assert!(error.as_db_error().is_some(), "{forbidden}: {error:?}");
        let _open = auditor.simple_query("ROLLBACK").await;
    }
    let sql = "SELECT principal_subject, outcome, front FROM authentications WHERE front = 'query_pgwire' ORDER BY time";
    let rows = world.rows(sql).await;
    assert_eq!(
        rows,
        [
            json!(["apprentice", "success", "query_pgwire"]),
            json!(["auditor", "success", "query_pgwire"])
        ]
    );
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_gets_nothing_and_is_on_record() {
    let world = told().await;
    for (token, failure) in [("nonsense", "malformed"), ("", "no_token")] {
        let refused = config(&world, token).connect(NoTls).await;
        if let Err(error) = refused {
            if let Some(error) = error.as_db_error() {
                assert_eq!(error.severity(), "FATAL", "{failure}");
                assert_eq!(error.code(), &SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
            }
        } else {
            panic!("{failure}: connected");
        }
    }
    let token = world.token_for("auditor", 1).await;
    let (client, connection) = config(&world, &token).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let expired = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            if let Err(error) = client.query("SELECT 1", &[]).await {
                break error;
            }
        }
    });
    let error = expired.await.expect("the token ends, and with it the connection");
    let message = error.as_db_error().map(|error| error.message().to_owned()).unwrap_or_default();
    assert!(message.contains("expired") || error.is_closed(), "{error:?}");
    let sql =
        "SELECT failure FROM authentications WHERE outcome = 'failure' AND front = 'query_pgwire'";
    assert_eq!(world.rows(sql).await[0], json!(["malformed"]));
    world.running.stop().await;
}

/// A client that goes on after its token was refused is not served: the refusal is no mere message.
#[tokio::test(flavor = "multi_thread")]
async fn messages_after_a_refused_token_are_not_served() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = told().await;
    let mut socket = tokio::net::TcpStream::connect(world.running.pg_addr.unwrap()).await.unwrap();
    let mut startup = vec![0, 0, 0, 0, 0, 3, 0, 0];
    startup.extend_from_slice(b"user\0x\0\0");
    let length = u32::try_from(startup.len()).unwrap().to_be_bytes();
    startup[..4].copy_from_slice(&length);
    let message = |kind: u8, body: &[u8]| {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    };
    socket.write_all(&startup).await.unwrap();
    // All at once: nobody waits for the answer to the password.
    let eager = [
        message(b'p', b"nonsense\0"),
        message(b'Q', b"SELECT statement FROM commands\0"),
        message(b'P', b"\0SELECT statement FROM commands\0\0\0"),
        message(b'S', b""),
    ];
    socket.write_all(&eager.concat()).await.unwrap();
    let mut answer = Vec::new();
    let _closed = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer))
        .await
        .expect("the connection is closed");
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("FATAL") && !text.contains("app.customers"), "{text}");
    let asked = world.value("SELECT count(*) FROM queries WHERE face = 'pgwire'").await;
    assert_eq!(asked, json!(0));
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_query_can_be_cancelled() {
    let world = told().await;
    let client = connect(&world, "auditor").await;
    let cancel = client.cancel_token();
    let endless = "SELECT sum(value % 7) FROM generate_series(1, 9000000000000000)";
    let running = tokio::spawn(async move { client.simple_query(endless).await.map(|_| ()) });
    let started = "SELECT count(*) FROM queries WHERE face = 'pgwire' AND activity = 'started'";
    while world.value(started).await != json!(1) {}
    cancel.cancel_query(NoTls).await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tls_psql_asks_inside_it() {
    let Some(psql) = psql() else {
        eprintln!(
            "NOT RUN: with_tls_psql_asks_inside_it: psql is neither installed nor installable"
        );
        return;
    };
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let world = World::with(Setup { pg_tls: Some(Arc::new(tls)), ..Setup::default() }).await;
    let token = world.token("auditor").await;
    let port = world.running.pg_addr.unwrap().port();
    let asked = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(psql);
        command.env("PGPASSWORD", token).args(["-X", "-c", "SELECT 40 + 2", "-c", "\\conninfo"]);
        let target = format!("host=127.0.0.1 port={port} user=x dbname=tallyport sslmode=require");
        command.arg(target).output().unwrap()
    });
    let output = asked.await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("42") && text.contains("TLS"), "{text}");
    world.running.stop().await;
}
