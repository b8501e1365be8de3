//! `tallyport mcp`: a server of the Model Context Protocol for clients that start one as a child.

use std::sync::Arc;

use tallyport_gateway::connect::{Connector, mcp};
use tokio::io::{BufReader, stdin, stdout};

use super::connect::config;
use crate::args::ReachArgs;
use crate::exit::Failure;

/// Serves until standard input ends.
pub async fn run(args: &ReachArgs) -> Result<(), Failure> {
    let connector = Arc::new(Connector::new(config(args).await?).map_err(Failure::usage)?);
    let served = mcp::serve(Arc::clone(&connector), BufReader::new(stdin()), stdout()).await;
    connector.close().await;
    served.map_err(Failure::failed)
}
