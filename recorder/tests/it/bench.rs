//! Figures, not judgements: how fast this build records on this machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::{Log, Record, Topic};
use tallyport_recorder::Recorder;
use tokio_util::sync::CancellationToken;

use crate::rows::{config, number};
use crate::scripted_log::{is_garbage, value};

const EVENTS: u64 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn events_per_second_from_a_memory_log_to_a_local_lake() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir.path().join("lake"));
    config.commit.max_rows = 131_072;
    let log: Arc<dyn Log> = Arc::new(MemoryLog::new());
    let records: Vec<Record> = (0..2 * EVENTS)
        .filter(|offset| !is_garbage(*offset))
        .take(usize::try_from(EVENTS).unwrap())
        .map(|offset| Record {
            topic: Topic::Audit,
            key: offset.to_be_bytes().to_vec().into(),
            value: value(0, offset).into(),
        })
        .collect();
    let bytes: usize = records.iter().map(|record| record.value.len()).sum();
    log.append(records).await.unwrap();
    let begun = Instant::now();
    let recorder = Recorder::start(config.clone(), log, CancellationToken::new()).await.unwrap();
    recorder.wait_until(0, EVENTS, Duration::from_secs(300)).await.unwrap();
    let took = begun.elapsed();
    recorder.stop().await.unwrap();
    let recorded = number(&config, "SELECT count(*) FROM events").await;
    assert_eq!(recorded, i64::try_from(EVENTS).unwrap());
    let rate = EVENTS as f64 / took.as_secs_f64();
    eprintln!(
        "FIGURE recorder, file://, this profile: {EVENTS} events of {} bytes committed in {took:.2?}: {rate:.0} events/s",
        bytes / recorded as usize
    );
}
