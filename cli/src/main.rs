//! The `tallyport` binary: parses arguments, wires services, nothing else.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or config, 3 denied by policy, 4 integrity violation found.

mod access;
mod answer;
mod args;
mod commands;
mod config;
mod exit;
mod logging;
mod output;
mod ready;
mod services;

use std::process::ExitCode;

use clap::Parser as _;
use tallyport_telemetry::Logs;

use crate::args::{Cli, Command};
use crate::exit::Failure;
use crate::services::up::Roles;

/// Most of what a statement costs beyond its events are small, short-lived allocations on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let logs = logging::logs(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tallyport: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(cli.command, &logs));
    // Blocking readers (standard input, a browser that never closes) must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tallyport: {failure}");
            failure.code()
        }
    }
}

async fn run(command: Command, logs: &Logs) -> Result<(), Failure> {
    match command {
        // Services start logging by themselves, once they know where their spans go.
        Command::Dev(args) => services::dev::run(&args, logs).await,
        Command::Up(args) => services::up::run(&args, None, logs).await,
        Command::Gateway(args) => services::up::run(&args, Some(Roles::GATEWAY), logs).await,
        Command::Recorder(args) => services::up::run(&args, Some(Roles::RECORDER), logs).await,
        Command::Query(args) => services::up::run(&args, Some(Roles::QUERY), logs).await,
        other => {
            logs.start();
            ask(other).await
        }
    }
}

/// What is no service of a configuration.
async fn ask(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => services::demo::run(&args).await,
        Command::Connect(args) => commands::connect::run(&args).await,
        Command::Sql(args) => commands::sql::run(&args).await,
        Command::Ask(args) => commands::ask::run(&args).await,
        Command::Sessions(command) => commands::sessions::run(&command).await,
        Command::Policy(command) => commands::policy::run(&command),
        Command::Config(command) => commands::config::run(&command),
        Command::Dev(_)
        | Command::Up(_)
        | Command::Gateway(_)
        | Command::Recorder(_)
        | Command::Query(_) => Ok(()),
    }
}
