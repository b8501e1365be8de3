//! Jobs of GitHub Actions and GitLab, and service accounts of Kubernetes: what their tokens become, and what a
//! configuration must not leave open.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use serde_json::json;
use support::jwt::{Key, now, outcome};
use support::profiles::{
    CLUSTER, GITHUB, GITLAB, OUR_PROJECT, OUR_REPOSITORY, github, gitlab, kubernetes, parsed,
    refused, tag, token, trusting_profile, without,
};
use tallyport_access::Authenticator;
use tallyport_schemas::PrincipalKind;

#[tokio::test]
async fn a_github_job_is_a_service_with_its_repository_and_run() {
    let key = Key::rsa("k");
    let authenticator = trusting_profile(&key, "github-actions", GITHUB, OUR_REPOSITORY);
    let who = authenticator.verify(&token(&key, Some("JWT"), &github(json!({})))).await.unwrap();
    assert_eq!(who.principal.subject, "repo:octo-org/octo-repo:ref:refs/heads/main");
    assert_eq!(who.principal.display_name, "octo-org/octo-repo");
    assert_eq!(who.principal.kind, PrincipalKind::Service);
    assert_eq!(who.principal.owner, None);
    assert!(who.principal.groups.is_empty());
    assert_eq!(who.agent.task.as_deref(), Some("9001"));
    for (name, value) in [
        ("repository", "octo-org/octo-repo"),
        ("repository_id", "5001"),
        ("repository_owner", "octo-org"),
        ("ref", "refs/heads/main"),
        ("workflow", "deploy"),
        ("job_workflow_ref", "octo-org/shared/.github/workflows/run.yml@refs/heads/main"),
        ("environment", "production"),
        ("event_name", "push"),
        ("actor", "mona"),
        ("run_id", "9001"),
    ] {
        assert_eq!(tag(&who, name), Some(value), "{name}");
    }
    let cases = [
        (json!({ "environment": null }), "ok"),
        (json!({ "repository": "octo-org/other" }), "invalid_claim"),
        (
            json!({ "repository": "evil-org/octo-repo", "sub": "repo:octo-org/octo-repo:ref:refs/heads/main" }),
            "invalid_claim",
        ),
        (json!({ "aud": "https://github.com/octo-org" }), "wrong_audience"),
        (json!({ "exp": now() + 3601 }), "lives_too_long"),
    ];
    for (changes, expected) in cases {
        let token = token(&key, Some("JWT"), &github(changes.clone()));
        assert_eq!(outcome(&authenticator, &token).await, expected, "{changes}");
    }
    // On a server of one's own, where nothing else asks for them.
    let own = "https://github.example.com/_services/token";
    let authenticator = trusting_profile(&key, "github-actions", own, "");
    let job = github(json!({ "iss": own }));
    assert_eq!(outcome(&authenticator, &token(&key, Some("JWT"), &job)).await, "ok");
    for missing in ["/sub", "/iat", "/exp", "/repository", "/repository_owner", "/run_id"] {
        let token = token(&key, Some("JWT"), &without(&job, missing));
        assert_eq!(outcome(&authenticator, &token).await, "missing_claim", "{missing}");
    }
    let other = Key::p256("k");
    let authenticator = trusting_profile(&other, "github-actions", GITHUB, OUR_REPOSITORY);
    let token = token(&other, Some("JWT"), &github(json!({})));
    assert_eq!(outcome(&authenticator, &token).await, "unsupported_algorithm");
}

/// What an issuer of its own kind would mean by these claims is its affair: a job must not name its own rank.
#[tokio::test]
async fn names_of_ours_are_not_believed_of_a_job() {
    let claims =
        json!({ "groups": ["operators"], "owner": "x", "model": "x", "agent": "x", "name": "x" });
    let key = Key::rsa("k");
    let authenticator = trusting_profile(&key, "github-actions", GITHUB, OUR_REPOSITORY);
    let who = authenticator.verify(&token(&key, Some("JWT"), &github(claims.clone()))).await;
    let who = who.unwrap();
    assert!(who.principal.groups.is_empty());
    assert_eq!((who.principal.owner, who.agent.model, who.agent.agent), (None, None, None));
    let authenticator = trusting_profile(&key, "gitlab", GITLAB, OUR_PROJECT);
    let who = authenticator.verify(&token(&key, Some("JWT"), &gitlab(claims.clone()))).await;
    assert!(who.unwrap().principal.groups.is_empty());
    let authenticator = trusting_profile(&key, "kubernetes", CLUSTER, "");
    let who = authenticator.verify(&token(&key, None, &kubernetes(claims))).await.unwrap();
    assert!(!who.principal.groups.contains(&"operators".to_owned()));
}

