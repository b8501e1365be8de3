//! `tallyport policy check` and `policy test`.

use std::path::Path;

use crate::args::PolicyCommand;
use crate::exit::Failure;
use crate::output::print_line;

/// Checks, or tests.
pub fn run(command: &PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Check { path } => check(path),
        PolicyCommand::Test { path, cases, json } => {
            crate::commands::policy_test::run(path, cases, *json)
        }
    }
}

fn check(path: &Path) -> Result<(), Failure> {
    let store = tallyport_access::policy::PolicyStore::load(path).map_err(Failure::usage)?;
    let set = store.current();
    for warning in set.warnings() {
        eprintln!("tallyport: warning: {warning}");
    }
    let (count, version) = (set.policy_ids().len(), set.version());
    if count == 0 {
        eprintln!(
            "tallyport: note: no policy at all keeps out everybody; a service that runs refuses such a file, and goes on with the one before"
        );
    }
    print_line(format_args!("{}: {count} policies, version {version}", path.display()))
}
