//! The development issuer and our own token clients, against the authenticator.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

use std::time::Duration;

use tallyport_access::client::{ClientAuthentication, ClientCredentials, TokenError, TokenSource};
use tallyport_access::dev_issuer::{DevClient, DevIssuer, DevIssuerError};
use tallyport_access::{Authenticator, SecretToken, authentication_event};
use tallyport_schemas::{Actor, AuthMethod, Front, Outcome, PrincipalKind};

async fn started(clients: Vec<DevClient>) -> DevIssuer {
    DevIssuer::start("127.0.0.1:0".parse().unwrap(), clients).await.unwrap()
}

fn credentials(issuer: &DevIssuer, id: &str, ttl: Option<u64>) -> ClientCredentials {
    let client = issuer.clients().iter().find(|client| client.id == id).unwrap();
    ClientCredentials {
        issuer: issuer.issuer_url.clone(),
        token_url: None,
        client_id: client.id.clone(),
        authentication: ClientAuthentication::Secret(client.secret.clone()),
        audience: Some("tallyport".into()),
        scope: None,
        extra: ttl.map(|ttl| ("ttl".to_owned(), ttl.to_string())).into_iter().collect(),
        roots_pem: None,
    }
}

async fn token_of(issuer: &DevIssuer, id: &str, ttl: Option<u64>) -> SecretToken {
    let source = TokenSource::client_credentials(credentials(issuer, id, ttl)).unwrap();
    source.token().await.unwrap()
}

#[tokio::test]
async fn every_default_client_gets_a_token_that_says_who_it_is() {
    let issuer = started(DevClient::defaults()).await;
    let authenticator = Authenticator::new(vec![issuer.issuer_config()]).unwrap();
    let expected: [(&str, PrincipalKind, &[&str]); 5] = [
        ("support-agent", PrincipalKind::Agent, &["support-agents"]),
        ("analyst", PrincipalKind::Human, &["analysts", "auditors"]),
        ("ops-agent", PrincipalKind::Agent, &["operators"]),
        ("auditor", PrincipalKind::Human, &["auditors"]),
        ("nobody", PrincipalKind::Agent, &[]),
    ];
    for (id, kind, groups) in expected {
        let token = token_of(&issuer, id, None).await;
        let who = authenticator.verify(token.expose()).await.unwrap();
        assert_eq!(who.principal.subject, id);
        assert_eq!(who.principal.issuer, issuer.issuer_url);
        assert_eq!(who.principal.kind, kind);
        assert_eq!(who.principal.groups, groups);
        assert!(who.token_id.is_some() && who.key_id.is_some());
    }
    let token = token_of(&issuer, "support-agent", None).await;
    let who = authenticator.verify(token.expose()).await.unwrap();
    assert_eq!(who.principal.owner.as_deref(), Some("ada@example.com"));
    assert_eq!(who.agent.model.as_deref(), Some("example-model-1"));
}

#[tokio::test]
async fn a_chain_of_actors_is_read_outermost_first() {
    let actor = |subject: &str| Actor { subject: subject.into(), issuer: None };
    let client = DevClient {
        kind: PrincipalKind::Human,
        act: vec![
            actor("agent"),
            Actor { issuer: Some("https://b.example".into()), ..actor("orchestrator") },
        ],
        ..DevClient::new("ada")
    };
    let issuer = started(vec![client.clone()]).await;
    let authenticator = Authenticator::new(vec![issuer.issuer_config()]).unwrap();
    let who = authenticator.verify(token_of(&issuer, "ada", None).await.expose()).await.unwrap();
    assert_eq!(who.delegation, client.act);
}

#[tokio::test]
async fn a_short_token_expires_and_its_event_says_so_without_the_token() {
    let issuer = started(DevClient::defaults()).await;
    let authenticator = Authenticator::new(vec![issuer.issuer_config()]).unwrap();
    let token = token_of(&issuer, "support-agent", Some(0)).await;
    let outcome = authenticator.verify(token.expose()).await;
    let event = authentication_event(&outcome, Front::Quic);
    assert_eq!(event.outcome, Outcome::Failure);
    assert_eq!(event.method, AuthMethod::Oidc);
    assert_eq!(event.failure.as_deref(), Some("expired"));
    assert_eq!(event.issuer.as_deref(), Some(issuer.issuer_url.as_str()));
    let shown = format!("{event:?} {outcome:?}");
    for part in token.expose().split('.') {
        assert!(!shown.contains(part), "a part of the token is in {shown}");
    }
}

