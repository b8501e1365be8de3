//! A chat tool as the gateway sees one: takes messages, and signs answers. It stands in for the tool itself, which
//! `tests/tests/chat` has; here every message can be refused, and every answer forged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::LOCATION;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tallyport_gateway::webhooks::{RawWebhook, Webhook};
use tallyport_gateway::{Gateway, api};
use tallyport_schemas::{Front, TraceId};
use tower::ServiceExt as _;

use crate::harness::SOON;

pub const MESSAGES: &[u8] = b"the key of all the messages out";
pub const ANSWERS: &[u8] = b"the key of all the answers back";

pub fn secret(key: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(key))
}

/// One message as it came, its signature checked.
#[derive(Clone, Debug)]
pub struct Came {
    pub id: String,
    pub body: Value,
}

/// What the tool answers to the next messages; 204 when it is told nothing.
type Hook = Box<dyn Fn(&Came) -> u16 + Send + Sync>;

#[derive(Clone)]
pub struct Chat {
    pub address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
    hook: Arc<Mutex<Option<Hook>>>,
}

impl Chat {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let chat = Self { address, came: Arc::default(), hook: Arc::default() };
        let routes = Router::new().route("/in", post(take)).with_state(chat.clone());
        // Where a redirect leads: whoever follows it is told that all is well.
        let routes = routes.route("/elsewhere", any(|| async { StatusCode::NO_CONTENT }));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        chat
    }

    /// From now on every message meets this first.
    pub fn on_message(&self, hook: impl Fn(&Came) -> u16 + Send + Sync + 'static) {
        *self.hook.lock() = Some(Box::new(hook));
    }

    pub fn messages(&self) -> Vec<Came> {
        self.came.lock().clone()
    }

    /// The first message of this step.
    pub async fn told(&self, step: &str) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let messages = self.messages();
            if let Some(found) = messages.iter().find(|it| it.body["data"]["step"] == step) {
                return found.body.clone();
            }
            assert!(Instant::now() < deadline, "not told {step}: {messages:#?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// The webhook, as a configuration would name it: `extra` is more of it.
    pub fn webhook(&self, name: &str, issuer: &str, extra: &str) -> Webhook {
        let reviewer = |who: &str, group: &str| {
            format!(
                "[[answers.reviewers]]\nid = '@{who}:chat.example'\nissuer = '{issuer}'\nsubject = '{who}'\n\
                 display_name = '{who}'\ngroups = ['{group}']\n"
            )
        };
        let people = [("dana", "dba"), ("eli", "dba"), ("sam", "security"), ("agent", "dba")];
        let people: String = people.iter().map(|(who, group)| reviewer(who, group)).collect();
        let text = format!(
            "name = '{name}'\nurl = 'http://{}/in'\nsecret = {{ value = '{}' }}\n{extra}\n\
             [answers]\nsecret = {{ value = '{}' }}\n{people}",
            self.address,
            secret(MESSAGES),
            secret(ANSWERS)
        );
        let raw: RawWebhook = toml::from_str(&text).unwrap();
        let page = "https://gateway.example".parse().unwrap();
        let checked =
            RawWebhook::check_all(&[raw], std::path::Path::new("/"), &[issuer], Some(&page));
        checked.unwrap().remove(0)
    }
}

async fn take(State(chat): State<Chat>, headers: HeaderMap, body: Bytes) -> Response {
    let field = |name: &str| headers[name].to_str().unwrap();
    let id = field("webhook-id").to_owned();
    let signed = sign(MESSAGES, &id, field("webhook-timestamp"), &body);
    assert_eq!(field("webhook-signature"), signed);
    assert_eq!(field("content-type"), "application/json");
    let came = Came { id, body: serde_json::from_slice(&body).unwrap() };
    chat.came.lock().push(came.clone());
    let status = chat.hook.lock().as_ref().map_or(204, |hook| hook(&came));
    (StatusCode::from_u16(status).unwrap(), [(LOCATION, "/elsewhere")]).into_response()
}

pub fn sign(key: &[u8], id: &str, at: &str, body: &[u8]) -> String {
    let content = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, &content)))
}

/// An answer on its way: each part can be forged.
#[derive(Clone)]
pub struct Answer {
    pub webhook: &'static str,
    pub key: &'static [u8],
    pub at: i64,
    pub id: String,
    pub body: Value,
    /// Sent in place of `body`, which is what was signed.
    pub instead: Option<String>,
}

impl Answer {
    /// What a reviewer pressed under a message.
    pub fn new(message: &Value, who: &str, answer: &str) -> Self {
        let approval = &message["data"]["approval"];
        let body = json!({
            "approval_id": approval["approval_id"],
            "answer": answer,
            "reviewer": format!("@{who}:chat.example"),
            "digest": approval["digest"],
        });
        let at = Timestamp::now().as_second();
        Self {
            webhook: "chat",
            key: ANSWERS,
            at,
            id: TraceId::new().to_string(),
            body,
            instead: None,
        }
    }

    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.body[field] = value;
        self
    }

    pub async fn send(&self, gateway: &Gateway) -> (u16, Value) {
        let (signed, at) = (self.body.to_string(), self.at.to_string());
        let signature = sign(self.key, &self.id, &at, signed.as_bytes());
        let fields = [
            ("webhook-id", self.id.as_str()),
            ("webhook-timestamp", &at),
            ("webhook-signature", &signature),
        ];
        send(gateway, self.webhook, &fields, self.instead.clone().unwrap_or(signed)).await
    }
}

pub async fn send(
    gateway: &Gateway,
    webhook: &str,
    fields: &[(&str, &str)],
    body: String,
) -> (u16, Value) {
    let peer: SocketAddr = "192.0.2.10:4713".parse().unwrap();
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("/v1/webhooks/{webhook}/answers"))
        .extension(axum::extract::ConnectInfo(peer))
        .extension(Front::Tcp)
        .extension(TraceId::new());
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(axum::body::Body::from(body)).unwrap();
    let answer = api::router(gateway).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}
