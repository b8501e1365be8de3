//! What is trusted of an issuer, with the defaults of its profile filled in. Made of what a configuration file says by
//! [`super::written`]; checked by [`super::issuer`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use super::introspection::IntrospectionConfig;
use super::mapping::ClaimMapping;
use super::profile::Profile;
use super::written::WrittenIssuer;

/// One trusted issuer. Every key is described in docs/reference/identity.md.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WrittenIssuer")]
pub struct IssuerConfig {
    /// The `iss` of its tokens, exactly; also where its discovery document is found.
    pub issuer: String,
    /// The audiences of this service; a token must be for one of them. Never empty.
    pub audiences: Vec<String>,
    /// What kind of tokens it issues. Beside the defaults it has rules of its own that no other field turns off.
    pub profile: Profile,
    /// The signature algorithms taken; `none` and `HS*` cannot be named.
    pub algorithms: Vec<String>,
    /// The `typ` values taken, without `application/`; a token without `typ` counts as `JWT`.
    pub token_types: Vec<String>,
    /// How far the issuer's clock may be from ours, in seconds; at most 120.
    pub clock_skew_seconds: u64,
    /// The largest token, in bytes.
    pub max_token_bytes: usize,
    /// The longest time from `iat` to `exp`, in seconds.
    pub max_lifetime_seconds: u64,
    /// Where its keys are, when that is not to be discovered.
    pub jwks_uri: Option<String>,
    /// A file with its keys, for an issuer that cannot be reached; nothing is fetched then. It is followed.
    pub jwks_file: Option<PathBuf>,
    /// A PEM file with certificates to trust, beside the system's, when its documents are fetched.
    pub ca_file: Option<PathBuf>,
    /// Where it says whether a token still counts; it is not asked where absent.
    pub introspection: Option<IntrospectionConfig>,
    /// How its keys are kept.
    pub keys: KeyCacheConfig,
    /// Which claim says what.
    pub claims: ClaimMapping,
    /// Claims that must have one of these values; an array claim must hold one of them.
    pub required_claims: BTreeMap<String, Vec<serde_json::Value>>,
    /// Put before every group of this issuer, so that two issuers cannot name the same group.
    pub group_prefix: String,
}

impl IssuerConfig {
    /// An issuer of the profile `oidc`, with the defaults for everything else.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audiences: Vec<String>) -> Self {
        Self::of_profile(Profile::Oidc, issuer, audiences)
    }

    /// An issuer with the defaults of its profile for everything else.
    #[must_use]
    pub fn of_profile(profile: Profile, issuer: impl Into<String>, audiences: Vec<String>) -> Self {
        WrittenIssuer::least(profile, issuer.into(), audiences).into()
    }
}

/// As it is written: nobody writes this type.
impl JsonSchema for IssuerConfig {
    fn schema_name() -> Cow<'static, str> {
        WrittenIssuer::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        WrittenIssuer::json_schema(generator)
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
