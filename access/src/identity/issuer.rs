//! A trusted issuer, checked: from [`IssuerConfig`] to settings that the verifier can rely on.

use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use url::{Host, Url};

use super::algorithm::SigningAlgorithm;
use super::config::{IssuerConfig, KeyCacheConfig};
use super::mapping::{ClaimMapping, GroupSource};
use super::profile::Profile;
use super::shared;
use super::spiffe::TrustDomainError;

const MAX_CLOCK_SKEW_SECONDS: u64 = 120;
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 256..=64 * 1024;
/// Of a JWT-SVID.
pub(super) const MAX_SVID_BYTES: usize = 8 * 1024;
const MAX_LIFETIME_SECONDS: u64 = 31 * 24 * 3600;
const MAX_AUDIENCES: usize = 32;
const MAX_OTHER_CLAIMS: usize = 32;
const MAX_KEEP_SECONDS: u64 = 7 * 24 * 3600;
const TIMEOUT_SECONDS: std::ops::RangeInclusive<u64> = 1..=30;

/// An issuer's configuration is not taken. The text names the issuer, the key and the fix.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No issuer at all.
    #[error(
        "`issuers` is empty; name at least one issuer whose tokens are trusted, or one of trust_domains; gateway.saml lets people in at the gateway alone"
    )]
    NoIssuers,
    /// Two entries for one issuer.
    #[error("issuer `{issuer}` is named twice; keep one entry, with all audiences in it")]
    Repeated {
        /// The issuer.
        issuer: String,
    },
    /// A value is not taken.
    #[error("issuer `{issuer}`: key `{key}`: {fix}")]
    Value {
        /// The issuer.
        issuer: String,
        /// The key.
        key: &'static str,
        /// What is wrong and what to write.
        fix: String,
    },
    /// A file cannot be used.
    #[error("issuer `{issuer}`: key `{key}`: `{}`: {reason}", path.display())]
    File {
        /// The issuer.
        issuer: String,
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A trust domain is not taken.
    #[error(transparent)]
    TrustDomain(#[from] TrustDomainError),
    /// The HTTP client could not be built.
    #[error("issuer `{issuer}`: the HTTP client cannot be set up: {reason}")]
    Http {
        /// The issuer.
        issuer: String,
        /// Why.
        reason: String,
    },
}

/// Settings that hold what [`IssuerConfig`] only says.
#[derive(Clone, Debug)]
pub(super) struct Issuer {
    pub(super) name: String,
    pub(super) profile: Profile,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<SigningAlgorithm>,
    /// Lower case, without `application/`.
    pub(super) token_types: Vec<String>,
    pub(super) clock_skew: SignedDuration,
    pub(super) max_token_bytes: usize,
    pub(super) max_lifetime: SignedDuration,
    pub(super) keys: KeyTimes,
    pub(super) claims: ClaimMapping,
    pub(super) required_claims: Vec<(String, Vec<serde_json::Value>)>,
    pub(super) group_prefix: String,
}

/// How keys are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyTimes {
    pub(super) max_age: Duration,
    pub(super) min_refresh: Duration,
    pub(super) keep: Duration,
}

impl Issuer {
    pub(super) fn check(config: &IssuerConfig) -> Result<Self, ConfigError> {
        let wrong =
            |key, fix: String| ConfigError::Value { issuer: config.issuer.clone(), key, fix };
        check_issuer_url(&config.issuer).map_err(|fix| wrong("issuer", fix))?;
        if config.audiences.is_empty()
            || config.audiences.len() > MAX_AUDIENCES
            || config.audiences.iter().any(String::is_empty)
        {
            let fix = format!("name 1 to {MAX_AUDIENCES} audiences of this service, none empty");
            return Err(wrong("audiences", fix));
        }
        let algorithms = check_algorithms(config).map_err(|fix| wrong("algorithms", fix))?;
        let token_types = check_token_types(config).map_err(|fix| wrong("token_types", fix))?;
        if config.clock_skew_seconds > MAX_CLOCK_SKEW_SECONDS {
            let fix = format!("at most {MAX_CLOCK_SKEW_SECONDS}; set the clocks by NTP instead");
            return Err(wrong("clock_skew_seconds", fix));
        }
        if !TOKEN_BYTES.contains(&config.max_token_bytes) {
            let fix = format!("{} to {}", TOKEN_BYTES.start(), TOKEN_BYTES.end());
            return Err(wrong("max_token_bytes", fix));
        }
        if !(1..=MAX_LIFETIME_SECONDS).contains(&config.max_lifetime_seconds) {
            return Err(wrong("max_lifetime_seconds", format!("1 to {MAX_LIFETIME_SECONDS}")));
        }
        let keys = check_key_times(&config.keys).map_err(|fix| wrong("keys", fix))?;
        check_claims(&config.claims).map_err(|fix| wrong("claims", fix))?;
        check_required_claims(config).map_err(|fix| wrong("required_claims", fix))?;
        Ok(Self {
            name: config.issuer.clone(),
            profile: config.profile,
            audiences: config.audiences.clone(),
            algorithms,
            token_types,
            clock_skew: seconds(config.clock_skew_seconds),
            max_token_bytes: config.max_token_bytes,
            max_lifetime: seconds(config.max_lifetime_seconds),
            keys,
            claims: config.claims.clone(),
            required_claims: config.required_claims.clone().into_iter().collect(),
            group_prefix: config.group_prefix.clone(),
        })
    }
}

