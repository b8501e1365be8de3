//! Where every partition of the log stands in a lake: the application transactions of a Delta table, all of them in
//! one pass over the newest checkpoint and the commits behind it, and from then on one small read per commit.
//!
//! It only reads, it lists no data files, and it decides nothing: what a position means is for the recorder and the
//! query service. The libraries for Delta answer for one application id at a time and read the log anew for each.
//!
//! [`Positions`] is what is known; [`newest_checkpoint`] is where a cold read begins; [`commit_path`] is where a version is.

mod checkpoint;
mod commit;
mod error;
mod positions;

pub use checkpoint::newest_checkpoint;
pub use commit::commit_path;
pub use error::PositionsError;
pub use positions::Positions;
