//! What a profile of an issuer is: defaults that yield to what is written, and rules that do not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use serde_json::json;
use support::jwt::{Key, now, outcome};
use support::profiles::{GITHUB, github, parsed, refused, tag, token, trusting_profile, without};
use tallyport_access::{Authenticator, IssuerConfig, Profile};
use tallyport_schemas::PrincipalKind;

#[test]
fn an_unknown_profile_is_refused_with_the_known_ones() {
    let error = parsed("github", GITHUB, "").unwrap_err();
    for known in ["oidc", "rfc9068", "github-actions", "gitlab", "kubernetes"] {
        assert!(error.contains(&format!("`{known}`")), "{known}: {error}");
    }
}

#[test]
fn without_a_profile_it_is_oidc() {
    let least = "issuer = \"https://id.example.com\"\naudiences = [\"tallyport\"]\n";
    let unwritten: IssuerConfig = toml::from_str(least).unwrap();
    let written = parsed("oidc", "https://id.example.com", "").unwrap();
    let new = IssuerConfig::new("https://id.example.com", vec!["tallyport".to_owned()]);
    for other in [written, new] {
        assert_eq!(format!("{unwritten:?}"), format!("{other:?}"));
    }
    assert_eq!(unwritten.profile, Profile::Oidc);
    assert_eq!(unwritten.algorithms, ["RS256", "ES256", "PS256", "EdDSA"]);
    assert_eq!(unwritten.token_types, ["at+jwt", "JWT"]);
    assert_eq!(unwritten.max_lifetime_seconds, 86400);
    assert_eq!(unwritten.claims.subject, "sub");
    assert_eq!(unwritten.claims.kind.default, Some(PrincipalKind::Agent));
    assert!(unwritten.claims.other.is_empty());
}

#[tokio::test]
async fn what_is_written_wins_over_the_profile() {
    let key = Key::p256("k");
    let authenticator = trusting_profile(
        &key,
        "github-actions",
        "https://github.example.com/_services/token",
        r#"
            algorithms = ["ES256"]
            token_types = ["job+jwt"]
            max_lifetime_seconds = 100
            [claims]
            subject = "repository_id"
            display_name = "workflow"
            groups = "teams"
            owner = "actor"
            task = "run_number"
            other = { run_id = "run_attempt", tier = "repo_property_tier" }
            [claims.kind]
            claim = "runner_environment"
            values = { self-hosted = "agent" }
        "#,
    );
    let mut claims = github(json!({
        "iss": "https://github.example.com/_services/token", "teams": ["a"],
        "runner_environment": "self-hosted", "repo_property_tier": "1", "exp": now() + 90,
    }));
    let who = authenticator.verify(&token(&key, Some("job+jwt"), &claims)).await.unwrap();
    assert_eq!(who.principal.subject, "5001");
    assert_eq!(who.principal.display_name, "deploy");
    assert_eq!(who.principal.groups, ["a"]);
    assert_eq!(who.principal.owner.as_deref(), Some("mona"));
    assert_eq!(who.principal.kind, PrincipalKind::Agent);
    assert_eq!(who.agent.task.as_deref(), Some("18"));
    assert_eq!(tag(&who, "run_id"), Some("2"), "an attribute of the same name is replaced");
    assert_eq!(tag(&who, "tier"), Some("1"));
    assert_eq!(tag(&who, "ref"), Some("refs/heads/main"), "the others stay");
    assert_eq!(
        outcome(&authenticator, &token(&key, Some("JWT"), &claims)).await,
        "wrong_token_type"
    );
    claims["exp"] = json!(now() + 200);
    let long = token(&key, Some("job+jwt"), &claims);
    assert_eq!(outcome(&authenticator, &long).await, "lives_too_long");
}

