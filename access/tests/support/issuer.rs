//! A local issuer that counts what it is asked, and answers as a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, Uri};
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

use super::jwt::{AUDIENCE, Key};
use tallyport_access::IssuerConfig;

/// How a path is answered.
#[derive(Clone)]
pub enum Reply {
    Json(String),
    Status(u16),
    Redirect(String),
    /// Never.
    Hang,
    /// This, after more than is read.
    Flood(String),
}

#[derive(Clone)]
pub struct LocalIssuer {
    pub url: String,
    shared: Arc<Shared>,
    _server: Arc<AbortOnDropHandle<()>>,
}

struct Shared {
    discovery: Mutex<Reply>,
    keys: Mutex<Reply>,
    discovery_hits: AtomicU64,
    key_hits: AtomicU64,
}

impl LocalIssuer {
    pub async fn start(keys: &[&Key]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/jwks") });
        let shared = Arc::new(Shared {
            discovery: Mutex::new(Reply::Json(discovery.to_string())),
            keys: Mutex::new(Reply::Status(503)),
            discovery_hits: AtomicU64::new(0),
            key_hits: AtomicU64::new(0),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        let issuer = Self { url, shared, _server: Arc::new(AbortOnDropHandle::new(server)) };
        issuer.publish(keys);
        issuer
    }

    pub fn publish(&self, keys: &[&Key]) {
        let jwks = json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() });
        self.answer_keys(Reply::Json(jwks.to_string()));
    }

    pub fn answer_keys(&self, reply: Reply) {
        *self.shared.keys.lock() = reply;
    }

    pub fn answer_discovery(&self, reply: Reply) {
        *self.shared.discovery.lock() = reply;
    }

    pub fn key_hits(&self) -> u64 {
        self.shared.key_hits.load(Ordering::SeqCst)
    }

    pub fn discovery_hits(&self) -> u64 {
        self.shared.discovery_hits.load(Ordering::SeqCst)
    }

    pub fn config(&self) -> IssuerConfig {
        let mut config = IssuerConfig::new(self.url.clone(), vec![AUDIENCE.to_owned()]);
        config.keys.timeout_seconds = 2;
        config
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri) -> Response<Body> {
    let reply = match uri.path() {
        "/.well-known/openid-configuration" => {
            shared.discovery_hits.fetch_add(1, Ordering::SeqCst);
            shared.discovery.lock().clone()
        }
        "/jwks" => {
            shared.key_hits.fetch_add(1, Ordering::SeqCst);
            shared.keys.lock().clone()
        }
        _ => Reply::Status(404),
    };
    let status = |code: u16| Response::builder().status(code);
    match reply {
        Reply::Json(text) => status(200).body(Body::from(text)).unwrap(),
        Reply::Status(code) => status(code).body(Body::empty()).unwrap(),
        Reply::Redirect(to) => status(302).header("location", to).body(Body::empty()).unwrap(),
        Reply::Hang => std::future::pending().await,
        Reply::Flood(text) => {
            status(200).body(Body::from(format!("{}{text}", " ".repeat(3 * 1024 * 1024)))).unwrap()
        }
    }
}
