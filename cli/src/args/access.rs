//! Who is asking, and where the services are.

use std::path::PathBuf;

use clap::Args;

/// Where to find the services, and who is asking.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessArgs {
    /// The ready file of `tallyport dev`: addresses, CA and clients come from it.
    #[arg(long, value_name = "FILE", env = "TALLYPORT_READY_FILE")]
    pub ready_file: Option<PathBuf>,
    /// Ask as this client of the ready file's development issuer.
    #[arg(long = "as", value_name = "CLIENT", env = "TALLYPORT_AS")]
    pub client: Option<String>,
    /// A token. Prefer --token-file: arguments and environments are easily seen.
    #[arg(long, value_name = "TOKEN", env = "TALLYPORT_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// A file that holds the token; read anew when it changes.
    #[arg(long, value_name = "FILE", env = "TALLYPORT_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// Get tokens by the client-credentials grant from this issuer.
    #[arg(long, value_name = "URL", env = "TALLYPORT_ISSUER", requires = "client_id")]
    pub issuer: Option<String>,
    /// The client id for --issuer.
    #[arg(long, value_name = "ID", env = "TALLYPORT_CLIENT_ID")]
    pub client_id: Option<String>,
    /// Who may vouch for the issuer in TLS (PEM), where the system's certificates do not.
    #[arg(long, value_name = "FILE", env = "TALLYPORT_ISSUER_CA")]
    pub issuer_ca: Option<PathBuf>,
    /// A file that holds the client secret for --issuer (or set TALLYPORT_CLIENT_SECRET).
    #[arg(long, value_name = "FILE")]
    pub client_secret_file: Option<PathBuf>,
    /// A file that holds the client's private key (PEM) in place of a secret: nothing but what it signs leaves this machine.
    #[arg(
        long,
        value_name = "FILE",
        env = "TALLYPORT_CLIENT_KEY_FILE",
        conflicts_with = "client_secret_file"
    )]
    pub client_key_file: Option<PathBuf>,
    /// The name (`kid`) that the issuer knows the key by.
    #[arg(long, value_name = "KID", env = "TALLYPORT_CLIENT_KEY_ID", requires = "client_key_file")]
    pub client_key_id: Option<String>,
    /// Whom what it signs is for, where the issuer wants its token endpoint there instead of its own name.
    #[arg(long, value_name = "URL", requires = "client_key_file")]
    pub client_key_audience: Option<String>,
    /// The audience to ask the issuer for.
    #[arg(long, value_name = "AUDIENCE", env = "TALLYPORT_AUDIENCE")]
    pub audience: Option<String>,
    /// Where `tallyport login` keeps a person's sign-in; used where nothing above says who is asking.
    #[arg(long, value_name = "FILE", env = "TALLYPORT_LOGIN_FILE")]
    pub login_file: Option<PathBuf>,
    /// CA certificates (PEM) to trust besides the public ones.
    #[arg(long, value_name = "FILE", env = "TALLYPORT_CA")]
    pub ca: Option<PathBuf>,
}

impl AccessArgs {
    /// Whether anything but a kept sign-in says who is asking.
    pub fn says_who(&self) -> bool {
        self.client.is_some()
            || self.token.is_some()
            || self.token_file.is_some()
            || self.issuer.is_some()
            || self.login_file.is_some()
    }
}
