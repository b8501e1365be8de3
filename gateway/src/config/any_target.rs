//! `[[targets]]`: the kind says which keys there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_schemas::TargetRef;

use super::mcp_server::RawMcpServerLimits;
use super::{
    ConfigError, Credential, HttpKind, HttpTarget, KubernetesKind, RawBasic, RawHttpTarget,
    RawKubernetesTarget, RawOAuth2, RawObjectHide, RawRequestTarget, RawRoute, RawTarget, Target,
    TargetLimits,
};

/// `[[targets]]` as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Keys")]
#[schemars(untagged, !try_from)]
pub enum RawAnyTarget {
    /// A PostgreSQL server.
    Postgres(Box<RawTarget>),
    /// An HTTP service by its routes.
    Http(Box<RawHttpTarget>),
    /// The API of a cluster.
    Kubernetes(Box<RawKubernetesTarget>),
}

/// A checked target of any kind.
#[derive(Clone, Debug)]
pub enum AnyTarget {
    /// A PostgreSQL server.
    Postgres(Box<Target>),
    /// What is asked by HTTP.
    Http(Box<HttpTarget>),
}

/// The keys of all kinds: read as one table, so that whatever is wrong is told with its line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    name: String,
    kind: Option<String>,
    address: Option<String>,
    database: Option<String>,
    databases: Option<Vec<String>>,
    user: Option<String>,
    password: Option<Credential>,
    sslmode: Option<String>,
    catalog_refresh_seconds: Option<u64>,
    ca: Option<PathBuf>,
    client_cert: Option<PathBuf>,
    client_key: Option<PathBuf>,
    recording: Option<String>,
    limits: Option<Limits>,
    url: Option<String>,
    token: Option<Credential>,
    detectors: Option<BTreeMap<String, String>>,
    timeout_seconds: Option<u64>,
    patience_seconds: Option<u64>,
    max_request_bytes: Option<usize>,
    max_sessions: Option<usize>,
    basic: Option<RawBasic>,
    headers: Option<BTreeMap<String, Credential>>,
    oauth2: Option<RawOAuth2>,
    request_fields: Option<Vec<String>>,
    answer_fields: Option<Vec<String>>,
    routes: Option<Vec<RawRoute>>,
    secrets: Option<String>,
    masks: Option<Vec<RawObjectHide>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    max_sessions: Option<usize>,
    max_message_bytes: Option<usize>,
    max_row_bytes: Option<usize>,
    max_requests: Option<usize>,
    max_requests_per_principal: Option<usize>,
    requests_per_minute: Option<u32>,
}

impl TryFrom<Keys> for RawAnyTarget {
    type Error = String;

    fn try_from(mut keys: Keys) -> Result<Self, String> {
        let kind = keys.kind.clone();
        Ok(match kind.as_deref() {
            Some("http") => {
                let target = keys.request_target()?;
                keys.must_not("http", &["secrets", "masks"])?;
                Self::Http(Box::new(RawHttpTarget {
                    kind: HttpKind::Http,
                    target,
                    basic: keys.basic,
                    headers: keys.headers.unwrap_or_default(),
                    oauth2: keys.oauth2,
                    request_fields: keys.request_fields.unwrap_or_default(),
                    answer_fields: keys.answer_fields.unwrap_or_default(),
                    routes: keys.routes.unwrap_or_default(),
                }))
            }
            Some("kubernetes") => {
                let target = keys.request_target()?;
                let others =
                    ["basic", "headers", "oauth2", "request_fields", "answer_fields", "routes"];
                keys.must_not("kubernetes", &others)?;
                Self::Kubernetes(Box::new(RawKubernetesTarget {
                    kind: KubernetesKind::Kubernetes,
                    target,
                    secrets: keys.secrets,
                    masks: keys.masks.unwrap_or_default(),
                }))
            }
            None | Some("postgresql") => Self::Postgres(Box::new(keys.postgres()?)),
            // Before keys are blamed that another kind has; without what is written there, which may be anything.
            Some(_) => {
                return Err(format!(
                    "targets.{}.kind: there is no such kind; use postgresql, http or kubernetes",
                    keys.name
                ));
            }
        })
    }
}

/// Keys of PostgreSQL alone.
const OF_POSTGRES: [&str; 7] =
    ["address", "database", "databases", "user", "password", "sslmode", "catalog_refresh_seconds"];
/// Keys of other kinds alone.
const OF_OTHERS: [&str; 14] = [
    "url",
    "token",
    "timeout_seconds",
    "patience_seconds",
    "max_request_bytes",
    "max_sessions",
    "basic",
    "headers",
    "oauth2",
    "request_fields",
    "answer_fields",
    "routes",
    "secrets",
    "masks",
];

