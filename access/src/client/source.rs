//! Where a client's token comes from.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::SecretToken;
use crate::client::credentials::{ClientCredentials, CredentialsFlow};
use crate::client::{Login, ProofKey};

/// The largest token file.
const MAX_TOKEN_FILE_BYTES: u64 = 64 * 1024;

/// A source of tokens that are valid now. Cheap to clone; clones share what is cached.
#[derive(Clone, Debug)]
pub struct TokenSource {
    kind: Arc<Kind>,
    /// What its tokens may be bound to.
    key: Option<Arc<ProofKey>>,
}

/// A token, and the key that must be proved with it.
#[derive(Clone, Debug)]
pub struct BoundToken {
    /// The token.
    pub token: SecretToken,
    /// The key; a bearer token has none.
    pub key: Option<Arc<ProofKey>>,
}

#[derive(Debug)]
enum Kind {
    Fixed(SecretToken),
    Environment(String),
    File(PathBuf),
    Credentials(Box<CredentialsFlow>),
    Login(Login),
}

/// No token can be had. The text carries no secret.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The environment has no such variable.
    #[error("environment variable {0} is not set or empty; put the token there")]
    Environment(String),
    /// The file cannot be read.
    #[error("token file `{}`: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A person's sign-in cannot be used, or there is none.
    #[error("sign-in `{}`: {reason}", path.display())]
    Login {
        /// Where it is kept.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The settings of the client-credentials grant are wrong.
    #[error("client credentials: {0}")]
    Settings(String),
    /// The issuer cannot be reached, or its answer cannot be used.
    #[error("no token from the issuer: {0}")]
    Issuer(String),
    /// The issuer refused.
    #[error(
        "the issuer refused to give a token: {code}; check the client's id, secret and audience"
    )]
    Refused {
        /// The OAuth error code (RFC 6749 section 5.2).
        code: String,
    },
}

impl TokenSource {
    /// Always this token.
    #[must_use]
    pub fn fixed(token: SecretToken) -> Self {
        Self::of(Kind::Fixed(token))
    }

    /// An environment variable, read at every use.
    #[must_use]
    pub fn environment(variable: impl Into<String>) -> Self {
        Self::of(Kind::Environment(variable.into()))
    }

    /// A file, read at every use, so that whoever renews the token need only replace it.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::of(Kind::File(path.into()))
    }

    /// The client-credentials grant (RFC 6749 section 4.4); tokens are kept and renewed before they end.
    ///
    /// # Errors
    /// [`TokenError::Settings`].
    pub fn client_credentials(settings: ClientCredentials) -> Result<Self, TokenError> {
        Self::credentials(settings, None)
    }

    /// The same, with tokens that are bound to a key of this process where the issuer can do that (RFC 9449): who sees one
    /// cannot use it.
    ///
    /// # Errors
    /// [`TokenError::Settings`].
    pub fn bound_credentials(settings: ClientCredentials) -> Result<Self, TokenError> {
        Self::credentials(settings, Some(Arc::new(ProofKey::generate()?)))
    }

    fn credentials(
        settings: ClientCredentials,
        key: Option<Arc<ProofKey>>,
    ) -> Result<Self, TokenError> {
        let flow = CredentialsFlow::new(settings, key.clone())?;
        Ok(Self { kind: Arc::new(Kind::Credentials(Box::new(flow))), key })
    }

    /// A person's sign-in.
    #[must_use]
    pub fn login(login: Login) -> Self {
        Self::of(Kind::Login(login))
    }

    /// A token that is valid now, as far as the source knows.
    ///
    /// # Errors
    /// [`TokenError`].
    ///
    /// # Cancel safety
    /// Cancel safe; a token that was being fetched is lost.
    pub async fn token(&self) -> Result<SecretToken, TokenError> {
        Ok(self.bound_token().await?.token)
    }

    /// The same, with the key that it is bound to, where it is: that must then be proved with every use.
    ///
    /// # Errors
    /// [`TokenError`].
    ///
    /// # Cancel safety
    /// Cancel safe; a token that was being fetched is lost.
    pub async fn bound_token(&self) -> Result<BoundToken, TokenError> {
        let (token, bound) = self.kept_token().await?;
        Ok(BoundToken { token, key: self.key.clone().filter(|_| bound) })
    }

    /// The token, and whether it is bound to the key.
    async fn kept_token(&self) -> Result<(SecretToken, bool), TokenError> {
        let bearer = match &*self.kind {
            Kind::Credentials(flow) => return flow.token().await,
            Kind::Fixed(token) => Ok(token.clone()),
            Kind::Environment(variable) => std::env::var(variable)
                .ok()
                .map(|token| token.trim().to_owned())
                .filter(|token| !token.is_empty())
                .map(SecretToken::new)
                .ok_or_else(|| TokenError::Environment(variable.clone())),
            Kind::File(path) => read(path),
            Kind::Login(login) => login.token().await,
        };
        bearer.map(|token| (token, false))
    }

    /// Forgets what is kept: the service refused the token, so the next one must be new.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn forget(&self) {
        match &*self.kind {
            Kind::Credentials(flow) => flow.forget().await,
            // Where it cannot be noted, the next use says why.
            Kind::Login(login) => drop(login.forget().await),
            Kind::Fixed(_) | Kind::Environment(_) | Kind::File(_) => {}
        }
    }

    fn of(kind: Kind) -> Self {
        Self { kind: Arc::new(kind), key: None }
    }
}

fn read(path: &Path) -> Result<SecretToken, TokenError> {
    let failed =
        |reason: &str| TokenError::File { path: path.to_path_buf(), reason: reason.to_owned() };
    let mut text = zeroize::Zeroizing::new(String::new());
    let file = File::open(path).map_err(|error| failed(&error.to_string()))?;
    file.take(MAX_TOKEN_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(&error.to_string()))?;
    if text.len() as u64 > MAX_TOKEN_FILE_BYTES {
        return Err(failed("it is too large for a token"));
    }
    match text.trim() {
        "" => Err(failed("it is empty; put the token there")),
        token => Ok(SecretToken::new(token)),
    }
}
