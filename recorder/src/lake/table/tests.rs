//! What a commit does when the store fails before or after it wrote, and when others commit.

use std::sync::atomic::Ordering;

use object_store::path::Path;
use object_store::{GetOptions, ObjectStore as _, ObjectStoreExt as _};

use super::super::definition::CHECKPOINT_INTERVAL;
use super::super::foreign;
use super::super::place::{
    FAIL_AFTER_WRITING, FAIL_BEFORE_WRITING, FAIL_CHECKPOINTS, HEALTHY, OVERWRITES, Place,
    TAKEN_BY_ITSELF, log,
};
use super::*;
use crate::dead_letter;

const APP: &str = "test/0";

fn change(from: Option<u64>, to: u64) -> Change<'static> {
    Change { app_id: APP, from, to, beside: None, adds: &[] }
}

#[tokio::test]
async fn a_position_moves_only_from_where_it_is() {
    let place = Place::new();
    let table = place.table().await;
    assert_eq!(table.position(APP).await.unwrap(), None);
    assert_eq!(table.commit(&change(Some(3), 10)).await.unwrap(), Outcome::Elsewhere(None));
    assert_eq!(table.commit(&change(None, 10)).await.unwrap(), Outcome::Committed(1));
    assert_eq!(table.commit(&change(None, 10)).await.unwrap(), Outcome::Elsewhere(Some(10)));
    // Delta itself would take this one: nothing in it forbids a position to go back.
    assert_eq!(table.commit(&change(Some(3), 5)).await.unwrap(), Outcome::Elsewhere(Some(10)));
    assert_eq!(place.versions().await, 2);
}

#[tokio::test]
async fn a_stale_writer_reads_the_position_of_others_before_it_commits() {
    let place = Place::new();
    let (one, other) = (place.table().await, place.table().await);
    assert_eq!(one.commit(&change(None, 10)).await.unwrap(), Outcome::Committed(1));
    assert_eq!(other.commit(&change(None, 10)).await.unwrap(), Outcome::Elsewhere(Some(10)));
    let of_another_partition =
        Change { app_id: "test/1", from: None, to: 4, beside: None, adds: &[] };
    assert_eq!(other.commit(&of_another_partition).await.unwrap(), Outcome::Committed(2));
    assert_eq!(one.commit(&change(Some(10), 20)).await.unwrap(), Outcome::Committed(3));
    assert_eq!(one.position("test/1").await.unwrap(), Some(4));
}

#[tokio::test]
async fn an_unknown_outcome_that_was_written_is_not_written_again() {
    let place = Place::new();
    let table = place.table().await;
    place.fault.store(FAIL_AFTER_WRITING, Ordering::SeqCst);
    let error = table.commit(&change(None, 10)).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    assert_eq!(table.commit(&change(None, 10)).await.unwrap(), Outcome::Elsewhere(Some(10)));
    assert_eq!(place.versions().await, 2);
}

#[tokio::test]
async fn an_unknown_outcome_that_was_not_written_is_written_once() {
    let place = Place::new();
    let table = place.table().await;
    place.fault.store(FAIL_BEFORE_WRITING, Ordering::SeqCst);
    assert!(table.commit(&change(None, 10)).await.unwrap_err().may_pass());
    assert_eq!(table.commit(&change(None, 10)).await.unwrap(), Outcome::Committed(1));
    assert_eq!(place.versions().await, 2);
}

#[tokio::test]
async fn a_commit_that_finds_itself_is_not_written_again() {
    let place = Place::new();
    let table = place.table().await;
    place.fault.store(TAKEN_BY_ITSELF, Ordering::SeqCst);
    assert_eq!(table.commit(&change(None, 10)).await.unwrap(), Outcome::Elsewhere(Some(10)));
    assert_eq!(place.versions().await, 2);
}

