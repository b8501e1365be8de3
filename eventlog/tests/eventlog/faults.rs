//! Random faults under the appender: whatever failed how, the log accounts for every number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::faults::{Fault, FaultKind, FaultLog};
use tallyport_eventlog::{Appender, AppenderOptions, Log, Position, Topic};
use tallyport_schemas::{
    Body, Context, Draft, Event, EventId, GapOutcome, Integrity, ProducerId, ocsf,
};

const ROUNDS: u64 = 24;
const STEPS: usize = 40;

fn draft() -> Draft {
    let body = Integrity::Checkpoint {
        tree_size: 1,
        root: String::new(),
        key_id: String::new(),
        signature: String::new(),
    };
    Draft::new(Context::default().into(), None, Body::Integrity(body))
}

fn some_fault(random: &mut StdRng) -> Fault {
    let kinds = [
        FaultKind::Refuse,
        FaultKind::Unknown,
        FaultKind::Hang,
        FaultKind::Delay(Duration::from_millis(random.random_range(0..30))),
    ];
    Fault {
        kind: kinds[random.random_range(0..kinds.len())],
        persisted: random.random(),
        count: random.random_range(1..4),
    }
}

async fn events(log: &FaultLog) -> Vec<(Position, Event)> {
    let start = Position { partition: 0, offset: 0 };
    let entries = log.inner().read(Topic::Audit, start, usize::MAX, Duration::ZERO).await.unwrap();
    entries.iter().map(|e| (e.position, ocsf::decode(&e.value).unwrap())).collect()
}

struct Round {
    log: Arc<FaultLog>,
    acknowledged: BTreeMap<EventId, Position>,
    lied: bool,
}

async fn run(seed: u64) -> Round {
    let mut random = StdRng::seed_from_u64(seed);
    let log = Arc::new(FaultLog::new(Arc::new(MemoryLog::new())));
    let options = AppenderOptions {
        max_wait: Duration::from_millis(60),
        append_timeout: Duration::from_millis(20),
        max_backoff: Duration::from_millis(10),
        max_batch_bytes: random.random_range(1..20_000),
        ..AppenderOptions::default()
    };
    let shared: Arc<dyn Log> = Arc::clone(&log) as _;
    let id = ProducerId::parse("p").unwrap();
    let appender = Appender::start(shared, id, "gateway", options).await.unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut lied = false;
    for _ in 0..STEPS {
        if random.random_bool(0.4) {
            let fault = some_fault(&mut random);
            lied |= fault.persisted && fault.kind == FaultKind::Refuse;
            log.set(fault);
        }
        if random.random_bool(0.2) {
            log.release_hung();
        }
        let commits = (0..random.random_range(1..12)).map(|_| {
            let drafts: Vec<_> = (0..random.random_range(1..4)).map(|_| draft()).collect();
            let appender = appender.clone();
            let drop_after = random.random_bool(0.15).then(|| random.random_range(0..15));
            async move {
                let commit = appender.commit(drafts);
                match drop_after {
                    None => commit.await.ok(),
                    Some(ms) => {
                        tokio::time::timeout(Duration::from_millis(ms), commit).await.ok()?.ok()
                    }
                }
            }
        });
        for durable in futures::future::join_all(commits).await.into_iter().flatten() {
            let positions = durable.positions().to_vec();
            let ids = durable.into_inner().into_iter().map(|draft| draft.event_id);
            acknowledged.extend(ids.zip(positions));
        }
    }
    log.clear();
    log.release_hung();
    appender.stop().await.expect("the log is well again");
    Round { log, acknowledged, lied }
}

async fn check(round: Round) {
    let events = events(&round.log).await;
    let mut missing_or_unknown = BTreeSet::new();
    let mut refused = BTreeSet::new();
    for (_, event) in &events {
        if let Body::Integrity(Integrity::Gap { first_seq, last_seq, outcome, .. }) = &event.body {
            for seq in *first_seq..=*last_seq {
                // Twice where an explanation's own outcome was unknown.
                missing_or_unknown.insert(seq);
                if *outcome == GapOutcome::NotPersisted {
                    refused.insert(seq);
                }
            }
        }
    }
    let there: BTreeSet<u64> = events.iter().map(|(_, event)| event.producer.seq).collect();
    assert_eq!(there.len(), events.len(), "a number is on the log twice");
    let (_, last) = events.last().unwrap();
    let count = last.producer.seq + 1;
    assert_eq!(last.body, Body::Integrity(Integrity::ProducerStopped { events: count }));
    for seq in 0..count {
        let declared = missing_or_unknown.contains(&seq);
        assert!(there.contains(&seq) || declared, "{seq} is missing and no gap says so");
        let contradicted = refused.contains(&seq) && there.contains(&seq);
        assert!(round.lied || !contradicted, "{seq} is there and was declared not persisted");
    }
    let by_id: BTreeMap<EventId, (Position, u64)> =
        events.iter().map(|(at, e)| (e.event_id, (*at, e.producer.seq))).collect();
    let mut in_order = Vec::new();
    for (id, position) in &round.acknowledged {
        let (at, seq) = by_id.get(id).expect("an acknowledged event is not on the log");
        assert_eq!(at, position);
        assert!(!missing_or_unknown.contains(seq), "{seq} was acknowledged and declared missing");
        in_order.push((*at, *seq));
    }
    in_order.sort_unstable();
    assert!(in_order.is_sorted_by_key(|(_, seq)| *seq), "acknowledged numbers are not in order");
    assert!(!round.acknowledged.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_failed_the_log_accounts_for_every_number() {
    let seed = crate::seed("whatever_failed_the_log_accounts_for_every_number");
    for round in 0..ROUNDS {
        check(run(seed.wrapping_add(round)).await).await;
    }
}

/// Each way to fail on its own, both with and without the records on the log.
#[tokio::test]
async fn every_fault_fails_the_commit_both_ways_and_the_next_succeeds() {
    for kind in [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang] {
        for persisted in [false, true] {
            let log = Arc::new(FaultLog::new(Arc::new(MemoryLog::new())));
            let options = AppenderOptions {
                append_timeout: Duration::from_millis(50),
                max_backoff: Duration::from_millis(10),
                ..AppenderOptions::default()
            };
            let shared: Arc<dyn Log> = Arc::clone(&log) as _;
            let id = ProducerId::parse("p").unwrap();
            let appender = Appender::start(shared, id, "gateway", options).await.unwrap();
            log.set(Fault::once(kind, persisted));
            let failed = draft();
            let failed_id = failed.event_id;
            assert!(appender.commit(failed).await.is_err(), "{kind:?} {persisted}");
            let next = appender.commit(draft()).await.expect("it recovers without a restart");
            let acknowledged = BTreeMap::from([(next.get().event_id, next.positions()[0])]);
            appender.stop().await.unwrap();
            let there = events(&log).await.iter().any(|(_, event)| event.event_id == failed_id);
            assert_eq!(there, persisted, "{kind:?}");
            let lied = persisted && kind == FaultKind::Refuse;
            check(Round { log, acknowledged, lied }).await;
        }
    }
}
