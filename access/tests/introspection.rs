//! The issuer is asked whether a good token still counts (RFC 7662): against the development issuer, and against doubles that
//! answer what no issuer should, which none of the real ones can be made to do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::Value;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::{Authenticator, Credential, IntrospectionConfig};

struct World {
    issuer: DevIssuer,
    folder: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let clients = vec![DevClient::new("agent"), DevClient::new("gateway")];
        let issuer = DevIssuer::start("127.0.0.1:0".parse().unwrap(), clients).await.unwrap();
        let world = Self { issuer, folder: tempfile::tempdir().unwrap() };
        std::fs::write(world.secret_file(), format!("{}\n", world.secret("gateway"))).unwrap();
        world
    }

    fn secret_file(&self) -> PathBuf {
        self.folder.path().join("secret")
    }

    fn secret(&self, id: &str) -> &str {
        self.issuer.clients().iter().find(|it| it.id == id).unwrap().secret.expose()
    }

    fn settings(&self, url: &str) -> IntrospectionConfig {
        IntrospectionConfig {
            url: url.to_owned(),
            client_id: "gateway".to_owned(),
            client_secret: Credential::File(self.secret_file()),
            cache_seconds: 1,
        }
    }

    fn asking(&self, settings: IntrospectionConfig) -> Authenticator {
        let mut config = self.issuer.issuer_config();
        config.introspection = Some(settings);
        Authenticator::new(vec![config]).unwrap()
    }

    async fn token(&self) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "agent"),
            ("client_secret", self.secret("agent")),
        ];
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let answer = client.post(&self.issuer.token_url).form(&form).send().await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

async fn outcome(authenticator: &Authenticator, token: &str) -> &'static str {
    match authenticator.verify(token).await {
        Ok(_) => "ok",
        Err(failure) => failure.code(),
    }
}

const A_LITTLE_LONGER_THAN_THE_CACHE: Duration = Duration::from_millis(1_200);

#[tokio::test]
async fn a_token_that_its_issuer_revoked_is_out_once_the_answer_is_old() {
    let world = World::start().await;
    let authenticator = world.asking(world.settings(&world.issuer.introspection_url()));
    let (token, other) = (world.token().await, world.token().await);
    assert_eq!(outcome(&authenticator, &token).await, "ok");
    world.issuer.revoke(&token);
    assert_eq!(outcome(&authenticator, &token).await, "ok", "as it was told a moment ago");
    tokio::time::sleep(A_LITTLE_LONGER_THAN_THE_CACHE).await;
    assert_eq!(outcome(&authenticator, &token).await, "inactive");
    assert_eq!(outcome(&authenticator, &other).await, "ok");
    let issuer = &world.issuer.issuer_url;
    let again = authenticator.still_counts(issuer, &token).await.unwrap_err();
    assert!(!again.is_transient());
    assert_eq!(authenticator.asks_again_after(issuer), Some(Duration::from_secs(1)));
    // Where the issuer is not asked it still counts: until it expires.
    let trusting = Authenticator::new(vec![world.issuer.issuer_config()]).unwrap();
    assert_eq!(outcome(&trusting, &token).await, "ok");
    assert_eq!(trusting.asks_again_after(issuer), None);
}

