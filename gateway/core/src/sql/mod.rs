//! What a statement means: its kind, the relations, columns and functions it names, and what later statements inherit
//! from it, read from PostgreSQL's own grammar over a snapshot of the target's catalog.
//!
//! * [`Parsed`]: a text as a tree; independent of any database.
//! * [`Catalog`]: one database as it was: relations, columns, functions, what runs code of its own.
//! * [`SessionState`]: what earlier statements changed for later ones: search path, prepared statements, cursors.
//! * `analysis`: the three put together; [`crate::verdict`] asks policy about it.
//!
//! Nothing here decides. Whatever cannot be told for certain is said to be uncertain (all candidates of a name) or
//! opaque (code whose effect cannot be seen).

pub mod catalog;

pub(crate) mod analysis;
pub(crate) mod builtins;
mod by_name;
mod kinds;
pub(crate) mod names;
mod parse;
mod session;
pub(crate) mod settings;
mod trace;
pub(crate) mod tree;

pub(crate) use by_name::{executed, prepares, takes_rows_of_another};
pub use catalog::Catalog;
pub use parse::{Parsed, SyntaxError};
pub use session::{Revision, SessionState};
pub use trace::Trace;

/// Stack that a walk must have left before it enters another level, in bytes.
const RED_ZONE: usize = 192 * 1024;
/// Stack that is added when less is left, in bytes.
const STACK_STEP: usize = 4 * 1024 * 1024;

/// Runs one level of a walk with enough stack, however deep the tree.
pub(crate) fn deep<R>(level: impl FnOnce() -> R) -> R {
    stacker::maybe_grow(RED_ZONE, STACK_STEP, level)
}
