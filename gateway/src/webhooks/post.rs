//! The way of one message.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use tallyport_access::with_causes;

use super::Webhook;
use super::message::Message;
use super::signature::{ID, KeyError, Keys, SIGNATURE, TIMESTAMP};
use crate::config::CredentialError;

/// The longest a try takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A webhook cannot be sent to.
#[derive(Debug, thiserror::Error)]
#[error("gateway.webhooks.{webhook}: no client can be made for it: {reason}")]
pub struct WebhookError {
    webhook: String,
    reason: String,
}

/// A message was not taken. For our own log.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("its secret cannot be had: {0}")]
    Secret(#[from] CredentialError),
    #[error("its secret is no key: {0}")]
    Key(#[from] KeyError),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("it answers with status {0}; it must answer 2xx (redirects are not followed)")]
    Status(u16),
}

/// Sends to one webhook.
#[derive(Clone, Debug)]
pub(crate) struct Post(Client);

impl Post {
    pub(crate) fn new(webhook: &Webhook) -> Result<Self, WebhookError> {
        let broken = |error: reqwest::Error| WebhookError {
            webhook: webhook.name.clone(),
            reason: with_causes(&error),
        };
        let roots = webhook.roots.as_deref().map(Certificate::from_pem_bundle);
        let roots = roots.transpose().map_err(broken)?.unwrap_or_default();
        let builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("tallyport/", env!("CARGO_PKG_VERSION")));
        // On this very machine there is neither a proxy nor a need for the system's certificates.
        let builder = match webhook.url.scheme() {
            "http" => builder.no_proxy().tls_certs_only(roots),
            _ => builder.tls_certs_merge(roots),
        };
        builder.build().map(Self).map_err(broken)
    }

    /// # Cancel safety
    /// A dropped call may have been taken.
    pub(super) async fn send(&self, webhook: &Webhook, message: &Message) -> Result<(), PostError> {
        let keys = Keys::parse(&webhook.secret.current().await?)?;
        let (id, at) = (message.id(), Timestamp::now().as_second());
        let signature = keys.sign(&id, at, &message.body);
        let request = self
            .0
            .post(webhook.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ID, id)
            .header(TIMESTAMP, at)
            .header(SIGNATURE, signature)
            .body(message.body.clone());
        let answer = request.send().await;
        let answer =
            answer.map_err(|error| PostError::Unreachable(with_causes(&error.without_url())))?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(PostError::Status(answer.status().as_u16()))
        }
    }
}
