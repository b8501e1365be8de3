//! What is known of the tokens of certain issuers. A profile is the defaults of what a configuration leaves out, and
//! rules that no key turns off: see [`Profile::required`] and [`Profile::only_token_type`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tallyport_schemas::PrincipalKind;

use super::mapping::{ClaimMapping, ClaimSource, GroupSource, KindMapping};

const DAY_SECONDS: u64 = 24 * 3600;
const HOUR_SECONDS: u64 = 3600;

/// What kind of tokens an issuer gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// JWT access tokens as most OpenID providers give them.
    #[default]
    Oidc,
    /// Access tokens that keep to RFC 9068.
    Rfc9068,
    /// Jobs of GitHub Actions. <https://docs.github.com/en/actions/reference/security/oidc>
    GithubActions,
    /// Jobs of GitLab CI/CD. <https://docs.gitlab.com/ci/secrets/id_token_authentication/>
    Gitlab,
    /// Service accounts of a Kubernetes cluster, by bound tokens.
    /// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>
    Kubernetes,
}

impl Profile {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Oidc => "oidc",
            Self::Rfc9068 => "rfc9068",
            Self::GithubActions => "github-actions",
            Self::Gitlab => "gitlab",
            Self::Kubernetes => "kubernetes",
        }
    }

    /// Both job services document RS256; an API server signs with RSA or ECDSA keys, as it was given them.
    pub(super) const fn algorithms(self) -> &'static [&'static str] {
        match self {
            Self::Oidc | Self::Rfc9068 => &["RS256", "ES256", "PS256", "EdDSA"],
            Self::GithubActions | Self::Gitlab => &["RS256"],
            Self::Kubernetes => &["RS256", "ES256", "ES384"],
        }
    }

    /// Kubernetes writes no `typ`, which counts as `JWT`.
    pub(super) const fn token_types(self) -> &'static [&'static str] {
        match self {
            Self::Oidc => &["at+jwt", "JWT"],
            Self::Rfc9068 => &["at+jwt"],
            Self::GithubActions | Self::Gitlab | Self::Kubernetes => &["JWT"],
        }
    }

    /// The only `typ` that may be configured. RFC 9068 section 4: any other "MUST" be rejected.
    pub(super) const fn only_token_type(self) -> Option<&'static str> {
        match self {
            Self::Rfc9068 => Some("at+jwt"),
            Self::Oidc | Self::GithubActions | Self::Gitlab | Self::Kubernetes => None,
        }
    }

    /// GitHub's tokens live for minutes, GitLab's as long as the job may run, a kubelet's for a day at most.
    pub(super) const fn max_lifetime_seconds(self) -> u64 {
        match self {
            Self::GithubActions => HOUR_SECONDS,
            Self::Oidc | Self::Rfc9068 | Self::Gitlab | Self::Kubernetes => DAY_SECONDS,
        }
    }

    /// Claims that every token of the profile has beside `iss`, `aud`, `exp` and its subject, which all tokens must have.
    /// One without them is of another kind, whatever else it says: GitLab, for one, signs the tokens of people who sign
    /// in to applications with the same keys under the same `iss`.
    pub(super) const fn required(self) -> &'static [&'static str] {
        match self {
            Self::Oidc => &[],
            // Section 2.2.
            Self::Rfc9068 => &["sub", "client_id", "iat", "jti"],
            Self::GithubActions => &["iat", "repository", "repository_owner", "run_id"],
            Self::Gitlab => &["iat", "project_path", "namespace_path", "pipeline_id", "job_id"],
            Self::Kubernetes => {
                &["iat", K8S_NAMESPACE, K8S_SERVICE_ACCOUNT, K8S_SERVICE_ACCOUNT_UID]
            }
        }
    }

    pub(super) fn claims(self) -> ClaimMapping {
        match self {
            Self::Oidc => own_claims(&[]),
            Self::Rfc9068 => own_claims(&[("client_id", "client_id")]),
            Self::GithubActions => ClaimMapping {
                display_name: Some(ClaimSource::optional("repository")),
                task: Some(ClaimSource::optional("run_id")),
                ..foreign_claims(&same_names(&GITHUB_ATTRIBUTES))
            },
            Self::Gitlab => ClaimMapping {
                display_name: Some(ClaimSource::optional("project_path")),
                task: Some(ClaimSource::optional("pipeline_id")),
                ..foreign_claims(&same_names(&GITLAB_ATTRIBUTES))
            },
            Self::Kubernetes => ClaimMapping {
                display_name: Some(ClaimSource::optional("sub")),
                groups: GroupSource::ServiceAccount,
                ..foreign_claims(&KUBERNETES_ATTRIBUTES)
            },
        }
    }
}

