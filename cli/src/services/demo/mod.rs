//! `tallyport demo`: the main job on embedded defaults, told step by step.

mod agent;
mod story;

use crate::args::DemoArgs;
use crate::exit::Failure;
use crate::output::print_line;
use crate::services::dev::{self, DevOptions};

/// Starts everything, tells the story, stops everything.
pub async fn run(args: &DemoArgs) -> Result<(), Failure> {
    let temporary =
        tempfile::Builder::new().prefix("tallyport-demo-").tempdir().map_err(Failure::failed)?;
    let data = args.data.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    print_line(
        "Tallyport demo: an agent, a gateway, a real PostgreSQL, and the record of it all.\n",
    )?;
    print_line("Starting PostgreSQL with sample data, gateway, recorder and query service ...")?;
    let running = dev::start(DevOptions::embedded(data)).await?;
    let told = story::tell(&running).await;
    let stopped = running.shutdown().await;
    told.and(stopped)?;
    story::epilogue()
}
