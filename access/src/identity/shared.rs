//! Issuers that sign for whoever has an account there. Such an issuer's word alone, even for our audience, which every
//! job may ask for, lets in the whole world, so some of it must be named.

use std::collections::BTreeMap;

/// A public service that anybody may get a token of.
struct SharedIssuer {
    issuer: &'static str,
    /// Claims that say whose the job is; one of them must be required to have a value.
    owners: &'static [&'static str],
    example: &'static str,
}

/// Issuers of one's own, such as `https://token.actions.githubusercontent.com/ENTERPRISE`, GitHub Enterprise Server and
/// a GitLab of one's own, sign for their own people only and are not here.
const SHARED: [SharedIssuer; 2] = [
    // "you must define at least one condition, so that untrusted repositories can't request access tokens":
    // https://docs.github.com/en/actions/reference/security/oidc
    SharedIssuer {
        issuer: "https://token.actions.githubusercontent.com",
        owners: &[
            "repository",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "enterprise",
            "enterprise_id",
        ],
        example: "repository = [\"octo-org/octo-repo\"]",
    },
    // Not `job_project_path` and its like: in the pipeline of a merge request they name the target, and the code that
    // runs is the fork's. https://docs.gitlab.com/ci/secrets/id_token_authentication/#token-payload
    SharedIssuer {
        issuer: "https://gitlab.com",
        owners: &["project_path", "project_id", "namespace_path", "namespace_id"],
        example: "project_path = [\"my-group/my-project\"]",
    },
];

/// What to write where everybody of a shared issuer would be let in. Whatever the profile: the danger is the issuer's.
pub(super) fn check(
    issuer: &str,
    required: &BTreeMap<String, Vec<serde_json::Value>>,
) -> Result<(), String> {
    let Some(shared) = SHARED.iter().find(|shared| shared.issuer == issuer) else {
        return Ok(());
    };
    let is_owner =
        |claim: &String| shared.owners.contains(&claim.strip_prefix('/').unwrap_or(claim));
    if required.keys().any(is_owner) {
        return Ok(());
    }
    Err(format!(
        "anybody can get a token of this issuer; say whose are taken by one of {}, such as [issuers.required_claims] {}",
        shared.owners.join(", "),
        shared.example
    ))
}
