//! Numbers the events of one session.

use tallyport_schemas::{Body, Draft, SharedContext};

/// Gives the drafts of one session their context and their dense place in it.
#[derive(Debug)]
pub struct Scribe {
    context: SharedContext,
    next_seq: u64,
}

impl Scribe {
    /// Begins at 0.
    #[must_use]
    pub const fn new(context: SharedContext) -> Self {
        Self { context, next_seq: 0 }
    }

    /// What all events share from now on.
    pub fn set_context(&mut self, context: SharedContext) {
        self.context = context;
    }

    /// What all events share.
    #[must_use]
    pub const fn context(&self) -> &SharedContext {
        &self.context
    }

    /// The next event.
    pub fn draft(&mut self, body: Body) -> Draft {
        let seq = self.next_seq;
        self.next_seq += 1;
        // Without a session there is no place in one.
        let place = self.context.session_id.map(|_| seq);
        Draft::new(self.context.clone(), place, body)
    }
}
