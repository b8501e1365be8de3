//! One target: where it is, how it is dialled, what of its answers is recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_core::pg::session::Limits;
use gateway_core::pg::startup::Databases;
use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_detect::{Cards, Rules, Screen};
use tallyport_schemas::{Recording, TargetKind, TargetRef};

use super::{ConfigError, Credential};

/// `[[targets]]` as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawTarget {
    /// What agents call it: `[a-z0-9._-]`, at most 63 characters.
    pub name: String,
    /// The protocol.
    #[serde(default)]
    pub kind: Option<String>,
    /// `host:port`, `host` (port 5432) or the directory of a Unix socket (`/run/postgresql`, `/run/postgresql:5433`).
    pub address: String,
    /// The database where an agent lands that names none.
    pub database: String,
    /// Others that an agent may name.
    #[serde(default)]
    pub databases: Vec<String>,
    /// The role that the gateway logs in as.
    pub user: String,
    /// Its password.
    pub password: Option<Credential>,
    /// `disable`, `require` or `verify-full` (the default for TCP).
    pub sslmode: Option<String>,
    /// The CA that signed the target's certificate (PEM); the public roots when absent.
    pub ca: Option<PathBuf>,
    /// The gateway's client certificate (PEM).
    pub client_cert: Option<PathBuf>,
    /// Its key (PEM).
    pub client_key: Option<PathBuf>,
    /// `full` (the default), `head:N` or `digest`, where policy does not say.
    pub recording: Option<String>,
    /// What is looked for in its answers: kinds or groups of docs/reference/detectors.md, or `all`, each with `alert`, `mask`,
    /// `deny` or `off`.
    #[serde(default)]
    pub detectors: BTreeMap<String, String>,
    /// How old the catalog may become, in seconds (default 15).
    pub catalog_refresh_seconds: Option<u64>,
    /// Bounds of one session.
    #[serde(default)]
    pub limits: TargetLimits,
}

/// `[targets.limits]` as written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetLimits {
    /// The most sessions at once on this target (default: the gateway's own limit).
    pub max_sessions: Option<usize>,
    /// The longest statement, Bind or other message of a client (default 16 MiB).
    pub max_message_bytes: Option<usize>,
    /// The longest row that is masked or looked into (default 64 MiB).
    pub max_row_bytes: Option<usize>,
}

/// How the way to a target is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Not at all.
    Disable,
    /// Encrypted, to whoever answers.
    Require,
    /// Encrypted, to the host that the certificate names.
    VerifyFull,
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// A client certificate and its key.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// The certificate chain (PEM).
    pub cert: PathBuf,
    /// The key (PEM).
    pub key: PathBuf,
}

/// A checked target.
#[derive(Clone, Debug)]
pub struct Target {
    /// What agents call it.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Its databases.
    pub databases: Databases,
    /// The role that the gateway logs in as.
    pub user: String,
    /// Its password.
    pub password: Option<Credential>,
    /// How the way is protected.
    pub ssl_mode: SslMode,
    /// The CA (PEM).
    pub ca: Option<PathBuf>,
    /// The gateway's client certificate.
    pub client: Option<ClientIdentity>,
    /// How much of a response is recorded where policy does not say.
    pub recording: Recording,
    /// What is looked for in its answers.
    pub screen: Option<Screen>,
    /// How old the catalog may become.
    pub catalog_refresh: Duration,
    /// The most sessions at once; the gateway's own limit when absent.
    pub max_sessions: Option<usize>,
    /// Bounds of one session.
    pub limits: Limits,
}

impl Target {
    /// What events say of it.
    #[must_use]
    pub fn reference(&self, database: Option<&str>) -> TargetRef {
        let database = database.map(str::to_owned);
        TargetRef { name: self.name.clone(), kind: TargetKind::Postgresql, database }
    }
}

