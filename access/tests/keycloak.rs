//! Against a real Keycloak: which of its tokens satisfy which profile, roles and groups, and a rotation of keys by its
//! admin API while tokens are verified. One server for all of it, since it takes a while to start.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dev_services::{DevService, StartError};
use reqwest::Method;
use serde_json::{Value, json};
use support::jwt::outcome;
use tallyport_access::client::{ClientAuthentication, ClientCredentials, TokenSource};
use tallyport_access::{
    Authenticator, ClaimSource, Credential, IntrospectionConfig, IssuerConfig, Profile, Secret,
    SecretToken,
};
use tallyport_schemas::PrincipalKind;

struct Keycloak {
    service: DevService,
    http: reqwest::Client,
}

impl Keycloak {
    /// The server, or nothing where it cannot be installed; that is said on stderr.
    fn start(test: &str) -> Option<Self> {
        let began = Instant::now();
        let service = match DevService::start("keycloak", &[]) {
            Ok(service) => service,
            Err(error @ StartError::NotInstallable { .. }) => {
                eprintln!("NOT RUN: {test}: {error}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        eprintln!("Keycloak {} after {:.1?}", service.text("version"), began.elapsed());
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Some(Self { service, http })
    }

    fn secret(&self, id: &str) -> SecretToken {
        let clients = self.service.ready()["clients"].as_array().unwrap();
        let client = clients.iter().find(|client| client["id"] == id).unwrap();
        SecretToken::new(client["secret"].as_str().unwrap())
    }

    /// By the client-credentials grant, as our own clients do it.
    async fn agent(&self, id: &str) -> String {
        let settings = ClientCredentials {
            issuer: self.service.text("issuer").to_owned(),
            token_url: None,
            client_id: id.to_owned(),
            authentication: ClientAuthentication::Secret(self.secret(id)),
            audience: None,
            scope: None,
            extra: vec![],
            roots_pem: None,
        };
        let source = TokenSource::client_credentials(settings).unwrap();
        source.token().await.unwrap().expose().to_owned()
    }

    async fn human(&self, client: &str) -> String {
        let user = &self.service.ready()["user"];
        let form = [
            ("grant_type", "password"),
            ("client_id", client),
            ("client_secret", self.secret(client).expose()),
            ("username", user["name"].as_str().unwrap()),
            ("password", user["password"].as_str().unwrap()),
        ]
        .map(|(name, value)| (name, value.to_owned()));
        self.token("token_url", &form).await
    }

    async fn token(&self, url: &str, form: &[(&str, String)]) -> String {
        let answer = self.http.post(self.service.text(url)).form(form).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Asks the admin API; its tokens live for a minute, so each request has its own.
    async fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let admin = &self.service.ready()["admin"];
        let form = [
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", admin["id"].as_str().unwrap().to_owned()),
            ("client_secret", admin["secret"].as_str().unwrap().to_owned()),
        ];
        let token = self.token("admin_token_url", &form).await;
        let url = format!("{}{path}", self.service.text("admin_url"));
        let mut request = self.http.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null)
    }

    /// A new RSA key that signs from now on.
    async fn add_key(&self, name: &str, priority: &str) {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let key: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let realm = self.admin(Method::GET, "", None).await;
        let component = json!({
            "name": name, "providerId": "rsa", "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": realm["id"],
            "config": { "priority": [priority], "algorithm": ["RS256"], "privateKey": [STANDARD.encode(key.as_ref())] },
        });
        self.admin(Method::POST, "/components", Some(component)).await;
    }

    async fn key(&self, name: &str) -> Value {
        let path = "/components?type=org.keycloak.keys.KeyProvider";
        let keys = self.admin(Method::GET, path, None).await;
        keys.as_array().unwrap().iter().find(|key| key["name"] == name).unwrap().clone()
    }

    /// It signs no more and is still published.
    async fn make_passive(&self, name: &str) {
        let mut key = self.key(name).await;
        key["config"]["active"] = json!(["false"]);
        let path = format!("/components/{}", key["id"].as_str().unwrap());
        self.admin(Method::PUT, &path, Some(key)).await;
    }

    async fn remove_key(&self, name: &str) {
        let key = self.key(name).await;
        let path = format!("/components/{}", key["id"].as_str().unwrap());
        self.admin(Method::DELETE, &path, None).await;
    }

    fn config(&self, profile: Profile) -> IssuerConfig {
        let audience = self.service.text("audience").to_owned();
        let mut config =
            IssuerConfig::of_profile(profile, self.service.text("issuer"), vec![audience]);
        config.keys.min_refresh_seconds = 1;
        config.keys.max_age_seconds = 1;
        config
    }

    fn trusting(&self, profile: Profile) -> Authenticator {
        Authenticator::new(vec![self.config(profile)]).unwrap()
    }
}

#[tokio::test]
async fn keycloaks_tokens_and_keys() {
    let Some(keycloak) = Keycloak::start("keycloaks_tokens_and_keys") else { return };
    an_agent_of_rfc9068_is_who_the_realm_says(&keycloak).await;
    what_satisfies_which_profile(&keycloak).await;
    realm_roles_may_be_the_groups(&keycloak).await;
    a_user_who_is_logged_out_is_out(&keycloak).await;
    keys_are_rotated_while_tokens_are_verified(&keycloak).await;
}

/// Its tokens are good by themselves until they expire; it says itself that they do not count (RFC 7662).
async fn a_user_who_is_logged_out_is_out(keycloak: &Keycloak) {
    let secret = Secret::new(keycloak.secret("console").expose().to_owned());
    let mut config = keycloak.config(Profile::Rfc9068);
    config.introspection = Some(IntrospectionConfig {
        url: format!("{}/introspect", keycloak.service.text("token_url")),
        client_id: "console".to_owned(),
        client_secret: Credential::Value(secret),
        cache_seconds: 1,
    });
    let asking = Authenticator::new(vec![config]).unwrap();
    let token = keycloak.human("console").await;
    assert_eq!(outcome(&asking, &token).await, "ok");
    let users = keycloak.admin(Method::GET, "/users?username=ada", None).await;
    let path = format!("/users/{}/logout", users[0]["id"].as_str().unwrap());
    keycloak.admin(Method::POST, &path, None).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(outcome(&asking, &token).await, "inactive");
    assert_eq!(outcome(&keycloak.trusting(Profile::Rfc9068), &token).await, "ok", "by itself");
}

async fn an_agent_of_rfc9068_is_who_the_realm_says(keycloak: &Keycloak) {
    let authenticator = keycloak.trusting(Profile::Rfc9068);
    let who = authenticator.verify(&keycloak.agent("support-agent").await).await.unwrap();
    assert_eq!(who.principal.subject.len(), 36, "the account's UUID");
    assert_eq!(who.principal.kind, PrincipalKind::Agent);
    assert_eq!(who.principal.groups, ["support-agents"], "by the group mapper");
    assert_eq!(who.agent.model.as_deref(), Some("example-model-1"));
    assert_eq!(who.agent.other["client_id"], "support-agent");
    let who = authenticator.verify(&keycloak.human("console").await).await.unwrap();
    assert_eq!(who.principal.kind, PrincipalKind::Human);
    assert_eq!(who.principal.display_name, "Ada Example");
    assert_eq!(who.principal.groups, ["analysts"]);
}

/// docs/reference/identity.md says the same in words.
async fn what_satisfies_which_profile(keycloak: &Keycloak) {
    let rfc9068 = keycloak.trusting(Profile::Rfc9068);
    let oidc = keycloak.trusting(Profile::Oidc);
    // Clients of Keycloak get `typ` `JWT` unless an attribute of theirs says otherwise.
    let by_default = keycloak.agent("batch-agent").await;
    assert_eq!(outcome(&rfc9068, &by_default).await, "wrong_token_type");
    assert_eq!(outcome(&oidc, &by_default).await, "ok");
    // A user's token has `azp` and no `client_id`, unless a mapper writes one.
    let users = keycloak.human("console-as-it-comes").await;
    assert_eq!(outcome(&rfc9068, &users).await, "missing_claim");
    assert_eq!(outcome(&oidc, &users).await, "ok");
    // Without an audience mapper it is for Keycloak's own account service.
    let elsewhere = keycloak.agent("elsewhere").await;
    for authenticator in [&rfc9068, &oidc] {
        assert_eq!(outcome(authenticator, &elsewhere).await, "wrong_audience");
    }
}

async fn realm_roles_may_be_the_groups(keycloak: &Keycloak) {
    let mut config = keycloak.config(Profile::Rfc9068);
    config.claims.groups = ClaimSource::required("/realm_access/roles").into();
    config.claims.display_name = Some(ClaimSource::required("preferred_username"));
    let authenticator = Authenticator::new(vec![config]).unwrap();
    let who = authenticator.verify(&keycloak.human("console").await).await.unwrap();
    assert_eq!(who.principal.groups, ["operator", "reader"]);
    assert_eq!(who.principal.display_name, "ada");
    let mut config = keycloak.config(Profile::Oidc);
    config.claims.groups = ClaimSource::required("/realm_access/roles").into();
    let authenticator = Authenticator::new(vec![config]).unwrap();
    let who = authenticator.verify(&keycloak.agent("support-agent").await).await.unwrap();
    assert_eq!(who.principal.groups, ["reader", "support"]);
}

async fn keys_are_rotated_while_tokens_are_verified(keycloak: &Keycloak) {
    let authenticator = keycloak.trusting(Profile::Rfc9068);
    let old = keycloak.agent("support-agent").await;
    let old_key = authenticator.verify(&old).await.unwrap().key_id;
    let stop = Arc::new(AtomicBool::new(false));
    let sessions = tokio::spawn(keep_verifying(authenticator.clone(), old.clone(), stop.clone()));
    keycloak.add_key("second", "200").await;
    let new = keycloak.agent("support-agent").await;
    until(&authenticator, &new, "ok").await;
    let new_key = authenticator.verify(&new).await.unwrap().key_id;
    assert_ne!(old_key, new_key, "the new key signs");
    keycloak.make_passive("first").await;
    // Nothing is kept in this one: the passive key is still published.
    assert_eq!(outcome(&keycloak.trusting(Profile::Rfc9068), &old).await, "ok");
    stop.store(true, Ordering::SeqCst);
    assert!(sessions.await.unwrap() > 10, "it was verified all the while");
    let stop = Arc::new(AtomicBool::new(false));
    let sessions = tokio::spawn(keep_verifying(authenticator.clone(), new.clone(), stop.clone()));
    keycloak.remove_key("first").await;
    until(&authenticator, &old, "unknown_key").await;
    assert_eq!(outcome(&keycloak.trusting(Profile::Rfc9068), &old).await, "unknown_key");
    stop.store(true, Ordering::SeqCst);
    assert!(sessions.await.unwrap() > 0);
    assert_eq!(outcome(&authenticator, &keycloak.agent("support-agent").await).await, "ok");
}

/// Verifies until it is stopped and says how often; each time must be good.
async fn keep_verifying(authenticator: Authenticator, token: String, stop: Arc<AtomicBool>) -> u32 {
    let mut times = 0;
    while !stop.load(Ordering::SeqCst) {
        assert_eq!(outcome(&authenticator, &token).await, "ok", "after {times} good ones");
        times += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    times
}

async fn until(authenticator: &Authenticator, token: &str, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = outcome(authenticator, token).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "still {found}, expected {expected}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
