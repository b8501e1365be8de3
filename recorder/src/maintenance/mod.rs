//! Rewrites what the recorder no longer writes to.

mod bins;
mod merge;

use std::collections::{HashMap, HashSet};

use deltalake::datafusion::execution::SendableRecordBatchStream;
use deltalake::writer::DeltaWriter as _;
use futures::StreamExt as _;
use jiff::civil::Date;

use crate::config::LakeUrl;
use crate::error::LakeError;
use crate::lake::{LakeFile, Rewrite, TableDefinition, open_storage};
use bins::bins;
use merge::{Looked, Merger};

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that were replaced.
    pub files_before: u64,
    /// Files that replaced them.
    pub files_after: u64,
}

/// One step of a compaction, done and committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The day of the files.
    pub day: Date,
    /// How many became one.
    pub files: usize,
    /// How many rows they have.
    pub rows: u64,
    /// Which step of this round it was, from 1.
    pub number: usize,
    /// Steps of this round. Where the files are very small there is another.
    pub of: usize,
}

/// Rewrites the files of every day (UTC) before `day` into few large ones, each of them in the order of the table
/// throughout, with the properties of all files of the table. Rows do not change, and a recorder may go on recording
/// meanwhile. Replaced files stay until a vacuum. `told` hears of each step; what it heard of is durable.
///
/// # Errors
/// When the lake cannot be read or written. Steps before it are done, the rest is as it was; run it again.
///
/// # Cancel safety
/// A dropped call leaves the steps that were done, and files that no commit names.
pub async fn compact_days_before(
    lake: &LakeUrl,
    storage_options: &HashMap<String, String>,
    day: Date,
    mut told: impl FnMut(&Step),
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
    let mut table = Rewrite::load(storage, definition).await?;
    let merger = Merger::new(table.storage().clone(), table.definition().clone(), &table.schema()?)
        .map_err(|error| table.failed(error))?;
    // What is recorded from now on is for the next time: else there might be no end.
    let mut files = table.files()?;
    files.retain(|file| file.day < day);
    let before: HashSet<_> = files.iter().map(|file| file.meta.location.clone()).collect();
    loop {
        let round = bins(files.clone());
        if round.is_empty() {
            break;
        }
        let of = round.len();
        for (number, bin) in (1..).zip(round) {
            let Some(day) = bin.first().map(|file| file.day) else { continue };
            let mut steps = Steps { table: &mut table, merger: &merger, files: &mut files };
            let (merged, rows) = steps.replace(bin).await?;
            told(&Step { day, files: merged, rows, number, of });
        }
    }
    let after: HashSet<_> = files.iter().map(|file| file.meta.location.clone()).collect();
    Ok(Compacted {
        files_before: before.difference(&after).count() as u64,
        files_after: after.difference(&before).count() as u64,
    })
}

/// What a step works with.
struct Steps<'a> {
    table: &'a mut Rewrite,
    merger: &'a Merger,
    /// Those that are left, and those that were made.
    files: &'a mut Vec<LakeFile>,
}

impl Steps<'_> {
    /// Makes one file of those of `bin`; how many they were, and their rows.
    async fn replace(&mut self, bin: Vec<LakeFile>) -> Result<(usize, u64), LakeError> {
        let files = bin.len();
        let mut ready = Vec::with_capacity(files);
        for file in bin {
            let looked = self.look(file).await?;
            if looked.sorted {
                ready.push(looked);
                continue;
            }
            // One that another build or tool wrote gives way to itself in order first: sorting takes memory, so one at a time.
            let rows = self.merger.sorted(&looked).map_err(|error| self.table.failed(error))?;
            let (made, _) = self.commit(rows, &[looked.file]).await?;
            for file in made {
                ready.push(self.look(file).await?);
            }
        }
        let rows = self.merger.merged(&ready).map_err(|error| self.table.failed(error))?;
        let old: Vec<_> = ready.into_iter().map(|looked| looked.file).collect();
        let (_, rows) = self.commit(rows, &old).await?;
        Ok((files, rows))
    }

    async fn look(&self, file: LakeFile) -> Result<Looked, LakeError> {
        self.merger.look(file).await.map_err(|error| self.table.failed(error))
    }

    /// Writes `rows`, which are those of `old`, and puts them in their place.
    async fn commit(
        &mut self,
        mut rows: SendableRecordBatchStream,
        old: &[LakeFile],
    ) -> Result<(Vec<LakeFile>, u64), LakeError> {
        let mut writer = self.table.writer()?;
        let mut found: u64 = 0;
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(|error| self.table.failed(error))?;
            found = found.saturating_add(batch.num_rows() as u64);
            writer.write(batch).await.map_err(|error| self.table.error(&error))?;
        }
        let said = old.iter().map(|file| file.rows).sum();
        if said != found {
            return Err(LakeError::RowsDiffer { url: self.table.url().clone(), said, found });
        }
        let adds = writer.flush().await.map_err(|error| self.table.error(&error))?;
        let made = self.table.replace(old, adds).await?;
        let replaced: HashSet<_> = old.iter().map(|file| &file.meta.location).collect();
        self.files.retain(|file| !replaced.contains(&file.meta.location));
        self.files.extend(made.iter().cloned());
        Ok((made, found))
    }
}
