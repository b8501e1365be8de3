//! From an acknowledged commit on the real embedded log to a row in the lake, and the log's space given back.

use std::sync::Arc;
use std::time::Duration;

use tallyport_eventlog::backends::embedded::EmbeddedLog;
use tallyport_eventlog::{Appender, AppenderOptions, EmbeddedOptions, Log, Topic};
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