#[tokio::test]
async fn a_new_key_is_picked_up_and_the_old_ones_tokens_live_on() {
    let issuer = started(DevClient::defaults()).await;
    let mut config = issuer.issuer_config();
    config.keys.min_refresh_seconds = 1;
    let authenticator = Authenticator::new(vec![config]).unwrap();
    let old = token_of(&issuer, "auditor", None).await;
    let before = authenticator.verify(old.expose()).await.unwrap();
    issuer.rotate_key().unwrap();
    let new = token_of(&issuer, "auditor", None).await;
    let after = loop {
        match authenticator.verify(new.expose()).await {
            Ok(who) => break who,
            Err(failure) => assert_eq!(failure.code(), "unknown_key"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_ne!(before.key_id, after.key_id);
    authenticator.verify(old.expose()).await.unwrap();
}

#[tokio::test]
async fn it_listens_on_loopback_only() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = DevIssuer::start(address.parse().unwrap(), vec![]).await;
        assert!(matches!(refused, Err(DevIssuerError::NotLoopback(_))), "{address}");
    }
}

#[tokio::test]
async fn wrong_secrets_audiences_and_lives_are_refused() {
    let issuer = started(DevClient::defaults()).await;
    let good = credentials(&issuer, "nobody", None);
    let cases = [
        (
            ClientCredentials {
                authentication: ClientAuthentication::Secret(SecretToken::new("wrong")),
                ..good.clone()
            },
            "invalid_client",
        ),
        (ClientCredentials { client_id: "auditor".into(), ..good.clone() }, "invalid_client"),
        (ClientCredentials { audience: Some("other".into()), ..good.clone() }, "invalid_target"),
        (
            ClientCredentials { extra: vec![("ttl".into(), "-1".into())], ..good.clone() },
            "invalid_request",
        ),
        (
            ClientCredentials { extra: vec![("ttl".into(), "86401".into())], ..good.clone() },
            "invalid_request",
        ),
        (
            ClientCredentials { extra: vec![("client_secret".into(), "x".into())], ..good.clone() },
            "invalid_request",
        ),
        (
            ClientCredentials {
                extra: vec![("grant_type".into(), "password".into())],
                ..good.clone()
            },
            "invalid_request",
        ),
    ];
    for (settings, expected) in cases {
        let source = TokenSource::client_credentials(settings).unwrap();
        match source.token().await {
            Err(TokenError::Refused { code }) => assert_eq!(code, expected),
            other => panic!("expected {expected}, found {other:?}"),
        }
    }
}

#[tokio::test]
async fn both_ways_of_client_authentication_work() {
    let issuer = started(DevClient::defaults()).await;
    let client = &issuer.clients()[0];
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client.id.as_str()),
        ("client_secret", client.secret.expose()),
    ];
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let posted = http.post(&issuer.token_url).form(&form).send().await.unwrap();
    assert_eq!(posted.status(), 200);
    assert_eq!(posted.headers()["cache-control"], "no-store");
    let basic = http
        .post(&issuer.token_url)
        .basic_auth(&client.id, Some(client.secret.expose()))
        .form(&form[..1])
        .send()
        .await
        .unwrap();
    assert_eq!(basic.status(), 200);
    let neither = http.post(&issuer.token_url).form(&form[..1]).send().await.unwrap();
    assert_eq!(neither.status(), 401);
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_it_ends_or_is_forgotten() {
    let issuer = started(DevClient::defaults()).await;
    let source = TokenSource::client_credentials(credentials(&issuer, "auditor", None)).unwrap();
    let first = source.token().await.unwrap();
    assert_eq!(source.token().await.unwrap(), first);
    source.forget().await;
    assert_ne!(source.token().await.unwrap(), first);
    let short = TokenSource::client_credentials(credentials(&issuer, "auditor", Some(0))).unwrap();
    assert_ne!(short.token().await.unwrap(), short.token().await.unwrap(), "it had ended");
}

#[tokio::test]
async fn a_token_file_is_read_at_every_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let source = TokenSource::file(&path);
    assert!(matches!(source.token().await, Err(TokenError::File { .. })));
    std::fs::write(&path, "one\n").unwrap();
    assert_eq!(source.token().await.unwrap().expose(), "one");
    std::fs::write(&path, "two\n").unwrap();
    assert_eq!(source.token().await.unwrap().expose(), "two");
    std::fs::write(&path, "\n").unwrap();
    assert!(matches!(source.token().await, Err(TokenError::File { .. })));
    std::fs::write(&path, "x".repeat(70_000)).unwrap();
    assert!(matches!(source.token().await, Err(TokenError::File { .. })));
}

#[tokio::test]
async fn fixed_and_environment_tokens_are_given_as_they_are() {
    let fixed = TokenSource::fixed(SecretToken::new("abc"));
    assert_eq!(fixed.token().await.unwrap().expose(), "abc");
    assert!(!format!("{fixed:?}").contains("abc"));
    assert!(TokenSource::environment("PATH").token().await.is_ok());
    let missing = TokenSource::environment("TALLYPORT_TEST_NO_SUCH_VARIABLE").token().await;
    assert!(matches!(missing, Err(TokenError::Environment(_))));
}

#[tokio::test]
async fn secrets_are_sent_only_where_they_are_safe() {
    let settings = ClientCredentials {
        issuer: "http://id.example.com".into(),
        token_url: None,
        client_id: "c".into(),
        authentication: ClientAuthentication::Secret(SecretToken::new("s")),
        audience: None,
        scope: None,
        extra: vec![],
        roots_pem: None,
    };
    assert!(matches!(
        TokenSource::client_credentials(settings.clone()),
        Err(TokenError::Settings(_))
    ));
    let elsewhere = ClientCredentials {
        issuer: "https://id.example.com".into(),
        token_url: Some("http://id.example.com/token".into()),
        ..settings
    };
    let source = TokenSource::client_credentials(elsewhere).unwrap();
    let refused = source.token().await.unwrap_err();
    assert!(refused.to_string().contains("not https"), "{refused}");
}
