//! What an event will weigh on the log, before it is encoded.

use tallyport_schemas::{Body, Content, Draft, Response};

/// The envelope with principal, delegation and the OCSF frame around it.
const ENVELOPE_BYTES: usize = 4 * 1024;
/// Texts stand on the log twice: as OCSF has them and among our own facts.
const COPIES: usize = 2;

/// Roughly, and rather too much; corrected once the event is encoded.
pub(super) fn estimate_bytes(draft: &Draft) -> usize {
    let detail = match &draft.body {
        Body::Command(command) => {
            command.statement.as_ref().map_or(0, |text| text.len() * COPIES)
                + command.content.as_ref().map_or(0, content_bytes)
        }
        Body::Response(response) => match response.as_ref() {
            Response::Chunk { content, .. } => content.as_ref().map_or(0, content_bytes),
            _ => Content::MAX_BYTES,
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