#[tokio::test]
async fn a_creation_that_fails_either_way_is_made_once() {
    for fault in [FAIL_BEFORE_WRITING, FAIL_AFTER_WRITING, TAKEN_BY_ITSELF] {
        let place = Place::new();
        place.fault.store(fault, Ordering::SeqCst);
        let ids = vec![APP.to_owned()];
        let tracker = TaskTracker::new();
        let definition = TableDefinition::dead_letters();
        let first =
            Table::open(place.storage(), definition, &log(), ids, (false, true), tracker).await;
        assert_eq!(first.is_ok(), fault == TAKEN_BY_ITSELF);
        let table = place.table().await;
        assert_eq!(table.commit(&change(None, 1)).await.unwrap(), Outcome::Committed(1));
    }
}

#[tokio::test]
async fn a_store_that_overwrites_is_refused_with_or_without_a_table() {
    for made_before in [false, true] {
        let place = Place::new();
        if made_before {
            let table = place.table().await;
            assert_eq!(table.commit(&change(None, 10)).await.unwrap(), Outcome::Committed(1));
        }
        place.fault.store(OVERWRITES, Ordering::SeqCst);
        let ids = vec![APP.to_owned()];
        let definition = TableDefinition::dead_letters();
        let (log, tracker) = (log(), TaskTracker::new());
        let opened = Table::open(place.storage(), definition, &log, ids, (false, true), tracker);
        let refused = opened.await.unwrap_err();
        let overwrites =
            matches!(refused, LakeError::Violated(IntegrityError::StoreOverwrites { .. }));
        assert!(overwrites, "{refused}");
        // What was there is as it was.
        place.fault.store(HEALTHY, Ordering::SeqCst);
        let position = made_before.then_some(10);
        assert_eq!(place.table().await.position(APP).await.unwrap(), position);
    }
}

#[tokio::test]
async fn how_far_others_commits_reach_is_looked_at_and_where_that_ends_is_said() {
    let place = Place::new();
    let table = place.table().await;
    assert_eq!(table.commit(&change(None, 10)).await.unwrap(), Outcome::Committed(1));
    let foreign = r#"{"commitInfo":{"timestamp":1790000000000,"operation":"OPTIMIZE"}}"#;
    let at = |version: u64| Path::from(format!("dead_letters/_delta_log/{version:020}.json"));
    for version in 2..=9 {
        place.inner.put(&at(version), foreign.into()).await.unwrap();
    }
    let storage = place.storage();
    let back = |seen, look_back| foreign::check_back(&storage, seen, 9, look_back);
    back(None, 8).await.unwrap();
    back(Some(6), 2).await.unwrap();
    let gone = |error: LakeError, version: u64| {
        let found = matches!(
            &error,
            LakeError::Violated(IntegrityError::CommitsGone { version: at, .. }) if *at == version
        );
        assert!(found, "{error}");
    };
    gone(back(None, 7).await.unwrap_err(), 2);
    place.inner.delete(&at(5)).await.unwrap();
    gone(back(None, 8).await.unwrap_err(), 5);
}

#[tokio::test]
async fn many_writers_of_one_position_never_repeat_a_step() {
    const STEPS: u64 = 40;
    let place = Place::new();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let table = place.table().await;
        writers.spawn(async move {
            let mut won = 0;
            loop {
                let from = table.position(APP).await.unwrap();
                let to = from.unwrap_or_default() + 1;
                if to > STEPS {
                    return won;
                }
                let rows = Rows::of(dead_letter::batch(&[]).unwrap());
                let adds = table.write(&rows).await.unwrap();
                let change = Change { app_id: APP, from, to, beside: None, adds: &adds };
                if let Outcome::Committed(_) = table.commit(&change).await.unwrap() {
                    won += 1;
                }
            }
        });
    }
    assert_eq!(writers.join_all().await.into_iter().sum::<u64>(), STEPS);
    assert_eq!(place.versions().await, STEPS + 1);
}

