//! Which files of the lake a question opens, and what a table that asks more of its readers is answered from.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tallyport_schemas::{Context, Principal, PrincipalKind, lake};

use crate::freshness::event;
use crate::world::World;

/// Data files of the lake, as they were written.
fn data_files(world: &World) -> Vec<PathBuf> {
    let days = std::fs::read_dir(events_of(world)).unwrap().map(|entry| entry.unwrap().path());
    let days =
        days.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("ingest_date="));
    let mut files: Vec<PathBuf> = days
        .flat_map(|day| std::fs::read_dir(day).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|it| it == "parquet"));
    files.sort_by_key(|path| path.metadata().unwrap().modified().unwrap());
    files
}

/// Opens no file.
const NOTHING: &str = "SELECT count(*) FROM events WHERE ingest_date < DATE '2000-01-01'";

/// Lake files with one statement each, in that order.
async fn record(world: &World, statements: &[&str]) {
    for statement in statements {
        world.commit(event(statement)).await;
        world.record_all().await;
    }
}

/// The same, once the service answers from the last one.
async fn recorded(world: &World, statements: &[&str]) {
    record(world, statements).await;
    until_snapshot(world, statements.len() as u64 - 1).await;
}

pub async fn until_snapshot(world: &World, version: u64) {
    let found = async {
        loop {
            let (status, answer) = world.try_sql("auditor", NOTHING).await;
            if status == 200 && answer["snapshot_version"] == version {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), found).await.expect("it is found");
}

/// A deletion vector with row 0 alone, as Delta writes it into its log: Base85 of the magic number and a roaring bitmap.
const ROW_0: &str = "^Bg9^0rr910000000000iXQKl0rr91000005c8Xg00000";

#[tokio::test(flavor = "multi_thread")]
async fn a_question_opens_only_files_that_can_have_its_rows() {
    let world = World::start().await;
    record(&world, &["SELECT 1", "SELECT 2", "SELECT 3"]).await;
    let files = data_files(&world);
    assert_eq!(files.len(), 3);
    let said = add_of(&events_of(&world), &files[1])["stats"].as_str().unwrap().to_owned();
    let said: Value = serde_json::from_str(&said).unwrap();
    let first = &said["minValues"];
    let (id, offset) = (first["event_id"].as_str().unwrap(), first["log_offset"].as_u64().unwrap());
    // Whatever opens the first or the last file fails, and nothing of them is known from before.
    let hidden = hide(&[&files[0], &files[2]]);
    until_snapshot(&world, 2).await;
    for filter in [
        format!("event_id = '{id}'"),
        format!("event_id IN ('{id}')"),
        format!("log_offset = {offset}"),
        format!("log_offset BETWEEN {offset} AND {offset} AND family <> ''"),
    ] {
        let sql = format!("SELECT log_offset FROM events WHERE {filter}");
        assert_eq!(world.rows(&sql).await, vec![json!([offset])], "{filter}");
    }
    for none in [
        "ingest_date < DATE '2000-01-01'",
        "time < TIMESTAMP '2000-01-01T00:00:00Z'",
        "producer_id = 'zz'",
    ] {
        let sql = format!("SELECT count(*) FROM events WHERE {none}");
        assert_eq!(world.value(&sql).await, json!(0), "{none}");
    }
    // It is the files that are missing, not the question that is wrong.
    let all = "SELECT statement FROM events WHERE reverse(statement) = '2 TCELES'";
    assert!(fails(&world.try_sql("auditor", all).await), "a file that is gone is no empty file");
    show(hidden);
    assert_eq!(world.rows(all).await, vec![json!(["SELECT 2"])]);
    world.running.stop().await;
}

/// Beside events that no file has yet. A filter above a scan gathers some thousand rows before it hands them on, so that
/// with few rows nothing can be left out beneath one: there the plan is asked.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_rows_are_looked_for_in_the_files_that_can_have_them() {
    let world = World::start().await;
    let statements: Vec<String> = (0..9).map(|number| format!("SELECT {number}")).collect();
    record(&world, &statements.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let files = data_files(&world);
    let [oldest, .., newest] = files.as_slice() else { panic!("{files:?}") };
    until_snapshot(&world, 8).await;
    world.commit(event("SELECT 'the latest'")).await;
    for (hidden, sql, found) in [
        (newest, "SELECT log_offset FROM events ORDER BY time LIMIT 2", json!([0])),
        (
            newest,
            "SELECT o FROM (SELECT log_offset AS o, time AS t, reverse(family) AS other FROM events) ORDER BY t, other LIMIT 2",
            json!([0]),
        ),
        (
            oldest,
            "SELECT statement FROM (SELECT time AS t, * FROM events) ORDER BY t DESC LIMIT 2",
            Value::Null,
        ),
    ] {
        let hidden = hide(&[hidden]);
        let rows = world.rows(sql).await;
        show(hidden);
        assert_eq!(rows.len(), 2, "{sql}");
        assert!(found.is_null() || rows[0] == found, "{sql}: {rows:?}");
    }
    // It is not that missing files are never missed.
    let hidden = hide(&[newest]);
    let all = "SELECT log_offset FROM events ORDER BY event_id LIMIT 2";
    assert!(fails(&world.try_sql("auditor", all).await), "{all}");
    show(hidden);
    for (sql, order) in [
        ("SELECT statement FROM commands ORDER BY time LIMIT 2", "time@0 ASC"),
        (
            "SELECT s FROM (SELECT statement AS s, time AS t FROM commands WHERE reverse(statement) <> 'x') ORDER BY t DESC LIMIT 2",
            "time@0 DESC",
        ),
    ] {
        let plan = world.rows(&format!("EXPLAIN {sql}")).await;
        let plan: String = plan.iter().map(|row| row[1].as_str().unwrap()).collect();
        let scan = plan.lines().find(|line| line.contains("file_groups=")).expect(&plan);
        assert!(scan.contains(&format!("sort_order_for_reorder=[{order}")), "{plan}");
    }
    world.running.stop().await;
}

/// Least and greatest values in the log of a table may be cut, and a bound that is cut wrongly would hide an event.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_longer_than_what_is_kept_of_it_is_found() {
    let world = World::start().await;
    let subjects =
        ["a", "z", "\u{10ffff}", "\u{e9}"].map(|one| one.repeat(250 / one.len()) + "end");
    for subject in &subjects {
        let principal = Principal {
            issuer: "https://issuer.example".to_owned(),
            subject: subject.clone(),
            display_name: "somebody".to_owned(),
            kind: PrincipalKind::Agent,
            groups: Vec::new(),
            owner: None,
        };
        let mut draft = event("SELECT 1");
        draft.context = Context { principal: Some(principal), ..Context::default() }.into();
        world.commit(draft).await;
        world.record_all().await;
    }
    until_snapshot(&world, subjects.len() as u64 - 1).await;
    for subject in &subjects {
        let found = format!("SELECT count(*) FROM commands WHERE principal_subject = '{subject}'");
        assert_eq!(world.value(&found).await, json!(1), "{subject}");
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_is_counted_not_taken_from_the_log_of_the_table() {
    let world = World::start().await;
    recorded(&world, &["SELECT 1", "SELECT 2"]).await;
    // The last file again, under another name and with a log entry that is wrong about its rows.
    let events = events_of(&world);
    let last = data_files(&world).pop().unwrap();
    let mut add = add_of(&events, &last);
    let copy = "copy.parquet";
    std::fs::copy(&last, last.with_file_name(copy)).unwrap();
    let name = last.file_name().unwrap().to_str().unwrap();
    let remove = remove_of(&add);
    add["path"] = add["path"].as_str().unwrap().replace(name, copy).into();
    let mut stats: Value = serde_json::from_str(add["stats"].as_str().unwrap()).unwrap();
    assert!(stats["numRecords"].as_u64().is_some(), "{stats}");
    stats["numRecords"] = 1_000_000.into();
    add["stats"] = stats.to_string().into();
    write_commit(&events, 2, &[remove, json!({ "add": add })]);
    until_snapshot(&world, 2).await;
    for asked in ["count(*) FROM events", "count(*) FROM commands", "sum(1) FROM events"] {
        let counted = world.value(&format!("SELECT {asked}")).await;
        assert!(counted.as_u64().unwrap() < 1_000, "{asked}: {counted}");
    }
    world.running.stop().await;
}

/// Deletion vectors, mapped columns and what is still to come are the Delta library's to understand.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_asks_more_of_its_readers_is_answered_all_the_same() {
    let world = World::start().await;
    recorded(&world, &["SELECT 1", "SELECT 2"]).await;
    let events = events_of(&world);
    let protocol = json!({"protocol": {
        "minReaderVersion": 3, "minWriterVersion": 7,
        "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors", "appendOnly"],
    }});
    write_commit(&events, 2, &[protocol]);
    until_snapshot(&world, 2).await;
    let statements = "SELECT statement FROM commands ORDER BY 1";
    assert_eq!(world.rows(statements).await, vec![json!(["SELECT 1"]), json!(["SELECT 2"])]);
    // Now the only row of the last file is deleted, by a vector in the log itself.
    let last = data_files(&world).pop().unwrap();
    let mut add = add_of(&events, &last);
    let remove = remove_of(&add);
    add["deletionVector"] = json!({
        "storageType": "i", "pathOrInlineDv": ROW_0, "sizeInBytes": 34, "cardinality": 1,
    });
    write_commit(&events, 3, &[remove, json!({ "add": add })]);
    until_snapshot(&world, 3).await;
    assert_eq!(world.rows(statements).await, vec![json!(["SELECT 1"])], "the deleted row is read");
    world.running.stop().await;
}

