//! The gateway's API, as one caller.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tallyport_access::client::TokenSource;

use crate::access::{self, Access};
use crate::args::GatewayArgs;
use crate::exit::{Failure, with_causes};

/// Longer than any wait for news.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Calls one gateway.
pub(super) struct Api {
    client: reqwest::Client,
    base: String,
    tokens: TokenSource,
}

impl Api {
    pub(super) async fn new(args: &GatewayArgs) -> Result<Self, Failure> {
        let Access { ready, tokens } = Access::new(&args.access)?;
        let (base, ca) = match (&args.gateway, &ready) {
            (Some(gateway), _) => (format!("https://{gateway}"), None),
            (None, Some(ready)) => (ready.gateway.https.clone(), Some(ready.ca.clone())),
            (None, None) => {
                return Err(Failure::usage(
                    "where is the gateway? set --gateway HOST:PORT or --ready-file",
                ));
            }
        };
        let client = access::http_client(&args.access, ca.as_deref().map(Path::new))?;
        // A token that cannot be had is better known at once.
        tokens.token().await.map_err(|error| access::no_token(&error))?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), tokens })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(self.client.get(format!("{}{path}", self.base))).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.send(self.client.post(format!("{}{path}", self.base)).json(body)).await
    }

    /// Answers a request: `verb` is `approve` or `deny`.
    pub(super) async fn answer(
        &self,
        id: &str,
        verb: &str,
        digest: Option<&str>,
        comment: Option<&str>,
    ) -> Result<Value, Failure> {
        let mut body = serde_json::Map::new();
        for (key, value) in [("digest", digest), ("comment", comment)] {
            if let Some(value) = value {
                body.insert(key.to_owned(), json!(value));
            }
        }
        self.post(&format!("/v1/approvals/{id}/{verb}"), &Value::Object(body)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Value, Failure> {
        let unreachable = |error: reqwest::Error| {
            Failure::failed(format!(
                "the gateway at {} could not be asked: {}",
                self.base,
                with_causes(&error)
            ))
        };
        let token = self.tokens.token().await.map_err(|error| access::no_token(&error))?;
        let request = request.bearer_auth(token.expose()).timeout(TIMEOUT);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() && value.is_object() {
            return Ok(value);
        }
        let message = value.get("message").and_then(Value::as_str).map_or_else(
            || format!("the gateway answered HTTP {}", status.as_u16()),
            str::to_owned,
        );
        Err(match status.as_u16() {
            401 | 403 => Failure::denied(message),
            400 | 404 => Failure::usage(message),
            _ => Failure::failed(message),
        })
    }
}
