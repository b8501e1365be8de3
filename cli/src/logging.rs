//! Which log lines the arguments ask for. They go to standard error and are never the audit record.

use tallyport_telemetry::Logs;

use crate::args::{Cli, Command};

/// What the arguments say; `RUST_LOG` wins over it.
pub fn logs(cli: &Cli) -> Logs {
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
    // What a certificate lacks is said by whoever meant to connect.
    let others = if cli.verbose > 2 {
        "debug"
    } else {
        "warn,rustls_platform_verifier=off,aws_config=error"
    };
    let ours = [
        "tallyport",
        "tallyport_gateway",
        "gateway_core",
        "tallyport_eventlog",
        "tallyport_access",
        "tallyport_recorder",
        "tallyport_query",
        "tallyport_telemetry",
    ];
    let filter =
        ours.iter().fold(others.to_owned(), |filter, name| format!("{filter},{name}={own}"));
    Logs { filter, json: cli.log_json }
}
