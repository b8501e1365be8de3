//! What a configuration says of a webhook. Raw serde structs become checked types at start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_core::approval::{Case, MAX_WEBHOOKS};
use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_access::is_safe_url;
use tallyport_schemas::{Principal, PrincipalKind};
use url::Url;

use super::signature::Keys;
use crate::config::{ConfigError, Credential};

const MAX_NAME_BYTES: usize = 40;

/// One of `[[gateway.webhooks]]`: who is told of requests for approvals, and may pass on the answers of reviewers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawWebhook {
    /// Names it in events and in the path of its answers: `a-z`, `0-9`, `-`.
    pub name: String,
    /// Where messages go: `https`, or `http` on this very machine.
    #[schemars(with = "String")]
    pub url: Url,
    /// Signs the messages: `whsec_` and base64 of 24 to 64 bytes (Standard Webhooks); several, one per line, while it is
    /// changed.
    pub secret: Credential,
    /// Certificates to trust beside the system's (PEM).
    pub ca_file: Option<PathBuf>,
    /// Only requests that one of these groups must agree to; absent, all that somebody must agree to.
    pub groups: Option<Vec<String>>,
    /// Whether messages carry statements and parameters, and with them the digest that an approval has to name. Whoever
    /// keeps the messages keeps those, too.
    #[serde(default)]
    pub statements: bool,
    /// Who may answer by it; absent, nobody.
    pub answers: Option<RawAnswers>,
}

/// `[gateway.webhooks.answers]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAnswers {
    /// Signs the answers, as `secret` does the messages; another one.
    pub secret: Credential,
    /// For whom the webhook may vouch.
    pub reviewers: Vec<RawReviewer>,
}

/// One of `[[gateway.webhooks.answers.reviewers]]`: a person, as the webhook and as their issuer know them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawReviewer {
    /// What the webhook calls them, such as `@ann:chat.example.com`.
    pub id: String,
    /// The issuer at which they sign in elsewhere: one of `[[issuers]]`.
    pub issuer: String,
    /// Their subject there.
    pub subject: String,
    /// Their name.
    pub display_name: String,
    /// Their address, if agents name their owners by it: nobody approves what their own agent asks for.
    pub email: Option<String>,
    /// The groups for which they may answer by this webhook, with the issuer's prefix.
    pub groups: Vec<String>,
}

/// Who is told, and who may answer.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Where messages go.
    pub url: Url,
    /// Signs them; read at each use.
    pub secret: Credential,
    /// Certificates to trust beside the system's (PEM).
    pub roots: Option<Arc<[u8]>>,
    /// Whose requests it is told of; all when absent.
    pub groups: Option<Vec<String>>,
    /// Whether it is told statements.
    pub statements: bool,
    /// Who may answer.
    pub answers: Option<Answers>,
    /// The reviewer's page, where there is one.
    pub page: Option<Url>,
}

/// Who may answer by a webhook.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Signs them; read at each use.
    pub secret: Credential,
    /// By the id that the webhook has for them.
    pub reviewers: BTreeMap<String, Reviewer>,
}

/// A person who may answer by a webhook.
#[derive(Clone, Debug)]
pub struct Reviewer {
    /// As they are known elsewhere.
    pub principal: Principal,
    /// Their address, where it is given.
    pub email: Option<String>,
}

impl RawWebhook {
    /// Checks all webhooks. Files are relative to `folder`; `issuers` are those that are trusted; `page` is the origin of
    /// the pages for people.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key and the fix.
    pub fn check_all(
        raw: &[Self],
        folder: &Path,
        issuers: &[&str],
        page: Option<&Url>,
    ) -> Result<Vec<Webhook>, ConfigError> {
        if raw.len() > MAX_WEBHOOKS {
            let problem = format!("{} are too many; use at most {MAX_WEBHOOKS}", raw.len());
            return Err(ConfigError::new("gateway.webhooks", problem));
        }
        for (place, webhook) in raw.iter().enumerate() {
            let again = raw.iter().take(place).any(|before| before.name == webhook.name);
            if again {
                return Err(webhook.wrong("name", "it is used twice; give each webhook its own"));
            }
        }
        raw.iter().map(|webhook| webhook.check(folder, issuers, page)).collect()
    }