impl RawTarget {
    /// Checks it; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// With the key and the fix.
    pub fn check(self, folder: &Path) -> Result<Target, ConfigError> {
        let bad = |key: &str, problem: String| {
            ConfigError::new(format!("targets.{}.{key}", self.name), problem)
        };
        if !is_name(&self.name) {
            return Err(bad("name", "use 1 to 63 of a-z, 0-9, `.`, `_` and `-`".to_owned()));
        }
        check_kind(self.kind.as_deref()).map_err(|problem| bad("kind", problem))?;
        for (key, text) in [("database", &self.database), ("user", &self.user)] {
            if text.is_empty() || text.contains('\0') {
                return Err(bad(key, "must not be empty".to_owned()));
            }
        }
        let address = parse_address(&self.address).map_err(|problem| bad("address", problem))?;
        let ssl_mode = match (self.sslmode.as_deref(), &address) {
            (None, Address::Tcp { .. }) | (Some("verify-full"), _) => SslMode::VerifyFull,
            (None, Address::Unix(_)) | (Some("disable"), _) => SslMode::Disable,
            (Some("require"), _) => SslMode::Require,
            (Some(other), _) => {
                let problem =
                    format!("`{other}` is not known; use `disable`, `require` or `verify-full`");
                return Err(bad("sslmode", problem));
            }
        };
        let client = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                Some(ClientIdentity { cert: folder.join(cert), key: folder.join(key) })
            }
            (None, None) => None,
            _ => {
                return Err(bad(
                    "client_cert",
                    "client_cert and client_key belong together".to_owned(),
                ));
            }
        };
        let recording = parse_recording(self.recording.as_deref())
            .map_err(|problem| bad("recording", problem))?;
        let screen =
            parse_detectors(&self.detectors).map_err(|problem| bad("detectors", problem))?;
        let fallback = Limits::default();
        let limits = Limits {
            max_message_bytes: self.limits.max_message_bytes.unwrap_or(fallback.max_message_bytes),
            max_row_bytes: self.limits.max_row_bytes.unwrap_or(fallback.max_row_bytes),
        };
        if self.limits.max_sessions == Some(0) {
            return Err(bad(
                "limits.max_sessions",
                "0 would refuse everybody; use 1 or more".to_owned(),
            ));
        }
        let catalog_refresh = check_refresh(self.catalog_refresh_seconds)
            .map_err(|problem| bad("catalog_refresh_seconds", problem))?;
        Ok(Target {
            address,
            databases: Databases { default: self.database, others: self.databases },
            user: self.user,
            password: self.password.map(|password| password.relative_to(folder)),
            ssl_mode,
            ca: self.ca.map(|ca| folder.join(ca)),
            client,
            recording,
            screen,
            catalog_refresh,
            max_sessions: self.limits.max_sessions,
            limits,
            name: self.name,
        })
    }
}

fn check_kind(kind: Option<&str>) -> Result<(), String> {
    match kind {
        None | Some("postgresql") => Ok(()),
        Some(kind) => {
            Err(format!("`{kind}` is not known; use `postgresql`, `http` or `kubernetes`"))
        }
    }
}

fn check_refresh(seconds: Option<u64>) -> Result<Duration, String> {
    match seconds.unwrap_or(15) {
        seconds @ 1..=3600 => Ok(Duration::from_secs(seconds)),
        other => Err(format!("{other} is not within 1 to 3600")),
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=63).contains(&name.len()) && name.bytes().all(allowed)
}

fn parse_address(text: &str) -> Result<Address, String> {
    let (place, port) = match text.rsplit_once(':') {
        Some((place, port)) if !place.ends_with(':') && !port.contains(']') => {
            let number = port.parse().ok().filter(|port| *port > 0);
            (place, number.ok_or_else(|| format!("`{port}` is no port"))?)
        }
        _ => (text, 5432),
    };
    if place.starts_with('/') {
        return Ok(Address::Unix(Path::new(place).join(format!(".s.PGSQL.{port}"))));
    }
    // Brackets are those of an IPv6 address.
    let host = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(place);
    if host.is_empty() || host.contains(['[', ']']) {
        return Err("has no host; write `host:port`".to_owned());
    }
    Ok(Address::Tcp { host: host.to_owned(), port })
}

