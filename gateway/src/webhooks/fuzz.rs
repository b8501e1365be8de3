//! A door for the fuzz target of answers: what signs them, and a time that is an argument.

use http::HeaderMap;
use jiff::Timestamp;

use super::signature::Keys;
use crate::config::Secret;

pub use super::signature::{ID, SIGNATURE, TIMESTAMP};
pub use crate::api::fuzz::reads_answer;

/// The secret of a webhook's answers.
#[derive(Debug)]
pub struct Answering(Keys);

impl Answering {
    /// `None` where it is no secret of Standard Webhooks.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        Keys::parse(&Secret::new(secret.to_owned())).ok().map(Self)
    }

    /// The signatures that a message of this id, time and body has to bear one of.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        self.0.sign(id, timestamp, body)
    }

    /// The id of a message that is signed.
    ///
    /// # Errors
    /// The code of what is wrong.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<String, &'static str> {
        let signed = self.0.verify(headers, body, now);
        signed.map(|signed| signed.id).map_err(super::SignatureError::code)
    }
}
