//! I7 at the wire: masked columns in text and binary, and what fails closed.

use tallyport_schemas::{Body, Event, PolicyChange, PolicyKind, Response};

use crate::harness::{responses, world};
use crate::wire::{Wire, bind, close, error_field, execute, parse, query, sync, tags};

/// Everything but reading personal data in clear.
pub const MASKED: &str = r#"
    @id("all") permit (principal, action, resource);
    @id("not-clear") forbid (principal, action == Tallyport::Action::"col:read", resource in Tallyport::Label::"pii");
    @id("masked") @mask("redact") permit (principal, action == Tallyport::Action::"col:readMasked", resource in Tallyport::Label::"pii");
"#;

const LABELS: &str = "[columns]\n\"app.customers.ssn\" = \"pii.ssn\"\n";

/// What an agent could read of these messages.
pub fn text(messages: &[crate::wire::Message]) -> String {
    let rows = messages
        .iter()
        .filter(|(tag, _)| *tag == b'D' || *tag == b'E' || *tag == b'N' || *tag == b'd');
    rows.map(|(_, body)| String::from_utf8_lossy(body).into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_column_never_arrives_in_clear() {
    let world = world!(policy: MASKED, masking: Some(LABELS),);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT id, ssn AS harmless FROM app.customers ORDER BY id")).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(tags(&answer), "TDDDCZ");
    assert!(text(&answer).contains("[redacted]") && !text(&answer).contains("123-45"));

    // Extended, in both formats, with no Describe of the agent's own.
    for format in [0, 1] {
        let unit = [
            parse("s", "SELECT ssn FROM app.customers WHERE id = $1"),
            bind("", "s", &[Some("1")], format),
            execute("", 0),
            close(b'S', "s"),
            sync(),
        ];
        wire.send(&unit.concat()).await;
        let answer = wire.until(b'Z', 1).await;
        assert_eq!(tags(&answer), "12DC3Z", "the gateway's own Describe is not seen");
        assert!(text(&answer).contains("[redacted]") && !text(&answer).contains("123-45"));
    }

    let events = world.events().await;
    let masked: u64 = responses(&events)
        .into_iter()
        .map(|response| match response {
            Response::Completed(summary) => summary.masked_values,
            _ => 0,
        })
        .sum();
    assert_eq!(masked, 4, "two values that are not NULL, and one each in two formats");
    for event in &events {
        let text = String::from_utf8(tallyport_schemas::ocsf::encode(event)).unwrap();
        assert!(!text.contains("123-45-6789"), "a masked value is on record: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_in_parts_is_masked_in_every_part() {
    let world = world!(policy: MASKED, masking: Some(LABELS),);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("BEGIN")).await;
    wire.until(b'Z', 1).await;
    let first = [
        parse("", "SELECT ssn FROM app.customers ORDER BY id"),
        bind("p", "", &[], 0),
        execute("p", 1),
        sync(),
    ];
    wire.send(&first.concat()).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(tags(&answer), "12DsZ");
    wire.send(&[execute("p", 0), sync()].concat()).await;
    let rest = wire.until(b'Z', 1).await;
    assert_eq!(tags(&rest), "DDCZ");
    assert!(!text(&answer).contains("123-45") && !text(&rest).contains("987-65"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_carry_a_masked_value_elsewhere_is_refused() {
    let world = world!(policy: MASKED, masking: Some(LABELS),);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    for statement in [
        "SELECT upper(ssn) FROM app.customers",
        "SELECT c FROM app.customers c",
        "SELECT id FROM app.customers WHERE ssn LIKE '1%'",
        "COPY app.customers TO STDOUT",
        "SELECT ssn::int FROM app.customers",
        "DO $$ BEGIN RAISE NOTICE '%', (SELECT ssn FROM app.customers LIMIT 1); END $$",
        "CREATE TABLE app.stolen AS SELECT * FROM app.customers",
    ] {
        wire.send(&query(statement)).await;
        let answer = wire.until(b'Z', 1).await;
        assert_eq!(tags(&answer), "EZ", "{statement}");
        assert!(!text(&answer).contains("123-45"), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_column_keeps_its_mask_by_origin() {
    let world =
        world!(policy: MASKED, masking: Some("[columns]\n\"app.renamed.secret\" = \"pii.ssn\"\n"),);
    let direct = world.direct().await;
    direct
        .batch_execute("CREATE TABLE app.renamed (id int, secret text); INSERT INTO app.renamed VALUES (1, 'in clear')")
        .await
        .unwrap();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT secret FROM app.renamed")).await;
    assert!(text(&wire.until(b'Z', 1).await).contains("[redacted]"));
    // The snapshot is older than the rename: the statement is judged by the old name, the values by their origin.
    direct.batch_execute("ALTER TABLE app.renamed RENAME COLUMN id TO x; ALTER TABLE app.renamed RENAME COLUMN secret TO id").await.unwrap();
    wire.send(&query("SELECT id FROM app.renamed")).await;
    let answer = wire.until(b'Z', 1).await;
    assert!(!text(&answer).contains("in clear"), "{}", text(&answer));
    direct.batch_execute("DROP TABLE app.renamed").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_anew_is_looked_up_before_its_rows_pass() {
    let labels = "[columns]\n\"app.anew.secret\" = \"pii.ssn\"\n";
    let world = world!(policy: MASKED, masking: Some(labels),);
    let direct = world.direct().await;
    let make =
        "CREATE TABLE app.anew (id int, secret text); INSERT INTO app.anew VALUES (7, 'in clear')";
    direct.batch_execute(make).await.unwrap();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT secret FROM app.anew")).await;
    assert!(text(&wire.until(b'Z', 1).await).contains("[redacted]"));
    // Same name, another oid: the snapshot does not know it, so it is read again before a row passes.
    direct.batch_execute(&format!("DROP TABLE app.anew; {make}")).await.unwrap();
    wire.send(&query("SELECT secret FROM app.anew")).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(tags(&answer), "TDCZ");
    assert!(text(&answer).contains("[redacted]") && !text(&answer).contains("in clear"));
    direct.batch_execute("DROP TABLE app.anew").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_over_masked_tables_say_nothing_of_values() {
    let world = world!(policy: MASKED, masking: Some(LABELS),);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT ssn, (name || id)::int FROM app.customers")).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&answer, b'C'), "22P02");
    assert!(error_field(&answer, b'M').contains("withheld"), "{}", error_field(&answer, b'M'));
    assert!(!text(&answer).contains("Ada1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_come_from_a_masked_column_are_masked() {
    let labels = "[columns]\n\"app.source.secret\" = \"pii.ssn\"\n";
    let world = world!(policy: MASKED, masking: Some(labels),);
    let direct = world.direct().await;
    direct
        .batch_execute(
            "CREATE TABLE app.source (id int, secret text UNIQUE, up text GENERATED ALWAYS AS (upper(secret) || '!') STORED); \
             CREATE TABLE app.referring (id int, other text REFERENCES app.source (secret)); \
             INSERT INTO app.source VALUES (7, 'in clear'); INSERT INTO app.referring VALUES (7, 'in clear')",
        )
        .await
        .unwrap();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    for sql in ["SELECT id, up FROM app.source", "SELECT * FROM app.referring"] {
        wire.send(&query(sql)).await;
        let answer = text(&wire.until(b'Z', 1).await);
        assert!(answer.contains("[redacted]"), "{sql}: {answer}");
        assert!(!answer.to_lowercase().contains("in clear"), "{sql}: {answer}");
    }
    direct.batch_execute("DROP TABLE app.referring, app.source").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_path_that_was_set_is_the_only_one() {
    let world = world!(policy: MASKED, masking: Some(LABELS),);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    for path in ["SET search_path TO app", "SET search_path TO nowhere", "RESET search_path"] {
        wire.send(&query(path)).await;
        assert_eq!(tags(&wire.until(b'Z', 1).await), "CZ", "{path}");
    }
    // Under `app` alone this would be the masked table; now there is none of that name.
    wire.send(&query("SELECT ssn FROM customers")).await;
    let answer = wire.until(b'Z', 1).await;
    assert!(text(&answer).contains("is not known here"), "{}", text(&answer));
    wire.send(
        &[parse("", "SET search_path TO app"), bind("", "", &[], 0), execute("", 0), sync()]
            .concat(),
    )
    .await;
    wire.until(b'Z', 1).await;
    wire.send(&query("SELECT ssn FROM customers")).await;
    let answer = wire.until(b'Z', 1).await;
    assert!(tags(&answer).starts_with('T'), "{}", text(&answer));
    wire.send(&query("SET search_path TO nowhere")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "CZ");
    // What was undone does not hold: not with its transaction, not with the series that failed behind it.
    for sql in ["BEGIN", "SET search_path TO app", "ROLLBACK"] {
        wire.send(&query(sql)).await;
        wire.until(b'Z', 1).await;
    }
    wire.send(&query("SELECT ssn FROM customers")).await;
    assert!(text(&wire.until(b'Z', 1).await).contains("not for certain"), "after ROLLBACK");
    let run = |sql| [parse("", sql), bind("", "", &[], 0), execute("", 0)].concat();
    wire.send(&query("SET search_path TO nowhere")).await;
    wire.until(b'Z', 1).await;
    wire.send(&[run("SET search_path TO app"), run("SELECT 1/0"), sync()].concat()).await;
    assert_eq!(error_field(&wire.until(b'Z', 1).await, b'C'), "22012");
    wire.send(&query("SELECT ssn FROM customers")).await;
    assert!(text(&wire.until(b'Z', 1).await).contains("not for certain"), "after an error");
}

/// The changes of masking on record.
fn masking_changes(events: &[Event]) -> Vec<&PolicyChange> {
    let mut changes = Vec::new();
    for event in events {
        if let Body::Policy(change) = &event.body
            && let PolicyChange::Loaded { kind, .. } | PolicyChange::Rejected { kind, .. } = change
            && *kind == PolicyKind::Masking
        {
            changes.push(change);
        }
    }
    changes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_masks_the_next_statement_of_an_open_session() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("masking.toml");
    // In place whole, so that no half of it is ever read.
    let put = |text: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    put("[columns]\n");
    let world = world!(policy: MASKED, masking_file: Some(file.clone()),);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    let run = [bind("", "s", &[], 0), execute("", 0), sync()].concat();
    let prepare = parse("s", "SELECT ssn FROM app.customers WHERE id = 1");
    wire.send(&[prepare, run.clone()].concat()).await;
    assert!(text(&wire.until(b'Z', 1).await).contains("123-45-6789"), "no label, no mask");

    put(LABELS);
    let events =
        world.wait_for("the new masking", |events| masking_changes(events).len() == 2).await;
    let PolicyChange::Loaded { version: in_force, previous: Some(_), source, .. } =
        masking_changes(&events)[1]
    else {
        panic!("{:?}", masking_changes(&events));
    };
    assert_eq!(source, "masking.toml");
    for unit in [run.clone(), query("SELECT id, ssn FROM app.customers WHERE id = 1")] {
        wire.send(&unit).await;
        let answer = text(&wire.until(b'Z', 1).await);
        assert!(answer.contains("[redacted]") && !answer.contains("123-45"), "{answer}");
    }

    // What cannot be used keeps what is in force, and is an event each time: a broken file, and none at all.
    let broken = "[columns]\n\"app.customers.ssn\" = 7\n";
    for (rejected, spoil) in [(3, Some(broken)), (4, None)] {
        match spoil {
            Some(text) => put(text),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let is_rejected = |events: &[Event]| masking_changes(events).len() == rejected;
        let events = world.wait_for("the rejected masking", is_rejected).await;
        let PolicyChange::Rejected { kept, source, error, .. } =
            masking_changes(&events)[rejected - 1]
        else {
            panic!("{:?}", masking_changes(&events));
        };
        assert_eq!((kept, source.as_str()), (in_force, "masking.toml"));
        assert!(error.contains("masking.toml"), "{error}");
        wire.send(&run).await;
        assert!(text(&wire.until(b'Z', 1).await).contains("[redacted]"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_labelled_table_that_is_younger_than_the_snapshot_is_masked() {
    const LATE: &str = "[columns]\n\"app.late.secret\" = \"pii.ssn\"\n";
    let world = world!(policy: MASKED, masking: Some(LATE),);
    // The snapshot of the catalog is read, and would be fresh enough for an hour.
    world.gateway.probe("db").await.expect("the target answers");
    let (mut before, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    let direct = world.direct().await;
    let late = "CREATE TABLE app.late (secret text); INSERT INTO app.late VALUES ('123-45-6789')";
    direct.batch_execute(late).await.expect("created");
    // A session that was open before may be refused; it must not be answered in clear.
    before.send(&query("SELECT secret FROM app.late")).await;
    let answer = before.until(b'Z', 1).await;
    assert!(!text(&answer).contains("123-45"), "{}", text(&answer));
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT secret FROM app.late")).await;
    let answer = wire.until(b'Z', 1).await;
    assert!(!text(&answer).contains("123-45"), "{}", text(&answer));
    assert!(text(&answer).contains("[redacted]"), "{}", text(&answer));
}

/// Names are compared as statements write them: in the database's own encoding two would look alike, or like no name at all.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_told_apart_whatever_the_databases_encoding() {
    let labels = "[columns]\n\"public.leute.größe\" = \"pii.size\"\n";
    let world = world!(policy: MASKED, masking: Some(labels),);
    let table = "CREATE TABLE leute (\"größe\" text, \"grüße\" text); INSERT INTO leute VALUES ('183 cm', 'moin')";
    for (database, encoding) in [("latin", "LATIN1"), ("unencoded", "SQL_ASCII")] {
        let created = format!(
            "CREATE DATABASE {database} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        );
        world.direct().await.batch_execute(&created).await.unwrap();
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(world.postgres.port("port"))
            .user("postgres")
            .dbname(database);
        let (direct, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        direct.batch_execute(table).await.unwrap();
        connection.abort();
        let settings = [("user", "u"), ("database", database), ("client_encoding", "UTF8")];
        let (mut wire, _) = Wire::start(world.tunnel().await, &settings).await;
        wire.send(&query("SELECT \"größe\", \"grüße\" FROM leute")).await;
        let answer = wire.until(b'Z', 1).await;
        let said = text(&answer);
        assert!(said.contains("[redacted]") && said.contains("moin"), "{database}: {said}");
        assert!(!said.contains("183"), "{database}: {said}");
    }
}
