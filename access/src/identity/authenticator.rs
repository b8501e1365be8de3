//! Verifies bearer tokens of the configured issuers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tallyport_schemas::{AuthMethod, TokenBinding};
use url::Url;

use super::Identity;
use super::certificate::ClientCertificate;
use super::config::IssuerConfig;
use super::failure::{AuthFailure, Reason};
use super::introspection::Introspector;
use super::issuer::{ConfigError, Issuer, is_loopback, is_safe_url};
use super::key_cache::KeyCache;
use super::key_set::KeySet;
use super::key_source::KeySource;
use super::own_keys::OwnKeys;
use super::profile::Profile;
use super::proof::{Asked, ProofVerifier};
use super::spiffe::{Domains, TrustDomainConfig};
use super::token::UnverifiedToken;
use super::verifier::{Bond, Candidate};
use crate::followed::Followed;
use crate::http::{Http, roots_of};
use crate::saml::SamlExchange;

/// The largest file of keys or certificates.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Verifies tokens. Cheap to clone; all clones share the issuers' keys.
#[derive(Clone, Debug)]
pub struct Authenticator {
    inner: Arc<Inner>,
}

/// A token as a request brought it.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The token.
    pub token: &'a str,
    /// What came in the field `DPoP`, where the scheme was `DPoP`; empty where it came without.
    pub proof: Option<&'a str>,
    /// What the request was.
    pub asked: Asked<'a>,
    /// Checks proofs of the service that it came to.
    pub verifier: &'a ProofVerifier,
    /// The certificate that the client's connection brought, where it was asked for one.
    pub certificate: Option<&'a ClientCertificate>,
}

/// What shows that whoever sends a token may.
#[derive(Clone, Copy, Default)]
struct Holder<'a> {
    proof: Option<(&'a str, &'a Presented<'a>)>,
    certificate: Option<&'a ClientCertificate>,
}

#[derive(Debug)]
struct Inner {
    trusted: BTreeMap<String, Trusted>,
    domains: Domains,
    /// The largest limit of any issuer: which one a token is of is only known once it is decoded.
    max_token_bytes: usize,
}

#[derive(Debug)]
struct Trusted {
    issuer: Issuer,
    keys: Keys,
    introspector: Option<Introspector>,
}

#[derive(Debug)]
enum Keys {
    /// Of a file, as it is.
    Given(Followed<KeySet>),
    /// Of what this service signs itself.
    Own(OwnKeys),
    Published(Arc<KeyCache>),
}

impl Authenticator {
    /// Checks the configuration. Nothing is fetched yet: an issuer that is down does not keep a service from starting.
    ///
    /// # Errors
    /// [`ConfigError`], naming the issuer, the key and the fix.
    pub fn new(issuers: Vec<IssuerConfig>) -> Result<Self, ConfigError> {
        Self::trusting(issuers, Vec::new(), None)
    }

    /// The same, with workloads of SPIFFE trust domains, whose bundles are read, and with the tokens that SAML assertions are
    /// exchanged for, by their own key alone. Whatever else the configuration says of the issuer of those, for services that
    /// have not got the key, does not count here.
    ///
    /// # Errors
    /// [`ConfigError`], naming the issuer or the domain, the key and the fix.
    pub fn trusting(
        issuers: Vec<IssuerConfig>,
        domains: Vec<TrustDomainConfig>,
        exchange: Option<&SamlExchange>,
    ) -> Result<Self, ConfigError> {
        let own = exchange.map(SamlExchange::issuer_config);
        let is_own = |one: &IssuerConfig| own.as_ref().is_some_and(|own| own.issuer == one.issuer);
        let issuers: Vec<_> = issuers.into_iter().filter(|one| !is_own(one)).collect();
        if issuers.is_empty() && domains.is_empty() && own.is_none() {
            return Err(ConfigError::NoIssuers);
        }
        let mut trusted = trusted_of(issuers)?;
        if let Some((exchange, config)) = exchange.zip(own) {
            let own = OwnKeys::new(exchange.keys(), Timestamp::now());
            let own = own.map_err(|error| ConfigError::Value {
                issuer: config.issuer.clone(),
                key: "token_key",
                fix: error.to_string(),
            })?;
            let issuer = Issuer::check(&config)?;
            let keys = Keys::Own(own);
            trusted.insert(config.issuer, Trusted { issuer, keys, introspector: None });
        }
        let domains = Domains::check(domains)?;
        let largest = trusted.values().map(|one| one.issuer.max_token_bytes).max().unwrap_or(0);
        let max_token_bytes = largest.max(domains.max_token_bytes());
        Ok(Self { inner: Arc::new(Inner { trusted, domains, max_token_bytes }) })
    }

