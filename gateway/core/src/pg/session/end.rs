//! The last batch of a session: what was under way, the event of its end, and the farewell.

use tallyport_schemas::{RevocationId, Session, SessionEnd, SessionStats};

use super::{Machine, MaskedResponse, Violation};
use crate::passage::batch::Batch;
use crate::pg::write::ErrorReply;

/// How a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order.
    Closed(SessionEnd),
    /// Its time is over.
    Expired(TimeLimit),
    /// Somebody ended it.
    Revoked {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// The revocation, where it was one.
        revocation_id: Option<RevocationId>,
    },
    /// Out of order.
    Lost {
        /// A stable code.
        cause: String,
        /// In words, without any value that passed.
        message: String,
        /// What the agent is told, where it can be told.
        farewell: Option<ErrorReply>,
    },
}

/// What a session's time hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLimit {
    /// Its token.
    Token,
    /// The grant it was let in by.
    Grant,
}

impl TimeLimit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Grant => "grant",
        }
    }
}

impl Ending {
    /// What the agent is told.
    #[must_use]
    pub fn farewell(&self) -> Option<ErrorReply> {
        match self {
            Self::Closed(SessionEnd::Shutdown) => Some(ErrorReply::fatal(
                "57P01",
                "tallyport: the gateway is shutting down; connect again",
            )),
            Self::Closed(_) => None,
            Self::Expired(TimeLimit::Token) => Some(ErrorReply::fatal(
                "57P01",
                "tallyport: token expired; reconnect with a fresh token",
            )),
            Self::Expired(TimeLimit::Grant) => Some(ErrorReply::fatal(
                "57P01",
                "tallyport: the grant is over; ask for another with `tallyport request`",
            )),
            Self::Revoked { .. } => Some(ErrorReply::fatal(
                "57P01",
                "tallyport: the session was ended by an administrator",
            )),
            Self::Lost { farewell, .. } => farewell.clone(),
        }
    }

    /// Its event.
    #[must_use]
    pub fn event(&self, stats: SessionStats) -> Session {
        match self {
            Self::Closed(end) => Session::Closed { end: *end, stats },
            Self::Expired(limit) => Session::Expired { cause: limit.as_str().to_owned(), stats },
            Self::Revoked { by, reason, revocation_id } => Session::Revoked {
                by: by.clone(),
                reason: reason.clone(),
                revocation_id: *revocation_id,
                stats,
            },
            Self::Lost { cause, message, .. } => {
                Session::Lost { cause: cause.clone(), message: message.clone(), stats }
            }
        }
    }
}

impl Machine {
    /// Ends the session: responses under way are recorded as interrupted, then the end itself. The farewell is in the
    /// batch unless the agent is in the middle of a message, where it could not be read. To be called again when that
    /// could not be committed: it gives the same events anew.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn end(
        &mut self,
        ending: &Ending,
        agent_is_listening: bool,
        now_us: u64,
    ) -> Result<Option<MaskedResponse>, Violation> {
        // What was not committed never passed: only its loss is recorded, also where it was whole already.
        if self.interrupted.is_empty() {
            self.interrupted = std::mem::take(&mut self.batch).into_interrupted();
        }
        self.batch = Batch::default();
        let open = std::mem::take(&mut self.pipe.open);
        self.interrupted.extend(open.into_iter().map(|open| open.tally.interrupted(now_us)));
        for summary in &self.interrupted {
            self.batch.add_summary(summary.clone());
        }
        let inside = self.target.is_inside_message();
        if let Some(reply) = ending.farewell()
            && agent_is_listening
            && !inside
        {
            self.batch.put_stray("farewell", &reply.to_bytes(), true)?;
        }
        let end = ending.event(self.stats);
        self.flush_stray_before(end)
    }

    fn flush_stray_before(&mut self, end: Session) -> Result<Option<MaskedResponse>, Violation> {
        self.batch.end_session(end)?;
        self.flush()
    }
}
