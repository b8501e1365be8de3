//! `tallyport dev`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// `tallyport dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// Write a JSON file once everything answers: addresses, CA, data directory, targets, how to get a token.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// The log: embedded:DIR or kafka://HOST:PORT. Default: embedded, below --data.
    #[arg(long, value_name = "URL")]
    pub log: Option<String>,
    /// Where log, lake and development keys are kept. Default: .tallyport-dev in this directory.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Your own database: postgres://USER:PASSWORD@HOST:PORT/DATABASE[?sslmode=...&sslrootcert=FILE].
    /// Default: a throw-away PostgreSQL with sample data. The target is named after --target-name.
    #[arg(long, value_name = "URL", env = "TALLYPORT_TARGET_URL", hide_env_values = true)]
    pub target_url: Option<String>,
    /// The name of the target.
    #[arg(long, value_name = "NAME", default_value = "sample")]
    pub target_name: String,
    /// Cedar policies: a file or a directory of *.cedar. Default: the example policies.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Labels and masks (TOML). Default: the example labels.
    #[arg(long, value_name = "FILE")]
    pub masking: Option<PathBuf>,
    /// The lake: a directory or s3://BUCKET/PREFIX. Default: below --data.
    #[arg(long, value_name = "URL")]
    pub lake: Option<String>,
    /// An MCP server behind the gateway: NAME=URL, such as notes=http://localhost:8000/mcp, or NAME=stdio:COMMAND for a program
    /// and its arguments, parted by blanks. May be repeated. Its tools are NAME__TOOL at /mcp; the server itself is at
    /// /mcp/NAME.
    #[arg(long = "mcp-server", value_name = "NAME=URL")]
    pub mcp_servers: Vec<String>,
    /// More targets: a TOML file with [[targets]] of any kind, as in a configuration file. Policies must name them.
    #[arg(long, value_name = "FILE")]
    pub targets: Option<PathBuf>,
    /// Address of the gateway (QUIC and TCP). Loopback only.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}
