//! The transactions of one commit: JSON, one action per line (Delta protocol, "Delta Log Entries").

use std::borrow::Cow;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde::Deserialize;

use crate::error::PositionsError;

/// An application transaction: its id, and the version the application gives it.
pub(crate) type Transaction = (String, i64);

/// Where a table has its commit `version`.
#[must_use]
pub fn commit_path(version: u64) -> Path {
    Path::from(format!("_delta_log/{version:020}.json"))
}

/// Reads the transactions of commit `version`; `table` is rooted where the table is.
pub(crate) async fn read(
    table: &dyn ObjectStore,
    version: u64,
) -> Result<Vec<Transaction>, PositionsError> {
    let path = commit_path(version);
    let found = match table.get(&path).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Err(PositionsError::Gone { version }),
        Err(error) => return Err(error.into()),
    };
    transactions(&found.bytes().await?).map_err(|source| PositionsError::Commit { version, source })
}

fn transactions(commit: &[u8]) -> Result<Vec<Transaction>, serde_json::Error> {
    let mut found = Vec::new();
    for action in serde_json::Deserializer::from_slice(commit).into_iter::<Action<'_>>() {
        if let Some(txn) = action?.txn {
            found.push((txn.app_id.into_owned(), txn.version));
        }
    }
    Ok(found)
}

/// What else an action holds is skipped without being built.
#[derive(Deserialize)]
struct Action<'a> {
    #[serde(borrow)]
    txn: Option<Txn<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Txn<'a> {
    #[serde(borrow)]
    app_id: Cow<'a, str>,
    version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_transactions_among_other_actions() {
        let commit = concat!(
            "{\"commitInfo\":{\"txn\":\"no\",\"timestamp\":1}}\n",
            "{\"txn\":{\"appId\":\"a/0\",\"version\":7,\"lastUpdated\":1}}\n",
            "{\"add\":{\"path\":\"x\",\"stats\":\"{\\\"txn\\\":1}\"}}\n",
            "{\"txn\":{\"appId\":\"with \\\"quotes\\\"\",\"version\":9}}\n",
        );
        let found = transactions(commit.as_bytes()).unwrap();
        assert_eq!(found, [("a/0".to_owned(), 7), ("with \"quotes\"".to_owned(), 9)]);
        assert!(transactions(b"").unwrap().is_empty());
    }

    #[test]
    fn a_torn_commit_is_an_error() {
        assert!(transactions(b"{\"txn\":{\"appId\":\"a\",\"versi").is_err());
        assert!(transactions(b"{\"txn\":{\"appId\":\"a\"}}").is_err(), "no version");
    }
}
