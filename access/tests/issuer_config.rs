//! An issuer's configuration: what is refused says the key and the fix; what is mapped arrives.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use std::time::Duration;

use serde_json::json;
use support::jwt::{AUDIENCE, ISSUER, Key, outcome, trusting, trusting_as};
use tallyport_access::{Authenticator, IssuerConfig};
use tallyport_schemas::PrincipalKind;

fn parsed(text: &str) -> Result<IssuerConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

const LEAST: &str = "issuer = \"https://id.example.com\"\naudiences = [\"tallyport\"]\n";

fn refused(extra: &str) -> String {
    let config = parsed(&format!("{LEAST}{extra}")).unwrap();
    Authenticator::new(vec![config]).unwrap_err().to_string()
}

#[test]
fn the_least_configuration_is_an_issuer_and_an_audience() {
    assert!(Authenticator::new(vec![parsed(LEAST).unwrap()]).is_ok());
    assert!(parsed("issuer = \"https://id.example.com\"").unwrap_err().contains("audiences"));
    assert!(parsed(&format!("{LEAST}audience = \"x\"")).unwrap_err().contains("audience"));
    assert!(parsed(&format!("{LEAST}[claims]\ngroup = \"x\"")).unwrap_err().contains("group"));
    assert!(parsed(&format!("{LEAST}[claims.groups]\nclaim = \"x\"\nneeded = true")).is_err());
}

#[test]
fn unsafe_values_are_refused_with_key_and_fix() {
    let cases = [
        ("algorithms = [\"none\"]", "key `algorithms`: `none` is not taken; use some of RS256"),
        ("algorithms = [\"HS256\"]", "`HS256` is not taken"),
        ("algorithms = [\"rs256\"]", "`rs256` is not taken"),
        ("algorithms = []", "name at least one of"),
        ("token_types = []", "key `token_types`"),
        ("clock_skew_seconds = 121", "key `clock_skew_seconds`: at most 120"),
        ("max_token_bytes = 100", "key `max_token_bytes`: 256 to 65536"),
        ("max_token_bytes = 1000000", "key `max_token_bytes`"),
        ("max_lifetime_seconds = 0", "key `max_lifetime_seconds`"),
        ("jwks_uri = \"http://id.example.com/jwks\"", "key `jwks_uri`: write a URL with https"),
        ("jwks_file = \"/nonexistent/jwks\"", "key `jwks_file`: `/nonexistent/jwks`"),
        ("ca_file = \"/nonexistent/ca\"", "key `ca_file`"),
        ("jwks_uri = \"https://a.example/\"\njwks_file = \"/x\"", "leave out either"),
        ("[keys]\nmin_refresh_seconds = 0", "min_refresh_seconds: at least 1"),
        ("[keys]\nkeep_seconds = 1", "keep_seconds: from max_age_seconds"),
        ("[keys]\ntimeout_seconds = 0", "timeout_seconds: 1 to 30"),
        ("[claims]\ngroups = \"\"", "a claim's name is empty"),
        ("[claims]\nsubject = \"\"", "a claim's name is empty"),
        ("[required_claims]\nscope = []", "key `required_claims`"),
    ];
    for (extra, expected) in cases {
        let error = refused(extra);
        assert!(error.contains("issuer `https://id.example.com`"), "{error}");
        assert!(error.contains(expected), "for {extra}\nexpected: {expected}\nfound: {error}");
    }
    for issuer in [
        "http://id.example.com",
        "id.example.com",
        "https://a@id.example.com",
        "https://id.example.com/?x=1",
        "https://id.example.com/#f",
        "ftp://id.example.com",
    ] {
        let config = IssuerConfig::new(issuer, vec!["tallyport".into()]);
        let error = Authenticator::new(vec![config]).unwrap_err().to_string();
        assert!(error.contains("key `issuer`"), "{issuer}: {error}");
    }
    for audiences in [vec![], vec![String::new()]] {
        let config = IssuerConfig::new("https://id.example.com", audiences);
        assert!(Authenticator::new(vec![config]).unwrap_err().to_string().contains("audiences"));
    }
    assert!(Authenticator::new(vec![]).unwrap_err().to_string().contains("`issuers` is empty"));
    let twice = vec![parsed(LEAST).unwrap(), parsed(LEAST).unwrap()];
    assert!(Authenticator::new(twice).unwrap_err().to_string().contains("named twice"));
}