    /// Whether a client's certificate can say who it is.
    #[must_use]
    pub fn takes_certificates(&self) -> bool {
        !self.inner.domains.is_empty()
    }

    /// Says whom the certificate of a connection names, by the bundle of its trust domain (X509-SVID section 5).
    ///
    /// # Errors
    /// [`AuthFailure`]; the caller puts it on record and lets nothing pass.
    pub fn verify_certificate(
        &self,
        certificate: &ClientCertificate,
    ) -> Result<Identity, AuthFailure> {
        let verified = self.inner.domains.verify_chain(certificate.chain(), Timestamp::now());
        verified.map_err(|reason| AuthFailure::new(reason, None).by(AuthMethod::X509Svid))
    }

    /// Whether anybody that this service lets in may be of this issuer.
    #[must_use]
    pub fn knows_issuer(&self, issuer: &str) -> bool {
        self.inner.trusted.contains_key(issuer)
            || issuer.strip_prefix("spiffe://").is_some_and(|name| self.inner.domains.has(name))
    }

    /// The trust domains whose workloads are let in, as `spiffe://NAME`, sorted.
    pub fn domains(&self) -> impl Iterator<Item = String> {
        self.inner.domains.names().map(|name| format!("spiffe://{name}"))
    }

    /// The issuers that are trusted, sorted.
    pub fn issuers(&self) -> impl Iterator<Item = &str> {
        self.inner.trusted.keys().map(String::as_str)
    }

    /// Those of them that clients can get tokens from by OAuth, sorted: what runs a job gives its tokens to the job alone.
    pub fn authorization_servers(&self) -> impl Iterator<Item = &str> {
        let gives = |one: &Trusted| matches!(one.issuer.profile, Profile::Oidc | Profile::Rfc9068);
        self.inner.trusted.iter().filter(move |(_, one)| gives(one)).map(|(name, _)| name.as_str())
    }

