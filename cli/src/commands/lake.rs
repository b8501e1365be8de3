//! `tallyport lake compact`.

use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tallyport_recorder::maintenance::{self, Step};

use crate::args::LakeCommand;
use crate::config::Config;
use crate::exit::Failure;
use crate::output::print_line;

/// What rewrites files writes no events: its machine needs no name.
const NO_NODE: &str = "lake";

/// Runs one of them.
pub async fn run(command: &LakeCommand) -> Result<(), Failure> {
    match command {
        LakeCommand::Compact { config, today } => compact(config, *today).await,
    }
}

async fn compact(path: &Path, with_today: bool) -> Result<(), Failure> {
    let config = Config::read(path, Some(NO_NODE))?.recorder_config()?;
    // Days are the log's: UTC.
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let before = if with_today { today.tomorrow().map_err(Failure::failed)? } else { today };
    let told = |step: &Step| {
        let Step { day, files, rows, number, of } = step;
        // Nobody reads it: the work goes on all the same.
        let _unread = print_line(format_args!(
            "{day}: {files} files of {rows} events became one (step {number} of {of})"
        ));
    };
    let (lake, options) = (&config.lake, &config.storage_options);
    let done = maintenance::compact_days_before(lake, options, before, told).await;
    let done = done.map_err(Failure::failed)?;
    let days = if with_today { "all days" } else { "the days before today" };
    match done.files_before {
        0 => print_line(format_args!("nothing to do: the events of {days} are in large files")),
        before => print_line(format_args!(
            "events of {days}: {before} files became {}; the old ones stay for readers until a vacuum",
            done.files_after
        )),
    }
}
