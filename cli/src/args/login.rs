//! `tallyport login`, `logout` and `whoami`.

use std::path::PathBuf;

use clap::Args;

/// `tallyport login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The ready file of `tallyport dev`: sign in as one of its people.
    #[arg(long, value_name = "FILE", env = "TALLYPORT_READY_FILE")]
    pub ready_file: Option<PathBuf>,
    /// The issuer to sign in at.
    #[arg(long, value_name = "URL", env = "TALLYPORT_ISSUER")]
    pub issuer: Option<String>,
    /// The public client that is registered there for people's command lines.
    #[arg(long, value_name = "ID", env = "TALLYPORT_CLIENT_ID")]
    pub client_id: Option<String>,
    /// The audience to ask the issuer for.
    #[arg(long, value_name = "AUDIENCE", env = "TALLYPORT_AUDIENCE")]
    pub audience: Option<String>,
    /// The scope to ask the issuer for; many give what renews a sign-in only with offline_access in it.
    #[arg(long, value_name = "SCOPE", default_value = "openid")]
    pub scope: String,
    /// CA certificates (PEM) to trust besides the public ones, when the issuer is asked.
    #[arg(long, value_name = "FILE", env = "TALLYPORT_CA")]
    pub ca: Option<PathBuf>,
    #[command(flatten)]
    pub place: LoginPlace,
}

/// Where a sign-in is kept.
#[derive(Debug, Args)]
pub struct LoginPlace {
    /// Keep the sign-in in this file; default: tallyport/login.json below $XDG_STATE_HOME, or ~/.local/state.
    #[arg(long, value_name = "FILE", env = "TALLYPORT_LOGIN_FILE")]
    pub login_file: Option<PathBuf>,
}
