//! PostgreSQL protocol 3 (versions 13 to 17 of the server), sans-IO.
//!
//! * [`frame`]: bytes to messages; [`frontend`], [`backend`]: what messages say; [`write`]: the gateway's own.
//! * [`startup`]: the untagged packets that begin a connection, and what of them may pass.
//! * [`client`]: one statement, asked by the gateway on somebody's behalf.
//! * `look`: what detectors see of an answer.
//! * [`session`]: the machine in the middle: units of commands towards the target, batches of responses back.

pub mod backend;
pub mod client;
pub mod frame;
pub mod frontend;
mod look;
pub mod read;
pub mod session;
pub mod startup;
pub mod write;
