//! What readiness of this process depends on, and who looks after what nobody uses.
//!
//! What is told to anybody who asks is numbers, codes and names of targets; the reasons are in the log.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tallyport_eventlog::{AppendError, Appender};
use tallyport_gateway::{Gateway, TargetState};
#[cfg(feature = "query")]
use tallyport_query::QueryProbe;
#[cfg(feature = "recorder")]
use tallyport_recorder::{Condition, LakeProbe, Outage, PartitionProgress, Progress};
use tallyport_telemetry::{Check, Readiness, Verdict};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::wiring::Services;

/// What is out is looked at more often.
const RETRY: Duration = Duration::from_secs(5);
/// The longest the lake takes for one look.
const LAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The query service looks at the lake every second: without a look for so long it hangs.
const QUERY_LOOK: Duration = Duration::from_secs(15);

/// Looks after targets and lake until it is stopped.
pub struct Watch {
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The last look at the lake: whether it could be read.
type LastLook = Arc<Mutex<Option<bool>>>;

impl Watch {
    /// Makes `readiness` follow these services, and looks at idle targets and at the lake this often.
    pub fn start(services: &Services, readiness: &Readiness, every: Duration) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let mut checks = Vec::new();
        let mut appenders = Vec::new();
        #[cfg(feature = "gateway")]
        if let Some(running) = &services.gateway {
            appenders.push(("gateway", running.appender().clone()));
            let gateway = running.gateway().clone();
            for target in gateway.targets() {
                let probing = probe_target(gateway.clone(), target, every);
                tasks.spawn(stop.clone().run_until_cancelled_owned(probing));
            }
            checks.push(Check::new("control", {
                let gateway = gateway.clone();
                let detail = || Value::Object(Map::new());
                move || Verdict { ok: gateway.knows_who_is_out(), detail: detail() }
            }));
            checks.push(Check::new("targets", move || targets(&gateway.target_states())));
        }
        #[cfg(feature = "query")]
        if let Some(query) = &services.query {
            appenders.push(("query", query.appender.clone()));
            let probe = query.running.probe();
            checks.push(Check::new("query", move || query_state(&probe)));
        }
        #[cfg(feature = "recorder")]
        if let Some(recorder) = &services.recorder {
            let looked = LastLook::default();
            let looking = look_at_lake(recorder.running.lake_probe(), Arc::clone(&looked), every);
            tasks.spawn(stop.clone().run_until_cancelled_owned(looking));
            let progress = recorder.running.progress();
            checks.push(Check::new("lake", {
                let progress = progress.clone();
                move || lake(*looked.lock(), &progress)
            }));
            let max_lag = recorder.max_lag;
            checks.push(Check::new("recorder", move || recorded(&progress.borrow(), max_lag)));
        }
        if !appenders.is_empty() {
            checks.push(Check::new("log", move || log(&appenders)));
        }
        readiness.serving(checks);
        Self { tasks, stop }
    }

    /// Stops looking.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Reaches a target as a session would, unless something else did within `every`. That is on record, so it shows that
/// the log takes events, too.
async fn probe_target(gateway: Gateway, target: String, every: Duration) {
    let mut failing = false;
    loop {
        let state = gateway.target_states().into_iter().find(|state| state.name == target);
        let last = state.and_then(|state| state.reach).filter(|reach| reach.ok);
        let fresh = last.map(|reach| reach.tried.elapsed()).filter(|age| *age < every);
        let pause = match fresh {
            Some(age) => every.saturating_sub(age),
            None => match gateway.probe(&target).await {
                Ok(()) => {
                    if failing {
                        tracing::info!(target, "the target answers again");
                    }
                    failing = false;
                    every
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(target, %error, "the target does not answer as a session needs it");
                    }
                    failing = true;
                    RETRY.min(every)
                }
            },
        };
        tokio::time::sleep(pause).await;
    }
}

#[cfg(feature = "recorder")]
async fn look_at_lake(lake: LakeProbe, looked: LastLook, every: Duration) {
    loop {
        let read = matches!(timeout(LAKE_TIMEOUT, lake.read()).await, Ok(Ok(())));
        *looked.lock() = Some(read);
        tokio::time::sleep(if read { every } else { RETRY.min(every) }).await;
    }
}