#[test]
fn not_every_repository_of_the_world_is_trusted() {
    let open = [
        "",
        "[required_claims]\nref = [\"refs/heads/main\"]",
        "[required_claims]\nrepository_visibility = [\"private\"]\nactor = [\"mona\"]",
        "[required_claims]\nsub = [\"ref:refs/heads/main\"]",
        "[required_claims]\njob_workflow_ref = [\"octo-org/shared/.github/workflows/run.yml@main\"]",
        "[claims]\nsubject = \"repository\"",
    ];
    // The danger is the issuer's: another profile does not take it away.
    for profile in ["github-actions", "oidc", "kubernetes"] {
        for extra in open {
            let error = refused(profile, GITHUB, extra);
            assert!(
                error.contains(&format!("issuer `{GITHUB}`: key `required_claims`")),
                "{error}"
            );
            assert!(error.contains("repository_owner_id"), "{error}");
            assert!(error.contains("repository = [\"octo-org/octo-repo\"]"), "{error}");
        }
    }
    for closed in [
        "repository = [\"octo-org/octo-repo\"]",
        "\"/repository\" = [\"octo-org/octo-repo\"]",
        "repository_id = [\"5001\"]",
        "repository_owner = [\"octo-org\"]",
        "repository_owner_id = [\"65\"]",
        "enterprise = [\"octo\"]",
        "enterprise_id = [\"1\"]",
    ] {
        let config = parsed("github-actions", GITHUB, &format!("[required_claims]\n{closed}"));
        assert!(Authenticator::new(vec![config.unwrap()]).is_ok(), "{closed}");
    }
    let empty = refused("github-actions", GITHUB, "[required_claims]\nrepository = []");
    assert!(empty.contains("at least one value"), "{empty}");
    // An enterprise's own issuer and a server of one's own know only their own repositories.
    for own in [
        "https://token.actions.githubusercontent.com/octo",
        "https://github.example.com/_services/token",
    ] {
        let config = parsed("github-actions", own, "").unwrap();
        assert!(Authenticator::new(vec![config]).is_ok(), "{own}");
    }
}

#[tokio::test]
async fn a_gitlab_job_is_a_service_with_its_project_and_pipeline() {
    let key = Key::rsa("k");
    let authenticator = trusting_profile(&key, "gitlab", GITLAB, OUR_PROJECT);
    let who = authenticator.verify(&token(&key, Some("JWT"), &gitlab(json!({})))).await.unwrap();
    assert_eq!(who.principal.subject, "project_path:my-group/my-project:ref_type:branch:ref:main");
    assert_eq!(who.principal.display_name, "my-group/my-project");
    assert_eq!(who.principal.kind, PrincipalKind::Service);
    assert!(who.principal.groups.is_empty());
    assert_eq!(who.agent.task.as_deref(), Some("574"));
    for (name, value) in [
        ("project_path", "my-group/my-project"),
        ("namespace_path", "my-group"),
        ("user_login", "ada"),
        ("pipeline_id", "574"),
        ("job_id", "302"),
        ("ref", "main"),
        ("ref_protected", "true"),
        ("environment", "production"),
    ] {
        assert_eq!(tag(&who, name), Some(value), "{name}");
    }
    let cases = [
        (json!({ "environment": null, "environment_protected": null }), "ok"),
        // A merge request of a fork: the pipeline is ours, the code is not.
        (
            json!({ "project_path": "stranger/my-project", "namespace_path": "stranger" }),
            "invalid_claim",
        ),
    ];
    for (changes, expected) in cases {
        let token = token(&key, Some("JWT"), &gitlab(changes.clone()));
        assert_eq!(outcome(&authenticator, &token).await, expected, "{changes}");
    }
}

/// GitLab is an OpenID provider, too: whom it signs in to an application is no job.
#[tokio::test]
async fn who_signs_in_with_gitlab_is_no_job() {
    let key = Key::rsa("k");
    let own = "https://gitlab.example.com";
    let authenticator = trusting_profile(&key, "gitlab", own, "");
    let person = json!({
        "iss": own, "aud": "tallyport", "sub": "1", "iat": now(), "exp": now() + 120,
        "sub_legacy": "a1b2", "name": "Ada", "nickname": "ada", "preferred_username": "ada",
        "email": "ada@example.com", "groups_direct": ["my-group"],
    });
    assert_eq!(outcome(&authenticator, &token(&key, Some("JWT"), &person)).await, "missing_claim");
    let job = gitlab(json!({ "iss": own }));
    let whole = token(&key, Some("JWT"), &job);
    assert_eq!(outcome(&authenticator, &whole).await, "ok", "all jobs of a GitLab of one's own");
    for missing in
        ["/sub", "/iat", "/exp", "/project_path", "/namespace_path", "/pipeline_id", "/job_id"]
    {
        let token = token(&key, Some("JWT"), &without(&job, missing));
        assert_eq!(outcome(&authenticator, &token).await, "missing_claim", "{missing}");
    }
}

