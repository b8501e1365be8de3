//! Who was told of a request by webhook, and how far it was then.

use jiff::Timestamp;
use tallyport_schemas::ProducerId;

use super::{Case, State};
use crate::approval::NotCounted;

/// Webhooks of which it is known what they were told.
pub const MAX_WEBHOOKS: usize = 16;

impl Case {
    /// How far it is at `now`, for whoever is told of it: its state and how many answered.
    #[must_use]
    pub fn step(&self, now: Timestamp) -> String {
        format!("{}-{}", self.state(now).as_str(), self.votes.len())
    }

    /// When it came to the step that it is at.
    #[must_use]
    pub fn step_since(&self, now: Timestamp) -> Timestamp {
        if let Some(end) = &self.end {
            return end.at;
        }
        if self.state(now) == State::Expired {
            return self.stands_until();
        }
        self.votes.last().map_or(self.asked_at, |vote| vote.at)
    }

    /// Whose event changed it last.
    #[must_use]
    pub const fn last_changed_by(&self) -> &ProducerId {
        &self.changed_by
    }

    /// The step that this webhook was told last.
    #[must_use]
    pub fn told_to(&self, webhook: &str) -> Option<&str> {
        self.told.get(webhook).map(String::as_str)
    }

    /// Takes in that a webhook was told of it: about a request that is over, too.
    pub(in crate::approval) fn told(
        &mut self,
        webhook: &str,
        step: &str,
    ) -> Result<(), NotCounted> {
        if self.told.len() >= MAX_WEBHOOKS && !self.told.contains_key(webhook) {
            return Err(NotCounted::TooManyWebhooks);
        }
        self.told.insert(webhook.to_owned(), step.to_owned());
        Ok(())
    }

    pub(in crate::approval) fn changed_by(&mut self, producer: &ProducerId) {
        self.changed_by.clone_from(producer);
    }
}
