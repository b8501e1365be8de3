//! `tallyport approvals ...`.

use clap::Subcommand;

use super::GatewayArgs;

/// `tallyport approvals ...`.
#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// What waits and you may know of, newest first.
    #[command(
        override_usage = "tallyport approvals list [OPTIONS]",
        after_help = "Examples:\n  tallyport approvals list --as approver\n  tallyport approvals list --watch         # a line for each that comes, or changes"
    )]
    List {
        /// What is over, too.
        #[arg(long)]
        all: bool,
        /// How many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Stay, and print what comes and what changes.
        #[arg(long, conflicts_with_all = ["all", "limit"])]
        watch: bool,
        #[command(flatten)]
        args: GatewayArgs,
    },
    /// One request: who, on whose behalf, the exact statement and its values or the access, what it
    /// does, who must agree.
    #[command(override_usage = "tallyport approvals show [OPTIONS] <ID>")]
    Show {
        /// The id, or at least six characters of either end of it.
        id: String,
        #[command(flatten)]
        args: GatewayArgs,
    },
    /// Agree: shows the request and asks, or takes the digest of what you read.
    #[command(
        override_usage = "tallyport approvals approve [OPTIONS] <ID>",
        after_help = "Examples:\n  tallyport approvals approve bebe288245d9 --comment \"as agreed in OPS-7\"\n  tallyport approvals approve bebe288245d9 --digest \"$(tallyport approvals show bebe288245d9 --json | jq -r .digest)\""
    )]
    Approve {
        /// The id, or at least six characters of either end of it.
        id: String,
        /// For the record, and for whoever asked.
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
        /// The digest of what you approve; nothing is asked then.
        #[arg(long, value_name = "SHA256")]
        digest: Option<String>,
        #[command(flatten)]
        args: GatewayArgs,
    },
    /// Take back what you asked for, or give back a grant.
    #[command(override_usage = "tallyport approvals withdraw [OPTIONS] <ID>")]
    Withdraw {
        /// The id, or at least six characters of either end of it.
        id: String,
        #[command(flatten)]
        args: GatewayArgs,
    },
    /// Refuse: one is enough. The statement fails, and whoever sent it is told the comment.
    #[command(override_usage = "tallyport approvals deny [OPTIONS] <ID>")]
    Deny {
        /// The id, or at least six characters of either end of it.
        id: String,
        /// For the record, and for whoever asked.
        #[arg(long, value_name = "TEXT")]
        comment: Option<String>,
        #[command(flatten)]
        args: GatewayArgs,
    },
}
