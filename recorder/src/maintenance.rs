//! Rewrites what the recorder no longer writes to.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake::operations::optimize::OptimizeType;
use deltalake::{DeltaTable, FilterOp, FilterValue};
use jiff::civil::Date;

use crate::config::LakeUrl;
use crate::error::LakeError;
use crate::lake::{INGEST_DATE, TableDefinition, open_storage, writer_properties};

/// What a compaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Files that were replaced.
    pub files_before: u64,
    /// Files that replaced them.
    pub files_after: u64,
}

/// Rewrites the files of every day (UTC) before `day` into few large ones, with the properties of all files of the
/// table. Rows do not change, and a recorder may go on recording meanwhile. Replaced files stay until a vacuum.
///
/// Of a lake in a directory the new files are synced after the commit that names them, for the Delta library makes that
/// commit: where power is lost in between, the version before has them all.
///
/// # Errors
/// When the lake cannot be read or written; nothing changed then, except where it is the sync that failed.
///
/// # Cancel safety
/// A dropped call leaves files that no commit names.
pub async fn compact_days_before(
    lake: &LakeUrl,
    storage_options: &HashMap<String, String>,
    day: Date,
) -> Result<Compacted, LakeError> {
    let definition = TableDefinition::events();
    let url = lake.table(definition.name)?;
    // Looked for before it is opened: what opens a local lake makes its directory.
    let no_directory =
        url.scheme() == "file" && !url.to_file_path().is_ok_and(|path| path.exists());
    if no_directory {
        return Err(LakeError::Absent { url });
    }
    let storage = open_storage(url.clone(), storage_options)?;
    if !storage.has_table().await? {
        return Err(LakeError::Absent { url });
    }
    let lake_error = |error| LakeError::of(&url, &error);
    let mut table = DeltaTable::new(Arc::clone(&storage.log_store));
    table.load().await.map_err(lake_error)?;
    let day = day.to_string();
    let closed = [(INGEST_DATE, FilterOp::Lt, FilterValue::Scalar(day.as_str()))];
    let (table, metrics) = table
        .optimize()
        .with_type(OptimizeType::Compact)
        .with_filters(&closed)
        .with_writer_properties(writer_properties(&definition))
        .await
        .map_err(lake_error)?;
    if metrics.num_files_added > 0 {
        let files = table.get_files_by_partitions(&closed).await.map_err(lake_error)?;
        let files = files.into_iter().map(String::from).collect();
        storage.sync(files, table.version()).await?;
    }
    Ok(Compacted { files_before: metrics.num_files_removed, files_after: metrics.num_files_added })
}