    fn check(
        &self,
        folder: &Path,
        issuers: &[&str],
        page: Option<&Url>,
    ) -> Result<Webhook, ConfigError> {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty()
            || self.name.len() > MAX_NAME_BYTES
            || !self.name.chars().all(is_name)
        {
            return Err(self.wrong("name", "use 1 to 40 of a-z, 0-9 and -"));
        }
        if !is_safe_url(&self.url) {
            let problem =
                "use https://, or http:// on this very machine, without user and fragment";
            return Err(self.wrong("url", problem));
        }
        if self.groups.as_ref().is_some_and(Vec::is_empty) {
            return Err(self.wrong("groups", "name at least one, or leave the key out for all"));
        }
        let secret = self.secret.clone().relative_to(folder);
        self.readable("secret", &secret)?;
        let roots = self.ca_file.as_ref().map(|file| self.roots(&folder.join(file))).transpose()?;
        let answers = self.answers.as_ref();
        let answers =
            answers.map(|answers| self.check_answers(answers, folder, issuers)).transpose()?;
        if let Some(answers) = &answers {
            self.must_differ(&secret, &answers.secret)?;
        }
        Ok(Webhook {
            name: self.name.clone(),
            url: self.url.clone(),
            secret,
            roots,
            groups: self.groups.clone(),
            statements: self.statements,
            answers,
            page: page.cloned(),
        })
    }

    fn check_answers(
        &self,
        raw: &RawAnswers,
        folder: &Path,
        issuers: &[&str],
    ) -> Result<Answers, ConfigError> {
        let secret = raw.secret.clone().relative_to(folder);
        self.readable("answers.secret", &secret)?;
        if raw.reviewers.is_empty() {
            let problem = "name at least one reviewer, or leave [gateway.webhooks.answers] out";
            return Err(self.wrong("answers.reviewers", problem));
        }
        let mut reviewers = BTreeMap::new();
        for reviewer in &raw.reviewers {
            let key = format!("answers.reviewers.{}", reviewer.id);
            let texts = [&reviewer.id, &reviewer.subject, &reviewer.display_name];
            if texts.iter().any(|text| text.trim().is_empty()) {
                return Err(self.wrong(&key, "give an id, a subject and a display_name"));
            }
            if reviewer.groups.is_empty() {
                return Err(self.wrong(&key, "name the groups for which they may answer"));
            }
            if !issuers.contains(&reviewer.issuer.as_str()) {
                let problem = "the issuer is none of [[issuers]]: use the one at which they sign in, so that nobody counts twice";
                return Err(self.wrong(&key, problem));
            }
            let known = Reviewer { principal: reviewer.principal(), email: reviewer.email.clone() };
            if reviewers.insert(reviewer.id.clone(), known).is_some() {
                return Err(self.wrong(&key, "the id is used twice"));
            }
        }
        Ok(Answers { secret, reviewers })
    }

    /// A command's secret is had at its first use.
    fn readable(&self, key: &str, secret: &Credential) -> Result<Option<Keys>, ConfigError> {
        if matches!(secret, Credential::Command(_)) {
            return Ok(None);
        }
        let read = secret.read().map_err(|error| self.wrong(key, &error.to_string()))?;
        Keys::parse(&read).map(Some).map_err(|error| self.wrong(key, &error.to_string()))
    }

    /// Who is told could answer with what signs the messages.
    fn must_differ(&self, one: &Credential, other: &Credential) -> Result<(), ConfigError> {
        let (one, other) = (self.readable("secret", one)?, self.readable("answers.secret", other)?);
        if one.zip(other).is_some_and(|(one, other)| one.share_a_key(&other)) {
            let problem = "it is also that of the messages; use two, so that a copy of a message's secret cannot answer";
            return Err(self.wrong("answers.secret", problem));
        }
        Ok(())
    }

    fn roots(&self, file: &Path) -> Result<Arc<[u8]>, ConfigError> {
        let read = std::fs::read(file)
            .map_err(|error| self.wrong("ca_file", &format!("{}: {error}", file.display())))?;
        let parsed = reqwest::Certificate::from_pem_bundle(&read);
        if parsed.is_ok_and(|all| !all.is_empty()) {
            return Ok(read.into());
        }
        Err(self.wrong("ca_file", &format!("{} has no certificate (PEM)", file.display())))
    }

    fn wrong(&self, key: &str, problem: &str) -> ConfigError {
        ConfigError::new(format!("gateway.webhooks.{}.{key}", self.name), problem)
    }
}

impl RawReviewer {
    fn principal(&self) -> Principal {
        Principal {
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            display_name: self.display_name.clone(),
            kind: PrincipalKind::Human,
            groups: self.groups.clone(),
            owner: None,
        }
    }
}

impl Webhook {
    /// Whether it is told of this request: somebody must agree, and one of its groups may.
    pub(crate) fn is_told_of(&self, case: &Case) -> bool {
        let wanted = &case.request().requirements;
        match &self.groups {
            Some(groups) => wanted.iter().any(|it| groups.contains(&it.group)),
            None => !wanted.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests;
