//! The command line: the contract of docs/reference/cli.md.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::built;

mod access;
mod approvals;
mod dev;
mod gateway;
mod login;
mod mcp_servers;

pub use access::AccessArgs;
pub use approvals::ApprovalsCommand;
pub use dev::DevArgs;
pub use gateway::{GatewayArgs, ReasonArgs, RequestArgs, RevokeArgs, RevokeCommand};
pub use login::{LoginArgs, LoginPlace};
pub use mcp_servers::McpServersCommand;

/// Audit-first access gateway for AI agents and other non-human identities.
///
/// Nothing passes, in either direction, before the event that records it is durable.
#[derive(Debug, Parser)]
#[command(
    name = "tallyport",
    version = built::version(),
    long_version = built::long_version(),
    propagate_version = true,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub struct Cli {
    /// Log more: -v info, -vv debug, -vvv trace (or set RUST_LOG).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Log as JSON lines.
    #[arg(long, global = true)]
    pub log_json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tallyport demo                                the whole way, on this machine
  tallyport dev --ready-file ready.json         the same services, staying up
  tallyport connect sample --as support-agent   an agent's local port, for psql
  tallyport sql \"SELECT * FROM decisions WHERE effect = 'deny'\" --as auditor
  tallyport ask who-read-column -p column=app.customers.ssn --as auditor

Exit codes: 0 done, 1 failed, 2 usage or config, 3 denied by policy or token,
4 integrity violation found.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Everything in one process, a scripted agent against a real PostgreSQL, the audit answers printed.
    Demo(DemoArgs),
    /// The same services on embedded defaults, staying up. Development only: loopback addresses only.
    Dev(DevArgs),
    /// Gateway, recorder and query in one process: those that the configuration file has a section for.
    Up(ConfigArgs),
    /// The gateway alone.
    Gateway(ConfigArgs),
    /// The recorder alone.
    Recorder(ConfigArgs),
    /// The query service alone.
    Query(ConfigArgs),
    /// A local port for an ordinary client (psql, JDBC, any driver), over QUIC to the gateway.
    Connect(ConnectArgs),
    /// A server of the Model Context Protocol on standard input and output, for a desktop agent; over QUIC to the gateway.
    #[command(
        after_help = "Examples:\n  tallyport mcp --gateway gateway.example.com:7443 --issuer https://idp.example --client-id my-agent --client-secret-file secret\n  tallyport mcp --gateway gateway.example.com:7443 --issuer https://idp.example --client-id my-agent --client-key-file agent.pem\n  tallyport mcp --gateway gateway.example.com:7443 --token-file /run/secrets/token\n\nIn a client's configuration it is the command, with these options as its arguments."
    )]
    Mcp(ReachArgs),
    /// Sign in as a person, by a code that you confirm in any browser (RFC 8628).
    #[command(
        after_help = "Examples:\n  tallyport login --issuer https://idp.example --client-id tallyport-cli --audience tallyport\n  tallyport login --ready-file ready.json\n  tallyport approvals list"
    )]
    Login(LoginArgs),
    /// End the sign-in, here and at the issuer.
    Logout(LoginPlace),
    /// Whom the gateway takes you for.
    Whoami(GatewayArgs),
    /// Ask the audit in SQL.
    Sql(SqlArgs),
    /// Ask the audit a named question; without an argument, list the questions.
    Ask(AskArgs),
    /// Ask for access to a target for a time.
    #[command(
        override_usage = "tallyport request [OPTIONS] --for <TIME> --reason <TEXT> <TARGET>",
        after_help = "Examples:\n  tallyport request orders --for 30m --reason \"reconcile FIN-311\"\n  tallyport request orders --for 2h --reason \"migration\" --wait && psql ..."
    )]
    Request(RequestArgs),
    /// End access before its time, on every gateway: a principal, an agent, an issuer, a grant.
    #[command(
        subcommand,
        after_help = "Examples:\n  tallyport revoke agent billing-bot --reason \"its key leaked\"\n  tallyport revoke principal https://idp.example#agent-7 --reason \"left\" --for 12h\n  tallyport revoke list"
    )]
    Revoke(RevokeCommand),
    /// Sessions: list, show one, replay one, end one.
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// What waits for a human, statements and access: list, show, approve, deny, withdraw.
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// MCP servers behind the gateway: list, show what changed of their tools, accept it.
    #[command(subcommand)]
    McpServers(McpServersCommand),
    /// Policies: check a file, test what it decides.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// The lake: rewrite its small files into large ones.
    #[command(subcommand)]
    Lake(LakeCommand),
    /// Configuration: check a file.
    #[command(subcommand)]
    Config(ConfigCommand),
}