/// RFC 9068 sections 2.1, 2.2 and 4.
#[tokio::test]
async fn rfc9068_takes_its_own_type_with_all_its_claims_only() {
    let key = Key::p256("k");
    let issuer = "https://id.example.com";
    let authenticator = trusting_profile(&key, "rfc9068", issuer, "");
    let claims = json!({
        "iss": issuer, "aud": "tallyport", "sub": "5ba552d67", "client_id": "s6BhdRkqt3",
        "iat": now(), "exp": now() + 300, "jti": "dbe39bf3a3ba4238a513f51d6e1691c4",
        "groups": ["support"], "scope": "openid", "auth_time": now() - 5,
    });
    for typ in ["at+jwt", "application/at+jwt", "AT+JWT"] {
        let who = authenticator.verify(&token(&key, Some(typ), &claims)).await.unwrap();
        assert_eq!(who.principal.subject, "5ba552d67");
        assert_eq!(who.principal.groups, ["support"]);
        assert_eq!(tag(&who, "client_id"), Some("s6BhdRkqt3"));
    }
    for typ in [None, Some("JWT"), Some("jwt"), Some("id+jwt")] {
        let token = token(&key, typ, &claims);
        assert_eq!(outcome(&authenticator, &token).await, "wrong_token_type", "{typ:?}");
    }
    let all = ["/iss", "/exp", "/aud", "/sub", "/client_id", "/iat", "/jti"];
    for pointer in all {
        let token = token(&key, Some("at+jwt"), &without(&claims, pointer));
        assert_eq!(outcome(&authenticator, &token).await, "missing_claim", "{pointer}");
    }
    for wrong in [json!({}), json!([]), json!("")] {
        let mut changed = claims.clone();
        changed["client_id"] = wrong;
        let token = token(&key, Some("at+jwt"), &changed);
        assert_eq!(outcome(&authenticator, &token).await, "invalid_claim");
    }
    // No other key takes any of it back.
    let authenticator = trusting_profile(
        &key,
        "rfc9068",
        issuer,
        "[claims]\nsubject = \"uid\"\nother = { client_id = \"azp\" }\n[required_claims]\nuid = [\"u\"]",
    );
    let mut mapped = claims;
    mapped["uid"] = json!("u");
    let whole = token(&key, Some("at+jwt"), &mapped);
    assert_eq!(outcome(&authenticator, &whole).await, "ok");
    for pointer in all {
        let token = token(&key, Some("at+jwt"), &without(&mapped, pointer));
        assert_eq!(outcome(&authenticator, &token).await, "missing_claim", "{pointer}");
    }
}

#[test]
fn rfc9068_cannot_be_told_to_take_other_types() {
    for types in ["[\"JWT\"]", "[\"at+jwt\", \"JWT\"]", "[]", "[\"\"]"] {
        let error = refused("rfc9068", "https://id.example.com", &format!("token_types = {types}"));
        assert!(
            error.contains("key `token_types`: profile `rfc9068` takes at+jwt only"),
            "{error}"
        );
    }
    let same = "token_types = [\"application/at+jwt\"]";
    assert!(
        Authenticator::new(vec![parsed("rfc9068", "https://id.example.com", same).unwrap()])
            .is_ok()
    );
    let mut changed = parsed("rfc9068", "https://id.example.com", "").unwrap();
    changed.token_types.push("JWT".to_owned());
    assert!(Authenticator::new(vec![changed]).is_err(), "nor in the program");
}

/// Every example of the reference is a configuration that is taken as it stands.
#[test]
fn the_examples_of_the_reference_are_taken() {
    #[derive(serde::Deserialize)]
    struct File {
        issuers: Vec<IssuerConfig>,
    }
    let text = include_str!("../../docs/reference/identity.md");
    let mut profiles = Vec::new();
    for block in text.split("```toml\n").skip(1) {
        let example = block.split("```").next().unwrap();
        let file: File = toml::from_str(example).unwrap_or_else(|e| panic!("{e}\n{example}"));
        profiles.extend(file.issuers.iter().map(|issuer| issuer.profile));
        if let Err(error) = Authenticator::new(file.issuers) {
            panic!("{error}\n{example}");
        }
    }
    for profile in [
        Profile::Oidc,
        Profile::Rfc9068,
        Profile::GithubActions,
        Profile::Gitlab,
        Profile::Kubernetes,
    ] {
        assert!(profiles.contains(&profile), "no example for {profile:?}");
    }
}
