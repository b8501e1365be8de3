//! Values of the log, back to events.

use tallyport_schemas::arrow::EventBatchBuilder;
use tallyport_schemas::{Event, ocsf, samples};

/// Members and values.
pub const WORDS: &[&[u8]] = &[
    b"\"unmapped\":{\"tallyport\":{",
    b"\"schema_version\":\"1.0.0\"",
    b"\"schema_version\":\"1.9\"",
    b"\"session_seq\":0",
    b"\"family\":\"command\"",
    b"\"activity\":\"completed\"",
    b"\"encoding\":\"zstd\"",
    b"\"data\":\"KLUv/Q==\"",
    b"\\ud800",
    b"\\u0000",
    b"null",
    b"[[[[[[[[",
    b"1e999",
    b"18446744073709551616",
];

/// A value of the log with the facts alone: the view around them is not read back, and would hide them from mutations.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    samples::events().iter().map(facts_only).collect()
}

fn facts_only(event: &Event) -> Vec<u8> {
    let facts = serde_json::to_string(event).expect("an event is JSON");
    format!(r#"{{"unmapped":{{"tallyport":{facts}}}}}"#).into_bytes()
}

/// What is decoded is encoded to a value that decodes to the same; the lake takes it; recorded bytes are what they say.
pub fn run(data: &[u8]) {
    let Ok(event) = ocsf::decode(data) else { return };
    let value = ocsf::encode(&event);
    let again = ocsf::decode(&value).expect("what is encoded can be decoded");
    assert_eq!(again, event);
    assert_eq!(ocsf::encode(&again), value);
    let mut batch = EventBatchBuilder::new();
    batch.push(&event, &value, 0, 7, 1_768_465_800_000);
    let batch = batch.finish().expect("every event is a row");
    assert_eq!(batch.num_rows(), 1);
    let content = match &event.body {
        tallyport_schemas::Body::Command(command) => command.content.as_ref(),
        tallyport_schemas::Body::Response(response) => match response.as_ref() {
            tallyport_schemas::Response::Chunk { content, .. }
            | tallyport_schemas::Response::Unsolicited { content, .. } => content.as_ref(),
            tallyport_schemas::Response::Completed(summary) => summary.content.as_ref(),
        },
        _ => None,
    };
    if let Some(Ok(raw)) = content.map(tallyport_schemas::Content::replay) {
        assert_eq!(Some(raw.len() as u64), content.map(|content| content.bytes));
    }
}
