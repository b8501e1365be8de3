//! Log to lake: every event of the log becomes one row of an open Delta table, exactly once, whatever is killed.
//!
//! * [`Recorder::start`] follows the log, one task per partition; [`RunningRecorder`] shows how far it is and stops it.
//! * [`LakeUrl`] and [`RecorderConfig`] say where the lake is and when to commit.
//! * [`maintenance`] rewrites closed days into few large files.
//!
//! The position of a partition is part of the very commit that adds its rows (a Delta application transaction), and
//! a commit goes to exactly the version after the one whose position was compared. So a crash, a second recorder or
//! a commit of unknown outcome can neither lose a row nor write one twice.
//!
//! This crate never changes or drops what it cannot decode: that goes whole to the table of dead letters. It never
//! passes over a hole in the log: it stops and says so.

pub mod maintenance;

mod added;
mod batch;
mod config;
mod dead_letter;
mod error;
mod fingerprint;
mod lag;
mod lake;
mod meters;
mod partition;
mod pauses;
mod progress;
mod recorder;
mod release;
mod rows;
mod start;

pub use config::{CommitPolicy, LakeUrl, RecorderConfig, Retention};
pub use error::{IntegrityError, LakeError, RecorderError};
pub use progress::{Condition, Outage, PartitionProgress, Progress, WaitError};
pub use recorder::{LakeProbe, Recorder, RunningRecorder};
