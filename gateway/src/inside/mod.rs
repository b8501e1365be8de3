//! Statements that the gateway runs on a caller's behalf, for tools that are no clients of a database: each in a session as any
//! other, over a pipe in the process. It has the same door, judge, masks, approvals and events; every byte that is read
//! here came out of the session's masks and is on record.

mod call;
mod cursors;
mod json;
mod page;
mod parked;
mod session;

pub(crate) use call::{Ran, Statement, who};
pub(crate) use cursors::{Cursor, Cursors};
pub(crate) use page::{Column, Page};
pub(crate) use parked::{Came, Parked, Who};
pub(crate) use session::{InsideSession, Wish};

use gateway_core::pg::client::Failure;

use crate::tunnel::Refusal;

/// A statement did not run to its end.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// No session was opened.
    Refused(Refusal),
    /// The gateway or the target said no to the statement, or to the session.
    Failed(Failure),
    /// One page of its answer is larger than is taken.
    TooLarge,
    /// It copies, which is for clients of the database.
    Copies,
    /// The session ended without a word.
    Lost,
}

impl From<Refusal> for NotRun {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
