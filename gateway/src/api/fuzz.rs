//! A door for the fuzz target of answers.

/// Whether the body of an answer that a webhook passes on is one, and the reviewer that it names.
#[must_use]
pub fn reads_answer(body: &[u8]) -> Option<String> {
    super::answers::reviewer(body)
}