impl Command {
    /// Whether it stays up and serves.
    pub const fn is_service(&self) -> bool {
        matches!(
            self,
            Self::Dev(_) | Self::Up(_) | Self::Gateway(_) | Self::Recorder(_) | Self::Query(_)
        )
    }
}

/// `tallyport demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the demo keeps its data; a temporary directory, removed at the end, when absent.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// A configuration file.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration file (TOML); see docs/reference/configuration.md.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The name of this machine, instead of `node` in the file: where many share one file.
    #[arg(long, value_name = "NAME", env = "TALLYPORT_NODE")]
    pub node: Option<String>,
}

/// An address with its port, or a port of this very machine.
fn local_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| {
        "give an IP address and a port, such as 127.0.0.1:6432, or a port alone".to_owned()
    })
}

/// `tallyport connect`.
#[derive(Debug, Args)]
#[command(override_usage = "tallyport connect [OPTIONS] <TARGET>")]
pub struct ConnectArgs {
    /// The target, as the gateway's configuration names it.
    pub target: String,
    /// Local address to listen on, such as 127.0.0.1:6432, or a port of 127.0.0.1 alone; 0 is any that is free.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = local_address)]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub reach: ReachArgs,
    /// Write a JSON file with the local address once it listens.
    #[arg(long, value_name = "FILE")]
    pub listen_file: Option<PathBuf>,
    /// Write a kubeconfig for this port once it listens, where the target is a cluster; the file is made, or is one that was
    /// written so before.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace that the kubeconfig names.
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    pub namespace: Option<String>,
}

/// Which gateway is reached, how, and as whom.
#[derive(Debug, Args)]
pub struct ReachArgs {
    /// The gateway, HOST:PORT.
    #[arg(long, value_name = "HOST:PORT", env = "TALLYPORT_GATEWAY")]
    pub gateway: Option<String>,
    /// Do not try QUIC; use TCP (HTTP/2) at once.
    #[arg(long)]
    pub tcp: bool,
    /// Ask for a plain bearer token, even where the issuer would bind one to a key of this process (DPoP).
    #[arg(long)]
    pub bearer: bool,
    /// A certificate to show, with its chain (PEM): an X.509-SVID, with which no token is needed, or the one that the token
    /// is bound to (RFC 8705). Read anew when it changes.
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub client_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub client_key: Option<PathBuf>,
    #[command(flatten)]
    pub access: AccessArgs,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: a table, or rows one by one where the terminal is too narrow for a table.
    #[default]
    Table,
    /// One JSON array of objects.
    Json,
    /// CSV with a header; lines end with a line feed.
    Csv,
}

/// Where the query service is and how to print.
#[derive(Clone, Debug, Args)]
pub struct AnswerArgs {
    /// The query service's HTTP address.
    #[arg(long, value_name = "URL", env = "TALLYPORT_QUERY_URL")]
    pub query_url: Option<String>,
    /// How to print the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    #[command(flatten)]
    pub access: AccessArgs,
}

