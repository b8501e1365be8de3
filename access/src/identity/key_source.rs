//! Fetches an issuer's keys: discovery (OpenID Connect Discovery section 4, RFC 8414), then the key set.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::timeout;
use url::Url;

use super::issuer::{is_loopback, is_safe_url};
use super::key_set::{KeySet, KeySetError};
use crate::http::{Http, HttpError};

/// Where an issuer publishes its keys.
#[derive(Debug)]
pub(super) struct KeySource {
    pub(super) http: Http,
    pub(super) issuer: String,
    /// Known beforehand; discovered at every fetch when absent.
    pub(super) jwks_uri: Option<Url>,
    pub(super) timeout: Duration,
}

/// The keys could not be fetched. For our own log.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{url} answers with status {status}; it must answer 200 (redirects are not followed)")]
    Status { url: String, status: u16 },
    #[error("{url} is not a discovery document")]
    NotDiscovery { url: String },
    #[error(
        "the discovery document is that of `{found}`; configure exactly that issuer, or fix the URL"
    )]
    OtherIssuer { found: String },
    #[error("the discovery document names the key set `{0}`, which is not https")]
    UnsafeKeys(String),
    #[error("{url} is no usable key set: {source}")]
    Keys { url: String, source: KeySetError },
    #[error("the issuer did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
}

impl KeySource {
    /// # Cancel safety
    /// Cancel safe: it changes nothing.
    pub(super) async fn fetch(&self) -> Result<KeySet, FetchError> {
        timeout(self.timeout, self.fetch_keys())
            .await
            .map_err(|_| FetchError::TimedOut(self.timeout))?
    }

    async fn fetch_keys(&self) -> Result<KeySet, FetchError> {
        let url = match &self.jwks_uri {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let body = self.get(&url).await?;
        KeySet::parse(&body).map_err(|source| FetchError::Keys { url: url.to_string(), source })
    }

    /// The `jwks_uri` of the issuer's own document. RFC 8414 section 3.3: a document of another issuer is refused.
    async fn discover(&self) -> Result<Url, FetchError> {
        let [openid, oauth] = discovery_urls(&self.issuer)
            .ok_or_else(|| FetchError::NotDiscovery { url: self.issuer.clone() })?;
        let (url, body) = match self.get(&openid).await {
            Err(FetchError::Status { status: 404, .. }) => {
                let body = self.get(&oauth).await?;
                (oauth, body)
            }
            other => (openid, other?),
        };
        keys_of(&body, &url, &self.issuer)
    }

    async fn get(&self, url: &Url) -> Result<Vec<u8>, FetchError> {
        let answer = self.http.get(url).await?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(FetchError::Status { url: url.to_string(), status }),
        }
    }
}

/// Where the keys of `issuer` are, by the document that came from `url`.
pub(super) fn keys_of(document: &[u8], url: &Url, issuer: &str) -> Result<Url, FetchError> {
    // An object: a derived reader takes a list of the values, too.
    let found: Option<Map<String, Value>> = serde_json::from_slice(document).ok();
    let text = |key: &str| found.as_ref()?.get(key)?.as_str();
    let (Some(said), Some(keys)) = (text("issuer"), text("jwks_uri")) else {
        return Err(FetchError::NotDiscovery { url: url.to_string() });
    };
    if said != issuer {
        return Err(FetchError::OtherIssuer { found: said.chars().take(256).collect() });
    }
    let unsafe_keys = || FetchError::UnsafeKeys(keys.chars().take(256).collect());
    let place = Url::parse(keys).map_err(|_| unsafe_keys())?;
    // An issuer elsewhere must not send us to services of this very machine.
    let inward = is_loopback(&place) && !is_loopback(url);
    if is_safe_url(&place) && !inward { Ok(place) } else { Err(unsafe_keys()) }
}

/// OpenID Connect puts the well-known path after the issuer's path, RFC 8414 section 3.1 before it.
pub(crate) fn discovery_urls(issuer: &str) -> Option<[Url; 2]> {
    let trimmed = issuer.trim_end_matches('/');
    let openid = Url::parse(&format!("{trimmed}/.well-known/openid-configuration")).ok()?;
    let mut oauth = Url::parse(trimmed).ok()?;
    let path = oauth.path().trim_end_matches('/').to_owned();
    oauth.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    Some([openid, oauth])
}

#[cfg(test)]
mod tests {
    use super::discovery_urls;

    #[test]
    fn both_well_known_places_are_built_as_their_specifications_say() {
        let [openid, oauth] = discovery_urls("https://id.example.com/realms/main/").unwrap();
        assert_eq!(
            openid.as_str(),
            "https://id.example.com/realms/main/.well-known/openid-configuration"
        );
        assert_eq!(
            oauth.as_str(),
            "https://id.example.com/.well-known/oauth-authorization-server/realms/main"
        );
        let [_, oauth] = discovery_urls("https://id.example.com").unwrap();
        assert_eq!(oauth.as_str(), "https://id.example.com/.well-known/oauth-authorization-server");
    }
}
