//! Where the log is, as one line of configuration.

mod secret;

use std::path::PathBuf;
use std::str::FromStr;

pub use secret::{Credentials, HeldSecret, SecretSource};

/// Where the log is.
///
/// `embedded:DIR[?max_bytes=N]` (`file:DIR` is the same): one machine, one directory. `N` takes `KiB`, `MiB`, `GiB`, `TiB`.
///
/// `kafka://HOST:PORT[,HOST:PORT][?option=value&...]`: Kafka brokers, see [`KafkaOptions`].
///
/// `memory:`: only where the feature `memory` is on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there are one or two in a process")]
pub enum LogUrl {
    /// One machine, one directory.
    Embedded(EmbeddedOptions),
    /// Kafka brokers.
    Kafka(KafkaOptions),
    /// Nowhere: tests only.
    #[cfg(feature = "memory")]
    Memory,
}

/// Settings of the embedded log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// The directory. It is made, for its owner only, when it is absent.
    pub dir: PathBuf,
    /// The most disk it may use, in bytes, for events and the write-ahead log (which takes up to half, at most 64 MiB);
    /// an append beyond it is refused.
    pub max_bytes: u64,
}

impl EmbeddedOptions {
    /// The bound where none is given.
    pub const DEFAULT_MAX_BYTES: u64 = 16 * 1024 * 1024 * 1024;
    /// The least bound: what the database and its write-ahead log need to turn over.
    pub const MIN_MAX_BYTES: u64 = 64 * 1024 * 1024;

    /// The defaults in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), max_bytes: Self::DEFAULT_MAX_BYTES }
    }
}

/// Settings of the Kafka log, named as in its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOptions {
    /// `HOST:PORT` of the brokers to ask first.
    pub brokers: Vec<String>,
    /// `create=true|false`: makes absent topics. Default true.
    pub create: bool,
    /// `partitions=N`: of topics it makes. Default 6 for audit; control always has one.
    pub partitions: u32,
    /// `replication=N`: of topics it makes; absent: as the brokers default.
    pub replication: Option<u16>,
    /// `topic_prefix=TEXT`: put before both topic names, for clusters that are shared.
    pub topic_prefix: String,
    /// `message_timeout_ms=N`: after this an append has failed. Default 4000.
    pub message_timeout_ms: u32,
    /// `security.protocol=plaintext|ssl|sasl_plaintext|sasl_ssl`. Default plaintext.
    pub security_protocol: String,
    /// `sasl.mechanism=PLAIN|SCRAM-SHA-256|SCRAM-SHA-512`.
    pub sasl_mechanism: Option<String>,
    /// `sasl.username=TEXT`, `sasl.username_file=PATH` or `sasl.username_env=NAME`.
    pub sasl_username: Option<SecretSource>,
    /// `sasl.password_file=PATH` or `sasl.password_env=NAME`; never the password itself.
    pub sasl_password: Option<SecretSource>,
    /// `ssl.ca=PATH`: PEM file of the authorities that are trusted.
    pub ssl_ca: Option<PathBuf>,
    /// `ssl.certificate=PATH`: PEM file of the client certificate.
    pub ssl_certificate: Option<PathBuf>,
    /// `ssl.key=PATH`: PEM file of its key.
    pub ssl_key: Option<PathBuf>,
}

/// A text is no log URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Of no known form.
    #[error("the log URL begins with none of {KNOWN_FORMS}")]
    Scheme,
    /// The place is missing or not of its form.
    #[error("the log URL's place is not of the form {form}")]
    Place {
        /// The form it should have.
        form: &'static str,
    },
    /// An option that is not known here.
    #[error("the log URL's option `{name}` is unknown; known are {known}")]
    UnknownOption {
        /// As written.
        name: String,
        /// What is known, separated by commas.
        known: String,
    },
    /// An option's value does not fit.
    #[error("the log URL's option `{name}` is not valid: {hint}")]
    BadOption {
        /// The option.
        name: String,
        /// What it takes.
        hint: String,
    },
}

const KNOWN_FORMS: &str = "embedded:DIR, file:DIR, kafka://HOST:PORT[,HOST:PORT]";

