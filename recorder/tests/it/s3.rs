//! The same on a real S3 server, with conditional writes and an outage.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dev_services::{DevService, StartError};
use tallyport_eventlog::Log;
use tallyport_recorder::maintenance::compact_days_before;
use tallyport_recorder::{Condition, LakeError, LakeUrl, Recorder, RecorderConfig, RecorderError};
use tokio_util::sync::CancellationToken;

use crate::rows::{assert_complete, config, logging};
use crate::scripted_log::ScriptedLog;

const SOON: Duration = Duration::from_secs(120);

async fn server(test: &str) -> Option<DevService> {
    let started = tokio::task::spawn_blocking(|| DevService::start("s3", &[])).await.unwrap();
    match started {
        Ok(server) => Some(server),
        Err(StartError::NotInstallable { name }) => {
            eprintln!("NOT RUN: {test}: deploy/dev/{name} could not be installed");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn s3_config(server: &DevService, prefix: &str) -> RecorderConfig {
    let dir = std::env::temp_dir();
    let mut config = config(&dir);
    let url = format!("s3://{}/{prefix}", server.text("bucket"));
    config.lake = LakeUrl::parse(&url).unwrap();
    for (name, value) in [
        ("AWS_ENDPOINT_URL", server.text("endpoint")),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", server.text("region")),
        ("AWS_ACCESS_KEY_ID", server.text("access_key")),
        ("AWS_SECRET_ACCESS_KEY", server.text("secret_key")),
    ] {
        config.storage_options.insert(name.to_owned(), value.to_owned());
    }
    config
}

fn signal(server: &DevService, name: &str) {
    let pid = server.ready()["pid"].to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_into_a_bucket_across_restarts() {
    logging();
    let Some(server) = server("records_into_a_bucket_across_restarts").await else { return };
    let config = s3_config(&server, "deep/lake");
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 2);
    for end in [300, 900] {
        let ours: Arc<dyn Log> = log.clone();
        let recorder =
            Recorder::start(config.clone(), ours, CancellationToken::new()).await.unwrap();
        log.set_end(0, end);
        log.set_end(1, end / 2);
        recorder.wait_until(0, end, SOON).await.unwrap();
        recorder.stop().await.unwrap();
    }
    assert_complete(&config, 0, 900).await;
    assert_complete(&config, 1, 450).await;
    let tomorrow = jiff::civil::date(2100, 1, 1);
    let done = compact_days_before(&config.lake, &config.storage_options, tomorrow, |_| ()).await;
    let done = done.unwrap();
    assert!(done.files_before > done.files_after && done.files_after >= 1, "{done:?}");
    assert_complete(&config, 0, 900).await;
    assert_complete(&config, 1, 450).await;

    let mut nowhere = config.clone();
    nowhere.lake = LakeUrl::parse("s3://no-such-bucket/lake").unwrap();
    let ours: Arc<dyn Log> = log.clone();
    match Recorder::start(nowhere, ours, CancellationToken::new()).await {
        Err(RecorderError::Lake(LakeError::Unreachable { reason, .. })) => {
            assert!(reason.contains("NoSuchBucket"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_store_is_waited_out() {
    logging();
    let Some(server) = server("an_outage_of_the_store_is_waited_out").await else { return };
    let mut config = s3_config(&server, "lake");
    // A request that hangs is given up soon; the server may still carry it out after the outage.
    for (name, value) in [("timeout", "1s"), ("max_retries", "1"), ("retry_timeout", "2s")] {
        config.storage_options.insert(name.to_owned(), value.to_owned());
    }
    config.commit.max_age = Duration::from_millis(50);
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let ours: Arc<dyn Log> = log.clone();
    let recorder = Recorder::start(config.clone(), ours, CancellationToken::new()).await.unwrap();
    log.set_end(0, 200);
    recorder.wait_until(0, 200, SOON).await.unwrap();
    for round in 1..=3_u64 {
        signal(&server, "-STOP");
        log.set_end(0, 200 + round * 300);
        let mut progress = recorder.progress();
        let retries = |all: &tallyport_recorder::Progress| {
            matches!(all.partitions[0].condition, Condition::Retrying { .. })
        };
        let seen =
            tokio::time::timeout(SOON, progress.wait_for(retries)).await.map(|seen| seen.is_ok());
        signal(&server, "-CONT");
        assert!(seen.unwrap(), "the outage does not show");
        recorder.wait_until(0, 200 + round * 300, SOON).await.unwrap();
    }
    recorder.stop().await.unwrap();
    assert_complete(&config, 0, 1_100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_an_outage_ends_in_time_and_loses_nothing() {
    let Some(server) = server("a_stop_during_an_outage_ends_in_time_and_loses_nothing").await
    else {
        return;
    };
    let mut config = s3_config(&server, "lake");
    config.storage_options.insert("timeout".to_owned(), "1s".to_owned());
    config.drain_timeout = Duration::from_secs(1);
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let ours: Arc<dyn Log> = log.clone();
    let recorder = Recorder::start(config.clone(), ours, CancellationToken::new()).await.unwrap();
    log.set_end(0, 100);
    signal(&server, "-STOP");
    let stopped = tokio::time::timeout(SOON, recorder.stop()).await;
    signal(&server, "-CONT");
    let error = stopped.unwrap().unwrap_err();
    assert!(matches!(error, RecorderError::Unfinished { partition: 0 }), "{error}");
    assert!(!error.is_integrity());

    let ours: Arc<dyn Log> = log.clone();
    let recorder = Recorder::start(config.clone(), ours, CancellationToken::new()).await.unwrap();
    recorder.stop().await.unwrap();
    assert_complete(&config, 0, 100).await;
}
