//! Policy follows its file; a bad file keeps the old policy.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::policy::{agent, table};
use tallyport_access::policy::{Action, AskContext, PolicyError, PolicySet, PolicyStore};
use tallyport_schemas::PolicyChange;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::CancellationToken;

const PERMIT: &str = "@id(\"all\") permit(principal, action, resource);\n";
const FORBID: &str = "@id(\"none\") forbid(principal, action, resource);\n";

fn allows(store: &PolicyStore) -> bool {
    let asker = store.current().asker(&agent("a", &[]));
    let ctx = AskContext::at(jiff::Timestamp::UNIX_EPOCH);
    asker.ask(Action::Select, &table("app", "orders", &[]), &ctx).allowed
}

/// A store that follows a file with this text; what is in force at the start is told already.
async fn following(
    text: &str,
) -> (tempfile::TempDir, PathBuf, PolicyStore, Receiver<PolicyChange>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.cedar");
    std::fs::write(&path, text).unwrap();
    let store = PolicyStore::load(&path).unwrap();
    let mut changes = store.watch(CancellationToken::new());
    let _at_start = next(&mut changes).await;
    (dir, path, store, changes)
}

async fn next(changes: &mut Receiver<PolicyChange>) -> PolicyChange {
    tokio::time::timeout(Duration::from_secs(20), changes.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_change_is_in_force_and_reported_within_about_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.cedar");
    std::fs::write(&path, PERMIT).unwrap();
    let store = PolicyStore::load(&path).unwrap();
    let first = store.current().version().to_owned();
    let mut changes = store.watch(CancellationToken::new());
    let PolicyChange::Loaded { version, previous: None, source, .. } = next(&mut changes).await
    else {
        panic!("what is in force at the start comes first")
    };
    assert_eq!((version.as_str(), source.as_str()), (first.as_str(), "policy.cedar"));
    assert!(allows(&store));
    let began = Instant::now();
    std::fs::write(&path, FORBID).unwrap();
    let PolicyChange::Loaded { version, previous, .. } = next(&mut changes).await else {
        panic!("a good file is loaded")
    };
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(previous.as_deref(), Some(first.as_str()));
    assert_eq!(store.current().version(), version);
    assert!(!allows(&store));
}

#[tokio::test]
async fn a_bad_file_keeps_the_old_policy_and_says_so_once() {
    let (_dir, path, store, mut changes) = following(PERMIT).await;
    let kept_version = store.current().version().to_owned();
    std::fs::write(&path, "\npermit(principal, action);").unwrap();
    let PolicyChange::Rejected { kept, error, source, .. } = next(&mut changes).await else {
        panic!("a bad file is refused")
    };
    assert_eq!((kept, source.as_str()), (kept_version.clone(), "policy.cedar"));
    assert!(error.starts_with("policy.cedar:2:"), "{error}");
    assert!(allows(&store));
    // The same bad text again is no news. Nothing tells that nothing was reported, so this waits for several polls.
    std::fs::write(&path, "\npermit(principal, action);").unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(1500), changes.recv()).await.is_err());
    std::fs::remove_file(&path).unwrap();
    let PolicyChange::Rejected { kept, error, .. } = next(&mut changes).await else {
        panic!("a removed file is refused")
    };
    assert_eq!(kept, kept_version);
    assert!(error.contains("cannot be read"), "{error}");
    assert!(allows(&store), "a removed file does not remove the policy");
    // A file that comes back as it was changes nothing; the next report is about the next change.
    std::fs::write(&path, PERMIT).unwrap();
    std::fs::write(&path, FORBID).unwrap();
    let PolicyChange::Loaded { previous, .. } = next(&mut changes).await else {
        panic!("a good file is loaded")
    };
    assert_eq!(previous, Some(kept_version));
}

/// Cut off, or not written yet.
#[tokio::test]
async fn an_empty_file_keeps_the_old_policy() {
    let (_dir, path, store, mut changes) = following(PERMIT).await;
    std::fs::write(&path, "// nothing\n").unwrap();
    let PolicyChange::Rejected { error, .. } = next(&mut changes).await else {
        panic!("an empty file is refused")
    };
    assert!(error.contains("no policy at all") && error.contains("forbid"), "{error}");
    assert!(allows(&store));
}

/// Without its end it forbids nothing.
#[tokio::test]
async fn a_file_that_is_being_written_is_not_read() {
    let whole = format!("{PERMIT}{FORBID}");
    let (_dir, path, store, mut changes) = following(&whole).await;
    for more in 1..30 {
        std::fs::write(&path, format!("{PERMIT}{}", "// more\n".repeat(more))).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(changes.try_recv().is_err() && !allows(&store), "after {more}");
    }
    std::fs::write(&path, format!("{whole}// more\n")).unwrap();
    let PolicyChange::Loaded { .. } = next(&mut changes).await else { panic!("it is whole now") };
    assert!(!allows(&store));
}

