//! The client-credentials grant by which the gateway gets tokens for what is behind it (RFC 6749 section 4.4).

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::Credential;

/// The client-credentials grant.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawOAuth2 {
    /// The issuer, exactly as it names itself; its token endpoint is discovered (RFC 8414). `http` only for this very machine.
    pub issuer: Option<String>,
    /// Or the token endpoint itself.
    pub token_url: Option<String>,
    /// Who may vouch for it in TLS (PEM); besides the system's roots.
    pub ca: Option<PathBuf>,
    /// The gateway's id there.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Option<Credential>,
    /// Or its private key (PEM), by which it signs in place of showing a secret (RFC 7523).
    pub client_key: Option<Credential>,
    /// The name (`kid`) that the issuer knows the key by.
    pub client_key_id: Option<String>,
    /// Whom what it signs is for, where the issuer wants something else than its own name, such as its token endpoint.
    pub client_key_audience: Option<String>,
    /// The scope that is asked for.
    pub scope: Option<String>,
    /// The audience that is asked for, as `resource` (RFC 8707) and as `audience`; for MCP servers their `url` when absent.
    pub audience: Option<String>,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(crate) struct OAuth2 {
    pub issuer: OAuth2Issuer,
    pub ca: Option<PathBuf>,
    pub client_id: String,
    pub proof: OAuth2Proof,
    pub scope: Option<String>,
    pub audience: Option<String>,
}

/// Where tokens come from.
#[derive(Clone, Debug)]
pub(crate) enum OAuth2Issuer {
    /// Its token endpoint is discovered.
    Named(String),
    /// It is known beforehand.
    At(String),
}

/// How the gateway proves that it is this client.
#[derive(Clone, Debug)]
pub(crate) enum OAuth2Proof {
    Secret(Credential),
    Key { pem: Credential, id: Option<String>, audience: Option<String> },
}

impl OAuth2 {
    /// What may have been changed since it was kept.
    pub(crate) const fn credential(&self) -> &Credential {
        match &self.proof {
            OAuth2Proof::Secret(credential) | OAuth2Proof::Key { pem: credential, .. } => {
                credential
            }
        }
    }
}

impl RawOAuth2 {
    /// Checks it; relative paths are taken from `folder`.
    pub(super) fn check(&self, folder: &Path) -> Result<OAuth2, String> {
        let issuer = match (&self.issuer, &self.token_url) {
            (Some(issuer), None) => OAuth2Issuer::Named(issuer.clone()),
            (None, Some(url)) => OAuth2Issuer::At(url.clone()),
            _ => return Err("give one of issuer and token_url".to_owned()),
        };
        let of_key = self.client_key_id.is_some() || self.client_key_audience.is_some();
        let proof = match (&self.client_secret, &self.client_key) {
            (Some(_), None) if of_key => {
                return Err("client_key_id and client_key_audience are for client_key".to_owned());
            }
            (Some(secret), None) => OAuth2Proof::Secret(secret.clone().relative_to(folder)),
            (None, Some(pem)) => OAuth2Proof::Key {
                pem: pem.clone().relative_to(folder),
                id: self.client_key_id.clone(),
                audience: self.client_key_audience.clone(),
            },
            _ => return Err("give one of client_secret and client_key".to_owned()),
        };
        let ca = self.ca.as_ref().map(|path| folder.join(path));
        let (client_id, scope) = (self.client_id.clone(), self.scope.clone());
        Ok(OAuth2 { issuer, ca, client_id, proof, scope, audience: self.audience.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_says_what_to_give() {
        let checked = |text: &str| {
            let raw: RawOAuth2 = toml::from_str(&format!("client_id = 'x'\n{text}")).unwrap();
            raw.check(Path::new("/etc/tallyport"))
        };
        let (secret, key) = ("client_secret = { value = 's' }", "client_key = { file = 'k.pem' }");
        let (issuer, url) = ("issuer = 'https://i'", "token_url = 'https://i/token'");
        for (text, told) in [
            (secret.to_owned(), "one of issuer and token_url"),
            (format!("{issuer}\n{url}\n{secret}"), "one of issuer and token_url"),
            (issuer.to_owned(), "one of client_secret and client_key"),
            (format!("{issuer}\n{secret}\n{key}"), "one of client_secret and client_key"),
            (format!("{issuer}\n{secret}\nclient_key_id = '1'"), "are for client_key"),
        ] {
            let wrong = checked(&text).unwrap_err();
            assert!(wrong.contains(told), "{text}: {wrong}");
        }
        let it = checked(&format!("{url}\n{key}\nclient_key_id = '1'")).unwrap();
        assert!(format!("{it:?}").contains("/etc/tallyport/k.pem"), "{it:?}");
    }
}
