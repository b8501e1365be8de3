//! `tallyport mcp-servers ...`.

use clap::Subcommand;

use super::{GatewayArgs, ReasonArgs};

/// `tallyport mcp-servers ...`.
#[derive(Debug, Subcommand)]
pub enum McpServersCommand {
    /// The servers, when each was looked at last, and how many of its tools are in use.
    #[command(
        override_usage = "tallyport mcp-servers list [OPTIONS]",
        after_help = "Examples:\n  tallyport mcp-servers list\n  tallyport mcp-servers list --json | jq -r '.[] | select(.counts.changed > 0).name'"
    )]
    List {
        #[command(flatten)]
        args: GatewayArgs,
    },
    /// One server: its tools, and what has changed of those that are out of use.
    #[command(
        override_usage = "tallyport mcp-servers show [OPTIONS] <SERVER>",
        after_help = "Examples:\n  tallyport mcp-servers show crm\n  tallyport mcp-servers show crm --json | jq '.tools[] | select(.name == \"find\").definition'"
    )]
    Show {
        /// The server, as the gateway's configuration names it.
        server: String,
        #[command(flatten)]
        args: GatewayArgs,
    },
    /// Accept another definition of a tool: it is in use from then on, on every gateway.
    #[command(
        override_usage = "tallyport mcp-servers accept [OPTIONS] --sha256 <HASH> --reason <TEXT> <SERVER> <TOOL>",
        after_help = "Examples:\n  tallyport mcp-servers show crm                # what has changed, and its hash\n  tallyport mcp-servers accept crm find --sha256 9f86d081... --reason \"as announced, OPS-7\""
    )]
    Accept {
        /// The server, as the gateway's configuration names it.
        server: String,
        /// The tool, as the server calls it.
        tool: String,
        /// The hash of the definition that you have read, as `tallyport mcp-servers show` gives it.
        #[arg(long, value_name = "HASH")]
        sha256: String,
        #[command(flatten)]
        order: ReasonArgs,
    },
}
