//! From an acknowledged commit on the real embedded log to a row in the lake, and the log's space given back.

use std::sync::Arc;
use std::time::Duration;

use tallyport_eventlog::backends::embedded::EmbeddedLog;
use tallyport_eventlog::{
    AppendError, Appender, AppenderOptions, EmbeddedOptions, Log, Record, Topic,
};
use tallyport_recorder::{Recorder, Retention};
use tallyport_schemas::{Body, Draft, Integrity, ProducerId, SharedContext};
use tokio_util::sync::CancellationToken;

use crate::rows::{config, number};

const SOON: Duration = Duration::from_secs(60);
const ROUNDS: u64 = 3;
const EVENTS: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_in_the_lake_and_off_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir.path().join("lake"));
    config.commit.max_age = Duration::from_millis(10);
    config.retention = Retention { keep_for: Duration::ZERO, keep_commits: 1 };
    let log: Arc<dyn Log> =
        Arc::new(EmbeddedLog::open(EmbeddedOptions::new(dir.path().join("log"))).await.unwrap());
    let producer = ProducerId::parse("gateway-1").unwrap();
    let appender =
        Appender::start(Arc::clone(&log), producer, "gateway", AppenderOptions::default())
            .await
            .unwrap();
    let recorder =
        Recorder::start(config.clone(), Arc::clone(&log), CancellationToken::new()).await.unwrap();
    let context = SharedContext::default();
    for _ in 0..ROUNDS {
        let drafts = (0..EVENTS).map(|events| {
            let body = Body::Integrity(Integrity::ProducerStopped { events });
            Draft::new(context.clone(), None, body)
        });
        let durable = appender.commit_all(drafts.collect::<Vec<_>>()).await.unwrap();
        let last = durable.last().unwrap().positions()[0];
        recorder.wait_until(last.partition, last.offset + 1, SOON).await.unwrap();
    }
    appender.stop().await.unwrap();
    recorder.stop().await.unwrap();
    // The appender's own first and last event are events too.
    let all = i64::try_from(ROUNDS * EVENTS + 2).unwrap();
    assert_eq!(number(&config, "SELECT count(*) FROM events").await, all);
    assert_eq!(number(&config, "SELECT count(DISTINCT producer_seq) FROM events").await, all);
    assert_eq!(number(&config, "SELECT count(*) FROM dead_letters").await, 0);
    let earliest = log.earliest(Topic::Audit, 0).await.unwrap();
    assert!(earliest > EVENTS, "nothing was released: the log begins at {earliest}");
    assert!(earliest < log.latest(Topic::Audit, 0).await.unwrap(), "a tail is kept");
}

/// Values that no compression makes smaller: every byte of a UUID is random but for six bits.
fn noise(bytes: usize) -> Vec<u8> {
    std::iter::repeat_with(|| uuid::Uuid::new_v4().into_bytes()).flatten().take(bytes).collect()
}

/// As after days without a recorder: the log is full, and a gateway that starts has to append.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_takes_appends_again_once_the_lake_has_what_is_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir.path().join("lake"));
    let mut options = EmbeddedOptions::new(dir.path().join("log"));
    options.max_bytes = 8 * 1024 * 1024;
    let open = async || Arc::new(EmbeddedLog::open(options.clone()).await.unwrap());
    let append = |log: Arc<EmbeddedLog>| async move {
        let record = Record { topic: Topic::Audit, key: "k".into(), value: noise(50_000).into() };
        log.append(vec![record]).await
    };
    let log = open().await;
    let refused = loop {
        match append(Arc::clone(&log)).await {
            Ok(_) => {}
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, AppendError::Refused { .. }), "{refused}");
    drop(log);

    for _ in 0..2 {
        let log = open().await;
        let end = log.latest(Topic::Audit, 0).await.unwrap();
        append(Arc::clone(&log)).await.unwrap_err();
        let recorder =
            Recorder::start(config.clone(), log.clone(), CancellationToken::new()).await.unwrap();
        recorder.wait_until(0, end, SOON).await.unwrap();
        let taken = async {
            while append(Arc::clone(&log)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, taken).await.expect("it stays full");
        recorder.stop().await.unwrap();
        while append(Arc::clone(&log)).await.is_ok() {}
    }
}
