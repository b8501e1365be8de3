//! Content detectors, sans-IO: what in some bytes looks like a card, an identity number, a key or a token.
//!
//! * [`Kind`], [`Kinds`], [`Group`]: what can be found.
//! * [`Detectors`]: a compiled set of kinds; finds hits in a whole value.
//! * [`Rules`], [`Action`]: what a policy wants done with which kind.
//! * [`Screen`]: detectors with rules; masks a whole value, or opens a [`Stream`] that masks chunks as they come.
//! * [`Findings`]: how many of each kind were found, and never what.
//!
//! Detectors are a backstop and never the defence: they see shapes, not meaning. Nothing here keeps, logs or returns the
//! content of what was found but as a range of the caller's own bytes. Formats, checks and limits are in
//! `docs/reference/detectors.md`.

mod detectors;
mod find;
mod findings;
mod kind;
mod mark;
mod names;
mod rules;
mod screen;
mod settle;
mod stream;
mod tail;

pub use detectors::{CompileError, Detectors, Hit};
pub use find::{LOOK_AHEAD, REACH_BEHIND};
pub use findings::Findings;
pub use kind::{Group, Kind, Kinds};
pub use names::UnknownName;
pub use rules::{Action, Rules, RulesError};
pub use screen::{Cards, Screen};
pub use stream::Stream;
pub use tail::{MAX_PEM_BYTES, MAX_RUN_BYTES};
