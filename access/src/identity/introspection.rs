//! Asks the issuer whether a token that is good by itself still counts (RFC 7662).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use url::Url;

use super::failure::Reason;
use super::issuer::is_safe_url;
use crate::http::{ClientAuth, Http, HttpAnswer};
use crate::{Credential, CredentialError};

const CACHE_SECONDS: std::ops::RangeInclusive<u64> = 1..=60;
/// Answers that are kept; more are asked for anew.
const MAX_ANSWERS: usize = 16_384;

/// Where an issuer says whether a token still counts, and how it is asked.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntrospectionConfig {
    /// The introspection endpoint.
    pub url: String,
    /// The client id by which this service asks (`client_secret_basic`).
    pub client_id: String,
    /// Its secret.
    pub client_secret: Credential,
    /// How long an answer counts, in seconds, 1 to 60: a token that is no longer active is out within this time.
    #[serde(default = "default_cache_seconds")]
    pub cache_seconds: u64,
}

const fn default_cache_seconds() -> u64 {
    5
}

/// Asks one issuer.
#[derive(Debug)]
pub(super) struct Introspector {
    http: Http,
    url: Url,
    client_id: String,
    secret: Credential,
    cache: Duration,
    /// By the SHA-256 of the token. Who asks for one holds its lock, so that many at once are one request.
    answers: Mutex<HashMap<[u8; 32], Slot>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Answer>>>;

#[derive(Clone, Copy, Debug)]
struct Answer {
    active: bool,
    at: Instant,
}

impl Introspector {
    /// Checks the configuration; what is wrong names the key within `introspection`.
    pub(super) fn new(config: &IntrospectionConfig, http: Http) -> Result<Self, String> {
        let url = Url::parse(&config.url)
            .ok()
            .filter(is_safe_url)
            .ok_or("url: write a URL with https (http only on loopback)")?;
        if config.client_id.is_empty() {
            return Err("client_id: it is empty".to_owned());
        }
        if !CACHE_SECONDS.contains(&config.cache_seconds) {
            let (least, most) = (CACHE_SECONDS.start(), CACHE_SECONDS.end());
            return Err(format!("cache_seconds: {least} to {most}"));
        }
        Ok(Self {
            http,
            url,
            client_id: config.client_id.clone(),
            secret: config.client_secret.clone(),
            cache: Duration::from_secs(config.cache_seconds),
            answers: Mutex::default(),
        })
    }

    /// How long an answer counts.
    pub(super) const fn cache(&self) -> Duration {
        self.cache
    }

    /// Whether the issuer says that `token` is active: as it said a moment ago, or as it says now.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn check(&self, token: &str) -> Result<(), Reason> {
        let slot = self.slot(Sha256::digest(token).into());
        let mut kept = slot.lock().await;
        let active = match *kept {
            Some(answer) if answer.at.elapsed() < self.cache => answer.active,
            _ => {
                let at = Instant::now();
                let active = self.ask(token).await.map_err(|why| {
                    tracing::warn!(url = %self.url, why, "the issuer does not say whether a token is active");
                    Reason::IntrospectionUnavailable
                })?;
                *kept = Some(Answer { active, at });
                active
            }
        };
        if active { Ok(()) } else { Err(Reason::Inactive) }
    }

    fn slot(&self, key: [u8; 32]) -> Slot {
        let mut answers = self.answers.lock();
        if answers.len() >= MAX_ANSWERS && !answers.contains_key(&key) {
            let is_used = |slot: &Slot| {
                slot.try_lock().map_or(true, |kept| {
                    kept.is_some_and(|answer| answer.at.elapsed() < self.cache)
                })
            };
            answers.retain(|_, slot| is_used(slot));
            if answers.len() >= MAX_ANSWERS {
                answers.clear();
            }
        }
        Arc::clone(answers.entry(key).or_default())
    }

    /// What went wrong is for our own log: it names nothing of the token.
    async fn ask(&self, token: &str) -> Result<bool, String> {
        let form = [("token", token), ("token_type_hint", "access_token")];
        let (mut answer, was_kept) = self.post(&form).await?;
        if answer.status == 401 {
            // It may have been changed since a command printed it.
            self.secret.forget();
            if was_kept {
                (answer, _) = self.post(&form).await?;
            }
        }
        if answer.status != 200 {
            return Err(format!("it answers with status {}", answer.status));
        }
        is_active(&answer.body)
            .ok_or_else(|| "its answer has no `active` (RFC 7662 section 2.2)".to_owned())
    }

    /// Its answer, and whether the secret is one that was kept.
    async fn post(&self, form: &[(&str, &str)]) -> Result<(HttpAnswer, bool), String> {
        let named = |error: CredentialError| format!("client_secret: {error}");
        let was_kept = !self.secret.refresh().await.map_err(named)?;
        let secret = self.secret.read().map_err(named)?;
        let client = ClientAuth::Basic(&self.client_id, secret.expose());
        let answer = self.http.post_form(&self.url, client, form, None).await;
        Ok((answer.map_err(|error| error.to_string())?, was_kept))
    }
}

/// What an answer says, where it says it.
pub(super) fn is_active(answer: &[u8]) -> Option<bool> {
    // An object: a derived reader takes a list of the values, too.
    let body: Map<String, Value> = serde_json::from_slice(answer).ok()?;
    body.get("active").and_then(Value::as_bool)
}
