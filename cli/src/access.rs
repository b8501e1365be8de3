//! Where the services are and who is asking: from arguments, the environment, or a ready file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tallyport_access::SecretToken;
use tallyport_access::client::{
    ClientAuthentication, ClientCredentials, ClientKey, Login, TokenError, TokenSource,
};

use crate::answer::Asker;
use crate::args::{AccessArgs, AnswerArgs};
use crate::exit::Failure;
use crate::ready::ReadyFile;

/// The variable that holds a client secret; there is no flag for one, since arguments are seen by everybody.
const CLIENT_SECRET_VARIABLE: &str = "TALLYPORT_CLIENT_SECRET";

/// Makes tokens of a client's credentials.
type Credentials = fn(ClientCredentials) -> Result<TokenSource, TokenError>;

/// Who is asking, and what the ready file says, where there is one.
pub struct Access {
    /// The ready file of `tallyport dev`.
    pub ready: Option<ReadyFile>,
    /// Where tokens come from.
    pub tokens: TokenSource,
}

impl Access {
    /// Makes the best of the arguments.
    pub fn new(args: &AccessArgs) -> Result<Self, Failure> {
        Self::with(args, TokenSource::client_credentials)
    }

    /// The same, with tokens that are bound to a key of this process, where that is how the issuer gives them.
    pub fn bound(args: &AccessArgs) -> Result<Self, Failure> {
        Self::with(args, TokenSource::bound_credentials)
    }

    fn with(args: &AccessArgs, credentials: Credentials) -> Result<Self, Failure> {
        let ready = args.ready_file.as_deref().map(ReadyFile::read).transpose()?;
        let tokens = token_source(args, ready.as_ref(), credentials)?;
        Ok(Self { ready, tokens })
    }
}

/// One that asks the query service these arguments name.
pub async fn asker(args: &AnswerArgs) -> Result<Asker, Failure> {
    let access = Access::new(&args.access)?;
    let base = args
        .query_url
        .clone()
        .or_else(|| access.ready.as_ref().map(|ready| ready.query.http.clone()))
        .ok_or_else(|| {
            Failure::usage("where is the query service? set --query-url or --ready-file")
        })?;
    if !base.starts_with("https://") && !base.starts_with("http://") {
        let fix = "it is no URL; write https://HOST:PORT, or http:// on this very machine";
        return Err(Failure::usage(format!("--query-url `{base}`: {fix}")));
    }
    let token = access.tokens.token().await.map_err(|error| no_token(&error))?;
    Ok(Asker::new(http_client(&args.access, None)?, &base, token.expose().to_owned()))
}

/// A token could not be had.
pub fn no_token(error: &TokenError) -> Failure {
    match error {
        TokenError::Refused { .. } => Failure::denied(error),
        TokenError::Issuer(_) => {
            let told = error.to_string();
            let fix = match told.contains("UnknownIssuer") {
                true => "; name the file of its CA (--issuer-ca FILE, PEM) if it is the right one",
                false => "",
            };
            Failure::failed(format!("{told}{fix}"))
        }
        _ => Failure::usage(error),
    }
}

fn token_source(
    args: &AccessArgs,
    ready: Option<&ReadyFile>,
    credentials: Credentials,
) -> Result<TokenSource, Failure> {
    if let Some(token) = &args.token {
        return Ok(TokenSource::fixed(SecretToken::new(token.clone())));
    }
    if let Some(path) = &args.token_file {
        return Ok(TokenSource::file(path.clone()));
    }
    if let Some(issuer) = &args.issuer {
        let client_id =
            args.client_id.clone().ok_or_else(|| Failure::usage("--issuer needs --client-id"))?;
        let settings = ClientCredentials {
            issuer: issuer.clone(),
            token_url: None,
            client_id,
            authentication: authentication(args)?,
            audience: args.audience.clone(),
            scope: None,
            extra: Vec::new(),
            roots_pem: match &args.issuer_ca {
                Some(path) => Some(std::fs::read(path).map_err(|error| {
                    Failure::usage(format!("--issuer-ca {}: {error}", path.display()))
                })?),
                None => None,
            },
        };
        return credentials(settings).map_err(Failure::usage);
    }
    if let (Some(ready), Some(id)) = (ready, &args.client) {
        return credentials(ready.credentials(id)?).map_err(Failure::usage);
    }
    match login(args.login_file.as_deref()) {
        Ok(login) if login.exists() => Ok(TokenSource::login(login)),
        _ => Err(Failure::usage(
            "who is asking? run `tallyport login`, or give --token-file, --issuer with --client-id, or --ready-file with \
             --as CLIENT",
        )),
    }
}

/// Where a person's sign-in is kept.
pub fn login(file: Option<&Path>) -> Result<Login, Failure> {
    if let Some(file) = file {
        return Ok(Login::at(file));
    }
    let folder =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    let state = state
        .ok_or_else(|| Failure::usage("where is the sign-in kept? set --login-file, or HOME"))?;
    Ok(Login::at(state.join("tallyport/login.json")))
}

fn authentication(args: &AccessArgs) -> Result<ClientAuthentication, Failure> {
    let Some(path) = &args.client_key_file else {
        return client_secret(args).map(ClientAuthentication::Secret);
    };
    let key = ClientKey::read(path).map_err(Failure::usage)?;
    let key = key.named(args.client_key_id.clone()).for_audience(args.client_key_audience.clone());
    Ok(ClientAuthentication::Key(Arc::new(key)))
}

fn client_secret(args: &AccessArgs) -> Result<SecretToken, Failure> {
    let text = match &args.client_secret_file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("client secret file {}: {error}", path.display()))
        })?,
        None => std::env::var(CLIENT_SECRET_VARIABLE).map_err(|_| {
            Failure::usage(format!(
                "--issuer needs a secret or a key: --client-secret-file FILE, {CLIENT_SECRET_VARIABLE}, or --client-key-file FILE"
            ))
        })?,
    };
    Ok(SecretToken::new(text.trim()))
}

/// Trusts `--ca`, or `ca` where there is none, besides the public ones.
pub fn http_client(args: &AccessArgs, ca: Option<&Path>) -> Result<reqwest::Client, Failure> {
    let mut builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    if let Some(path) = args.ca.as_deref().or(ca) {
        let pem = std::fs::read(path)
            .map_err(|error| Failure::usage(format!("CA {}: {error}", path.display())))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| Failure::usage(format!("CA {}: {error}", path.display())))?;
        if certificates.is_empty() {
            let fix = "it holds no certificate; name a PEM file with the CA's";
            return Err(Failure::usage(format!("CA {}: {fix}", path.display())));
        }
        for certificate in certificates {
            builder = builder.add_root_certificate(certificate);
        }
    }
    builder.build().map_err(Failure::failed)
}
