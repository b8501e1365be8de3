//! Which claim says what of a principal, with the defaults of the issuer's profile filled in.
//!
//! A claim is named by its name, or by a JSON pointer (RFC 6901) when it begins with `/`: `groups`,
//! `https://example.com/groups`, `/realm_access/roles`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_schemas::PrincipalKind;

/// Which claim says what of a principal. Where there is no source, no claim says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMapping {
    /// The claim with its stable id; a token without it is refused.
    pub subject: String,
    /// Whether it is a human, an agent or a service.
    pub kind: KindMapping,
    /// What people call it; the subject where the claim is absent.
    pub display_name: Option<ClaimSource>,
    /// Its address, by which `owner` of another principal may name it.
    pub email: Option<ClaimSource>,
    /// Its groups.
    pub groups: GroupSource,
    /// Who answers for it.
    pub owner: Option<ClaimSource>,
    /// The model that acts.
    pub model: Option<ClaimSource>,
    /// The agent's name or version.
    pub agent: Option<ClaimSource>,
    /// The task it works on.
    pub task: Option<ClaimSource>,
    /// Further attributes: tags of the principal in policies, and part of every event.
    pub other: BTreeMap<String, ClaimSource>,
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

/// Where the groups of a principal are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupSource {
    /// Nowhere: its tokens say nothing of groups that could be believed.
    Nowhere,
    /// One text or an array of texts.
    Claim(ClaimSource),
    /// Those that a Kubernetes API server itself puts a service account into, beside `system:authenticated`.
    /// <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#service-account-tokens>
    ServiceAccount,
}

impl From<ClaimSource> for GroupSource {
    fn from(source: ClaimSource) -> Self {
        Self::Claim(source)
    }
}

/// How the kind of a principal is told. A value that is not in `values` refuses the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindMapping {
    /// The claim's name or JSON pointer.
    pub claim: String,
    /// What its values mean.
    pub values: BTreeMap<String, PrincipalKind>,
    /// What a principal is whose token lacks the claim; absent refuses such a token.
    pub default: Option<PrincipalKind>,
}

impl KindMapping {
    /// The claim `kind` with the names of the kinds as its values.
    pub(super) fn by_name(default: PrincipalKind) -> Self {
        let values = [
            ("human", PrincipalKind::Human),
            ("agent", PrincipalKind::Agent),
            ("service", PrincipalKind::Service),
        ];
        Self {
            claim: "kind".to_owned(),
            values: values.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect(),
            default: Some(default),
        }
    }
}
