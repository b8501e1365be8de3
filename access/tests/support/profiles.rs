//! Issuers by profile, and tokens as their providers' documentation shows them; the links stand in
//! access/src/identity/profile.rs.

use serde_json::{Value, json};
use tallyport_access::{Authenticator, Identity, IssuerConfig};

use super::jwt::{Key, changed, now, trusting_as};

pub const GITHUB: &str = "https://token.actions.githubusercontent.com";
pub const GITLAB: &str = "https://gitlab.com";
pub const CLUSTER: &str = "https://oidc.cluster-1.example.com";

pub fn parsed(profile: &str, issuer: &str, extra: &str) -> Result<IssuerConfig, String> {
    let text = format!(
        "issuer = \"{issuer}\"\naudiences = [\"tallyport\"]\nprofile = \"{profile}\"\n{extra}"
    );
    toml::from_str(&text).map_err(|error| error.to_string())
}

pub fn trusting_profile(key: &Key, profile: &str, issuer: &str, extra: &str) -> Authenticator {
    trusting_as(&[key], parsed(profile, issuer, extra).unwrap())
}

pub fn refused(profile: &str, issuer: &str, extra: &str) -> String {
    Authenticator::new(vec![parsed(profile, issuer, extra).unwrap()]).unwrap_err().to_string()
}

/// A token with a header as the provider writes it.
pub fn token(key: &Key, typ: Option<&str>, claims: &Value) -> String {
    let mut header = json!({ "alg": key.alg(), "kid": key.id });
    if let Some(typ) = typ {
        header["typ"] = json!(typ);
    }
    key.token(&header, claims)
}

/// `claims` without the one that a pointer names.
pub fn without(claims: &Value, pointer: &str) -> Value {
    let mut left = claims.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    left.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    left
}

pub fn tag<'w>(who: &'w Identity, name: &str) -> Option<&'w str> {
    who.agent.other.get(name).map(String::as_str)
}

/// A job of GitHub Actions, but for these claims; `null` removes one.
pub fn github(changes: Value) -> Value {
    let claims = json!({
        "iss": GITHUB, "aud": "tallyport", "sub": "repo:octo-org/octo-repo:ref:refs/heads/main",
        "jti": "6f4762ed", "nbf": now() - 600, "iat": now(), "exp": now() + 300,
        "repository": "octo-org/octo-repo", "repository_id": "5001",
        "repository_owner": "octo-org", "repository_owner_id": "65",
        "repository_visibility": "private", "ref": "refs/heads/main", "ref_type": "branch",
        "sha": "8fe1b322a576d59fe6257052a4107df7dc1b8c78", "head_ref": "", "base_ref": "",
        "workflow": "deploy", "workflow_sha": "8fe1b322a576d59fe6257052a4107df7dc1b8c78",
        "workflow_ref": "octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main",
        "job_workflow_ref": "octo-org/shared/.github/workflows/run.yml@refs/heads/main",
        "environment": "production", "event_name": "push", "actor": "mona", "actor_id": "12",
        "run_id": "9001", "run_number": "18", "run_attempt": "2",
        "runner_environment": "github-hosted",
    });
    changed(claims, changes)
}

pub const OUR_REPOSITORY: &str = "[required_claims]\nrepository = [\"octo-org/octo-repo\"]";

/// A job of GitLab CI/CD, likewise.
pub fn gitlab(changes: Value) -> Value {
    let claims = json!({
        "iss": GITLAB, "aud": "tallyport", "jti": "235b3a54", "iat": now(), "nbf": now() - 5,
        "exp": now() + 3600, "sub": "project_path:my-group/my-project:ref_type:branch:ref:main",
        "namespace_id": "72", "namespace_path": "my-group",
        "project_id": "20", "project_path": "my-group/my-project",
        "job_namespace_id": "72", "job_namespace_path": "my-group",
        "job_project_id": "20", "job_project_path": "my-group/my-project",
        "user_id": "1", "user_login": "ada", "user_email": "ada@example.com",
        "user_access_level": "developer", "pipeline_id": "574", "pipeline_source": "push",
        "job_id": "302", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
        "ref_protected": "true", "environment": "production", "environment_protected": "true",
        "deployment_tier": "production", "environment_action": "start", "runner_id": 1,
        "runner_environment": "gitlab-hosted", "project_visibility": "private",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc", "ci_config_ref_uri": Value::Null,
        "user_identities": [{ "provider": "saml", "extern_uid": "ada" }],
    });
    changed(claims, changes)
}

pub const OUR_PROJECT: &str = "[required_claims]\nproject_path = [\"my-group/my-project\"]";

/// A bound token of a service account, likewise.
pub fn kubernetes(changes: Value) -> Value {
    let claims = json!({
        "iss": CLUSTER, "aud": ["tallyport"], "sub": "system:serviceaccount:shop:reporter",
        "iat": now(), "nbf": now(), "exp": now() + 3607, "jti": "e51f1fbc",
        "kubernetes.io": {
            "namespace": "shop",
            "node": { "name": "worker-1", "uid": "517eb86e" },
            "pod": { "name": "reporter-7c9", "uid": "0d8b260e" },
            "serviceaccount": { "name": "reporter", "uid": "e6a8680e" },
            "warnafter": now() + 3600,
        },
    });
    changed(claims, changes)
}