#[tokio::test]
async fn a_file_that_is_replaced_by_renaming_is_followed() {
    let (dir, path, store, mut changes) = following(PERMIT).await;
    let fresh = dir.path().join("policy.cedar.new");
    std::fs::write(&fresh, FORBID).unwrap();
    std::fs::rename(&fresh, &path).unwrap();
    assert!(matches!(next(&mut changes).await, PolicyChange::Loaded { .. }));
    assert!(!allows(&store));
}

#[tokio::test]
async fn the_watch_ends_with_its_cancellation_and_with_its_receiver() {
    let store = PolicyStore::from_text(PERMIT, "text").unwrap();
    let cancel = CancellationToken::new();
    let mut changes = store.watch(cancel.clone());
    assert!(matches!(next(&mut changes).await, PolicyChange::Loaded { .. }));
    cancel.cancel();
    assert!(tokio::time::timeout(Duration::from_secs(20), changes.recv()).await.unwrap().is_none());
}

#[test]
fn a_directory_is_one_set_in_the_order_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(PolicyStore::load(dir.path()), Err(PolicyError::NoFiles { .. })));
    std::fs::write(dir.path().join("b.cedar"), FORBID).unwrap();
    std::fs::write(dir.path().join("a.cedar"), PERMIT).unwrap();
    std::fs::write(dir.path().join("notes.txt"), "not a policy").unwrap();
    let store = PolicyStore::load(dir.path()).unwrap();
    assert_eq!(store.current().policy_ids(), ["all", "none"]);
    assert!(!allows(&store));
    let listing = std::process::Command::new("sh")
        .arg("-c")
        .arg("sha256sum *.cedar | sha256sum")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let printed = String::from_utf8(listing.stdout).unwrap();
    assert_eq!(printed.split_whitespace().next(), Some(store.current().version()));
    std::fs::write(dir.path().join("c.cedar"), PERMIT).unwrap();
    let error = PolicyStore::load(dir.path()).unwrap_err().to_string();
    assert!(error.starts_with("c.cedar:1: @id(\"all\") stands at a.cedar:1 already"), "{error}");
}

#[test]
fn what_is_too_large_or_not_text_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.cedar");
    std::fs::write(&path, vec![b'/'; 5 * 1024 * 1024]).unwrap();
    assert!(matches!(PolicyStore::load(&path), Err(PolicyError::TooLarge { .. })));
    std::fs::write(&path, b"// caf\xe9\n").unwrap();
    assert!(PolicyStore::load(&path).unwrap_err().to_string().contains("UTF-8"));
    assert!(matches!(PolicyStore::load(dir.path().join("none")), Err(PolicyError::Read { .. })));
}

/// Prints what one decision costs; the bound only catches a fall by an order of magnitude.
#[test]
fn a_decision_is_fast() {
    const QUESTIONS: usize = 2000;
    let set =
        std::sync::Arc::new(PolicySet::parse(support::policy::EXAMPLE, "policy.cedar").unwrap());
    let asker = set.asker(&agent("support-agent", &["support-agents"]));
    let orders = table("app", "orders", &["pii.ssn"]);
    let ctx = AskContext { read_only: true, ..AskContext::at(jiff::Timestamp::UNIX_EPOCH) };
    let mut times: Vec<Duration> = (0..QUESTIONS)
        .map(|_| {
            let began = Instant::now();
            assert!(asker.ask(Action::Select, &orders, &ctx).allowed);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let (p50, p99) = (times[QUESTIONS / 2], times[QUESTIONS * 99 / 100]);
    println!("one decision of {} policies: p50 {p50:?}, p99 {p99:?}", set.policy_ids().len());
    assert!(p50 < Duration::from_millis(20), "{p50:?}");
}

#[tokio::test]
async fn without_anybody_to_record_it_no_change_comes_into_force() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.cedar");
    std::fs::write(&path, PERMIT).unwrap();
    let store = PolicyStore::load(&path).unwrap();
    let watched = PolicyStore::load(&path).unwrap();
    let mut changes = watched.watch(CancellationToken::new());
    drop(store.watch(CancellationToken::new()));
    let _at_start = next(&mut changes).await;
    // The other store tells when a change has been seen; after the second one, the first is long past.
    for text in [FORBID.to_owned(), format!("// again\n{FORBID}")] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(next(&mut changes).await, PolicyChange::Loaded { .. }));
    }
    assert!(allows(&store));
}
