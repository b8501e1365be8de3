//! What waits for a human: bound to exactly one thing that may run, and decided by what stands on the log.
//!
//! * [`digest`] binds an approval to a statement, its parameters, and all that their meaning rests on.
//! * [`Book`] is what the control log amounts to, event by event. Every gateway reads the same events in the same order,
//!   so all come to the same state: who was first, whether a quorum is full, whether an approval was used already. An
//!   event that comes too late, or of somebody who may not, changes nothing.
//! * [`Case`] is one request in it.
//!
//! No IO, and no clock of its own: an event counts by the time that it carries.

mod book;
mod case;
mod digest;
mod not_counted;

pub use book::{Applied, Book, GIVEN_BACK, MAX_WAITING, MAX_WAITING_OF_ONE, REVOKED};
pub use case::{Case, MAX_WEBHOOKS, REVIEWER_REVOKED, State, Vote};
pub use digest::{Bond, CallBond, Standing, access_digest, bound_values, call_digest, digest};
pub use not_counted::NotCounted;

use tallyport_access::policy::ApprovalDemand;
use tallyport_schemas::AskedCommand;

/// A command that waits, and what it waits for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Binds the approval.
    pub digest: String,
    /// Whether only this session may use it.
    pub session_bound: bool,
    /// Who must agree.
    pub demand: ApprovalDemand,
    /// The policies that demand it.
    pub policy_ids: Vec<String>,
    /// SHA-256 of the policy set.
    pub policy_version: String,
    /// Why, in words.
    pub reasons: Vec<String>,
    /// What would run.
    pub command: AskedCommand,
}