#[tokio::test]
async fn an_issuer_that_does_not_say_lets_nobody_in() {
    let world = World::start().await;
    let token = world.token().await;
    for (status, body) in [
        (500, r#"{"active":true}"#),
        (401, r#"{"active":true}"#),
        (302, ""),
        (200, ""),
        (200, "true"),
        (200, r#"{"sub":"agent"}"#),
        (200, r#"{"active":"true"}"#),
        (200, r#"{"active":1}"#),
        (200, r#"[true]"#),
    ] {
        let double = Double::start(status, body, Duration::ZERO).await;
        let authenticator = world.asking(world.settings(&double.url));
        let code = outcome(&authenticator, &token).await;
        assert_eq!(code, "introspection_unavailable", "{status} {body}");
        assert!(authenticator.verify(&token).await.unwrap_err().is_transient());
        // A failure is no answer: it is asked anew.
        assert_eq!(double.asked(), 2);
    }
    let nobody = world.asking(world.settings("http://127.0.0.1:1/introspect"));
    assert_eq!(outcome(&nobody, &token).await, "introspection_unavailable");
    let double = Double::start(200, r#"{"active":false}"#, Duration::ZERO).await;
    assert_eq!(outcome(&world.asking(world.settings(&double.url)), &token).await, "inactive");
}

#[tokio::test]
async fn many_at_once_are_one_request_and_strangers_are_none() {
    let world = World::start().await;
    let double = Double::start(200, r#"{"active":true}"#, Duration::from_millis(200)).await;
    let authenticator = world.asking(world.settings(&double.url));
    let token = world.token().await;
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (authenticator, token) = (authenticator.clone(), token.clone());
        all.spawn(async move { outcome(&authenticator, &token).await });
    }
    assert!(all.join_all().await.iter().all(|code| *code == "ok"));
    assert_eq!(double.asked(), 1);
    // Without a good signature nobody makes us ask.
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    assert_eq!(outcome(&authenticator, &forged).await, "bad_signature");
    assert_eq!(double.asked(), 1);
    assert_eq!(double.authorized(), format!("Basic {}", basic("gateway", world.secret("gateway"))));
}

#[tokio::test]
async fn the_secret_is_read_at_each_use() {
    let world = World::start().await;
    let authenticator = world.asking(world.settings(&world.issuer.introspection_url()));
    std::fs::write(world.secret_file(), "wrong").unwrap();
    assert_eq!(outcome(&authenticator, &world.token().await).await, "introspection_unavailable");
    std::fs::remove_file(world.secret_file()).unwrap();
    assert_eq!(outcome(&authenticator, &world.token().await).await, "introspection_unavailable");
    std::fs::write(world.secret_file(), world.secret("gateway")).unwrap();
    assert_eq!(outcome(&authenticator, &world.token().await).await, "ok");
}

/// What a command printed is kept for a while; one that the issuer refuses is asked for at once, and the token's owner sees none of it.
#[tokio::test]
async fn a_secret_that_a_store_changed_is_fetched_once_it_is_refused() {
    let world = World::start().await;
    let (secret, runs) = (world.secret_file(), world.folder.path().join("runs"));
    let script = format!("echo >> {}; cat {}", runs.display(), secret.display());
    let command = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    let client_secret = Credential::Command(command.try_into().unwrap());
    let settings = IntrospectionConfig { client_secret, ..world.settings("") };
    let at =
        |url: &str| world.asking(IntrospectionConfig { url: url.to_owned(), ..settings.clone() });
    let ran = || std::fs::read_to_string(&runs).unwrap().lines().count();

    std::fs::write(&secret, "of yesterday").unwrap();
    let anybody = Double::start(200, r#"{"active":true}"#, Duration::ZERO).await;
    assert_eq!(outcome(&at(&anybody.url), &world.token().await).await, "ok");
    std::fs::write(&secret, world.secret("gateway")).unwrap();
    let issuer = at(&world.issuer.introspection_url());
    assert_eq!(outcome(&issuer, &world.token().await).await, "ok", "after the one that was kept");
    assert_eq!(outcome(&issuer, &world.token().await).await, "ok");
    assert_eq!(ran(), 2, "what is taken is kept");

    let nobody = Double::start(401, "", Duration::ZERO).await;
    assert_eq!(outcome(&at(&nobody.url), &world.token().await).await, "introspection_unavailable");
    assert_eq!((nobody.asked(), ran()), (2, 3), "once with what was kept, once with what is new");
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_with_what_to_write() {
    let world = World::start().await;
    let good = world.settings("https://id.example.com/introspect");
    for (settings, why) in [
        (IntrospectionConfig { url: "http://id.example.com/i".into(), ..good.clone() }, "https"),
        (IntrospectionConfig { url: "no url".into(), ..good.clone() }, "url: write a URL"),
        (IntrospectionConfig { client_id: String::new(), ..good.clone() }, "client_id"),
        (IntrospectionConfig { cache_seconds: 0, ..good.clone() }, "cache_seconds: 1 to 60"),
        (IntrospectionConfig { cache_seconds: 61, ..good.clone() }, "cache_seconds: 1 to 60"),
    ] {
        let mut config = world.issuer.issuer_config();
        config.introspection = Some(settings);
        let error = Authenticator::new(vec![config]).unwrap_err().to_string();
        assert!(error.contains("introspection") && error.contains(why), "{error}");
    }
}

/// Answers always the same, and counts.
struct Double {
    url: String,
    asked: Arc<AtomicUsize>,
    authorized: Arc<Mutex<String>>,
}

impl Double {
    async fn start(status: u16, body: &'static str, after: Duration) -> Self {
        let (asked, authorized) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::default()));
        let (counted, seen): (_, Arc<Mutex<String>>) =
            (Arc::clone(&asked), Arc::clone(&authorized));
        let answer = move |headers: HeaderMap| async move {
            counted.fetch_add(1, Ordering::SeqCst);
            *seen.lock() = headers["authorization"].to_str().unwrap().to_owned();
            tokio::time::sleep(after).await;
            (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")], body)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/introspect", listener.local_addr().unwrap());
        let router = Router::new().route("/introspect", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked, authorized }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn authorized(&self) -> String {
        self.authorized.lock().clone()
    }
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"))
}