impl AnswerArgs {
    /// The format that was asked for.
    #[must_use]
    pub const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

// The usage lines are written out: clap's own name every option that the environment sets.

/// `tallyport sql`.
#[derive(Debug, Args)]
#[command(override_usage = "tallyport sql [OPTIONS] <SQL>")]
pub struct SqlArgs {
    /// The question, in SQL; `-` reads it from standard input.
    pub sql: String,
    #[command(flatten)]
    pub answer: AnswerArgs,
}

/// `tallyport ask`.
#[derive(Debug, Args)]
#[command(override_usage = "tallyport ask [OPTIONS] [QUESTION]")]
pub struct AskArgs {
    /// The question's name; absent: list them.
    pub question: Option<String>,
    /// How far back, such as 30m, 12h, 7d.
    #[arg(long, value_name = "AGE")]
    pub since: Option<String>,
    /// A parameter of the question.
    #[arg(long = "param", short = 'p', value_name = "NAME=VALUE")]
    pub parameters: Vec<String>,
    #[command(flatten)]
    pub answer: AnswerArgs,
}

/// `tallyport sessions ...`.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// Sessions, newest first.
    List {
        /// How many.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[command(flatten)]
        answer: AnswerArgs,
    },
    /// One session: who, on whose behalf, each decision and command in order.
    Show {
        /// The session's id.
        session: String,
        #[command(flatten)]
        answer: AnswerArgs,
    },
    /// End one session, mid-statement too, whichever gateway it is on.
    #[command(override_usage = "tallyport sessions kill [OPTIONS] --reason <TEXT> <SESSION>")]
    Kill {
        /// The session's id.
        session: tallyport_schemas::SessionId,
        #[command(flatten)]
        order: ReasonArgs,
    },
    /// One session as it passed: each statement with the rows the agent saw. Needs `audit:raw`.
    Replay {
        /// The session's id.
        session: String,
        /// At most this many rows of each result; 0 for all.
        #[arg(long, default_value_t = 20)]
        rows: usize,
        /// As a recording of what passed through a container's terminal or streams (asciicast v2): play it with asciinema.
        #[arg(long)]
        asciicast: bool,
        #[command(flatten)]
        answer: AnswerArgs,
    },
}

/// `tallyport policy ...`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Validate policies against the schema: names, types, annotations.
    Check {
        /// A file or a directory of *.cedar.
        path: PathBuf,
    },
    /// Decide the cases of a test file with these policies; exit 1 when one decides otherwise than it says.
    Test {
        /// A file or a directory of *.cedar.
        path: PathBuf,
        /// Cases (TOML); see docs/reference/cli.md.
        #[arg(long, value_name = "FILE")]
        cases: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `tallyport config ...`.
#[derive(Debug, Subcommand)]
pub enum LakeCommand {
    /// Rewrite the small files of closed days into few large ones. Recording and questions go on meanwhile.
    ///
    /// A recorder writes a file for every commit and partition of the log, thousands a day; a question opens each that it
    /// cannot leave out. Rows do not change. Once a day is enough, from one machine.
    #[command(
        after_help = "Examples:\n  tallyport lake compact --config /etc/tallyport/tallyport.toml\n  tallyport lake compact --config tallyport.toml --today     # what was recorded today, too"
    )]
    Compact {
        /// The recorder's configuration file (TOML): its [lake] is rewritten.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Today's files, too (UTC).
        #[arg(long)]
        today: bool,
    },
}

/// `tallyport config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check a configuration file and everything it names; opens nothing.
    Check {
        /// The configuration file (TOML).
        path: PathBuf,
        /// The name of this machine, instead of `node` in the file.
        #[arg(long, value_name = "NAME", env = "TALLYPORT_NODE")]
        node: Option<String>,
    },
    /// List every key of a configuration file, with its type, its default and what it does.
    #[command(
        after_help = "Examples:\n  tallyport config keys\n  tallyport config keys gateway.limits\n  tallyport config keys --format json-schema > tallyport.schema.json   # for an editor"
    )]
    Keys {
        /// Only keys that begin so.
        #[arg(default_value = "")]
        prefix: String,
        /// How they are written.
        #[arg(long, value_enum, default_value_t = KeysFormat::Table)]
        format: KeysFormat,
    },
}

/// How the keys of a configuration are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KeysFormat {
    /// A table for a terminal.
    Table,
    /// A table in Markdown: docs/reference/configuration-keys.md.
    Markdown,
    /// JSON Schema (draft 2020-12).
    JsonSchema,
}
