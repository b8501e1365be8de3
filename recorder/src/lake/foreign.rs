//! Commits of other programs that take rows out of a table: RESTORE, DELETE, TRUNCATE. The position stays where it is
//! then, so nothing would ever put the rows back.

use deltalake::kernel::{Action, CommitInfo, Version};
use deltalake::logstore::get_actions;
use url::Url;

use super::store::Storage;
use crate::error::{IntegrityError, LakeError};

/// The most commits that are looked at; a recorder's own is nearly always the newest.
const MAX_LOOK_BACK: u64 = 256;

/// Where a commit of a recorder says up to where it recorded.
pub(super) const RECORDED_TO: &str = "tallyportTo";

/// Refuses a commit that removes rows. One that rewrites files says that it changes no data.
///
/// # Errors
/// [`IntegrityError::RowsRemoved`].
pub(super) fn check(url: &Url, version: Version, actions: &[Action]) -> Result<(), LakeError> {
    let removed = actions
        .iter()
        .filter(|action| matches!(action, Action::Remove(remove) if remove.data_change));
    let files = removed.count();
    if files == 0 {
        return Ok(());
    }
    let operation = info(actions).and_then(|info| info.operation.clone());
    let operation = operation.unwrap_or_else(|| "of an unknown kind".to_owned());
    Err(LakeError::RowsRemoved(IntegrityError::RowsRemoved {
        url: url.to_string(),
        version,
        operation,
        files,
    }))
}

/// The same for each commit up to `version` and behind `seen`, from the newest one back to the last of a recorder: what
/// came before that was looked at by the recorder that made it, or accepted.
///
/// # Errors
/// [`IntegrityError::RowsRemoved`], or the log of the table cannot be read.
pub(super) async fn check_back(
    storage: &Storage,
    seen: Option<Version>,
    version: Version,
) -> Result<(), LakeError> {
    let lake = |error| LakeError::of(&storage.url, &error);
    let first = seen.map_or(0, |seen| seen.saturating_add(1));
    let first = first.max(version.saturating_sub(MAX_LOOK_BACK));
    for version in (first..=version).rev() {
        let Some(commit) = storage.log_store.read_commit_entry(version).await.map_err(lake)? else {
            return Ok(());
        };
        let actions = get_actions(version, &commit).map_err(lake)?;
        check(&storage.url, version, &actions)?;
        if info(&actions).is_some_and(|info| info.info.contains_key(RECORDED_TO)) {
            return Ok(());
        }
    }
    Ok(())
}

fn info(actions: &[Action]) -> Option<&CommitInfo> {
    actions.iter().find_map(|action| match action {
        Action::CommitInfo(info) => Some(info),
        _ => None,
    })
}
