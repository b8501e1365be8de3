//! Commits of other programs that take rows out of a table, or put rows in: RESTORE, DELETE, TRUNCATE, INSERT. The position
//! stays where it is then, so nothing would ever put rows back, or take them out.

use deltalake::kernel::{Action, CommitInfo, Version};
use deltalake::logstore::get_actions;
use url::Url;

use super::store::Storage;
use crate::error::{IntegrityError, LakeError};

/// The most commits that are looked at; a recorder's own is nearly always the newest, and behind it are those of a night that
/// rewrote files.
pub(super) const MAX_LOOK_BACK: u64 = 16_384;

/// Where a commit of a recorder says up to where it recorded.
pub(super) const RECORDED_TO: &str = "tallyportTo";

/// Refuses a commit that removes rows, and one that adds some and is no recorder's. One that rewrites files says that it
/// changes no data, and puts files where it takes some.
///
/// # Errors
/// [`IntegrityError::RowsRemoved`], [`IntegrityError::RowsAdded`].
pub(super) fn check(url: &Url, version: Version, actions: &[Action]) -> Result<(), LakeError> {
    let count = |is: fn(&Action) -> bool| actions.iter().filter(|action| is(action)).count();
    let taken = count(|action| matches!(action, Action::Remove(remove) if remove.data_change));
    let moved = count(|action| matches!(action, Action::Remove(_)));
    let put = count(|action| matches!(action, Action::Add(_)));
    let new = count(|action| matches!(action, Action::Add(add) if add.data_change));
    let removed = if put == 0 { moved } else { taken };
    let own = info(actions).is_some_and(|info| info.info.contains_key(RECORDED_TO));
    let added = if own { 0 } else { new };
    if removed == 0 && added == 0 {
        return Ok(());
    }
    let operation = info(actions).and_then(|info| info.operation.clone());
    let operation = operation.unwrap_or_else(|| "commit of an unknown kind".to_owned());
    let url = url.to_string();
    Err(LakeError::Violated(if removed > 0 {
        IntegrityError::RowsRemoved { url, version, operation, files: removed }
    } else {
        IntegrityError::RowsAdded { url, version, operation, files: added }
    }))
}

/// The same for each of `look_back` commits and one up to `version` and behind `seen`, from the newest one back to the last of a recorder: what
/// came before that was looked at by the recorder that made it, or accepted.
///
/// # Errors
/// As [`check`]; [`IntegrityError::CommitsGone`]; or the log of the table cannot be read.
pub(super) async fn check_back(
    storage: &Storage,
    seen: Option<Version>,
    version: Version,
    look_back: u64,
) -> Result<(), LakeError> {
    let lake = |error| LakeError::of(&storage.url, &error);
    let first = seen.map_or(0, |seen| seen.saturating_add(1));
    let gone = |version| {
        LakeError::Violated(IntegrityError::CommitsGone { url: storage.url.to_string(), version })
    };
    let furthest = first.max(version.saturating_sub(look_back));
    for version in (furthest..=version).rev() {
        let commit = storage.log_store.read_commit_entry(version).await.map_err(lake)?;
        let commit = commit.ok_or_else(|| gone(version))?;
        let actions = get_actions(version, &commit).map_err(lake)?;
        check(&storage.url, version, &actions)?;
        if info(&actions).is_some_and(|info| info.info.contains_key(RECORDED_TO)) {
            return Ok(());
        }
    }
    if furthest > first { Err(gone(furthest)) } else { Ok(()) }
}

fn info(actions: &[Action]) -> Option<&CommitInfo> {
    actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => Some(info),
        _ => None,
    })
}
