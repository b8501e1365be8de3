use std::time::Duration;

use tallyport_schemas::{Event, GapOutcome, QueryPhase, ocsf};
use tokio::time::timeout;

use super::*;
use crate::backends::memory::MemoryLog;
use crate::faults::{Fault, FaultKind, FaultLog};

mod control;
mod stuck;

/// Far more than any of these tests needs, and far less than a hang.
const PATIENCE: Duration = Duration::from_secs(20);

fn options() -> AppenderOptions {
    AppenderOptions {
        max_wait: Duration::from_millis(400),
        append_timeout: Duration::from_millis(150),
        stop_wait: Duration::from_secs(10),
        max_backoff: Duration::from_millis(50),
        ..AppenderOptions::default()
    }
}

async fn start(options: AppenderOptions) -> (Arc<FaultLog>, Appender) {
    let log = Arc::new(FaultLog::new(Arc::new(MemoryLog::new())));
    let id = ProducerId::parse("p").unwrap();
    let shared: Arc<dyn Log> = Arc::clone(&log) as _;
    (log, Appender::start(shared, id, "gateway", options).await.unwrap())
}

fn draft() -> Draft {
    own_draft(Integrity::Checkpoint {
        tree_size: 1,
        root: "00".to_owned(),
        key_id: "k".to_owned(),
        signature: "s".to_owned(),
    })
}

/// A draft whose event is of about `bytes` bytes, and larger than its estimate suggests is fine too.
fn large(bytes: usize) -> Draft {
    let query = tallyport_schemas::Query {
        query_id: tallyport_schemas::CommandId::new(),
        face: tallyport_schemas::Face::Http,
        phase: QueryPhase::Denied { reason: "x".repeat(bytes) },
        sql: String::new(),
        relations: Vec::new(),
        snapshot_version: None,
    };
    Draft::new(Context::default().into(), None, Body::Query(query))
}

async fn on_log(log: &FaultLog) -> Vec<Event> {
    let start = Position { partition: 0, offset: 0 };
    let entries = log.inner().read(Topic::Audit, start, usize::MAX, Duration::ZERO).await.unwrap();
    entries.iter().map(|entry| ocsf::decode(&entry.value).unwrap()).collect()
}

/// Waits until the log explains `seq`, and gives the range and its outcome.
async fn explanation(log: &FaultLog, seq: u64) -> (u64, u64, GapOutcome) {
    let mut from = Position { partition: 0, offset: 0 };
    let look = async {
        loop {
            let entries = log.inner().read(Topic::Audit, from, 1, PATIENCE).await.unwrap();
            from.offset += entries.len() as u64;
            for entry in entries {
                let body = ocsf::decode(&entry.value).unwrap().body;
                if let Body::Integrity(Integrity::Gap { first_seq, last_seq, outcome, .. }) = body
                    && (first_seq..=last_seq).contains(&seq)
                {
                    return (first_seq, last_seq, outcome);
                }
            }
        }
    };
    timeout(PATIENCE, look).await.expect("the gap was not explained")
}

fn seqs(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.producer.seq).collect()
}

#[tokio::test]
async fn an_epoch_begins_with_its_start_and_ends_with_its_count() {
    let (log, appender) = start(options()).await;
    let durable = appender.commit(draft()).await.unwrap();
    assert_eq!(durable.positions(), [Position { partition: 0, offset: 1 }]);
    assert_eq!((appender.producer().as_str(), appender.next_seq()), ("p", 2));
    appender.stop().await.unwrap();
    let events = on_log(&log).await;
    assert_eq!(seqs(&events), [0, 1, 2]);
    assert!(events.iter().all(|event| event.producer.epoch == appender.epoch()));
    assert!(matches!(events[0].body, Body::Integrity(Integrity::ProducerStarted { .. })));
    assert_eq!(events[2].body, Body::Integrity(Integrity::ProducerStopped { events: 3 }));
    assert!(matches!(appender.commit(draft()).await, Err(CommitError::Stopped)));
    assert!(matches!(appender.stop().await, Err(CommitError::Stopped)));
}

#[tokio::test]
async fn a_value_without_events_is_no_commit() {
    let (_log, appender) = start(options()).await;
    let nothing: Vec<Draft> = Vec::new();
    assert!(matches!(appender.commit(nothing).await, Err(CommitError::Encode { .. })));
    assert!(appender.commit_all(Vec::<Draft>::new()).await.unwrap().is_empty());
    assert_eq!(appender.next_seq(), 1);
}

