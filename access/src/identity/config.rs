//! How trusted issuers are written in a configuration file. Checked by [`super::issuer`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_schemas::PrincipalKind;

/// One trusted issuer, as written. Every key is described in docs/reference/identity.md.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// The `iss` of its tokens, exactly; also where its discovery document is found.
    pub issuer: String,
    /// The audiences of this service; a token must be for one of them. Never empty.
    pub audiences: Vec<String>,
    /// The signature algorithms taken; `none` and `HS*` cannot be named.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<String>,
    /// The `typ` values taken, without `application/`; a token without `typ` counts as `JWT`.
    #[serde(default = "default_token_types")]
    pub token_types: Vec<String>,
    /// How far the issuer's clock may be from ours, in seconds; at most 120.
    #[serde(default = "default_clock_skew")]
    pub clock_skew_seconds: u64,
    /// The largest token, in bytes.
    #[serde(default = "default_max_token_bytes")]
    pub max_token_bytes: usize,
    /// The longest time from `iat` to `exp`, in seconds.
    #[serde(default = "default_max_lifetime")]
    pub max_lifetime_seconds: u64,
    /// Where its keys are, when that is not to be discovered.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// A file with its keys, for an issuer that cannot be reached; nothing is fetched then.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// A PEM file with certificates to trust, beside the system's, when its documents are fetched.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How its keys are kept.
    #[serde(default)]
    pub keys: KeyCacheConfig,
    /// Which claim says what.
    #[serde(default)]
    pub claims: ClaimMapping,
    /// Claims that must have one of these values; an array claim must hold one of them.
    #[serde(default)]
    pub required_claims: BTreeMap<String, Vec<serde_json::Value>>,
    /// Put before every group of this issuer, so that two issuers cannot name the same group.
    #[serde(default)]
    pub group_prefix: String,
}

impl IssuerConfig {
    /// An issuer with the defaults for everything else.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audiences: Vec<String>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences,
            algorithms: default_algorithms(),
            token_types: default_token_types(),
            clock_skew_seconds: default_clock_skew(),
            max_token_bytes: default_max_token_bytes(),
            max_lifetime_seconds: default_max_lifetime(),
            jwks_uri: None,
            jwks_file: None,
            ca_file: None,
            keys: KeyCacheConfig::default(),
            claims: ClaimMapping::default(),
            required_claims: BTreeMap::new(),
            group_prefix: String::new(),
        }
    }
}

/// How an issuer's keys are fetched and kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeyCacheConfig {
    /// Keys older than this are fetched anew while they still serve, in seconds.
    pub max_age_seconds: u64,
    /// The least time between two fetches, whatever tokens come, in seconds.
    pub min_refresh_seconds: u64,
    /// How long keys serve when they cannot be fetched anew, in seconds; then tokens are refused.
    pub keep_seconds: u64,
    /// The longest a fetch takes, in seconds.
    pub timeout_seconds: u64,
}

impl Default for KeyCacheConfig {
    fn default() -> Self {
        Self {
            max_age_seconds: 600,
            min_refresh_seconds: 5,
            keep_seconds: 4 * 3600,
            timeout_seconds: 5,
        }
    }
}

/// Which claim says what of a principal.
///
/// A claim is named by its name, or by a JSON pointer (RFC 6901) when it begins with `/`: `groups`,
/// `https://example.com/groups`, `/realm_access/roles`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimMapping {
    /// Whether it is a human, an agent or a service.
    pub kind: KindMapping,
    /// What people call it; the subject where the claim is absent.
    pub display_name: ClaimSource,
    /// Its groups: one text or an array of texts.
    pub groups: ClaimSource,
    /// Who answers for it.
    pub owner: ClaimSource,
    /// The model that acts.
    pub model: ClaimSource,
    /// The agent's name or version.
    pub agent: ClaimSource,
    /// The task it works on.
    pub task: ClaimSource,
    /// Further attributes: tags of the principal in policies, and part of every event.
    pub other: BTreeMap<String, ClaimSource>,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            kind: KindMapping::default(),
            display_name: ClaimSource::optional("name"),
            groups: ClaimSource::optional("groups"),
            owner: ClaimSource::optional("owner"),
            model: ClaimSource::optional("model"),
            agent: ClaimSource::optional("agent"),
            task: ClaimSource::optional("task"),
            other: BTreeMap::new(),
        }
    }
}

/// Where a fact is found, and whether a token without it is refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "RawClaimSource")]
pub struct ClaimSource {
    /// The claim's name or JSON pointer.
    pub claim: String,
    /// Whether a token without it is refused.
    pub required: bool,
}

impl ClaimSource {
    /// A claim that may be absent.
    #[must_use]
    pub fn optional(claim: &str) -> Self {
        Self { claim: claim.to_owned(), required: false }
    }

    /// A claim that must be there.
    #[must_use]
    pub fn required(claim: &str) -> Self {
        Self { claim: claim.to_owned(), required: true }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a claim's name, or a table with `claim` and `required`")]
enum RawClaimSource {
    Name(String),
    Full(FullClaimSource),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FullClaimSource {
    claim: String,
    #[serde(default)]
    required: bool,
}

impl From<RawClaimSource> for ClaimSource {
    fn from(raw: RawClaimSource) -> Self {
        match raw {
            RawClaimSource::Name(claim) => Self { claim, required: false },
            RawClaimSource::Full(full) => Self { claim: full.claim, required: full.required },
        }
    }
}

/// How the kind of a principal is told. A value that is not in `values` refuses the token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KindMapping {
    /// The claim's name or JSON pointer.
    pub claim: String,
    /// What its values mean.
    pub values: BTreeMap<String, PrincipalKind>,
    /// What a principal is whose token lacks the claim; absent refuses such a token.
    pub default: Option<PrincipalKind>,
}

impl Default for KindMapping {
    fn default() -> Self {
        let values = [
            ("human", PrincipalKind::Human),
            ("agent", PrincipalKind::Agent),
            ("service", PrincipalKind::Service),
        ];
        Self {
            claim: "kind".to_owned(),
            values: values.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect(),
            default: Some(PrincipalKind::Agent),
        }
    }
}

fn default_algorithms() -> Vec<String> {
    ["RS256", "ES256", "PS256", "EdDSA"].map(str::to_owned).to_vec()
}

fn default_token_types() -> Vec<String> {
    ["at+jwt", "JWT"].map(str::to_owned).to_vec()
}

const fn default_clock_skew() -> u64 {
    30
}

const fn default_max_token_bytes() -> usize {
    16 * 1024
}

const fn default_max_lifetime() -> u64 {
    24 * 3600
}
