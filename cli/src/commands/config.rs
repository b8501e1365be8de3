//! `tallyport config check`.

use crate::args::ConfigCommand;
use crate::config::Config;
use crate::exit::Failure;
use crate::output::print_line;

/// Checks the file and everything it names; opens nothing.
pub fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Check { path } = command;
    let config = Config::read(path)?;
    crate::services::up::check(&config)?;
    print_line(format_args!("{}: in order", path.display()))
}
