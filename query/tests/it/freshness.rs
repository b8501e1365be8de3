//! No gap, no overlap, no waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tallyport_eventlog::{Log as _, Position, Topic};
use tallyport_query::{Limits, QueryState};
use tallyport_schemas::{Context, Disposition, Draft, SessionId};

use crate::story;
use crate::world::{Setup, World, name_log, record};

pub fn event(statement: &str) -> Draft {
    let context = Context { session_id: Some(SessionId::new()), ..Context::default() };
    let body = story::command(1, Disposition::Forwarded, statement, &[], &[]);
    Draft::new(context.into(), Some(0), body)
}

fn int(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Every offset of every partition exactly once, from the first on; on the memory log offsets are dense.
const DENSE: &str = "SELECT log_partition, count(*), count(DISTINCT log_offset), min(log_offset), \
                     max(log_offset) FROM events GROUP BY log_partition";

async fn assert_dense(world: &World) -> u64 {
    let mut total = 0;
    for row in world.rows(DENSE).await {
        let (count, distinct, max) = (int(&row[1]), int(&row[2]), int(&row[4]));
        assert_eq!(count, distinct, "an event twice: {row}");
        assert_eq!((int(&row[3]), count), (0, max + 1), "an event is missing: {row}");
        total += count;
    }
    total
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_before_the_lake_exists_and_after() {
    let world = World::start().await;
    world.commit(event("SELECT 1")).await;
    let sql = "SELECT statement FROM commands";
    let (status, answer) = world.try_sql("auditor", sql).await;
    assert_eq!((status, &answer["rows"]), (200, &serde_json::json!([["SELECT 1"]])));
    assert_eq!(answer["snapshot_version"], Value::Null);
    world.record_all().await;
    world.commit(event("SELECT 2")).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            let (_, answer) =
                world.try_sql("auditor", "SELECT statement FROM commands ORDER BY 1").await;
            assert_eq!(answer["rows"], serde_json::json!([["SELECT 1"], ["SELECT 2"]]));
            if answer["snapshot_version"] == 0 {
                break;
            }
        }
    })
    .await
    .expect("the table is found");
    assert_dense(&world).await;
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_gap_and_no_overlap_under_a_concurrent_recorder() {
    const PARTITIONS: u32 = 3;
    let world = World::with(Setup { partitions: PARTITIONS, ..Setup::default() }).await;
    let done = Arc::new(AtomicBool::new(false));
    let (log, lake, stop) = (Arc::clone(&world.log), world.lake.clone(), Arc::clone(&done));
    let recorder = tokio::spawn(async move {
        let mut round = 0_u64;
        while !stop.load(Ordering::Acquire) {
            let partition = u32::try_from(round % u64::from(PARTITIONS)).unwrap();
            let latest = log.latest(Topic::Audit, partition).await.unwrap();
            // Sometimes all, sometimes a part: snapshots end in the middle of what is held in memory.
            let upto =
                if round.is_multiple_of(2) { latest } else { latest.saturating_sub(round % 7) };
            record(log.as_ref(), &lake, partition, upto).await;
            round += 1;
        }
    });
    let (appender, stop) = (world.appender.clone(), Arc::clone(&done));
    let writer = tokio::spawn(async move {
        let mut written = 0_u64;
        while !stop.load(Ordering::Acquire) {
            let _durable = appender.commit(event("SELECT 1")).await.unwrap();
            written += 1;
            if written.is_multiple_of(5) {
                tokio::task::yield_now().await;
            }
        }
        written
    });
    let began = Instant::now();
    let (mut queries, mut seen) = (0, 0);
    while began.elapsed() < Duration::from_secs(8) || queries < 10 {
        let now = assert_dense(&world).await;
        assert!(now >= seen, "an event disappeared");
        (seen, queries) = (now, queries + 1);
    }
    done.store(true, Ordering::Release);
    recorder.await.unwrap();
    let written = writer.await.unwrap();
    world.record_all().await;
    assert_dense(&world).await;
    assert_eq!(int(&world.value("SELECT count(*) FROM commands").await), written);
    eprintln!("{queries} queries over {written} events while they were written and recorded");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_answerable_within_one_second() {
    let world = World::start().await;
    let token = world.token("auditor").await;
    let mut waits = Vec::new();
    for number in 0..50 {
        let statement = format!("SELECT {number}");
        world.commit(event(&statement)).await;
        let committed = Instant::now();
        let sql = format!("SELECT count(*) FROM commands WHERE statement = '{statement}'");
        let request = world.http.post(world.url("/v1/sql")).bearer_auth(&token);
        let response = request.json(&serde_json::json!({ "sql": sql })).send().await.unwrap();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(
            answer["rows"],
            serde_json::json!([[1]]),
            "the first question after the commit sees it"
        );
        waits.push(committed.elapsed());
        if number % 20 == 10 {
            world.record_all().await;
        }
    }
    waits.sort();
    let (p50, p99) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100]);
    eprintln!("committed to answered: p50 {p50:?}, p99 {p99:?}");
    assert!(p50 < Duration::from_secs(1), "p50 {p50:?}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_in_memory_is_read_from_the_log() {
    let limits = Limits { max_tail_bytes: 0, ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    for number in 0..200 {
        world.commit(event(&format!("SELECT {number}"))).await;
        if number == 50 {
            world.record_all().await;
        }
    }
    assert_dense(&world).await;
    let distinct = world.value("SELECT count(DISTINCT statement) FROM commands").await;
    assert_eq!(int(&distinct), 200);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_between_lake_and_log_is_said_never_skipped() {
    let limits = Limits { max_tail_bytes: 0, ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    for number in 0..20 {
        world.commit(event(&format!("SELECT {number}"))).await;
    }
    world.record(0, 5).await;
    // Dropped before it was recorded: nobody has offsets 5 to 9.
    world.log.release(Topic::Audit, Position { partition: 0, offset: 10 }).await.unwrap();
    let (status, answer) = world.try_sql("auditor", "SELECT count(*) FROM commands").await;
    assert_eq!((status, answer["code"].as_str().unwrap()), (500, "integrity"), "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("up to offset 5") && message.contains("from 10 on"), "{message}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_names_another_log_is_refused() {
    for own in [true, false] {
        let world = World::start().await;
        world.commit(event("SELECT 1")).await;
        let id =
            if own { world.log.id().as_str().to_owned() } else { "embedded:another".to_owned() };
        world.record_all().await;
        name_log(&world.lake, &id);
        if own {
            // Longer than the service goes without a look at the lake.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let (status, answer) = world.try_sql("auditor", "SELECT count(*) FROM events").await;
            assert_eq!(status, 200, "{answer}");
        } else {
            let (status, answer) = wait_for_snapshot(&world).await;
            assert_eq!((status, answer["code"].as_str().unwrap()), (500, "integrity"), "{answer}");
            let message = answer["message"].as_str().unwrap();
            assert!(message.contains("recorded from the log embedded:another"), "{message}");
        }
        world.running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_the_lakes_is_refused() {
    let world = World::start().await;
    world.commit(event("SELECT 1")).await;
    world.record_all().await;
    let other = World::start().await;
    let path = |world: &World| world.lake.url.to_file_path().unwrap().join("events");
    let (from, to) = (path(&world), path(&other));
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    // Claims far more than the other log ever had.
    record(world.log.as_ref(), &world.lake, 0, world.latest(0).await).await;
    std::fs::rename(&from, &to).unwrap();
    for _ in 0..3 {
        world.commit(event("SELECT 1")).await;
    }
    let have = other.latest(0).await;
    let claimed = world.latest(0).await;
    assert!(claimed > have);
    other_records_ahead(&world, &other).await;
    let (status, answer) = wait_for_snapshot(&other).await;
    assert_eq!((status, answer["code"].as_str().unwrap()), (500, "integrity"), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("not the log of this lake"), "{answer}");
    other.running.stop().await;
    world.running.stop().await;
}

/// Puts what only the first log has into the second lake.
async fn other_records_ahead(world: &World, other: &World) {
    for _ in 0..50 {
        world.commit(event("SELECT 1")).await;
    }
    record(world.log.as_ref(), &other.lake, 0, world.latest(0).await).await;
}

/// The service looks for a newer snapshot several times a second.
async fn wait_for_snapshot(world: &World) -> (u16, Value) {
    let began = Instant::now();
    loop {
        let (status, answer) = world.try_sql("auditor", "SELECT count(*) FROM events").await;
        if status != 200 || began.elapsed() > Duration::from_secs(10) {
            return (status, answer);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_is_gone_is_no_lake_without_news() {
    let world = World::start().await;
    world.commit(event("SELECT 1")).await;
    world.record_all().await;
    let probe = world.running.probe();
    let readable = async |wanted: bool| {
        let looked = tokio::time::timeout(Duration::from_secs(10), async {
            let is_so =
                |it: QueryState| (it.lake_readable && it.snapshot_version.is_some()) == wanted;
            while !is_so(probe.state()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        looked.await.unwrap_or_else(|_| panic!("{:?}", probe.state()));
    };
    readable(true).await;
    let _seen = world.value("SELECT count(*) FROM commands").await;
    let at = world.lake.url.to_file_path().unwrap();
    let away = at.with_extension("away");
    std::fs::rename(&at, &away).unwrap();
    readable(false).await;
    let (status, answer) = world.try_sql("auditor", "SELECT count(*) FROM commands").await;
    assert_eq!((status, &answer["code"]), (503, &"lake_unavailable".into()), "{answer}");
    std::fs::rename(&away, &at).unwrap();
    readable(true).await;
    assert_eq!(int(&world.value("SELECT count(*) FROM commands").await), 1);
    world.running.stop().await;
}