pub(super) fn parse_recording(text: Option<&str>) -> Result<Recording, String> {
    match text {
        None | Some("full") => Ok(Recording::Full),
        Some("digest") => Ok(Recording::Digest),
        Some(other) => other
            .strip_prefix("head:")
            .and_then(|rows| rows.parse().ok())
            .map(Recording::Head)
            .ok_or_else(|| format!("`{other}` is not known; use `full`, `head:N` or `digest`")),
    }
}

pub(super) fn parse_detectors(
    detectors: &BTreeMap<String, String>,
) -> Result<Option<Screen>, String> {
    if detectors.is_empty() {
        return Ok(None);
    }
    let entries = detectors.iter().map(|(name, action)| (name.as_str(), action.as_str()));
    let rules = Rules::parse(entries).map_err(|error| error.to_string())?;
    Screen::new(rules, Cards::Hidden).map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallyport_detect::{Action, Kind};

    fn check(text: &str) -> Result<Target, String> {
        let raw: RawTarget = toml::from_str(text).map_err(|error| error.to_string())?;
        raw.check(Path::new("/etc/tallyport")).map_err(|error| error.to_string())
    }

    const LEAST: &str =
        "name = 'db'\naddress = 'db.example.com'\ndatabase = 'app'\nuser = 'gateway'\n";

    #[test]
    fn the_least_is_checked_by_certificate() {
        let target = check(LEAST).unwrap();
        assert_eq!(target.ssl_mode, SslMode::VerifyFull);
        let host = "db.example.com".to_owned();
        assert_eq!(target.address, Address::Tcp { host, port: 5432 });
        assert_eq!(target.recording, Recording::Full);
        assert!(target.screen.is_none());
    }

    #[test]
    fn detectors_are_rules_as_those_of_other_kinds() {
        let text = format!("{LEAST}detectors = {{ payment_card = 'mask', secrets = 'deny' }}");
        let screen = check(&text).unwrap().screen.unwrap();
        assert_eq!(screen.rules().action(Kind::PaymentCard), Some(Action::Mask));
        assert_eq!(screen.rules().action(Kind::Jwt), Some(Action::Deny));
        assert_eq!(screen.rules().action(Kind::Email), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        for (extra, key) in [
            ("sslmode = 'prefer'", "targets.db.sslmode"),
            ("recording = 'half'", "targets.db.recording"),
            ("kind = 'mysql'", "targets.db.kind"),
            ("detectors = { cats = 'mask' }", "targets.db.detectors"),
            ("detectors = { email = 'hide' }", "targets.db.detectors"),
            ("client_cert = 'c.pem'", "targets.db.client_cert"),
            ("catalog_refresh_seconds = 0", "targets.db.catalog_refresh_seconds"),
            ("limits = { max_sessions = 0 }", "targets.db.limits.max_sessions"),
            ("pasword = 'x'", "pasword"),
        ] {
            let error = check(&format!("{LEAST}{extra}")).unwrap_err();
            assert!(error.contains(key), "{extra}: {error}");
        }
    }

    #[test]
    fn addresses_are_hosts_or_socket_directories() {
        assert_eq!(
            parse_address("/run/postgresql"),
            Ok(Address::Unix(PathBuf::from("/run/postgresql/.s.PGSQL.5432")))
        );
        let host = "::1".to_owned();
        assert_eq!(parse_address("[::1]:5433"), Ok(Address::Tcp { host, port: 5433 }));
        assert!(parse_address("host:port").is_err());
        for no_host in [":5432", "", "[]", "[]:5432", "[", "]:1", "a:0", "a:65536"] {
            assert!(parse_address(no_host).is_err(), "{no_host}");
        }
    }

    #[test]
    fn a_password_in_the_file_is_never_shown() {
        let target = check(&format!("{LEAST}password = {{ value = 'hunter2' }}")).unwrap();
        assert!(!format!("{target:?}").contains("hunter2"));
    }
}
