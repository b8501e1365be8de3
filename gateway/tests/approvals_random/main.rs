//! Requests, reviewers, expiries, cancellations, lost connections, failures of the log and restarts, as chance has them,
//! over three gateways and one log: nothing runs without its quorum, nothing runs more often than it was approved, and
//! nothing else runs.
//!
//! The gateways are real, with their sessions and their API. The log is in memory, and the target is a double that
//! answers as PostgreSQL would and counts what it is asked to run: with a real one the runs would take minutes, and what is
//! looked for is on this side of the wire. Sessions with a real PostgreSQL are in `pg_sessions`.
//!
//! A seed replays the script of a run: `TALLYPORT_APPROVALS_SEED=N`. What the scheduler of the machine makes of it may
//! differ. `TALLYPORT_APPROVALS_RUNS` says how many, 200 by default, `TALLYPORT_APPROVALS_FIRST` from which seed on. Grants and
//! revocations are played by themselves (`access`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod access;
mod backend;
mod oracle;
mod run;

use std::time::{SystemTime, UNIX_EPOCH};

use run::{Cast, Run};

const RUNS: u64 = 200;
/// At once: a run mostly waits.
const ABREAST: u64 = 24;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name}: {value}")))
}

/// Plays the runs, so many at once; `play` gives what a run amounts to, or what was wrong.
async fn runs<T, F: Future<Output = Result<T, String>> + Send + 'static>(
    play: impl Fn(u64) -> F,
    mut add: impl FnMut(&T),
) -> (u64, u64)
where
    T: Send + 'static,
{
    let (first, runs) = match setting("TALLYPORT_APPROVALS_SEED") {
        Some(seed) => (seed, 1),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let first = u64::from(now.subsec_nanos()) << 20 | now.as_secs() & 0xf_ffff;
            let first = setting("TALLYPORT_APPROVALS_FIRST").unwrap_or(first);
            (first, setting("TALLYPORT_APPROVALS_RUNS").unwrap_or(RUNS))
        }
    };
    let mut seed = first;
    while seed < first + runs {
        let last = (seed + ABREAST).min(first + runs);
        let some = (seed..last).map(|seed| {
            let run = play(seed);
            tokio::spawn(async move { (seed, run.await) })
        });
        for run in some.collect::<Vec<_>>() {
            let (seed, outcome) = run.await.unwrap();
            match outcome {
                Ok(tally) => add(&tally),
                Err(why) => panic!("TALLYPORT_APPROVALS_SEED={seed}: {why}"),
            }
        }
        seed = last;
    }
    (first, runs)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_nothing_runs_that_was_not_approved() {
    let cast = Cast::new().await;
    let mut total = oracle::Tally::default();
    let play = |seed| {
        let cast = cast.clone();
        async move { Run::new(seed, cast).await.play().await }
    };
    let (first, runs) = runs(play, |tally| total.add(tally)).await;
    println!("{runs} runs from seed {first}: {total:?}");
    // A test in which nothing happened would say nothing.
    if runs >= 50 {
        assert!(total.is_rich(), "{total:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_nobody_is_in_who_may_not_be() {
    let cast = access::Cast::new().await;
    let mut total = access::Tally::default();
    let play = |seed| access::play(seed, cast.clone());
    let (first, runs) = runs(play, |tally| total.add_all(tally)).await;
    println!("{runs} runs from seed {first}: {total:?}");
    if runs >= RUNS {
        assert!(total.is_rich(), "{total:?}");
    }
}