#[tokio::test]
async fn checkpoints_are_written_and_keep_the_position() {
    let place = Place::new();
    let table = place.table().await;
    let mut from = None;
    for to in 1..=CHECKPOINT_INTERVAL {
        assert!(matches!(table.commit(&change(from, to)).await.unwrap(), Outcome::Committed(_)));
        from = Some(to);
    }
    table.checkpoints.wait().await;
    let hint = Path::from("dead_letters/_delta_log/_last_checkpoint");
    assert!(place.inner.get_opts(&hint, GetOptions::default()).await.is_ok(), "no checkpoint");
    // A table opened from the checkpoint alone knows the position.
    for version in 0..CHECKPOINT_INTERVAL - 1 {
        let commit = Path::from(format!("dead_letters/_delta_log/{version:020}.json"));
        let which = futures::stream::once(async { Ok(commit) });
        futures::StreamExt::collect::<Vec<_>>(place.inner.delete_stream(Box::pin(which))).await;
    }
    let reopened = place.table().await;
    assert_eq!(reopened.position(APP).await.unwrap(), Some(CHECKPOINT_INTERVAL));
    // The old one, whose version expired meanwhile, loads everything anew rather than write an old version.
    assert_eq!(table.position(APP).await.unwrap(), Some(CHECKPOINT_INTERVAL));
}

/// For a commit: the log is listed, the commit is put.
const PER_COMMIT: u64 = 2;
/// How often a checkpoint reads the commits since the last one, and a cold open those behind the newest; beside them
/// both read some files of the log's own: its hint, lists, the last checkpoint.
const READS_FOR_A_CHECKPOINT: u64 = 4;
const READS_TO_OPEN: u64 = 2;
const BESIDE_TO_OPEN: u64 = 20;
const BESIDE_FOR_A_CHECKPOINT: u64 = 40;

#[tokio::test]
async fn requests_grow_with_commits_and_never_with_partitions_times_commits() {
    for (partitions, commits) in [(1, 126), (6, 126), (24, 126), (6, 326)] {
        let place = Place::new();
        let table = place.table_of(partitions).await;
        let _creation = place.requests();
        let mut made = 0;
        for step in 0..commits {
            let app_id = format!("test/{}", step % partitions);
            let (from, to) = (step.checked_sub(partitions).map(|before| before + 1), step + 1);
            let change = Change { app_id: &app_id, from, to, beside: None, adds: &[] };
            assert!(matches!(table.commit(&change).await.unwrap(), Outcome::Committed(_)));
            table.checkpoints.wait().await;
            made += PER_COMMIT;
        }
        let checkpoints = (commits + 1) / CHECKPOINT_INTERVAL;
        let each = READS_FOR_A_CHECKPOINT * CHECKPOINT_INTERVAL + BESIDE_FOR_A_CHECKPOINT;
        let asked = place.requests();
        assert!(
            asked <= made + checkpoints * each,
            "{asked} requests for {commits} commits, {checkpoints} checkpoints, {partitions} partitions"
        );

        let reopened = place.table_of(partitions).await;
        let cold = place.requests();
        let behind = (commits + 1) % CHECKPOINT_INTERVAL;
        assert!(
            cold <= READS_TO_OPEN * behind + BESIDE_TO_OPEN,
            "{cold} requests of a cold open with {behind} commits behind the checkpoint, {partitions} partitions"
        );
        for step in commits - partitions..commits {
            let app_id = format!("test/{}", step % partitions);
            assert_eq!(reopened.position(&app_id).await.unwrap(), Some(step + 1));
        }
        eprintln!(
            "FIGURE {partitions} partitions, {commits} commits: {asked} requests, {cold} to open again"
        );
    }
}

#[tokio::test]
async fn a_checkpoint_that_failed_is_tried_again_before_the_next_is_due() {
    let place = Place::new();
    let table = place.table().await;
    let checkpoints = || async {
        let hint = Path::from("dead_letters/_delta_log/_last_checkpoint");
        place.inner.get_opts(&hint, GetOptions::default()).await.is_ok()
    };
    let mut from = None;
    for to in 1..CHECKPOINT_INTERVAL + 20 {
        if to + 1 == CHECKPOINT_INTERVAL {
            place.fault.store(FAIL_CHECKPOINTS, Ordering::SeqCst);
        }
        assert!(matches!(table.commit(&change(from, to)).await.unwrap(), Outcome::Committed(_)));
        from = Some(to);
        table.checkpoints.wait().await;
        if to == CHECKPOINT_INTERVAL {
            assert!(!checkpoints().await, "the first try fails");
            place.fault.store(HEALTHY, Ordering::SeqCst);
        }
    }
    assert!(checkpoints().await, "no second try");
}
