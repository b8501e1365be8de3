//! What an event will weigh on the log, before it is encoded.

use tallyport_schemas::{Body, Content, Draft, Response};

/// The envelope with principal, delegation and the OCSF frame around it.
const ENVELOPE_BYTES: usize = 4 * 1024;
/// Texts stand on the log twice: as OCSF has them and among our own facts.
const COPIES: usize = 2;

/// A column of a result with its origin and labels.
const COLUMN_BYTES: usize = 256;

/// Roughly, and rather too much; corrected once the event is encoded.
pub(super) fn estimate_bytes(draft: &Draft) -> usize {
    let detail = match &draft.body {
        Body::Command(command) => {
            command.statement.as_ref().map_or(0, |text| text.len() * COPIES)
                + command.content.as_ref().map_or(0, content_bytes)
        }
        Body::Response(response) => match response.as_ref() {
            Response::Chunk { content, .. } | Response::Unsolicited { content, .. } => {
                content.as_ref().map_or(0, content_bytes)
            }
            Response::Completed(summary) => {
                summary.content.as_ref().map_or(0, content_bytes)
                    + summary.columns.len() * COLUMN_BYTES
            }
        },
        Body::Query(query) => query.sql.len() * COPIES,
        _ => 0,
    };
    ENVELOPE_BYTES + detail
}

/// Base64 makes four bytes of three.
const fn content_bytes(content: &Content) -> usize {
    content.data.len().div_ceil(3) * 4
}
