//! Reviewers, who answer through the API as the fronts hand it their requests.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tallyport_gateway::{Gateway, api};
use tallyport_schemas::{Front, TraceId};
use tower::ServiceExt as _;

use crate::harness::{SOON, World};

/// One reviewer at one gateway.
pub struct Desk {
    api: Router,
    token: String,
}

impl Desk {
    pub async fn of(world: &World, who: &str) -> Self {
        Self::with_token(world, world.token(who, None).await)
    }

    /// The same reviewer at another gateway.
    pub fn at(&self, gateway: &Gateway) -> Self {
        Self { api: api::router(gateway), token: self.token.clone() }
    }

    /// Without a token when it is empty.
    pub fn with_token(world: &World, token: String) -> Self {
        Self { api: api::router(&world.gateway), token }
    }

    pub async fn send(&self, method: &str, path: &str, body: String) -> (u16, Value) {
        let peer: SocketAddr = "192.0.2.9:4712".parse().unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .extension(ConnectInfo(peer))
            .extension(Front::Tcp)
            .extension(TraceId::new());
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let request = request.body(Body::from(body)).unwrap();
        let answer = self.api.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body);
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, String::new()).await
    }

    pub async fn post(&self, asked: &Value, verb: &str, body: &str) -> (u16, Value) {
        let id = asked["approval_id"].as_str().unwrap();
        self.send("POST", &format!("/v1/approvals/{id}/{verb}"), body.to_owned()).await
    }

    /// Ends access, for a reason.
    pub async fn revoke(&self, revoked: Value) -> (u16, Value) {
        let order = json!({"revoked": revoked, "reason": "its key leaked"});
        self.send("POST", "/v1/revocations", order.to_string()).await
    }

    pub async fn lift(&self, revoked: &Value) -> (u16, Value) {
        let id = revoked["revocation_id"].as_str().unwrap();
        let body = json!({"reason": "it was replaced"}).to_string();
        self.send("POST", &format!("/v1/revocations/{id}/lift"), body).await
    }

    /// Asks for a grant.
    pub async fn request(&self, seconds: u64) -> (u16, Value) {
        let wish = json!({"target": "db", "seconds": seconds, "reason": "OPS-7"});
        self.send("POST", "/v1/grants", wish.to_string()).await
    }

    pub async fn withdraw(&self, asked: &Value) -> (u16, Value) {
        self.post(asked, "withdraw", "").await
    }

    pub async fn list(&self) -> Value {
        self.get("/v1/approvals").await.1["approvals"].take()
    }

    pub async fn show(&self, asked: &Value) -> (u16, Value) {
        self.get(&format!("/v1/approvals/{}", asked["approval_id"].as_str().unwrap())).await
    }

    pub async fn approve(&self, asked: &Value, comment: Option<&str>) -> (u16, Value) {
        let body = json!({"digest": asked["digest"], "comment": comment}).to_string();
        self.post(asked, "approve", &body).await
    }

    pub async fn deny(&self, asked: &Value, comment: Option<&str>) -> (u16, Value) {
        self.post(asked, "deny", &json!({ "comment": comment }).to_string()).await
    }

    /// The inbox, once so many are in it.
    pub async fn until(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + SOON;
        loop {
            let list = self.list().await;
            if let Some(list) = list.as_array().filter(|list| list.len() == count) {
                return list.clone();
            }
            assert!(Instant::now() < deadline, "the inbox has not {count}: {list:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The only one in the inbox.
    pub async fn one(&self) -> Value {
        self.until(1).await.remove(0)
    }

    pub async fn until_state(&self, asked: &Value, state: &str) -> Value {
        let deadline = Instant::now() + SOON;
        loop {
            let (_, now) = self.show(asked).await;
            if now["state"] == state {
                return now;
            }
            assert!(Instant::now() < deadline, "it is not {state}: {now:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Bounds what should be quick.
pub trait Quick: Future + Sized {
    async fn within(self, limit: Duration) -> Self::Output {
        tokio::time::timeout(limit, self).await.expect("in time")
    }
}

impl<F: Future> Quick for F {}