pub fn write_commit(events: &Path, version: u64, actions: &[Value]) {
    let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
    let path = events.join(format!("_delta_log/{version:020}.json"));
    std::fs::write(path, lines.join("\n")).unwrap();
}

/// What the table's log says of a file.
fn add_of(events: &Path, file: &Path) -> Value {
    let commits = std::fs::read_dir(events.join("_delta_log")).unwrap();
    let commits = commits.map(|entry| entry.unwrap().path());
    let commits = commits.filter(|path| path.extension().is_some_and(|it| it == "json"));
    let lines = commits.flat_map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    });
    let mut adds = lines.filter_map(|mut line| line.get_mut("add").map(Value::take));
    adds.find(|add| file.ends_with(add["path"].as_str().unwrap())).expect("it is there")
}

fn remove_of(add: &Value) -> Value {
    json!({"remove": {
        "path": add["path"], "deletionTimestamp": 0, "dataChange": true,
        "partitionValues": add["partitionValues"], "size": add["size"],
    }})
}

pub fn events_of(world: &World) -> PathBuf {
    world.lake.url.to_file_path().unwrap().join(lake::EVENTS_TABLE)
}

/// Failed with an error, before or within the answer.
fn fails(answer: &(u16, Value)) -> bool {
    answer.0 != 200 || answer.1.get("error").is_some()
}

fn hide(files: &[&PathBuf]) -> Vec<(PathBuf, PathBuf)> {
    let aside = |path: &&PathBuf| ((*path).clone(), path.with_extension("aside"));
    let moved: Vec<_> = files.iter().map(aside).collect();
    for (path, aside) in &moved {
        std::fs::rename(path, aside).unwrap();
    }
    moved
}

fn show(moved: Vec<(PathBuf, PathBuf)>) {
    for (path, aside) in moved {
        std::fs::rename(aside, path).unwrap();
    }
}
