//! Where a connector's tokens come from.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tallyport_access::client::ProofKey;
use tokio::io::AsyncReadExt as _;
use zeroize::Zeroizing;

use crate::tunnel::BearerToken;

/// The longest token that a file may hold.
const MAX_TOKEN_FILE_BYTES: u64 = 64 * 1024;

/// Gives a token that is valid now. Asked once for every tunnel, by several tasks at a time: an implementation caches
/// and refreshes by itself.
#[async_trait]
pub trait TokenProvider: Send + Sync + 'static {
    /// The token to present.
    ///
    /// # Errors
    /// [`TokenError`] when there is none.
    async fn token(&self) -> Result<Credentials, TokenError>;
}

/// A token, and the key that it is bound to, where it is: every use is then proved with it (RFC 9449).
#[derive(Debug)]
pub struct Credentials {
    /// The token; absent where a client certificate alone says who comes.
    pub token: Option<BearerToken>,
    /// The key.
    pub key: Option<Arc<ProofKey>>,
}

impl From<BearerToken> for Credentials {
    fn from(token: BearerToken) -> Self {
        Self { token: Some(token), key: None }
    }
}

/// There is no token.
#[derive(Debug, thiserror::Error)]
#[error("no token could be obtained: {0}; log in again or check the token's source")]
pub struct TokenError(#[source] Box<dyn Error + Send + Sync>);

impl TokenError {
    /// The reason must not hold any part of a token.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }
}

/// One token for ever, as from an environment variable.
#[derive(Debug)]
pub struct StaticToken(BearerToken);

impl StaticToken {
    /// Presents this token.
    #[must_use]
    pub const fn new(token: BearerToken) -> Self {
        Self(token)
    }
}

#[async_trait]
impl TokenProvider for StaticToken {
    async fn token(&self) -> Result<Credentials, TokenError> {
        Ok(BearerToken::new(self.0.expose().to_owned()).into())
    }
}

/// No token: a client certificate says who comes (X.509-SVID).
#[derive(Clone, Copy, Debug)]
pub struct NoToken;

#[async_trait]
impl TokenProvider for NoToken {
    async fn token(&self) -> Result<Credentials, TokenError> {
        Ok(Credentials { token: None, key: None })
    }
}

/// A file that somebody else keeps fresh, such as a projected service account token; read for every tunnel.
#[derive(Debug)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// Presents what the file holds.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

#[async_trait]
impl TokenProvider for TokenFile {
    async fn token(&self) -> Result<Credentials, TokenError> {
        let file = tokio::fs::File::open(&self.0).await.map_err(TokenError::new)?;
        let mut text = Zeroizing::new(String::new());
        let read = file.take(MAX_TOKEN_FILE_BYTES).read_to_string(&mut text).await;
        read.map_err(TokenError::new)?;
        match text.trim() {
            "" => Err(TokenError::new(format!("{} is empty", self.0.display()))),
            token => Ok(BearerToken::new(token.to_owned()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn file_is_read_each_time_and_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let source = TokenFile::new(path.clone());
        assert!(source.token().await.is_err());
        std::fs::write(&path, " one\n").unwrap();
        let read = source.token().await.unwrap().token.unwrap();
        assert_eq!(read.expose(), "one");
        std::fs::write(&path, "two").unwrap();
        let read = source.token().await.unwrap().token.unwrap();
        assert_eq!(read.expose(), "two");
        std::fs::write(&path, "\n").unwrap();
        assert!(source.token().await.unwrap_err().to_string().contains("is empty"));
    }
}
