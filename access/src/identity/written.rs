//! An issuer as a configuration file has it. What is not written is the profile's to say, so a key that is not there
//! must be told from one that is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_schemas::PrincipalKind;

use super::config::{IssuerConfig, KeyCacheConfig};
use super::introspection::IntrospectionConfig;
use super::mapping::{ClaimMapping, ClaimSource, KindMapping};
use super::profile::Profile;

const DEFAULT_CLOCK_SKEW_SECONDS: u64 = 30;
const DEFAULT_MAX_TOKEN_BYTES: usize = 16 * 1024;

/// One of `[[issuers]]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenIssuer {
    /// The `iss` of its tokens, exactly; also where its discovery document is found.
    issuer: String,
    /// The audiences of this service; a token must be for one of them. Never empty.
    audiences: Vec<String>,
    /// What kind of tokens it issues: rules of its own, and the defaults of the keys below.
    #[serde(default)]
    profile: Profile,
    /// The signature algorithms taken, by default the profile's; `none` and `HS*` cannot be named.
    algorithms: Option<Vec<String>>,
    /// The `typ` values taken, without `application/`, by default the profile's; a token without `typ` counts as `JWT`.
    token_types: Option<Vec<String>>,
    /// How far the issuer's clock may be from ours, in seconds; at most 120.
    #[serde(default = "default_clock_skew")]
    clock_skew_seconds: u64,
    /// The largest token, in bytes.
    #[serde(default = "default_max_token_bytes")]
    max_token_bytes: usize,
    /// The longest time from `iat` to `exp`, in seconds; by default the profile's.
    max_lifetime_seconds: Option<u64>,
    /// Where its keys are, when that is not to be discovered.
    jwks_uri: Option<String>,
    /// A file with its keys, for an issuer that cannot be reached; nothing is fetched then. It is followed.
    jwks_file: Option<PathBuf>,
    /// A PEM file with certificates to trust, beside the system's, when its documents are fetched.
    ca_file: Option<PathBuf>,
    /// Where it says whether a token still counts (RFC 7662); it is not asked where absent.
    introspection: Option<IntrospectionConfig>,
    /// How its keys are kept.
    #[serde(default)]
    keys: KeyCacheConfig,
    /// Which claim says what.
    #[serde(default)]
    claims: WrittenClaims,
    /// Claims that must have one of these values; an array claim must hold one of them.
    #[serde(default)]
    required_claims: BTreeMap<String, Vec<serde_json::Value>>,
    /// Put before every group of this issuer, so that two issuers cannot name the same group.
    #[serde(default)]
    group_prefix: String,
}

impl WrittenIssuer {
    /// Nothing but what must be written.
    pub(super) fn least(profile: Profile, issuer: String, audiences: Vec<String>) -> Self {
        Self {
            issuer,
            audiences,
            profile,
            algorithms: None,
            token_types: None,
            clock_skew_seconds: DEFAULT_CLOCK_SKEW_SECONDS,
            max_token_bytes: DEFAULT_MAX_TOKEN_BYTES,
            max_lifetime_seconds: None,
            jwks_uri: None,
            jwks_file: None,
            ca_file: None,
            introspection: None,
            keys: KeyCacheConfig::default(),
            claims: WrittenClaims::default(),
            required_claims: BTreeMap::new(),
            group_prefix: String::new(),
        }
    }
}

impl From<WrittenIssuer> for IssuerConfig {
    fn from(written: WrittenIssuer) -> Self {
        let profile = written.profile;
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            issuer: written.issuer,
            audiences: written.audiences,
            profile,
            algorithms: written.algorithms.unwrap_or_else(|| owned(profile.algorithms())),
            token_types: written.token_types.unwrap_or_else(|| owned(profile.token_types())),
            clock_skew_seconds: written.clock_skew_seconds,
            max_token_bytes: written.max_token_bytes,
            max_lifetime_seconds: written
                .max_lifetime_seconds
                .unwrap_or_else(|| profile.max_lifetime_seconds()),
            jwks_uri: written.jwks_uri,
            jwks_file: written.jwks_file,
            ca_file: written.ca_file,
            introspection: written.introspection,
            keys: written.keys,
            claims: written.claims.over(profile.claims()),
            required_claims: written.required_claims,
            group_prefix: written.group_prefix,
        }
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WrittenClaims {
    /// Its stable id, `sub` by default: never one that users choose or that is given to another later.
    subject: Option<String>,
    /// Whether it is a human, an agent or a service.
    kind: WrittenKind,
    /// What people call it; the subject where the claim is absent.
    display_name: Option<ClaimSource>,
    /// Its address: who is named by it as the owner of an agent does not approve what that agent asks for.
    email: Option<ClaimSource>,
    /// Its groups: one text or an array of texts.
    groups: Option<ClaimSource>,
    /// Who answers for it.
    owner: Option<ClaimSource>,
    /// The model that acts.
    model: Option<ClaimSource>,
    /// The agent's name or version.
    agent: Option<ClaimSource>,
    /// The task it works on.
    task: Option<ClaimSource>,
    /// Further attributes, beside the profile's: tags of the principal in policies, and part of every event.
    other: BTreeMap<String, ClaimSource>,
}

impl WrittenClaims {
    /// What is written wins, key by key; attributes of other names stay.
    fn over(self, defaults: ClaimMapping) -> ClaimMapping {
        let mut other = defaults.other;
        other.extend(self.other);
        ClaimMapping {
            subject: self.subject.unwrap_or(defaults.subject),
            kind: self.kind.over(defaults.kind),
            display_name: self.display_name.or(defaults.display_name),
            email: self.email.or(defaults.email),
            groups: self.groups.map_or(defaults.groups, Into::into),
            owner: self.owner.or(defaults.owner),
            model: self.model.or(defaults.model),
            agent: self.agent.or(defaults.agent),
            task: self.task.or(defaults.task),
            other,
        }
    }
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WrittenKind {
    /// The claim's name or JSON pointer, `kind` by default.
    claim: Option<String>,
    /// What its values mean; by default `human`, `agent` and `service` mean themselves.
    values: Option<BTreeMap<String, PrincipalKind>>,
    /// What a principal is whose token lacks the claim; by default the profile's.
    default: Option<PrincipalKind>,
    /// Whether a token without the claim is refused, whatever the default.
    required: bool,
}

impl WrittenKind {
    fn over(self, defaults: KindMapping) -> KindMapping {
        KindMapping {
            claim: self.claim.unwrap_or(defaults.claim),
            values: self.values.unwrap_or(defaults.values),
            default: if self.required { None } else { self.default.or(defaults.default) },
        }
    }
}

const fn default_clock_skew() -> u64 {
    DEFAULT_CLOCK_SKEW_SECONDS
}

const fn default_max_token_bytes() -> usize {
    DEFAULT_MAX_TOKEN_BYTES
}