    /// Verifies a bearer token and says whom it names. A token that is bound to a key is none: see
    /// [`Self::verify_presented`].
    ///
    /// Waits for the issuer only when its keys are not at hand, and then no longer than the configured timeout.
    ///
    /// # Errors
    /// [`AuthFailure`]; the caller puts it on record and lets nothing pass.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn verify(&self, token: &str) -> Result<Identity, AuthFailure> {
        self.verify_with(token, Holder::default()).await
    }

    /// Verifies a token as it was presented: a bearer token, or one that is bound to a key with its proof (RFC 9449
    /// section 7.1), each only as what it is.
    ///
    /// # Errors
    /// [`AuthFailure`]; the caller puts it on record and lets nothing pass.
    ///
    /// # Cancel safety
    /// Cancel safe; a proof that was checked is used up.
    pub async fn verify_presented(
        &self,
        presented: &Presented<'_>,
    ) -> Result<Identity, AuthFailure> {
        let proof = presented.proof.map(|proof| (proof, presented));
        self.verify_with(presented.token, Holder { proof, certificate: presented.certificate })
            .await
    }

    async fn verify_with(&self, token: &str, holder: Holder<'_>) -> Result<Identity, AuthFailure> {
        let parsed = UnverifiedToken::parse(token, self.inner.max_token_bytes)
            .map_err(|reason| AuthFailure::new(reason, None))?;
        // An issuer that is trusted by its name comes first, whatever else its token says.
        let is_issuers =
            parsed.issuer().is_some_and(|claimed| self.inner.trusted.contains_key(claimed));
        if !is_issuers && let Some(id) = self.inner.domains.subject_of(&parsed) {
            let failed = |reason| {
                let domain = format!("spiffe://{}", id.trust_domain());
                AuthFailure::new(reason, Some(domain)).by(AuthMethod::JwtSvid)
            };
            if holder.proof.is_some() {
                return Err(failed(Reason::NotBound));
            }
            let of = (&id, token.len());
            return self.inner.domains.verify_token(&parsed, of, Timestamp::now()).map_err(failed);
        }
        if let Some((reason, domain)) = Domains::stranger(&parsed) {
            return Err(AuthFailure::new(reason, domain).by(AuthMethod::JwtSvid));
        }
        self.verify_parsed(&parsed, token, holder)
            .await
            .map_err(|reason| AuthFailure::new(reason, parsed.issuer_for_events()))
    }

    async fn verify_parsed(
        &self,
        token: &UnverifiedToken<'_>,
        text: &str,
        holder: Holder<'_>,
    ) -> Result<Identity, Reason> {
        let claimed = token.issuer().ok_or_else(|| Reason::MissingClaim("iss".to_owned()))?;
        let trusted = self.inner.trusted.get(claimed).ok_or(Reason::UnknownIssuer)?;
        let candidate = Candidate::new(token, text.len(), &trusted.issuer)?;
        let keys = match &trusted.keys {
            Keys::Given(file) => file.current(),
            Keys::Own(keys) => keys.at(Timestamp::now())?,
            Keys::Published(cache) => cache.keys(|keys| candidate.knows_key(keys)).await?,
        };
        let now = Timestamp::now();
        let mut identity = candidate.verify(&keys, now)?;
        // RFC 9449 section 7.1: a bound token is never a bearer token, and a bearer token never one that was proved.
        match (candidate.bound_to()?, holder.proof) {
            (None, None) => {}
            (None | Some(Bond::Certificate(_)), Some(_)) => return Err(Reason::NotBound),
            (Some(Bond::Key(_)), None) => return Err(Reason::SenderConstrained),
            (Some(Bond::Key(thumbprint)), Some((proof, of))) => {
                of.verifier.check(proof, thumbprint, text, of.asked, now)?;
                identity.binding = Some(TokenBinding::Dpop);
            }
            // RFC 8705 section 3: the handshake showed that the client has the certificate's key.
            (Some(Bond::Certificate(thumbprint)), None) => {
                let certificate = holder.certificate.ok_or(Reason::NoCertificate)?;
                if certificate.thumbprint() != thumbprint {
                    return Err(Reason::OtherCertificate);
                }
                identity.binding = Some(TokenBinding::Mtls);
            }
        }
        // Last: no stranger makes us ask.
        if let Some(introspector) = &trusted.introspector {
            introspector.check(text).await?;
        }
        Ok(identity)
    }

    /// How often a session must ask [`Self::still_counts`] of its token; never where the issuer is not asked.
    #[must_use]
    pub fn asks_again_after(&self, issuer: &str) -> Option<Duration> {
        let trusted = self.inner.trusted.get(issuer)?;
        trusted.introspector.as_ref().map(Introspector::cache)
    }

    /// Whether the issuer of a token that was verified says that it still counts.
    ///
    /// # Errors
    /// [`AuthFailure`]; transient where the issuer does not say.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn still_counts(&self, issuer: &str, token: &str) -> Result<(), AuthFailure> {
        let trusted = self.inner.trusted.get(issuer);
        match trusted.and_then(|trusted| trusted.introspector.as_ref()) {
            None => Ok(()),
            Some(introspector) => introspector
                .check(token)
                .await
                .map_err(|reason| AuthFailure::new(reason, Some(issuer.to_owned()))),
        }
    }
}