impl Issuer {
    /// A trust domain, as far as its tokens are checked like those of issuers. JWT-SVID section 2: these algorithms, and
    /// `JWT` or `JOSE` where there is a type.
    pub(super) fn of_trust_domain(
        name: &str,
        audiences: Vec<String>,
        clock_skew: SignedDuration,
        max_lifetime: SignedDuration,
    ) -> Self {
        let names = ["RS256", "RS384", "RS512", "ES256", "ES384", "PS256", "PS384", "PS512"];
        let profile = Profile::Oidc;
        Self {
            name: format!("spiffe://{name}"),
            profile,
            audiences,
            algorithms: names.into_iter().filter_map(SigningAlgorithm::parse).collect(),
            token_types: vec!["jwt".to_owned(), "jose".to_owned()],
            clock_skew,
            max_token_bytes: MAX_SVID_BYTES,
            max_lifetime,
            keys: KeyTimes {
                max_age: Duration::ZERO,
                min_refresh: Duration::ZERO,
                keep: Duration::ZERO,
            },
            claims: profile.claims(),
            required_claims: Vec::new(),
            group_prefix: String::new(),
        }
    }
}

/// Whether `url` may be fetched from: `https`, or `http` to this very machine.
#[must_use]
pub fn is_safe_url(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    plain && (url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url)))
}

/// Whether the host is this very machine, by name or by address.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// OpenID Connect Core section 2: `https`, no query, no fragment. A fragment would also break principal ids.
fn check_issuer_url(issuer: &str) -> Result<(), String> {
    let url = Url::parse(issuer).map_err(|_| {
        "write the issuer's URL, such as https://id.example.com/realms/main".to_owned()
    })?;
    if !is_safe_url(&url) {
        return Err("use https (http only on loopback), without user name or fragment".to_owned());
    }
    if url.query().is_some() || issuer.contains('#') {
        return Err("leave out the query and the fragment: issuers have none".to_owned());
    }
    Ok(())
}

fn check_algorithms(config: &IssuerConfig) -> Result<Vec<SigningAlgorithm>, String> {
    if config.algorithms.is_empty() {
        return Err(format!("name at least one of {}", SigningAlgorithm::NAMES));
    }
    config
        .algorithms
        .iter()
        .map(|name| {
            SigningAlgorithm::parse(name).ok_or_else(|| {
                format!(
                    "`{name}` is not taken; use some of {} (none and HMAC are never safe here)",
                    SigningAlgorithm::NAMES
                )
            })
        })
        .collect()
}

/// Lower case, without `application/`.
fn check_token_types(config: &IssuerConfig) -> Result<Vec<String>, String> {
    let types: Vec<String> = config
        .token_types
        .iter()
        .map(|typ| typ.to_ascii_lowercase().trim_start_matches("application/").to_owned())
        .collect();
    if let Some(only) = config.profile.only_token_type() {
        if types.is_empty() || types.iter().any(|typ| typ != only) {
            return Err(format!(
                "profile `{}` takes {only} only; leave the key out, or choose another profile",
                config.profile.name()
            ));
        }
    } else if types.is_empty() || types.iter().any(String::is_empty) {
        return Err("write [\"at+jwt\"] or [\"at+jwt\", \"JWT\"]".to_owned());
    }
    Ok(types)
}

fn check_required_claims(config: &IssuerConfig) -> Result<(), String> {
    if config.required_claims.iter().any(|(claim, values)| claim.is_empty() || values.is_empty()) {
        return Err("name the claim and at least one value".to_owned());
    }
    shared::check(&config.issuer, &config.required_claims)
}

fn check_key_times(keys: &KeyCacheConfig) -> Result<KeyTimes, String> {
    if !TIMEOUT_SECONDS.contains(&keys.timeout_seconds) {
        return Err(format!(
            "timeout_seconds: {} to {}",
            TIMEOUT_SECONDS.start(),
            TIMEOUT_SECONDS.end()
        ));
    }
    if keys.min_refresh_seconds == 0 {
        return Err("min_refresh_seconds: at least 1, or strangers could load the issuer".into());
    }
    if keys.max_age_seconds < keys.min_refresh_seconds {
        return Err("max_age_seconds: not less than min_refresh_seconds".into());
    }
    if keys.keep_seconds < keys.max_age_seconds || keys.keep_seconds > MAX_KEEP_SECONDS {
        return Err(format!("keep_seconds: from max_age_seconds to {MAX_KEEP_SECONDS}"));
    }
    Ok(KeyTimes {
        max_age: Duration::from_secs(keys.max_age_seconds),
        min_refresh: Duration::from_secs(keys.min_refresh_seconds),
        keep: Duration::from_secs(keys.keep_seconds),
    })
}

fn check_claims(claims: &ClaimMapping) -> Result<(), String> {
    let groups = match &claims.groups {
        GroupSource::Claim(source) => Some(source),
        GroupSource::Nowhere | GroupSource::ServiceAccount => None,
    };
    let facts = [
        &claims.display_name,
        &claims.email,
        &claims.owner,
        &claims.model,
        &claims.agent,
        &claims.task,
    ];
    let mut sources = facts.into_iter().flatten().chain(groups).chain(claims.other.values());
    if claims.subject.is_empty()
        || claims.kind.claim.is_empty()
        || sources.any(|source| source.claim.is_empty())
    {
        return Err("a claim's name is empty; leave the key out to keep its default".to_owned());
    }
    if claims.other.len() > MAX_OTHER_CLAIMS || claims.other.keys().any(String::is_empty) {
        return Err(format!("`other` takes at most {MAX_OTHER_CLAIMS} claims, each with a name"));
    }
    Ok(())
}

/// Values here are bounded by the checks above; the conversion cannot lose anything.
fn seconds(value: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(value).unwrap_or(0))
}
