//! A topic on a real Kafka that is deleted and made anew while it is recorded.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dev_services::{DevService, StartError};
use tallyport_eventlog::{Log, LogUrl, Record, Topic, open};
use tallyport_recorder::{IntegrityError, Recorder, RecorderError};
use tokio_util::sync::CancellationToken;

use crate::rows::{config, logging, position};
use crate::scripted_log::value;

const SOON: Duration = Duration::from_secs(120);
const TOPIC: &str = "tallyport.audit.v1";

fn tool(service: &DevService, class: &str, args: &[&str]) {
    let done = Command::new(service.text("java"))
        .args(["-XX:TieredStopAtLevel=1", "-cp", service.text("classpath"), class])
        .args(["--bootstrap-server", service.text("bootstrap")])
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

async fn append(log: &dyn Log, seed: u32, count: u64) {
    let record =
        |number| Record { topic: Topic::Audit, key: "k".into(), value: value(seed, number).into() };
    let _positions = log.append((0..count).map(record).collect()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_topic_that_was_made_anew_is_found_while_recording_and_at_the_start() {
    logging();
    let service = match DevService::start("kafka", &[]) {
        Ok(service) => service,
        Err(error @ StartError::NotInstallable { .. }) => {
            eprintln!("not run: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir.path().join("lake"));
    let url = format!("kafka://{}?partitions=1", service.text("bootstrap"));
    let url = LogUrl::parse(&url).unwrap();
    let log = open(&url).await.unwrap();
    let start = |log| Recorder::start(config.clone(), log, CancellationToken::new());
    let mut recorder = start(Arc::clone(&log)).await.unwrap();
    append(log.as_ref(), 0, 20).await;
    recorder.wait_until(0, 20, SOON).await.unwrap();

    tool(&service, "org.apache.kafka.tools.TopicCommand", &["--delete", "--topic", TOPIC]);
    // The name is free once the broker has forgotten it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let anew = open(&url).await.unwrap();
    append(anew.as_ref(), 1, 5).await;
    let ended = tokio::time::timeout(SOON, recorder.ended()).await.expect("it goes on");
    match ended.unwrap_err() {
        RecorderError::Integrity(IntegrityError::LakeAheadOfLog { recorded: 20, .. }) => {}
        other => panic!("{other}"),
    }

    // Grown beyond what was recorded: the ends say nothing any more.
    append(anew.as_ref(), 1, 40).await;
    match start(Arc::clone(&anew)).await.unwrap_err() {
        RecorderError::Integrity(IntegrityError::OtherRecord { offset: 19, .. }) => {}
        other => panic!("{other}"),
    }
    assert_eq!(position(&config, 0).await, Some(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_goes_to_partitions_that_were_added_until_a_restart() {
    let service = match DevService::start("kafka", &[]) {
        Ok(service) => service,
        Err(error @ StartError::NotInstallable { .. }) => {
            eprintln!("not run: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let url = format!("kafka://{}?partitions=1", service.text("bootstrap"));
    let url = LogUrl::parse(&url).unwrap();
    let old = open(&url).await.unwrap();
    let more = ["--alter", "--topic", TOPIC, "--partitions", "4"];
    tool(&service, "org.apache.kafka.tools.TopicCommand", &more);
    let told = async {
        while old.partitions_now(Topic::Audit).await.unwrap() < 4 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(SOON, told).await.unwrap();
    assert_eq!(old.partitions(Topic::Audit), 1);
    let keyed = |number: u32| Record {
        topic: Topic::Audit,
        key: number.to_string().into(),
        value: "v".into(),
    };
    let all_of = |batch: Vec<tallyport_eventlog::Position>| -> std::collections::BTreeSet<u32> {
        batch.into_iter().map(|position| position.partition).collect()
    };
    let batch = || (0..100).map(keyed).collect();
    assert_eq!(all_of(old.append(batch()).await.unwrap()), [0].into());
    let fresh = open(&url).await.unwrap();
    assert_eq!(all_of(fresh.append(batch()).await.unwrap()), [0, 1, 2, 3].into());
}
