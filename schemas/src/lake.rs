//! Where things are in the lake: what the recorder writes and the query service reads.

/// The Delta table of all events, below the lake's URL.
pub const EVENTS_TABLE: &str = "events";

/// The Delta table of log values that could not be decoded, whole, below the lake's URL.
pub const DEAD_LETTERS_TABLE: &str = "dead_letters";

/// The property of both tables that names the log whose positions they keep, as `LogId` writes it.
pub const LOG_ID_PROPERTY: &str = "tallyport.logId";

/// The Delta application id under which a partition's position is kept in every commit of [`EVENTS_TABLE`].
/// Its `txn` version is the offset of the **next** record to record: everything before it is in the lake.
#[must_use]
pub fn app_id(partition: u32) -> String {
    format!("tallyport-recorder/audit/{partition}")
}