/// Ready while the last append of each producer succeeded.
fn log(appenders: &[(&'static str, Appender)]) -> Verdict {
    let mut detail = Map::new();
    let mut ok = true;
    for (role, appender) in appenders {
        let health = appender.health();
        ok &= health.ok;
        let failing = (!health.ok).then_some(health.last_error).flatten();
        let outcome = failing.map(|(_, error)| match error {
            AppendError::Refused { .. } => "refused",
            AppendError::Unknown { .. } => "unknown",
        });
        let said = json!({
            "ok": health.ok,
            "last_success_seconds_ago": health.last_success.and_then(seconds_since),
            "last_outcome": outcome.unwrap_or("durable"),
            "pending_bytes": health.pending_bytes,
            "unexplained_gaps": health.unexplained_gaps,
        });
        detail.insert((*role).to_owned(), said);
    }
    Verdict { ok, detail: Value::Object(detail) }
}

/// Ready while one target at least lets the gateway in, or there is none: a gateway before MCP servers alone.
fn targets(states: &[TargetState]) -> Verdict {
    let mut detail = Map::new();
    for TargetState { name, reach } in states {
        let said = match reach {
            None => json!({ "ok": false, "code": "not_tried_yet" }),
            Some(reach) => json!({
                "ok": reach.ok,
                "code": reach.code,
                "since": reach.since,
                "tried_seconds_ago": reach.tried.elapsed().as_secs(),
            }),
        };
        detail.insert(name.clone(), said);
    }
    let ok =
        states.is_empty() || states.iter().any(|state| state.reach.is_some_and(|reach| reach.ok));
    Verdict { ok, detail: Value::Object(detail) }
}

/// Ready while the lake can be read, and no partition waits for it.
#[cfg(feature = "recorder")]
fn lake(looked: Option<bool>, progress: &watch::Receiver<Progress>) -> Verdict {
    let waits = |one: &PartitionProgress| {
        matches!(one.condition, Condition::Retrying { outage: Outage::Lake, .. })
    };
    let waiting: Vec<u32> = {
        let progress = progress.borrow();
        progress.partitions.iter().filter(|one| waits(one)).map(|one| one.partition).collect()
    };
    let ok = looked == Some(true) && waiting.is_empty();
    Verdict { ok, detail: json!({ "readable": looked, "partitions_waiting": waiting }) }
}

/// Ready while no event waits longer than it should, and no partition has stopped.
#[cfg(feature = "recorder")]
fn recorded(progress: &Progress, max_lag: Duration) -> Verdict {
    let now = SystemTime::now();
    let mut ok = true;
    let mut detail = Map::new();
    for one in &progress.partitions {
        let lag = one.lag_at(now);
        let (condition, outage_for) = match &one.condition {
            Condition::Recording => ("recording", Duration::ZERO),
            Condition::Retrying { since, .. } => {
                ("retrying", now.duration_since(*since).unwrap_or_default())
            }
            Condition::Stopped => ("stopped", Duration::MAX),
        };
        ok &= lag <= max_lag && outage_for <= max_lag;
        let said = json!({
            "condition": condition,
            "lag_events": one.lag_records(),
            "lag_seconds": lag.as_secs_f64(),
        });
        detail.insert(one.partition.to_string(), said);
    }
    let detail = json!({ "max_lag_seconds": max_lag.as_secs(), "partitions": detail });
    Verdict { ok, detail }
}

/// Ready while the newest snapshot can be read and the tail of the log is followed.
#[cfg(feature = "query")]
fn query_state(probe: &QueryProbe) -> Verdict {
    let state = probe.state();
    let looks = state.lake_read_ago.is_some_and(|ago| ago <= QUERY_LOOK);
    Verdict {
        ok: state.lake_readable && looks && state.tail_following,
        detail: json!({
            "lake_readable": state.lake_readable,
            "lake_read_seconds_ago": state.lake_read_ago.map(|ago| ago.as_secs()),
            "snapshot_version": state.snapshot_version,
            "tail_following": state.tail_following,
            "tail_events": state.tail_events,
        }),
    }
}

fn seconds_since(then: SystemTime) -> Option<u64> {
    SystemTime::now().duration_since(then).ok().map(|since| since.as_secs())
}

#[cfg(all(test, feature = "recorder"))]
mod tests {
    use super::*;

    #[cfg(feature = "gateway")]
    #[test]
    fn a_gateway_without_targets_is_ready_and_one_that_reaches_none_is_not() {
        assert!(targets(&[]).ok);
        assert!(!targets(&[TargetState { name: "sample".to_owned(), reach: None }]).ok);
    }

    const LIMIT: Duration = Duration::from_secs(60);

    fn progress(change: impl FnOnce(&mut PartitionProgress)) -> Progress {
        let mut one = PartitionProgress {
            partition: 3,
            recorded: 10,
            log_end: 12,
            lag: Duration::ZERO,
            oldest: None,
            last_commit: None,
            dead_letters: 0,
            condition: Condition::Recording,
        };
        change(&mut one);
        Progress { partitions: vec![one] }
    }

    fn ago(seconds: u64) -> SystemTime {
        SystemTime::now() - Duration::from_secs(seconds)
    }

    fn out(outage: Outage, seconds: u64) -> Condition {
        Condition::Retrying { outage, since: ago(seconds), reason: "s3cret".to_owned() }
    }

    #[test]
    fn a_recorder_is_ready_until_it_is_late_out_for_long_or_stopped() {
        let ok = |progress: Progress| recorded(&progress, LIMIT).ok;
        assert!(ok(progress(|_| {})));
        assert!(ok(progress(|one| one.oldest = Some(ago(50)))));
        assert!(!ok(progress(|one| one.oldest = Some(ago(70)))));
        assert!(ok(progress(|one| one.condition = out(Outage::Log, 50))));
        assert!(!ok(progress(|one| one.condition = out(Outage::Log, 70))));
        assert!(!ok(progress(|one| one.condition = Condition::Stopped)));
        let told = recorded(&progress(|one| one.condition = out(Outage::Lake, 1)), LIMIT).detail;
        assert_eq!(told["partitions"]["3"]["lag_events"], 2);
        assert!(!told.to_string().contains("s3cret"), "reasons are for the log: {told}");
    }

    #[test]
    fn a_lake_is_ready_while_it_is_read_and_nothing_waits_for_it() {
        let ok = |looked, condition: Condition| {
            let (_sender, progress) = watch::channel(progress(|one| one.condition = condition));
            lake(looked, &progress).ok
        };
        assert!(ok(Some(true), Condition::Recording));
        assert!(ok(Some(true), out(Outage::Log, 1)), "it is the log that is out");
        assert!(!ok(Some(true), out(Outage::Lake, 1)));
        assert!(!ok(Some(false), Condition::Recording));
        assert!(!ok(None, Condition::Recording), "nobody has looked yet");
    }
}