#[tokio::test]
async fn claims_are_mapped_as_configured() {
    let key = Key::p256("k");
    let config = parsed(&format!(
        r#"{LEAST}
            group_prefix = "corp:"
            [claims]
            display_name = "preferred_username"
            groups = "/realm_access/roles"
            owner = {{ claim = "https://example.com/owner", required = true }}
            other = {{ team = "/teams/0", tier = "tier" }}
            [claims.kind]
            claim = "utype"
            values = {{ person = "human", bot = "agent" }}
        "#
    ));
    let authenticator = trusting_as(&[&key], config.unwrap());
    let claims = json!({
        "preferred_username": "Ada", "realm_access": { "roles": ["b", "a", "b"] },
        "https://example.com/owner": "grace@example.com", "teams": ["blue", "red"], "tier": 2,
        "utype": "person", "groups": ["ignored"], "email": "ada@example.com",
    });
    let who = authenticator.verify(&key.good_but(claims.clone())).await.unwrap();
    assert_eq!(who.principal.display_name, "Ada");
    assert_eq!(who.principal.groups, ["corp:a", "corp:b"], "sorted, once each, with the prefix");
    assert_eq!(who.principal.owner.as_deref(), Some("grace@example.com"));
    assert_eq!(who.principal.kind, PrincipalKind::Human);
    assert_eq!(who.email.as_deref(), Some("ada@example.com"));
    assert_eq!(who.agent.other["team"], "blue");
    assert_eq!(who.agent.other["tier"], "2");
    let mut without = claims.clone();
    without["https://example.com/owner"] = json!(null);
    assert_eq!(outcome(&authenticator, &key.good_but(without)).await, "missing_claim");
    let mut unaddressed = claims.clone();
    unaddressed["email"] = json!("");
    let who = authenticator.verify(&key.good_but(unaddressed.clone())).await.unwrap();
    assert_eq!(who.email, None, "some write an empty one");
    unaddressed["email"] = json!("a\nb");
    assert_eq!(outcome(&authenticator, &key.good_but(unaddressed)).await, "invalid_claim");
    let mut unknown_kind = claims.clone();
    unknown_kind["utype"] = json!("admin");
    assert_eq!(outcome(&authenticator, &key.good_but(unknown_kind)).await, "invalid_claim");
    let mut no_kind = claims;
    no_kind["utype"] = json!(null);
    let who = authenticator.verify(&key.good_but(no_kind)).await.unwrap();
    assert_eq!(who.principal.kind, PrincipalKind::Agent, "the default where the claim is absent");
}

#[tokio::test]
async fn a_kind_may_be_required_of_every_token() {
    let key = Key::p256("k");
    for extra in ["", "default = \"human\""] {
        let config = parsed(&format!("{LEAST}[claims.kind]\nrequired = true\n{extra}")).unwrap();
        let authenticator = trusting_as(&[&key], config);
        assert_eq!(outcome(&authenticator, &key.good_but(json!({}))).await, "missing_claim");
        let token = key.good_but(json!({ "kind": "service" }));
        let who = authenticator.verify(&token).await.unwrap();
        assert_eq!(who.principal.kind, PrincipalKind::Service);
    }
}

