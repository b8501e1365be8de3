//! What of a StartupMessage may pass: an allow-list. User and password never do.

use std::collections::BTreeMap;

use super::StartupMessage;
use crate::pg::write::ErrorReply;
use crate::sql::settings::Change;

/// Settings that an agent may bring along, in lower case.
const ALLOWED: [&str; 19] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "plan_cache_mode",
    "search_path",
    "statement_timeout",
    "timezone",
    "work_mem",
];

/// The databases of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Databases {
    /// Where an agent lands that names none.
    pub default: String,
    /// Others that it may name.
    pub others: Vec<String>,
}

/// What of a StartupMessage goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The database.
    pub database: String,
    /// The settings for the target, the agent's own names for them kept.
    pub settings: BTreeMap<String, String>,
    /// Options of newer protocols that this one does not know: named in a NegotiateProtocolVersion.
    pub unknown_options: Vec<String>,
    /// Whether the agent asked for a newer minor version than 3.0.
    pub newer_minor: bool,
}

impl Accepted {
    /// The value of a setting, whatever the case of its name.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Why a StartupMessage is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// Another protocol.
    #[error("protocol {0}.{1} is not supported; use protocol 3")]
    Version(u16, u16),
    /// Replication.
    #[error("replication is not allowed through Tallyport; connect without `replication`")]
    Replication,
    /// A database that the target does not offer.
    #[error(
        "database `{0}` is not offered by this target; leave the database out or use a configured one"
    )]
    Database(String),
    /// A setting outside the allow-list.
    #[error(
        "startup parameter `{0}` is not allowed through Tallyport; remove it from the connection's settings"
    )]
    Parameter(String),
    /// A value that no session may have.
    #[error("{0}; change the connection's settings")]
    Setting(String),
    /// `options` that is not a list of settings.
    #[error("startup parameter `options` may only hold `-c name=value`; remove the rest")]
    Options,
}

impl Rejected {
    /// What the agent gets.
    #[must_use]
    pub fn reply(&self) -> ErrorReply {
        let sqlstate = match self {
            Self::Version(..) => "08P01",
            Self::Replication => "0A000",
            Self::Database(_) => "3D000",
            Self::Parameter(_) | Self::Setting(_) | Self::Options => "42501",
        };
        ErrorReply::fatal(sqlstate, format!("tallyport: {self}"))
    }
}

/// Checks `message` against the allow-list.
///
/// # Errors
/// When it asks for what may not pass.
pub fn accept(message: &StartupMessage, databases: &Databases) -> Result<Accepted, Rejected> {
    if message.major != 3 {
        return Err(Rejected::Version(message.major, message.minor));
    }
    let mut settings = BTreeMap::new();
    let mut unknown_options = Vec::new();
    for (name, value) in &message.parameters {
        match name.to_ascii_lowercase().as_str() {
            "user" | "database" | "password" => {}
            "replication" if is_off(value) => {}
            "replication" => return Err(Rejected::Replication),
            "options" => {
                for (name, value) in split_options(value)? {
                    take_setting(&mut settings, name, value)?;
                }
            }
            _ if name.starts_with("_pq_.") => unknown_options.push(name.clone()),
            _ => take_setting(&mut settings, name.clone(), value.clone())?,
        }
    }
    let database = choose_database(message, databases)?;
    Ok(Accepted { database, settings, unknown_options, newer_minor: message.minor > 0 })
}

fn take_setting(
    settings: &mut BTreeMap<String, String>,
    name: String,
    value: String,
) -> Result<(), Rejected> {
    if !ALLOWED.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Rejected::Parameter(name));
    }
    if let Some(reason) = Change::at_startup(&name, &value).forbidden_at_startup() {
        return Err(Rejected::Setting(reason));
    }
    settings.insert(name, value);
    Ok(())
}

fn choose_database(message: &StartupMessage, databases: &Databases) -> Result<String, Rejected> {
    let wanted = message.parameters.get("database").filter(|name| !name.is_empty());
    let Some(wanted) = wanted else { return Ok(databases.default.clone()) };
    if *wanted == databases.default || databases.others.contains(wanted) {
        return Ok(wanted.clone());
    }
    // A client that names no database sends its user's name, which means nothing here.
    if message.parameters.get("user") == Some(wanted) {
        return Ok(databases.default.clone());
    }
    Err(Rejected::Database(wanted.clone()))
}

fn is_off(value: &str) -> bool {
    ["false", "off", "no", "0"].iter().any(|off| value.eq_ignore_ascii_case(off))
}

/// `-c name=value`, `-cname=value` and `--name=value`, separated by spaces; a backslash keeps the next character.
fn split_options(text: &str) -> Result<Vec<(String, String)>, Rejected> {
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.get_or_insert_default().extend(characters.next()),
            space if space.is_ascii_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    let mut settings = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next().ok_or(Rejected::Options)?
        } else {
            let rest = word.strip_prefix("--").or_else(|| word.strip_prefix("-c"));
            rest.ok_or(Rejected::Options)?.to_owned()
        };
        let (name, value) = setting.split_once('=').ok_or(Rejected::Options)?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}
