//! Diagnostics on stderr. They are never the audit record.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};

/// Starts logging as the arguments and `RUST_LOG` say.
pub fn start(cli: &Cli) {
    // Services speak up by themselves; commands only when asked or when something is wrong.
    let serves = matches!(
        cli.command,
        Command::Up(_)
            | Command::Gateway(_)
            | Command::Recorder(_)
            | Command::Query(_)
            | Command::Dev(_)
    );
    let own = match (cli.verbose, serves) {
        (0, false) => "error",
        (0, true) => "info",
        (1, _) => "info",
        (2, _) => "debug",
        _ => "trace",
    };
    let others = if cli.verbose > 2 { "debug" } else { "warn" };
    let ours = [
        "tallyport",
        "tallyport_gateway",
        "gateway_core",
        "tallyport_eventlog",
        "tallyport_access",
        "tallyport_recorder",
        "tallyport_query",
    ];
    let default =
        ours.iter().fold(others.to_owned(), |filter, name| format!("{filter},{name}={own}"));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if cli.log_json {
        subscriber.json().init();
    } else {
        subscriber.with_ansi(std::io::stderr().is_terminal()).init();
    }
}