#[tokio::test]
async fn a_refused_commit_fails_and_is_explained_without_other_traffic() {
    let (log, appender) = start(options()).await;
    log.set(Fault::once(FaultKind::Refuse, false));
    let failed = appender.commit(draft()).await;
    assert!(matches!(failed, Err(CommitError::Append(AppendError::Refused { .. }))), "{failed:?}");
    assert_eq!(explanation(&log, 1).await, (1, 1, GapOutcome::NotPersisted));
    // Without a restart.
    let _durable = appender.commit(draft()).await.unwrap();
    assert_eq!(seqs(&on_log(&log).await), [0, 2, 3]);
}

#[tokio::test]
async fn an_unknown_outcome_fails_the_commit_and_is_declared_as_such() {
    for persisted in [false, true] {
        let (log, appender) = start(options()).await;
        log.set(Fault::once(FaultKind::Unknown, persisted));
        assert!(appender.commit(draft()).await.is_err());
        assert_eq!(explanation(&log, 1).await, (1, 1, GapOutcome::Unknown));
        assert_eq!(seqs(&on_log(&log).await).contains(&1), persisted);
    }
}

#[tokio::test]
async fn an_explanation_that_fails_is_explained_itself() {
    let (log, appender) = start(options()).await;
    log.set(Fault { kind: FaultKind::Refuse, persisted: false, count: 4 });
    assert!(appender.commit(draft()).await.is_err());
    let (first, last, outcome) = explanation(&log, 1).await;
    // The commit's number and those of three failed explanations, as one range.
    assert_eq!((first, last, outcome), (1, 4, GapOutcome::NotPersisted));
    appender.stop().await.unwrap();
    assert_eq!(seqs(&on_log(&log).await), [0, 5, 6]);
}

#[tokio::test]
async fn neighbours_that_fail_alike_are_one_gap() {
    let (log, appender) = start(options()).await;
    log.set(Fault::always(FaultKind::Refuse, false));
    for _ in 0..100 {
        assert!(appender.commit(draft()).await.is_err());
    }
    assert_eq!(appender.health().unexplained_gaps, 1);
    log.clear();
    let (first, last, _) = explanation(&log, 1).await;
    assert!(first == 1 && last >= 100, "{first}..={last}");
    let explanations = on_log(&log).await.len() - 1;
    assert_eq!(explanations, 1);
}

#[tokio::test]
async fn a_batch_that_hangs_ends_as_unknown_and_the_next_goes_on() {
    let (log, appender) = start(options()).await;
    log.set(Fault::once(FaultKind::Hang, false));
    let failed = appender.commit(draft()).await;
    assert!(matches!(failed, Err(CommitError::Append(AppendError::Unknown { .. }))), "{failed:?}");
    // It still hangs, and nobody releases it.
    let _durable = appender.commit(draft()).await.unwrap();
    assert_eq!(explanation(&log, 1).await, (1, 1, GapOutcome::Unknown));
}

#[tokio::test]
async fn a_commit_gives_up_by_itself_before_a_slow_append_does() {
    let limits = AppenderOptions {
        max_wait: Duration::from_millis(50),
        append_timeout: PATIENCE,
        ..options()
    };
    let (log, appender) = start(limits).await;
    log.set(Fault::once(FaultKind::Hang, true));
    let failed = timeout(PATIENCE, appender.commit(draft())).await.unwrap();
    assert!(matches!(failed, Err(CommitError::TimedOut { .. })), "{failed:?}");
    log.release_hung();
    // Its event became durable late; no number is missing and none is declared so.
    appender.stop().await.unwrap();
    assert_eq!(seqs(&on_log(&log).await), [0, 1, 2]);
}

#[tokio::test]
async fn what_waits_is_bounded_by_its_real_size_and_a_commit_over_it_takes_no_number() {
    let limits = AppenderOptions {
        max_pending_bytes: 20_000,
        append_timeout: PATIENCE,
        max_wait: Duration::from_millis(200),
        ..options()
    };
    let (log, appender) = start(limits).await;
    log.set(Fault::once(FaultKind::Hang, true));
    // Far above its estimate: the real size counts.
    let hung = tokio::spawn({
        let appender = appender.clone();
        async move { appender.commit(large(8_000)).await }
    });
    log.wait_hanging(1).await;
    let asked: usize = log.asked().last().unwrap().records.iter().map(Record::bytes).sum();
    assert!(asked > 8_000);
    assert_eq!(appender.health().pending_bytes, asked);
    let queued = appender.commit(large(10_000));
    assert!(matches!(queued.await, Err(CommitError::TimedOut { .. })));
    let taken = appender.next_seq();
    assert!(matches!(appender.commit(draft()).await, Err(CommitError::TimedOut { .. })));
    assert_eq!(appender.next_seq(), taken);
    log.release_hung();
    assert!(hung.await.unwrap().is_err());
    appender.stop().await.unwrap();
    assert_eq!(appender.health().pending_bytes, 0);
    assert!(seqs(&on_log(&log).await).into_iter().eq(0..=taken));
}