/// The id is a text of the issuer's, whichever claim it is in; a bad `sub` is never passed over.
#[tokio::test]
async fn another_claim_than_sub_may_be_the_stable_id() {
    let key = Key::p256("k");
    let config = parsed(&format!("{LEAST}[claims]\nsubject = \"/account/id\"")).unwrap();
    let authenticator = trusting_as(&[&key], config);
    let account = json!({ "id": "a-81" });
    let who = authenticator.verify(&key.good_but(json!({ "account": account }))).await.unwrap();
    assert_eq!(who.principal.subject, "a-81");
    assert_eq!(who.principal.display_name, "a-81", "people see the id where there is no name");
    let long = "x".repeat(255);
    let cases = [
        (json!({ "account": account, "sub": null }), "ok"),
        (json!({ "account": account, "sub": "x".repeat(300) }), "ok"),
        (json!({ "account": { "id": long } }), "ok"),
        (json!({ "account": { "id": format!("{long}x") } }), "invalid_claim"),
        (json!({ "account": { "id": "" } }), "invalid_claim"),
        (json!({ "account": { "id": "a\n81" } }), "invalid_claim"),
        (json!({ "account": { "id": 81 } }), "invalid_claim"),
        (json!({ "account": { "id": ["a-81"] } }), "invalid_claim"),
        (json!({ "account": { "id": null } }), "missing_claim"),
        (json!({ "account": {} }), "missing_claim"),
        (json!({}), "missing_claim"),
        (json!({ "account": account, "sub": 7 }), "invalid_claim"),
        (json!({ "account": account, "sub": "" }), "invalid_claim"),
        (json!({ "account": account, "sub": "a\u{7}b" }), "invalid_claim"),
        (json!({ "account": account, "sub": "x".repeat(1025) }), "invalid_claim"),
    ];
    for (changes, expected) in cases {
        let token = key.good_but(changes.clone());
        assert_eq!(outcome(&authenticator, &token).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn required_claims_must_have_one_of_their_values() {
    let key = Key::p256("k");
    let authenticator = trusting(&[&key], |config| {
        config.required_claims.insert("tenant".into(), vec![json!("a"), json!("b")]);
        config.required_claims.insert("/flags/mfa".into(), vec![json!(true)]);
    });
    let cases = [
        (json!({ "tenant": "a", "flags": { "mfa": true } }), "ok"),
        (json!({ "tenant": ["x", "b"], "flags": { "mfa": true } }), "ok"),
        (json!({ "tenant": "c", "flags": { "mfa": true } }), "invalid_claim"),
        (json!({ "tenant": "a", "flags": { "mfa": "true" } }), "invalid_claim"),
        (json!({ "tenant": "a" }), "missing_claim"),
        (json!({ "flags": { "mfa": true } }), "missing_claim"),
    ];
    for (changes, expected) in cases {
        assert_eq!(
            outcome(&authenticator, &key.good_but(changes.clone())).await,
            expected,
            "{changes}"
        );
    }
}

/// The limit is each issuer's own, though the first look only knows the largest.
#[tokio::test]
async fn each_issuer_has_its_own_limit() {
    let key = Key::p256("k");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    std::fs::write(&path, json!({ "keys": [key.jwk()] }).to_string()).unwrap();
    let config = |issuer: &str, max: usize| {
        let mut config = IssuerConfig::new(issuer, vec![AUDIENCE.to_owned()]);
        config.jwks_file = Some(path.clone());
        config.max_token_bytes = max;
        config
    };
    let wide = "https://wide.example.com";
    let authenticator =
        Authenticator::new(vec![config(ISSUER, 2048), config(wide, 65536)]).unwrap();
    let padding = "x".repeat(4096);
    let token = key.good_but(json!({ "padding": padding }));
    assert_eq!(outcome(&authenticator, &token).await, "too_large");
    let token = key.good_but(json!({ "padding": padding, "iss": wide }));
    assert_eq!(outcome(&authenticator, &token).await, "ok");
}

/// As an issuer without a network hands out its keys: by hand, and without a restart.
#[tokio::test]
async fn a_key_file_that_is_written_anew_counts() {
    let (one, two) = (Key::p256("one"), Key::p256("two"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let write = async |text: String| {
        std::fs::write(&path, text).unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
    };
    std::fs::write(&path, json!({ "keys": [one.jwk()] }).to_string()).unwrap();
    let mut config = IssuerConfig::new(ISSUER, vec![AUDIENCE.to_owned()]);
    config.jwks_file = Some(path.clone());
    let authenticator = Authenticator::new(vec![config]).unwrap();
    let both = async || {
        let (one, two) = (one.good_but(json!({})), two.good_but(json!({})));
        (outcome(&authenticator, &one).await, outcome(&authenticator, &two).await)
    };
    assert_eq!(both().await, ("ok", "unknown_key"));
    write(json!({ "keys": [two.jwk()] }).to_string()).await;
    assert_eq!(both().await, ("unknown_key", "ok"));
    write("{\"keys\": [".to_owned()).await;
    assert_eq!(both().await, ("unknown_key", "ok"), "what is no key set changes nothing");
}
