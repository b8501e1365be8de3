//! One name for two statements within a unit, or behind a Bind: what is judged, masked and recorded is what runs.

use tallyport_schemas::{Body, Event};

use crate::harness::{World, commands, world};
use crate::masking::{MASKED, text};
use crate::wire::{
    Message, Wire, bind, describe, error_field, execute, flush, parse, query, sync, tags,
};

const LABELS: &str = "[columns]\n\"app.customers.ssn\" = \"pii.ssn\"\n";
const CUSTOMERS: &str = "SELECT ssn FROM app.customers ORDER BY id";

type Tunnel = Wire<tokio::io::DuplexStream>;

async fn agent(world: &World) -> Tunnel {
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    ask(&mut wire, &[query("BEGIN")]).await;
    wire
}

async fn ask(wire: &mut Tunnel, messages: &[Vec<u8>]) -> Vec<Message> {
    wire.send(&messages.concat()).await;
    wire.until(b'Z', 1).await
}

fn has_no_ssn(answer: &[Message]) {
    let (text, tags) = (text(answer), tags(answer));
    assert!(!text.contains("123-45") && !text.contains("987-65"), "{tags}: {text}");
}

/// A transaction in which SQL has named nothing.
async fn fresh(wire: &mut Tunnel) {
    for statement in ["ROLLBACK", "DEALLOCATE ALL", "BEGIN"] {
        ask(wire, &[query(statement)]).await;
    }
}

fn executed(statements: &[String]) -> usize {
    statements.iter().filter(|statement| statement.starts_with("EXECUTE")).count()
}

/// The statements on record of what ran by messages, in order.
fn recorded(events: &[Event]) -> Vec<String> {
    commands(events).iter().filter_map(|command| command.statement.clone()).collect()
}

/// `CLOSE` and `DECLARE` give a portal's name to another statement in the middle of a unit.
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_whose_name_sql_gives_away_is_described_and_judged_as_what_it_is_then() {
    let world = world!(policy: MASKED, masking: Some(LABELS),);
    let mut wire = agent(&world).await;
    let unit = [
        parse("s1", "SELECT 'x'::text AS a"),
        bind("p", "s1", &[], 0),
        describe(b'P', "p"),
        parse("s2", "CLOSE p"),
        bind("", "s2", &[], 0),
        execute("", 0),
        parse("s3", &format!("DECLARE p CURSOR FOR {CUSTOMERS}")),
        bind("", "s3", &[], 0),
        execute("", 0),
        execute("p", 0),
        sync(),
    ];
    let answer = ask(&mut wire, &unit).await;
    has_no_ssn(&answer);
    assert!(text(&answer).contains("[redacted]"), "{}", text(&answer));
    let last = recorded(&world.events().await).pop().unwrap();
    assert!(last.contains("FETCH"), "what ran is no SELECT of a text: {last}");
}

/// The same of prepared statements: `DEALLOCATE` and `PREPARE`, also where the target has not answered the Parse yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_name_sql_gives_away_is_judged_as_what_it_is_then() {
    const POLICY: &str = r#"
        @id("all") permit (principal, action, resource);
        @id("few") @row_limit("1") permit (principal, action == Tallyport::Action::"sql:select",
            resource in Tallyport::Schema::"db/postgres/app");
    "#;
    let world = world!(policy: POLICY,);
    let mut wire = agent(&world).await;
    let prepare = format!("PREPARE s1 AS {CUSTOMERS}");
    let in_one = [
        parse("s1", "SELECT 1"),
        parse("s2", "DEALLOCATE s1"),
        bind("", "s2", &[], 0),
        execute("", 0),
        parse("s3", &prepare),
        bind("", "s3", &[], 0),
        execute("", 0),
        bind("", "s1", &[], 0),
        execute("", 0),
        sync(),
    ];
    let answer = ask(&mut wire, &in_one).await;
    let statements = recorded(&world.events().await);
    assert_eq!(executed(&statements), 1, "{statements:?}");
    assert!(tags(&answer).matches('D').count() <= 1, "{}", tags(&answer));
    fresh(&mut wire).await;

    // Sent before the answer to the Parse is read: what it defined is forgotten all the same.
    let late = [
        parse("s9", "SELECT 1"),
        sync(),
        query(&format!("DEALLOCATE s9; PREPARE s9 AS {CUSTOMERS}")),
        bind("", "s9", &[], 0),
        execute("", 0),
        sync(),
    ];
    wire.send(&late.concat()).await;
    let answer = wire.until(b'Z', 3).await;
    let statements = recorded(&world.events().await);
    assert_eq!(executed(&statements), 2, "{statements:?}");
    assert!(tags(&answer).matches('D').count() <= 1, "{}", tags(&answer));
}

