//! The proof that what a value stands for is on record.

use crate::Position;

/// A value whose events are durable. Only [`crate::Appender::commit`] makes one; it cannot be cloned.
#[derive(Debug)]
#[must_use = "what is durable may now pass; dropping it abandons what was recorded"]
pub struct Durable<T> {
    value: T,
    positions: Vec<Position>,
}

impl<T> Durable<T> {
    pub(crate) const fn mint(value: T, positions: Vec<Position>) -> Self {
        Self { value, positions }
    }

    /// What is on record.
    pub const fn get(&self) -> &T {
        &self.value
    }

    /// Where its events are, in the order of its drafts.
    pub fn positions(&self) -> &[Position] {
        &self.positions
    }

    /// Gives up the proof.
    pub fn into_inner(self) -> T {
        self.value
    }
}
