//! The `tallyport` binary: parses arguments, wires services, nothing else.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or config, 3 denied by policy, 4 integrity violation found.
#![cfg_attr(
    not(feature = "dev"),
    allow(
        dead_code,
        unused_imports,
        unused_mut,
        unused_variables,
        reason = "a build of one role uses a part of what is here; the default build uses all of it"
    )
)]

mod access;
mod answer;
mod args;
mod built;
mod commands;
#[cfg(feature = "serve")]
mod config;
mod exit;
mod logging;
mod memory;
mod output;
mod ready;
mod services;

use std::process::ExitCode;

use clap::Parser as _;
use tallyport_telemetry::Logs;

use crate::args::{Cli, Command};
use crate::exit::Failure;
use crate::services::handed::Handed;
#[cfg(feature = "serve")]
use crate::services::up::Roles;

/// Most of what a statement costs beyond its events are small, short-lived allocations on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before anything secret is read.
    if let Err(error) = memory::keep_private() {
        eprintln!(
            "tallyport: core files cannot be switched off, and they would hold secrets: {error}"
        );
        return ExitCode::FAILURE;
    }
    let logs = logging::logs(&cli);
    let as_a_log_line = cli.log_json && cli.command.is_service();
    let handed = if cli.command.is_service() {
        match Handed::to_this_process() {
            Ok(handed) => handed,
            Err(failure) => return end(&failure, as_a_log_line),
        }
    } else {
        Handed::nothing()
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tallyport: the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(cli.command, &logs, handed));
    // Blocking readers (standard input, a browser that never closes) must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure, as_a_log_line),
    }
}

fn end(failure: &Failure, as_a_log_line: bool) -> ExitCode {
    if as_a_log_line {
        eprintln!("{}", failure.log_line());
    } else {
        eprintln!("tallyport: {failure}");
    }
    failure.code()
}

async fn run(command: Command, logs: &Logs, handed: Handed) -> Result<(), Failure> {
    // Services start logging by themselves, once they know where their spans go.
    if !command.is_service() {
        logs.start();
    }
    match command {
        #[cfg(feature = "dev")]
        Command::Demo(args) => services::demo::run(&args).await,
        #[cfg(feature = "dev")]
        Command::Dev(args) => services::dev::run(&args, logs).await,
        #[cfg(not(feature = "dev"))]
        Command::Demo(_) | Command::Dev(_) => Err(built::without("dev")),
        #[cfg(feature = "serve")]
        Command::Up(args) => services::up::run(&args, None, logs, handed).await,
        #[cfg(not(feature = "serve"))]
        Command::Up(_) => Err(built::without("gateway,recorder,query")),
        #[cfg(feature = "gateway")]
        Command::Gateway(args) => {
            services::up::run(&args, Some(Roles::GATEWAY), logs, handed).await
        }
        #[cfg(not(feature = "gateway"))]
        Command::Gateway(_) => Err(built::without("gateway")),
        #[cfg(feature = "recorder")]
        Command::Recorder(args) => {
            services::up::run(&args, Some(Roles::RECORDER), logs, handed).await
        }
        #[cfg(not(feature = "recorder"))]
        Command::Recorder(_) => Err(built::without("recorder")),
        #[cfg(feature = "query")]
        Command::Query(args) => services::up::run(&args, Some(Roles::QUERY), logs, handed).await,
        #[cfg(not(feature = "query"))]
        Command::Query(_) => Err(built::without("query")),
        Command::Connect(args) => commands::connect::run(&args).await,
        Command::Mcp(args) => commands::mcp::run(&args).await,
        Command::Login(args) => commands::login::run(&args).await,
        Command::Logout(place) => commands::login::out(&place).await,
        Command::Whoami(args) => commands::login::whoami(&args).await,
        Command::Sql(args) => commands::sql::run(&args).await,
        Command::Ask(args) => commands::ask::run(&args).await,
        Command::Sessions(command) => commands::sessions::run(&command).await,
        Command::Approvals(command) => commands::approvals::run(&command).await,
        Command::McpServers(command) => commands::mcp_servers::run(&command).await,
        Command::Request(args) => commands::request::run(&args).await,
        Command::Revoke(command) => commands::revoke::run(&command).await,
        Command::Policy(command) => commands::policy::run(&command),
        #[cfg(feature = "recorder")]
        Command::Lake(command) => commands::lake::run(&command).await,
        #[cfg(not(feature = "recorder"))]
        Command::Lake(_) => Err(built::without("recorder")),
        #[cfg(feature = "serve")]
        Command::Config(command) => commands::config::run(&command),
        #[cfg(not(feature = "serve"))]
        Command::Config(_) => Err(built::without("gateway,recorder,query")),
    }
}