#[tokio::test]
async fn an_event_too_large_for_the_log_fails_alone_and_its_number_is_explained() {
    let (log, appender) = start(options()).await;
    let (failed, beside) =
        tokio::join!(appender.commit(large(Record::MAX_VALUE_BYTES)), appender.commit(draft()));
    assert!(matches!(failed, Err(CommitError::Append(AppendError::Refused { .. }))), "{failed:?}");
    assert!(beside.is_ok());
    assert_eq!(explanation(&log, 1).await, (1, 1, GapOutcome::NotPersisted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn numbers_are_dense_and_in_order_whoever_is_dropped() {
    let (log, appender) = start(options()).await;
    let committers = (0..40_u64).map(|committer| {
        let appender = appender.clone();
        tokio::spawn(async move {
            for n in 0..25 {
                let commit = appender.commit_all(vec![draft(), draft()]);
                // From "not polled" to "long done".
                let wait = Duration::from_micros((committer * 31 + n * 17) % 700);
                drop(timeout(wait, commit).await);
            }
        })
    });
    futures::future::join_all(committers).await;
    appender.stop().await.unwrap();
    let events = on_log(&log).await;
    assert_eq!(seqs(&events), (0..events.len() as u64).collect::<Vec<_>>());
    assert!(events.len() > 2);
}

#[tokio::test]
async fn commits_of_one_moment_share_an_append() {
    let (log, appender) = start(options()).await;
    log.set(Fault::once(FaultKind::Delay(Duration::from_millis(20)), true));
    let commits = (0..200).map(|_| appender.commit(draft()));
    for outcome in futures::future::join_all(commits).await {
        assert!(outcome.is_ok());
    }
    assert!(log.asked().len() <= 4, "{} appends", log.asked().len());
}

#[tokio::test]
async fn a_stop_explains_first_and_counts_what_failed() {
    let (log, appender) = start(options()).await;
    log.set(Fault { kind: FaultKind::Refuse, persisted: false, count: 3 });
    assert!(appender.commit(draft()).await.is_err());
    appender.stop().await.unwrap();
    let events = on_log(&log).await;
    let last = events.last().unwrap();
    let count = last.producer.seq + 1;
    assert_eq!(last.body, Body::Integrity(Integrity::ProducerStopped { events: count }));
    let gap = |event: &Event| match &event.body {
        Body::Integrity(Integrity::Gap { first_seq, last_seq, .. }) => Some(*first_seq..=*last_seq),
        _ => None,
    };
    let explained: Vec<u64> = events.iter().filter_map(gap).flatten().collect();
    let mut all: Vec<u64> = seqs(&events).into_iter().chain(explained).collect();
    all.sort_unstable();
    assert_eq!(all, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_stop_on_a_dead_log_ends_in_time() {
    let limits = AppenderOptions { stop_wait: Duration::from_millis(300), ..options() };
    let (log, appender) = start(limits).await;
    log.set(Fault::always(FaultKind::Hang, false));
    let stopped = timeout(PATIENCE, appender.stop()).await.expect("the stop hangs");
    assert!(stopped.is_err());
}

#[tokio::test]
async fn health_tells_trouble_and_recovery() {
    let (log, appender) = start(options()).await;
    let before = appender.health();
    assert!(before.ok && before.last_success.is_some() && before.last_error.is_none());
    log.set(Fault::always(FaultKind::Refuse, false));
    assert!(appender.commit(draft()).await.is_err());
    let during = appender.health();
    assert!(!during.ok && during.last_error.is_some() && during.unexplained_gaps == 1);
    log.clear();
    explanation(&log, 1).await;
    let recovered = async {
        while !appender.health().ok || appender.health().unexplained_gaps > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, recovered).await.unwrap();
    assert!(appender.health().last_error.is_some());
}

#[tokio::test]
async fn dropping_the_last_clone_appends_what_was_committed() {
    let (log, appender) = start(options()).await;
    log.set(Fault::once(FaultKind::Hang, true));
    let hung = tokio::spawn({
        let appender = appender.clone();
        async move { appender.commit(draft()).await }
    });
    log.wait_hanging(1).await;
    let mut waiting = Box::pin(appender.commit(draft()));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    drop(appender);
    hung.abort();
    log.release_hung();
    let third = Position { partition: 0, offset: 2 };
    let entries = log.inner().read(Topic::Audit, third, 1, PATIENCE).await.unwrap();
    assert_eq!(entries.len(), 1);
}