impl LogUrl {
    /// Parses a log URL.
    ///
    /// # Errors
    /// [`UrlError`] says what to write instead. It never repeats a value, which may be a secret in the wrong place.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        Self::parse_with(text, Credentials::default())
    }

    /// The same, with credentials that do not stand in it.
    ///
    /// # Errors
    /// As [`Self::parse`]; also where the log takes none, or has them in its URL already.
    pub fn parse_with(text: &str, credentials: Credentials) -> Result<Self, UrlError> {
        let is_kafka = text.starts_with("kafka://");
        if !is_kafka && credentials != Credentials::default() {
            let hint = "only a log on Kafka has users; leave `user` and `password` out";
            return Err(bad("sasl.username", hint));
        }
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        if let Some(dir) = place.strip_prefix("embedded:").or_else(|| place.strip_prefix("file:")) {
            return parse_embedded(dir, query).map(Self::Embedded);
        }
        if let Some(brokers) = place.strip_prefix("kafka://") {
            return parse_kafka(brokers, query, credentials).map(Self::Kafka);
        }
        #[cfg(feature = "memory")]
        if place == "memory:" {
            return Ok(Self::Memory);
        }
        Err(UrlError::Scheme)
    }
}

impl FromStr for LogUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

fn parse_embedded(dir: &str, query: &str) -> Result<EmbeddedOptions, UrlError> {
    // `file:///var/lib/x` and `file:/var/lib/x` are the same place.
    let dir = dir.strip_prefix("//").unwrap_or(dir);
    if dir.is_empty() {
        return Err(UrlError::Place { form: "embedded:DIR" });
    }
    let mut options = EmbeddedOptions::new(dir);
    for (name, value) in pairs(query) {
        match name.as_str() {
            "max_bytes" => options.max_bytes = parse_max_bytes(&value)?,
            _ => return Err(unknown(name, &["max_bytes"])),
        }
    }
    Ok(options)
}

fn parse_max_bytes(text: &str) -> Result<u64, UrlError> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit: u64 = match text.get(digits.len()..).unwrap_or_default() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => 0,
    };
    let bytes = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes
        .filter(|bytes| *bytes >= EmbeddedOptions::MIN_MAX_BYTES)
        .ok_or_else(|| bad("max_bytes", "write a number of bytes such as 16GiB, at least 64MiB"))
}

fn parse_kafka(
    brokers: &str,
    query: &str,
    credentials: Credentials,
) -> Result<KafkaOptions, UrlError> {
    let brokers: Vec<_> =
        brokers.trim_end_matches('/').split(',').map(|broker| broker.trim().to_owned()).collect();
    if !brokers.iter().all(|broker| is_host_port(broker)) {
        return Err(UrlError::Place { form: "kafka://HOST:PORT[,HOST:PORT]" });
    }
    let mut options = KafkaOptions { brokers, ..KafkaOptions::default() };
    for (name, value) in pairs(query) {
        options.set(name, value)?;
    }
    options.take(credentials)?;
    options.check()?;
    Ok(options)
}

fn is_host_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        // An `@` would be user and password, which do not belong into a URL.
        !host.is_empty() && !host.contains(['@', '/']) && port.parse::<u16>().is_ok_and(|p| p > 0)
    })
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            create: true,
            partitions: 6,
            replication: None,
            topic_prefix: String::new(),
            message_timeout_ms: 4000,
            security_protocol: "plaintext".to_owned(),
            sasl_mechanism: None,
            sasl_username: None,
            sasl_password: None,
            ssl_ca: None,
            ssl_certificate: None,
            ssl_key: None,
        }
    }
}

impl KafkaOptions {
    const KNOWN: &[&str] = &[
        "create",
        "partitions",
        "replication",
        "topic_prefix",
        "message_timeout_ms",
        "security.protocol",
        "sasl.mechanism",
        "sasl.username",
        "sasl.username_file",
        "sasl.username_env",
        "sasl.password_file",
        "sasl.password_env",
        "ssl.ca",
        "ssl.certificate",
        "ssl.key",
    ];

