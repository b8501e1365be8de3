//! `[console]`: the pages for people.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_gateway::config::Credential;
use url::Url;

/// `[console]`, served by the gateway below `/console/`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawConsole {
    /// The origin that people type, such as `https://gateway.example.com`. Issuers send browsers back to
    /// `/console/callback/ID` of it, with the id of `sign_in`.
    #[schemars(with = "String")]
    pub public_url: Url,
    /// Seals the cookies: at least 32 bytes, the same on all gateways behind one name. Absent, one is drawn at each
    /// start, and people sign in again then.
    pub key: Option<Credential>,
    /// The query service's HTTP address, for history and replay. Absent, that of `[query]` where it runs here, without
    /// TLS.
    #[schemars(with = "Option<String>")]
    pub query_url: Option<Url>,
    /// Certificates to trust beside the system's when the query service is asked (PEM).
    pub query_ca: Option<PathBuf>,
    /// Where people sign in; at least one.
    pub sign_in: Vec<RawSignIn>,
}

/// One of `[[console.sign_in]]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSignIn {
    /// Names it in addresses: `a-z`, `0-9`, `-`.
    pub id: String,
    /// What the button says.
    pub name: String,
    /// One of `[[issuers]]`.
    pub issuer: String,
    /// The client that is registered there.
    pub client_id: String,
    /// Its secret; a public client has none.
    pub client_secret: Option<Credential>,
    /// The audience of the tokens that it asks for; absent, the first of the issuer's `audiences`.
    pub audience: Option<String>,
    /// The scope that it asks for.
    #[serde(default = "default_scope")]
    pub scope: String,
}

impl RawConsole {
    pub fn relative_to(mut self, folder: &Path) -> Self {
        let credentials = self.sign_in.iter_mut().map(|it| &mut it.client_secret);
        for credential in credentials.chain([&mut self.key]) {
            if let Some(Credential::File(path)) = credential {
                *path = folder.join(&*path);
            }
        }
        self.query_ca = self.query_ca.map(|path| folder.join(path));
        self
    }
}

fn default_scope() -> String {
    "openid".to_owned()
}