fn trusted_of(issuers: Vec<IssuerConfig>) -> Result<BTreeMap<String, Trusted>, ConfigError> {
    let mut trusted = BTreeMap::new();
    for config in &issuers {
        let one = Trusted {
            issuer: Issuer::check(config)?,
            keys: keys_of(config)?,
            introspector: introspector_of(config)?,
        };
        if trusted.insert(config.issuer.clone(), one).is_some() {
            return Err(ConfigError::Repeated { issuer: config.issuer.clone() });
        }
    }
    Ok(trusted)
}

fn keys_of(config: &IssuerConfig) -> Result<Keys, ConfigError> {
    let wrong = |key, fix: &str| ConfigError::Value {
        issuer: config.issuer.clone(),
        key,
        fix: fix.to_owned(),
    };
    let jwks_uri = match config.jwks_uri.as_deref().map(Url::parse) {
        None => None,
        Some(Ok(url)) if is_safe_url(&url) => Some(url),
        Some(_) => {
            return Err(wrong("jwks_uri", "write a URL with https (http only on loopback)"));
        }
    };
    if let Some(path) = &config.jwks_file {
        if jwks_uri.is_some() {
            return Err(wrong("jwks_file", "leave out either jwks_file or jwks_uri"));
        }
        let keys = Followed::load(path, KeySet::FILE).map_err(|reason| ConfigError::File {
            issuer: config.issuer.clone(),
            key: "jwks_file",
            path: path.clone(),
            reason,
        })?;
        return Ok(Keys::Given(keys));
    }
    let issuer = Issuer::check(config)?;
    let source = KeySource {
        http: http_for(config, jwks_uri.as_ref())?,
        issuer: issuer.name.clone(),
        jwks_uri,
        timeout: Duration::from_secs(config.keys.timeout_seconds),
    };
    Ok(Keys::Published(Arc::new(KeyCache::new(source, issuer.keys))))
}

fn introspector_of(config: &IssuerConfig) -> Result<Option<Introspector>, ConfigError> {
    let Some(settings) = &config.introspection else { return Ok(None) };
    let wrong =
        |fix| ConfigError::Value { issuer: config.issuer.clone(), key: "introspection", fix };
    let url = Url::parse(&settings.url).ok();
    let introspector = Introspector::new(settings, http_for(config, url.as_ref())?);
    introspector.map(Some).map_err(wrong)
}

fn http_for(config: &IssuerConfig, other: Option<&Url>) -> Result<Http, ConfigError> {
    let failed = |reason: String| ConfigError::Http { issuer: config.issuer.clone(), reason };
    let roots = match &config.ca_file {
        None => Vec::new(),
        Some(path) => {
            let pem = read(config, "ca_file", path)?;
            roots_of(&pem).map_err(|reason| ConfigError::File {
                issuer: config.issuer.clone(),
                key: "ca_file",
                path: path.clone(),
                reason,
            })?
        }
    };
    let local = |url: &Url| is_loopback(url);
    let loopback =
        Url::parse(&config.issuer).is_ok_and(|url| local(&url)) && other.is_none_or(local);
    let timeout = Duration::from_secs(config.keys.timeout_seconds);
    Http::new(timeout, loopback, roots).map_err(|error| failed(error.to_string()))
}

fn read(config: &IssuerConfig, key: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |reason: String| ConfigError::File {
        issuer: config.issuer.clone(),
        key,
        path: path.to_path_buf(),
        reason,
    };
    let meta = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if meta.len() > MAX_FILE_BYTES {
        return Err(failed(format!("it is larger than {MAX_FILE_BYTES} bytes")));
    }
    std::fs::read(path).map_err(|error| failed(error.to_string()))
}
