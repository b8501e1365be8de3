//! An identity provider, checked; and whether an assertion of it is for us, now (SAML core section 2.4 and 2.5, SAML
//! profiles section 4.1.4.3, RFC 7522 section 3).

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::assertion::{Assertion, Bearer};
use super::config::{AttributeMapping, IdpConfig};
use super::failure::Refused;
use super::keys::IdpKey;
use crate::followed::{Followed, Kind};

const MAX_CLOCK_SKEW_SECONDS: u64 = 120;
const MAX_AGE_SECONDS: std::ops::RangeInclusive<u64> = 10..=3600;
/// It is a part of the subject, which has at most 255 bytes.
const MAX_ENTITY_ID_BYTES: usize = 127;
const MAX_OTHER: usize = 16;
const CERTIFICATES: Kind<Vec<IdpKey>> = Kind {
    name: "the identity provider's certificates",
    max_bytes: 64 * 1024,
    parse: IdpKey::of_pem,
};

/// `[gateway.saml]` is not taken. The text names the key and the fix.
#[derive(Debug, thiserror::Error)]
#[error("gateway.saml.{key}: {fix}")]
pub struct SamlConfigError {
    key: String,
    fix: String,
}

impl SamlConfigError {
    pub(super) fn new(key: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { key: key.into(), fix: fix.into() }
    }
}

#[derive(Debug)]
pub(super) struct Idp {
    pub(super) entity_id: String,
    /// As their files have them.
    pub(super) certificates: Vec<Followed<Vec<IdpKey>>>,
    audience: String,
    recipient: String,
    skew: SignedDuration,
    max_age: SignedDuration,
    pub(super) group_prefix: String,
    pub(super) attributes: AttributeMapping,
}

/// That an assertion is for us, and the times that follow.
#[derive(Debug)]
pub(super) struct Accepted {
    /// What it vouches for is over then, if it says when.
    pub(super) ends: Option<Timestamp>,
    /// From then on it is too old to be taken.
    pub(super) lapses: Timestamp,
}

impl Idp {
    pub(super) fn check(config: &IdpConfig) -> Result<Self, SamlConfigError> {
        let wrong = |key: &str, fix: String| {
            SamlConfigError::new(format!("idp `{}`.{key}", config.entity_id), fix)
        };
        let is_id = |id: &str| {
            (1..=MAX_ENTITY_ID_BYTES).contains(&id.len())
                && !id.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        // `#` ends it in the subjects of tokens.
        if !is_id(&config.entity_id) || config.entity_id.contains('#') {
            let fix = format!("1 to {MAX_ENTITY_ID_BYTES} bytes without white space and `#`");
            return Err(wrong("entity_id", fix));
        }
        if config.audience.is_empty() {
            return Err(wrong(
                "audience",
                "write the entity id that this service has there".into(),
            ));
        }
        if Url::parse(&config.recipient).is_err() {
            return Err(wrong(
                "recipient",
                "write the whole URL, such as https://gateway.example.com/saml/token".into(),
            ));
        }
        if config.clock_skew_seconds > MAX_CLOCK_SKEW_SECONDS {
            let fix = format!("at most {MAX_CLOCK_SKEW_SECONDS}; set the clocks by NTP instead");
            return Err(wrong("clock_skew_seconds", fix));
        }
        if !MAX_AGE_SECONDS.contains(&config.max_age_seconds) {
            let (least, most) = (MAX_AGE_SECONDS.start(), MAX_AGE_SECONDS.end());
            return Err(wrong("max_age_seconds", format!("{least} to {most}")));
        }
        check_attributes(&config.attributes).map_err(|fix| wrong("attributes", fix))?;
        if config.certificate_files.is_empty() {
            return Err(wrong("certificate_files", "name at least one PEM file".into()));
        }
        let load = |file: &PathBuf| {
            Followed::load(file, CERTIFICATES).map_err(|problem| {
                wrong("certificate_files", format!("`{}`: {problem}", file.display()))
            })
        };
        let certificates = config.certificate_files.iter().map(load).collect::<Result<_, _>>()?;
        Ok(Self {
            entity_id: config.entity_id.clone(),
            certificates,
            audience: config.audience.clone(),
            recipient: config.recipient.clone(),
            skew: seconds(config.clock_skew_seconds),
            max_age: seconds(config.max_age_seconds),
            group_prefix: config.group_prefix.clone(),
            attributes: config.attributes.clone(),
        })
    }

    /// Whether an assertion is this provider's, for us, and for now.
    pub(super) fn accept(
        &self,
        assertion: &Assertion,
        now: Timestamp,
    ) -> Result<Accepted, Refused> {
        if assertion.issuer != self.entity_id {
            return Err(Refused::UnknownIdp);
        }
        self.check_times(assertion, now)?;
        // Each restriction must let us in (SAML core section 2.5.1.4), and there must be one (RFC 7522 section 3).
        let is_ours = |of_it: &Vec<String>| of_it.contains(&self.audience);
        if assertion.audiences.is_empty() || !assertion.audiences.iter().all(is_ours) {
            return Err(Refused::Audience);
        }
        self.check_bearers(&assertion.bearers, now)?;
        let ends = [assertion.not_on_or_after, assertion.session_ends].into_iter().flatten().min();
        let lapses = self.lapses(assertion);
        Ok(Accepted { ends, lapses })
    }

    fn check_times(&self, assertion: &Assertion, now: Timestamp) -> Result<(), Refused> {
        let soon = later(now, self.skew);
        if assertion.issued_at > soon || assertion.not_before.is_some_and(|from| from > soon) {
            return Err(Refused::NotYetValid);
        }
        if now >= self.lapses(assertion) {
            return Err(Refused::TooOld { max_seconds: self.max_age.as_secs().unsigned_abs() });
        }
        Ok(())
    }

    fn lapses(&self, assertion: &Assertion) -> Timestamp {
        later(assertion.issued_at, self.max_age + self.skew)
    }

    /// One of them is enough (SAML core section 2.4.1).
    fn check_bearers(&self, bearers: &[Bearer], now: Timestamp) -> Result<(), Refused> {
        let mut refused = Refused::NotBearer;
        for bearer in bearers.iter().filter(|bearer| !bearer.is_odd) {
            if bearer.recipient.as_deref() != Some(self.recipient.as_str()) {
                refused = Refused::Recipient;
                continue;
            }
            match bearer.not_on_or_after {
                None => refused = Refused::Form("a bearer's confirmation has no NotOnOrAfter"),
                Some(end) if later(end, self.skew) <= now => refused = Refused::Expired,
                Some(_) => return Ok(()),
            }
        }
        Err(refused)
    }
}

fn check_attributes(mapping: &AttributeMapping) -> Result<(), String> {
    let facts = [
        &mapping.display_name,
        &mapping.email,
        &mapping.groups,
        &mapping.owner,
        &mapping.model,
        &mapping.agent,
        &mapping.task,
    ];
    let sources = facts.into_iter().flatten().chain(mapping.other.values());
    let names = sources.map(|source| &source.attribute).chain(&mapping.subject);
    if names.chain(&mapping.kind.attribute).any(String::is_empty) {
        return Err("an attribute's name is empty; leave the key out instead".to_owned());
    }
    if mapping.other.len() > MAX_OTHER || mapping.other.keys().any(String::is_empty) {
        return Err(format!("`other` takes at most {MAX_OTHER} attributes, each with a name"));
    }
    Ok(())
}

/// Whatever time a provider writes, there is no overflow.
fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Values here are bounded by the checks above; the conversion cannot lose anything.
fn seconds(value: u64) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(value).unwrap_or(0))
}
