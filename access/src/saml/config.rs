//! Which identity providers are trusted, as a configuration file says it. Checked by [`super::idp`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_schemas::PrincipalKind;

/// One of `[[gateway.saml.idp]]`: an identity provider whose assertions are exchanged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdpConfig {
    /// Its entity id, compared byte for byte with the assertion's `Issuer`.
    pub entity_id: String,
    /// Its signing certificates (PEM); several while it changes them. The files are followed. No key that a message brings along
    /// counts.
    pub certificate_files: Vec<PathBuf>,
    /// Our entity id: an assertion must be for this audience.
    pub audience: String,
    /// The URL that it must be sent to, as the provider writes it (`Recipient`): that of `/saml/token`, or of the
    /// service that people sign in at.
    pub recipient: String,
    /// How far its clock may be from ours, in seconds; at most 120.
    #[serde(default = "default_clock_skew")]
    pub clock_skew_seconds: u64,
    /// How long ago an assertion may have been issued, in seconds; 10 to 3600.
    #[serde(default = "default_max_age")]
    pub max_age_seconds: u64,
    /// Put before each of its groups, so that two providers cannot name the same group.
    #[serde(default)]
    pub group_prefix: String,
    /// Which attribute says what.
    #[serde(default)]
    pub attributes: AttributeMapping,
}

/// Which attribute says what of a principal, by the attribute's `Name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AttributeMapping {
    /// Its stable id. Absent, the NameID, which must not be transient.
    pub subject: Option<String>,
    /// Whether it is a human, an agent or a service.
    pub kind: KindAttribute,
    /// What people call it; absent, the subject.
    pub display_name: Option<AttributeSource>,
    /// Its address: who is named by it as the owner of an agent does not approve what that agent asks for. Absent, the NameID
    /// where that is one.
    pub email: Option<AttributeSource>,
    /// Its groups, each value one.
    pub groups: Option<AttributeSource>,
    /// Who answers for it.
    pub owner: Option<AttributeSource>,
    /// The model that acts.
    pub model: Option<AttributeSource>,
    /// The agent's name or version.
    pub agent: Option<AttributeSource>,
    /// The task it works on.
    pub task: Option<AttributeSource>,
    /// Further attributes: tags of the principal in policies, and part of every event.
    pub other: BTreeMap<String, AttributeSource>,
}

/// How the kind of a principal is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KindAttribute {
    /// The attribute; absent, everybody is of the default kind.
    pub attribute: Option<String>,
    /// What its values mean; another value refuses the assertion.
    pub values: BTreeMap<String, PrincipalKind>,
    /// What a principal is whose assertion lacks the attribute.
    pub default: PrincipalKind,
}

impl Default for KindAttribute {
    fn default() -> Self {
        let kinds = [PrincipalKind::Human, PrincipalKind::Agent, PrincipalKind::Service];
        Self {
            attribute: None,
            values: kinds.into_iter().map(|kind| (kind.as_str().to_owned(), kind)).collect(),
            // Identity providers of this kind sign people in.
            default: PrincipalKind::Human,
        }
    }
}

/// An attribute's `Name`, or a table with `attribute` and `required`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(from = "RawAttributeSource")]
pub struct AttributeSource {
    /// The attribute's `Name`.
    pub attribute: String,
    /// Whether an assertion without it is refused.
    pub required: bool,
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "an attribute's name, or a table with `attribute` and `required`")]
enum RawAttributeSource {
    Name(String),
    Full(FullAttributeSource),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FullAttributeSource {
    attribute: String,
    #[serde(default)]
    required: bool,
}

impl From<RawAttributeSource> for AttributeSource {
    fn from(raw: RawAttributeSource) -> Self {
        match raw {
            RawAttributeSource::Name(attribute) => Self { attribute, required: false },
            RawAttributeSource::Full(full) => {
                Self { attribute: full.attribute, required: full.required }
            }
        }
    }
}

impl IdpConfig {
    /// The same, with relative files taken from `folder`.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path) -> Self {
        for file in &mut self.certificate_files {
            *file = folder.join(&*file);
        }
        self
    }
}

/// What `[gateway.saml]` says, with the key read.
#[derive(Debug)]
pub struct SamlConfig {
    /// The `iss` of the tokens.
    pub issuer: String,
    /// PKCS#8 in PEM, P-256 or Ed25519.
    pub token_key: crate::SecretToken,
    /// How long a token lives.
    pub token_seconds: u64,
    /// Who is trusted.
    pub idps: Vec<IdpConfig>,
}

const fn default_clock_skew() -> u64 {
    30
}

const fn default_max_age() -> u64 {
    300
}
