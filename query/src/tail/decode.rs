//! Log entries become rows.

use arrow::record_batch::RecordBatch;
use tallyport_eventlog::Entry;
use tallyport_schemas::arrow::EventBatchBuilder;
use tallyport_schemas::ocsf;

use crate::error::QueryError;
use crate::table::full_schema;

/// The rows of `entries`; nothing when none of them is an event. What cannot be decoded is in the lake's table of dead
/// letters once it is recorded, never in `events`: so it is left out here too.
pub(super) fn rows<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Result<Option<RecordBatch>, QueryError> {
    let mut builder = EventBatchBuilder::new();
    for entry in entries {
        let place = entry.position;
        match ocsf::decode(&entry.value) {
            Ok(event) => builder.push(
                &event,
                &entry.value,
                place.partition,
                place.offset,
                entry.appended_at_ms,
            ),
            Err(error) => tracing::warn!(
                partition = place.partition,
                offset = place.offset,
                %error,
                "a value on the log is no event; it is left out of answers"
            ),
        }
    }
    if builder.is_empty() {
        return Ok(None);
    }
    let internal = |error| {
        tracing::error!(%error, "the log's tail could not be made into rows");
        QueryError::Internal
    };
    let batch = builder.finish().map_err(internal)?;
    RecordBatch::try_new(full_schema(), batch.columns().to_vec()).map(Some).map_err(internal)
}