#[test]
fn not_every_project_of_gitlab_com_is_trusted() {
    for extra in [
        "",
        "[required_claims]\nref_protected = [\"true\"]",
        "[required_claims]\nuser_login = [\"ada\"]",
        // It names the target of a merge request, whoever wrote the code.
        "[required_claims]\njob_project_path = [\"my-group/my-project\"]",
    ] {
        let error = refused("gitlab", GITLAB, extra);
        assert!(error.contains("key `required_claims`: anybody can get a token"), "{error}");
        assert!(error.contains("project_path = [\"my-group/my-project\"]"), "{error}");
    }
    for closed in ["project_path", "project_id", "namespace_path", "namespace_id"] {
        let extra = format!("[required_claims]\n{closed} = [\"x\"]");
        let config = parsed("gitlab", GITLAB, &extra).unwrap();
        assert!(Authenticator::new(vec![config]).is_ok(), "{closed}");
    }
}

#[tokio::test]
async fn a_service_account_is_a_service_in_the_groups_of_its_namespace() {
    let key = Key::rsa("k");
    let authenticator = trusting_profile(&key, "kubernetes", CLUSTER, "");
    let claims = kubernetes(json!({}));
    let who = authenticator.verify(&token(&key, None, &claims)).await.unwrap();
    assert_eq!(who.principal.subject, "system:serviceaccount:shop:reporter");
    assert_eq!(who.principal.display_name, "system:serviceaccount:shop:reporter");
    assert_eq!(who.principal.kind, PrincipalKind::Service);
    assert_eq!(who.principal.groups, ["system:serviceaccounts", "system:serviceaccounts:shop"]);
    for (name, value) in [
        ("namespace", "shop"),
        ("service_account", "reporter"),
        ("service_account_uid", "e6a8680e"),
        ("pod", "reporter-7c9"),
        ("pod_uid", "0d8b260e"),
        ("node", "worker-1"),
    ] {
        assert_eq!(tag(&who, name), Some(value), "{name}");
    }
    // A token asked for by hand is bound to no pod.
    let unbound = without(&without(&claims, "/kubernetes.io/pod"), "/kubernetes.io/node");
    let who = authenticator.verify(&token(&key, None, &unbound)).await.unwrap();
    assert_eq!(tag(&who, "pod"), None);
    // Also where nothing is made of the namespace.
    let with_groups = trusting_profile(&key, "kubernetes", CLUSTER, "[claims]\ngroups = \"teams\"");
    let missing = [
        "/sub",
        "/iat",
        "/kubernetes.io",
        "/kubernetes.io/namespace",
        "/kubernetes.io/serviceaccount",
        "/kubernetes.io/serviceaccount/name",
        "/kubernetes.io/serviceaccount/uid",
        // Legacy tokens live for ever.
        "/exp",
    ];
    for authenticator in [&authenticator, &with_groups] {
        assert_eq!(outcome(authenticator, &token(&key, None, &claims)).await, "ok");
        for missing in missing {
            let token = token(&key, None, &without(&claims, missing));
            assert_eq!(outcome(authenticator, &token).await, "missing_claim", "{missing}");
        }
    }
    // The API server's own audience gets tokens of a year.
    let year = kubernetes(json!({ "exp": now() + 365 * 24 * 3600 }));
    assert_eq!(outcome(&authenticator, &token(&key, None, &year)).await, "lives_too_long");
}

#[tokio::test]
async fn clusters_are_told_apart_by_a_prefix_and_accounts_by_their_uid() {
    let key = Key::p256("k");
    let authenticator = trusting_profile(
        &key,
        "kubernetes",
        CLUSTER,
        "group_prefix = \"east:\"\n[claims]\nsubject = \"/kubernetes.io/serviceaccount/uid\"",
    );
    let who = authenticator.verify(&token(&key, None, &kubernetes(json!({})))).await.unwrap();
    assert_eq!(
        who.principal.groups,
        ["east:system:serviceaccounts", "east:system:serviceaccounts:shop"]
    );
    assert_eq!(who.principal.subject, "e6a8680e");
    assert_eq!(who.principal.display_name, "system:serviceaccount:shop:reporter");
}