/// PostgreSQL has the types of what a portal of FETCH gives from its Bind, and where they come from from its Describe.
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_of_fetch_or_execute_runs_right_behind_its_bind() {
    let world = world!(policy: MASKED, masking: Some(LABELS),);
    let mut wire = agent(&world).await;
    let letters = "SELECT 'x'::\"char\", 'x'::\"char\", 'x'::\"char\", 'x'::\"char\"";
    let masked = "SELECT ssn, name, name, name FROM app.customers";
    for (made, gone, again, named) in [
        (
            format!("DECLARE c CURSOR FOR {letters}"),
            "CLOSE c",
            format!("DECLARE c CURSOR FOR {masked}"),
            "FETCH ALL FROM c",
        ),
        (
            format!("PREPARE c AS {letters}"),
            "DEALLOCATE c",
            format!("PREPARE c AS {masked}"),
            "EXECUTE c",
        ),
    ] {
        ask(&mut wire, &[query(&made)]).await;
        let refused = ask(&mut wire, &[parse("f", named), bind("f", "f", &[], 0), sync()]).await;
        assert_eq!(error_field(&refused, b'C'), "0A000", "{named}");
        fresh(&mut wire).await;
        ask(&mut wire, &[query(&made)]).await;
        wire.send(&[parse("g", named), bind("", "g", &[], 0), flush()].concat()).await;
        wire.until(b'2', 1).await;
        let swap = [gone, &again].map(|text| {
            [parse("h", text), bind("h", "h", &[], 0), execute("h", 0), frame_close("h")].concat()
        });
        let answer = ask(&mut wire, &[swap.concat(), execute("", 0), sync()]).await;
        has_no_ssn(&answer);
        assert_eq!(error_field(&answer, b'C'), "34000", "{named}: {}", tags(&answer));
        fresh(&mut wire).await;

        ask(&mut wire, &[query(&made)]).await;
        wire.send(&[parse("g", named), bind("", "g", &[], 0), flush()].concat()).await;
        wire.until(b'2', 1).await;
        let between = [parse("h", "SELECT 1"), bind("h", "h", &[], 0), execute("h", 0)];
        let answer = ask(&mut wire, &[between.concat(), execute("", 0), sync()]).await;
        assert_eq!(error_field(&answer, b'C'), "55000", "{named}: {}", tags(&answer));
        fresh(&mut wire).await;

        // As every driver does it, also in two steps.
        ask(&mut wire, &[query(&again)]).await;
        let answer = ask(
            &mut wire,
            &[parse("", named), bind("", "", &[], 0), describe(b'P', ""), execute("", 0), sync()],
        )
        .await;
        assert!(text(&answer).contains("[redacted]"), "{named}: {}", text(&answer));
        ask(&mut wire, &[query(gone)]).await;
        ask(&mut wire, &[query(&again)]).await;
        wire.send(&[parse("", named), bind("", "", &[], 0), flush()].concat()).await;
        wire.until(b'2', 1).await;
        let answer = ask(&mut wire, &[execute("", 0), sync()]).await;
        assert!(text(&answer).contains("[redacted]"), "{named}: {}", text(&answer));
        fresh(&mut wire).await;
    }
    let refused = |event: &&Event| matches!(&event.body, Body::Decision(it) if it.reasons.iter().any(|why| why.contains("EXECUTE")));
    assert_eq!(world.events().await.iter().filter(refused).count(), 4, "each is on record");
}

fn frame_close(name: &str) -> Vec<u8> {
    [crate::wire::close(b'S', name), crate::wire::close(b'P', name)].concat()
}

/// A migration gives a column's name, and its meaning, to a new one: the rows wait until the catalog knows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_came_since_the_catalog_was_read_is_looked_up_before_its_rows_pass() {
    let labels = "[columns]\n\"app.migrated.secret\" = \"pii.ssn\"\n";
    let world = world!(policy: MASKED, masking: Some(labels),);
    let direct = world.direct().await;
    let make = "CREATE TABLE app.migrated (id int, secret text); INSERT INTO app.migrated VALUES (1, 'in clear')";
    direct.batch_execute(make).await.unwrap();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    assert!(
        text(&ask(&mut wire, &[query("SELECT secret FROM app.migrated")]).await)
            .contains("[redacted]")
    );
    let migrate = "ALTER TABLE app.migrated RENAME secret TO old; ALTER TABLE app.migrated ADD secret text; \
                   UPDATE app.migrated SET secret = old";
    direct.batch_execute(migrate).await.unwrap();
    for statement in ["SELECT secret FROM app.migrated", "SELECT id, secret AS s FROM app.migrated"]
    {
        let answer = ask(&mut wire, &[query(statement)]).await;
        assert!(!text(&answer).contains("in clear"), "{statement}: {}", text(&answer));
    }
    direct.batch_execute("DROP TABLE app.migrated").await.unwrap();
}

/// The catalog is read over a connection that lasts; a session begins with the path that it was read under.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_path_that_changed_since_the_catalog_was_read_changes_no_meaning() {
    let labels = "[columns]\n\"app.vocab.ssn\" = \"pii.ssn\"\n";
    let world = world!(policy: MASKED, masking: Some(labels), target: "user = 'wanderer'\nsslmode = 'disable'\n",);
    let direct = world.direct().await;
    let made = "CREATE ROLE wanderer LOGIN SUPERUSER; CREATE TABLE public.vocab (word text, ssn text); CREATE TABLE app.vocab (word text, ssn text); \
                INSERT INTO app.vocab VALUES ('x', '123-45-0000')";
    direct.batch_execute(made).await.unwrap();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    assert_eq!(
        tags(&ask(&mut wire, &[query("COPY vocab TO STDOUT")]).await),
        "HcCZ",
        "that of public"
    );
    let change = "ALTER ROLE wanderer SET search_path = app, public";
    direct.batch_execute(change).await.unwrap();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    for statement in [
        "COPY vocab TO STDOUT",
        "SELECT upper(v::text) FROM vocab v",
        "RESET search_path; COPY vocab TO STDOUT",
    ] {
        let answer = ask(&mut wire, &[query(statement)]).await;
        assert!(!text(&answer).contains("123-45"), "{statement}: {}", text(&answer));
    }
    direct.batch_execute("DROP ROLE wanderer; DROP TABLE public.vocab, app.vocab").await.unwrap();
}