/// <https://docs.github.com/en/actions/reference/security/oidc#oidc-token-claims>
const GITHUB_ATTRIBUTES: [&str; 16] = [
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "ref",
    "ref_type",
    "sha",
    "workflow",
    "workflow_ref",
    "job_workflow_ref",
    "environment",
    "event_name",
    "actor",
    "run_id",
    "runner_environment",
];

/// <https://docs.gitlab.com/ci/secrets/id_token_authentication/#token-payload>
const GITLAB_ATTRIBUTES: [&str; 18] = [
    "project_path",
    "project_id",
    "namespace_path",
    "namespace_id",
    "job_project_path",
    "user_login",
    "user_id",
    "pipeline_id",
    "pipeline_source",
    "job_id",
    "ref",
    "ref_type",
    "ref_protected",
    "environment",
    "environment_protected",
    "deployment_tier",
    "runner_environment",
    "sha",
];

/// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#schema-for-service-account-private-claims>
const KUBERNETES_ATTRIBUTES: [(&str, &str); 7] = [
    ("namespace", K8S_NAMESPACE),
    ("service_account", K8S_SERVICE_ACCOUNT),
    ("service_account_uid", K8S_SERVICE_ACCOUNT_UID),
    ("pod", "/kubernetes.io/pod/name"),
    ("pod_uid", "/kubernetes.io/pod/uid"),
    ("node", "/kubernetes.io/node/name"),
    ("node_uid", "/kubernetes.io/node/uid"),
];

pub(super) const K8S_NAMESPACE: &str = "/kubernetes.io/namespace";
const K8S_SERVICE_ACCOUNT: &str = "/kubernetes.io/serviceaccount/name";
const K8S_SERVICE_ACCOUNT_UID: &str = "/kubernetes.io/serviceaccount/uid";

/// For issuers whose administrator decides what claims say: these names are ours.
fn own_claims(other: &[(&str, &str)]) -> ClaimMapping {
    let source = |claim| Some(ClaimSource::optional(claim));
    ClaimMapping {
        kind: KindMapping::by_name(PrincipalKind::Agent),
        display_name: source("name"),
        email: source("email"),
        groups: ClaimSource::optional("groups").into(),
        owner: source("owner"),
        model: source("model"),
        agent: source("agent"),
        task: source("task"),
        ..foreign_claims(other)
    }
}

/// For issuers whose claims are somebody else's to name: what they may once mean by `groups` or `owner` is not believed.
fn foreign_claims(other: &[(&str, &str)]) -> ClaimMapping {
    let other: BTreeMap<_, _> = other
        .iter()
        .map(|(name, claim)| ((*name).to_owned(), ClaimSource::optional(claim)))
        .collect();
    ClaimMapping {
        subject: "sub".to_owned(),
        kind: KindMapping::by_name(PrincipalKind::Service),
        display_name: None,
        email: None,
        groups: GroupSource::Nowhere,
        owner: None,
        model: None,
        agent: None,
        task: None,
        other,
    }
}

fn same_names<'n>(names: &[&'n str]) -> Vec<(&'n str, &'n str)> {
    names.iter().map(|name| (*name, *name)).collect()
}