    fn set(&mut self, name: String, value: String) -> Result<(), UrlError> {
        const PROTOCOLS: &[&str] = &["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
        const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
        match name.as_str() {
            "create" => {
                self.create = value.parse().map_err(|_| bad(&name, "write true or false"))?;
            }
            "partitions" => self.partitions = number(&name, &value, 1, 10_000)?,
            "replication" => {
                let replicas = number(&name, &value, 1, 100)?;
                self.replication = u16::try_from(replicas).ok();
            }
            "topic_prefix" => self.topic_prefix = topic_prefix(&name, value)?,
            "message_timeout_ms" => self.message_timeout_ms = number(&name, &value, 100, 60_000)?,
            "security.protocol" => self.security_protocol = one_of(&name, value, PROTOCOLS)?,
            "sasl.mechanism" => self.sasl_mechanism = Some(one_of(&name, value, MECHANISMS)?),
            "sasl.username" => self.sasl_username = Some(SecretSource::Text(value)),
            "sasl.username_file" => self.sasl_username = Some(SecretSource::File(value.into())),
            "sasl.username_env" => self.sasl_username = Some(SecretSource::Env(value)),
            "sasl.password" => {
                let hint = "a password does not belong into a URL; use sasl.password_file or sasl.password_env";
                return Err(bad(&name, hint));
            }
            "sasl.password_file" => self.sasl_password = Some(SecretSource::File(value.into())),
            "sasl.password_env" => self.sasl_password = Some(SecretSource::Env(value)),
            "ssl.ca" => self.ssl_ca = Some(value.into()),
            "ssl.certificate" => self.ssl_certificate = Some(value.into()),
            "ssl.key" => self.ssl_key = Some(value.into()),
            _ => return Err(unknown(name, Self::KNOWN)),
        }
        Ok(())
    }

    fn take(&mut self, credentials: Credentials) -> Result<(), UrlError> {
        for (name, known, held) in [
            ("sasl.username", &mut self.sasl_username, credentials.user),
            ("sasl.password", &mut self.sasl_password, credentials.password),
        ] {
            let Some(held) = held else { continue };
            if known.replace(SecretSource::Held(held)).is_some() {
                return Err(bad(name, "it stands in the URL and beside it; keep one of them"));
            }
        }
        Ok(())
    }

    /// Options that only make sense together.
    fn check(&self) -> Result<(), UrlError> {
        let sasl = self.security_protocol.starts_with("sasl");
        if sasl
            && (self.sasl_mechanism.is_none()
                || self.sasl_username.is_none()
                || self.sasl_password.is_none())
        {
            let hint = "sasl needs sasl.mechanism, sasl.username and sasl.password_file or sasl.password_env";
            return Err(bad("security.protocol", hint));
        }
        if !sasl && (self.sasl_mechanism.is_some() || self.sasl_password.is_some()) {
            let hint =
                "sasl options are given: use sasl_ssl (or sasl_plaintext inside a trusted network)";
            return Err(bad("security.protocol", hint));
        }
        let tls = self.security_protocol.ends_with("ssl");
        if !tls
            && (self.ssl_ca.is_some() || self.ssl_certificate.is_some() || self.ssl_key.is_some())
        {
            return Err(bad("security.protocol", "ssl options are given: use ssl or sasl_ssl"));
        }
        if self.ssl_certificate.is_some() != self.ssl_key.is_some() {
            return Err(bad("ssl.certificate", "it needs ssl.key, and ssl.key needs it"));
        }
        Ok(())
    }
}

fn number(name: &str, value: &str, least: u32, most: u32) -> Result<u32, UrlError> {
    let parsed = value.parse().ok().filter(|number| (least..=most).contains(number));
    parsed.ok_or_else(|| bad(name, &format!("write a number from {least} to {most}")))
}

fn one_of(name: &str, value: String, known: &[&str]) -> Result<String, UrlError> {
    if known.contains(&value.as_str()) {
        Ok(value)
    } else {
        Err(bad(name, &format!("write one of {}", known.join(", "))))
    }
}

fn topic_prefix(name: &str, value: String) -> Result<String, UrlError> {
    // Kafka's own rule for topic names, with room for ours behind it.
    const MAX_BYTES: usize = 128;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if value.len() <= MAX_BYTES && value.chars().all(legal) {
        Ok(value)
    } else {
        Err(bad(name, "write at most 128 of the characters a-z A-Z 0-9 . _ -"))
    }
}

fn pairs(query: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn bad(name: &str, hint: &str) -> UrlError {
    UrlError::BadOption { name: name.to_owned(), hint: hint.to_owned() }
}

fn unknown(name: String, known: &[&str]) -> UrlError {
    UrlError::UnknownOption { name, known: known.join(", ") }
}

#[cfg(test)]
mod tests;
