//! What the tables of the lake are.

use arrow::datatypes::SchemaRef;
use tallyport_schemas::lake;

use crate::dead_letter;

/// The one partition column: the UTC date on which the log took the record.
pub(crate) const INGEST_DATE: &str = "ingest_date";

/// Rows of a file of events are in this order. Most questions are about one kind of event, or about what one principal
/// did: either way what they read lies together.
pub(crate) const SORTED_BY: [&str; 5] =
    ["family", "principal_subject", "time", "log_partition", "log_offset"];

/// How long commits stay in the Delta log. A recorder that sleeps longer re-reads the whole table, and a reader that
/// pinned an older snapshot has to pin anew.
const LOG_RETENTION: &str = "interval 7 days";

/// How long replaced files stay for readers that still use them, before a vacuum may take them.
const DELETED_FILE_RETENTION: &str = "interval 7 days";

/// Commits between two checkpoints: a new reader reads at most so many small files.
pub(super) const CHECKPOINT_INTERVAL: u64 = 50;

/// A table: its name, its columns, and what is kept about each of its files.
#[derive(Clone, Debug)]
pub(crate) struct TableDefinition {
    pub(crate) name: &'static str,
    pub(crate) schema: SchemaRef,
    /// Columns whose least and greatest value is kept per file, so that a query can leave files out.
    stats: &'static str,
    /// Columns asked for by exact value.
    pub(crate) bloom_filters: &'static [&'static str],
    /// Columns too wide for statistics and dictionaries.
    pub(crate) opaque: &'static [&'static str],
    /// Whole numbers and times of which hardly two rows have the same: kept as what each has more than the one before.
    pub(crate) dense: &'static [&'static str],
    /// The order of the rows within a file.
    pub(crate) sorted_by: &'static [&'static str],
}

impl TableDefinition {
    pub(crate) fn events() -> Self {
        Self {
            name: lake::EVENTS_TABLE,
            schema: tallyport_schemas::arrow::schema(),
            stats: "log_partition,log_offset,event_id,time,appended_at,family,activity,producer_id,producer_epoch,producer_seq,session_id,principal_issuer,principal_subject,actor,target,database,outcome,command_id",
            bloom_filters: &["event_id", "session_id", "command_id"],
            opaque: &["raw"],
            dense: &["time", "log_offset", "producer_seq"],
            sorted_by: &SORTED_BY,
        }
    }

    pub(crate) fn dead_letters() -> Self {
        Self {
            name: lake::DEAD_LETTERS_TABLE,
            schema: dead_letter::schema(),
            stats: "log_partition,log_offset,appended_at",
            bloom_filters: &[],
            opaque: &["key", "value"],
            dense: &["log_offset"],
            sorted_by: &[],
        }
    }

    /// The properties of the table. Never `delta.setTransactionRetentionDuration`: positions must not expire. Never
    /// deletion vectors or row tracking: readers then cannot push filters down into Parquet.
    pub(crate) fn properties(&self) -> Vec<(&'static str, String)> {
        vec![
            ("delta.appendOnly", "true".to_owned()),
            ("delta.logRetentionDuration", LOG_RETENTION.to_owned()),
            ("delta.deletedFileRetentionDuration", DELETED_FILE_RETENTION.to_owned()),
            ("delta.enableExpiredLogCleanup", "true".to_owned()),
            ("delta.checkpointInterval", CHECKPOINT_INTERVAL.to_string()),
            ("delta.dataSkippingStatsColumns", self.stats.to_owned()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_only_columns_that_exist() {
        for table in [TableDefinition::events(), TableDefinition::dead_letters()] {
            let named = table
                .stats
                .split(',')
                .chain(table.bloom_filters.iter().copied())
                .chain(table.opaque.iter().copied())
                .chain(table.dense.iter().copied())
                .chain(table.sorted_by.iter().copied());
            for name in named.chain([INGEST_DATE]) {
                assert!(table.schema.field_with_name(name).is_ok(), "{}: {name}", table.name);
            }
        }
    }

    #[test]
    fn keeps_positions_for_ever() {
        let keys: Vec<_> =
            TableDefinition::events().properties().into_iter().map(|(key, _)| key).collect();
        assert!(!keys.contains(&"delta.setTransactionRetentionDuration"));
        assert!(
            !keys.iter().any(|key| key.contains("DeletionVectors") || key.contains("rowTracking"))
        );
        assert!(keys.contains(&"delta.logRetentionDuration"));
    }

    #[test]
    fn the_reference_names_every_property() {
        let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/lake.md");
        let reference = std::fs::read_to_string(reference).unwrap();
        for (key, value) in TableDefinition::dead_letters().properties() {
            let property = format!("{key}={value}");
            assert!(
                reference.contains(&property) || reference.contains(&format!("`{key}`")),
                "docs/reference/lake.md does not say {property}"
            );
        }
    }
}