impl Keys {
    /// What a kind has not is told, as every key that is not known.
    fn must_not(&self, kind: &str, names: &[&str]) -> Result<(), String> {
        let set = [
            ("address", self.address.is_some()),
            ("database", self.database.is_some()),
            ("databases", self.databases.is_some()),
            ("user", self.user.is_some()),
            ("password", self.password.is_some()),
            ("sslmode", self.sslmode.is_some()),
            ("catalog_refresh_seconds", self.catalog_refresh_seconds.is_some()),
            ("url", self.url.is_some()),
            ("token", self.token.is_some()),
            ("timeout_seconds", self.timeout_seconds.is_some()),
            ("patience_seconds", self.patience_seconds.is_some()),
            ("max_request_bytes", self.max_request_bytes.is_some()),
            ("max_sessions", self.max_sessions.is_some()),
            ("basic", self.basic.is_some()),
            ("headers", self.headers.is_some()),
            ("oauth2", self.oauth2.is_some()),
            ("request_fields", self.request_fields.is_some()),
            ("answer_fields", self.answer_fields.is_some()),
            ("routes", self.routes.is_some()),
            ("secrets", self.secrets.is_some()),
            ("masks", self.masks.is_some()),
        ];
        match set.into_iter().find(|(name, is_set)| *is_set && names.contains(name)) {
            Some((name, _)) => Err(format!(
                "targets.{}.{name}: a target of kind {kind} has no such key",
                self.name
            )),
            None => Ok(()),
        }
    }

    /// Without quotes: who says what is wrong with a file cuts at the first, as there begin values.
    fn missing(&self, key: &str) -> String {
        format!("targets.{}.{key}: this kind of target needs the key and it is missing", self.name)
    }

    fn limit(&self, name: &str, is_set: bool) -> Result<(), String> {
        if is_set {
            return Err(format!("targets.{}.limits.{name}: this kind has no such key", self.name));
        }
        Ok(())
    }

    /// What all kinds that are asked by HTTP have.
    fn request_target(&mut self) -> Result<RawRequestTarget, String> {
        self.must_not(self.kind.as_deref().unwrap_or_default(), &OF_POSTGRES)?;
        let limits = self.limits.take().unwrap_or_default();
        self.limit("max_sessions", limits.max_sessions.is_some())?;
        self.limit("max_message_bytes", limits.max_message_bytes.is_some())?;
        self.limit("max_row_bytes", limits.max_row_bytes.is_some())?;
        Ok(RawRequestTarget {
            name: self.name.clone(),
            url: self.url.take().ok_or_else(|| self.missing("url"))?,
            ca: self.ca.take(),
            client_cert: self.client_cert.take(),
            client_key: self.client_key.take(),
            token: self.token.take(),
            recording: self.recording.take(),
            detectors: self.detectors.take().unwrap_or_default(),
            timeout_seconds: self.timeout_seconds,
            patience_seconds: self.patience_seconds,
            max_request_bytes: self.max_request_bytes,
            max_sessions: self.max_sessions,
            limits: RawMcpServerLimits {
                max_requests: limits.max_requests,
                max_requests_per_principal: limits.max_requests_per_principal,
                requests_per_minute: limits.requests_per_minute,
            },
        })
    }

    fn postgres(mut self) -> Result<RawTarget, String> {
        self.must_not("postgresql", &OF_OTHERS)?;
        let limits = self.limits.take().unwrap_or_default();
        self.limit("max_requests", limits.max_requests.is_some())?;
        self.limit("max_requests_per_principal", limits.max_requests_per_principal.is_some())?;
        self.limit("requests_per_minute", limits.requests_per_minute.is_some())?;
        Ok(RawTarget {
            address: self.address.take().ok_or_else(|| self.missing("address"))?,
            database: self.database.take().ok_or_else(|| self.missing("database"))?,
            user: self.user.take().ok_or_else(|| self.missing("user"))?,
            name: self.name,
            kind: self.kind,
            databases: self.databases.unwrap_or_default(),
            password: self.password,
            sslmode: self.sslmode,
            ca: self.ca,
            client_cert: self.client_cert,
            client_key: self.client_key,
            recording: self.recording,
            detectors: self.detectors.unwrap_or_default(),
            catalog_refresh_seconds: self.catalog_refresh_seconds,
            limits: TargetLimits {
                max_sessions: limits.max_sessions,
                max_message_bytes: limits.max_message_bytes,
                max_row_bytes: limits.max_row_bytes,
            },
        })
    }
}

impl RawAnyTarget {
    /// Checks it; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// With the key and the fix.
    pub fn check(self, folder: &Path) -> Result<AnyTarget, ConfigError> {
        Ok(match self {
            Self::Postgres(raw) => AnyTarget::Postgres(Box::new(raw.check(folder)?)),
            Self::Http(raw) => AnyTarget::Http(Box::new(raw.check(folder)?)),
            Self::Kubernetes(raw) => AnyTarget::Http(Box::new(raw.check(folder)?)),
        })
    }
}

impl AnyTarget {
    /// What agents call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Postgres(target) => &target.name,
            Self::Http(target) => target.target.name(),
        }
    }

    /// What events say of it.
    pub(crate) fn reference(&self) -> TargetRef {
        match self {
            Self::Postgres(target) => target.reference(Some(&target.databases.default)),
            Self::Http(target) => target.target.reference.clone(),
        }
    }
}

impl From<Target> for AnyTarget {
    fn from(target: Target) -> Self {
        Self::Postgres(Box::new(target))
    }
}
