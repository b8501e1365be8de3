//! What the pages are told.

use tallyport_access::client::{ClientSettings, TokenError};
use url::Url;

use crate::seal::SealKey;

/// The most issuers that people are offered.
const MAX_PROVIDERS: usize = 16;
/// The longest name of one.
const MAX_NAME_BYTES: usize = 64;

/// The pages of one gateway.
#[derive(Debug)]
pub struct ConsoleConfig {
    /// The origin that people type, such as `https://gateway.example.com`: what issuers send browsers back to.
    pub public_url: Url,
    /// Where people sign in.
    pub providers: Vec<SignInConfig>,
    /// Seals cookies. Gateways behind one name need the same; absent, one is drawn at each start.
    pub key: Option<SealKey>,
    /// The query service, for history and replay; absent, the pages are without.
    pub audit: Option<AuditService>,
}

/// One issuer, and the client that people sign in with there.
#[derive(Debug)]
pub struct SignInConfig {
    /// Names it in the address of the sign-in: `a-z`, `0-9`, `-`.
    pub id: String,
    /// What the button says.
    pub name: String,
    /// The client.
    pub client: ClientSettings,
}

/// The query service's HTTP face.
#[derive(Debug)]
pub struct AuditService {
    /// Its base URL.
    pub url: Url,
    /// Certificates to trust beside the system's: PEM.
    pub roots_pem: Option<Vec<u8>>,
}

/// The pages cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The public URL.
    #[error(
        "console.public_url: write the origin that people type, as in https://gateway.example.com, without a path"
    )]
    PublicUrl,
    /// No issuer, or too many.
    #[error(
        "console.sign_in: give 1 to {MAX_PROVIDERS} issuers, each with an id (a-z, 0-9, `-`) of its own and a name of at most {MAX_NAME_BYTES} bytes, and the client_id that is registered there"
    )]
    Providers,
    /// A client's settings.
    #[error("console.sign_in.{id}: {source}")]
    Client {
        /// Which.
        id: String,
        /// Why.
        source: TokenError,
    },
    /// The audit's address.
    #[error("console.query_url: {0}")]
    Audit(String),
    /// The key.
    #[error("console.key: {0}")]
    Key(&'static str),
}

impl ConsoleConfig {
    /// Everything that can be wrong before an issuer is asked.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub fn check(&self) -> Result<(), ConsoleError> {
        let url = &self.public_url;
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if url.scheme() != "https" || url.host_str().is_none() || !bare {
            return Err(ConsoleError::PublicUrl);
        }
        let fine = |provider: &SignInConfig| {
            let id = provider.id.as_bytes();
            let known = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
            (1..=MAX_NAME_BYTES).contains(&id.len())
                && id.iter().all(known)
                && (1..=MAX_NAME_BYTES).contains(&provider.name.len())
                && !provider.client.client_id.is_empty()
        };
        let distinct: std::collections::BTreeSet<&str> =
            self.providers.iter().map(|provider| provider.id.as_str()).collect();
        let count = self.providers.len();
        if (1..=MAX_PROVIDERS).contains(&count)
            && distinct.len() == count
            && self.providers.iter().all(fine)
        {
            Ok(())
        } else {
            Err(ConsoleError::Providers)
        }
    }
}
