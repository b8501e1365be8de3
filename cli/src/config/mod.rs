//! The configuration file: raw as written, then checked. An unknown key or a bad value is an error that names the
//! file, the key and the fix. Reference: docs/reference/configuration.md.

mod console;
mod keys;
pub(crate) mod problem;
mod query_limits;
mod raw;
mod saml;
mod telemetry;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tallyport_access::{Authenticator, IssuerConfig, TrustDomainConfig};
use tallyport_eventlog::{AppenderOptions, Credentials, HeldSecret, LogUrl};
use tallyport_gateway::config::Credential;
use tallyport_gateway::config::RawAnyTarget;
#[cfg(feature = "lake")]
use tallyport_recorder::{CommitPolicy, LakeUrl, RecorderConfig, Retention};
use tallyport_schemas::{ParseIdError, ProducerId};

use crate::exit::Failure;
pub use console::{RawConsole, RawSignIn};
pub use keys::{Key, keys, schema};
use query_limits::RawQueryLimits;
use raw::RawConfig;
pub use raw::RawGateway;
pub use telemetry::TelemetrySettings;

/// A checked configuration. What a role does not need may be absent.
#[derive(Debug)]
pub struct Config {
    /// Where it came from; relative paths in it are relative to its folder.
    pub path: PathBuf,
    /// The log.
    pub log: LogUrl,
    /// What of it is a secret that may change.
    pub log_secrets: Vec<LogSecret>,
    /// Bounds of the appenders.
    pub appender: AppenderOptions,
    /// The name before the role in producer ids, such as `gw-1` in `gw-1/gateway`.
    pub node: String,
    /// Who is trusted to issue tokens.
    pub issuers: Vec<IssuerConfig>,
    /// Whose workloads are let in by their SVIDs.
    pub trust_domains: Vec<TrustDomainConfig>,
    /// Cedar policies.
    pub policy: Option<PathBuf>,
    /// Labels and masks.
    pub masking: Option<PathBuf>,
    /// Where the lake is, and its object store's options.
    #[cfg(feature = "lake")]
    pub lake: Option<(LakeUrl, raw::StoreOptions)>,
    /// The gateway's own section.
    pub gateway: Option<RawGateway>,
    /// The pages for people.
    pub console: Option<RawConsole>,
    /// What can be reached.
    pub targets: Vec<RawAnyTarget>,
    /// The recorder's own section.
    #[cfg(feature = "lake")]
    pub recorder: Option<RecorderSettings>,
    /// Whether there is one, where it is not looked into.
    #[cfg(not(feature = "lake"))]
    pub recorder: Option<()>,
    /// The query service's own section.
    pub query: Option<QuerySettings>,
    /// Metrics, traces, health and readiness.
    pub telemetry: TelemetrySettings,
}

/// A secret of the log.
#[derive(Clone, Debug)]
pub struct LogSecret {
    /// Its name in the file.
    pub key: &'static str,
    /// Where it is.
    pub from: Credential,
    /// What it is, for the log.
    pub held: HeldSecret,
}

impl LogSecret {
    fn read(key: &'static str, from: Credential) -> Result<Self, String> {
        let secret = from.read_first().map_err(|error| format!("{key}: {error}"))?;
        Ok(Self { key, held: HeldSecret::new(secret.expose()), from })
    }
}

/// What `[recorder]` says.
#[cfg(feature = "lake")]
#[derive(Debug)]
pub struct RecorderSettings {
    /// When to commit.
    pub commit: CommitPolicy,
    /// How much of the log to keep.
    pub retention: Retention,
    /// Which partitions; all when absent.
    pub partitions: Option<Vec<u32>>,
    /// Begin although older records are gone.
    pub accept_missing_history: bool,
}

/// What `[query]` says.
#[derive(Debug)]
pub struct QuerySettings {
    /// HTTP address.
    pub http: Option<SocketAddr>,
    /// PostgreSQL wire address.
    pub pgwire: Option<SocketAddr>,
    /// Certificate and key (PEM).
    pub tls: Option<(PathBuf, PathBuf)>,
    /// What questions may take.
    pub limits: RawQueryLimits,
}

impl Config {
    /// Reads and checks a file; with another name of this machine than the file's where one is given.
    pub fn read(path: &Path, node: Option<&str>) -> Result<Self, Failure> {
        if let Some(node) = node {
            check_node(node)
                .map_err(|error| Failure::usage(format!("--node (or TALLYPORT_NODE): {error}")))?;
        }
        let named =
            |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
        let raw: RawConfig =
            toml::from_str(&text).map_err(|error| named(&problem::describe(&text, &error)))?;
        Self::check(raw, path, node).map_err(|error| named(&error))
    }

    fn check(raw: RawConfig, path: &Path, node: Option<&str>) -> Result<Self, String> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let (log, log_secrets) = log_of(&raw.log, folder)?;
        if let Some(node) = &raw.node {
            check_node(node).map_err(|error| format!("node: {error}"))?;
        }
        let node = node.map(str::to_owned).or(raw.node).ok_or(
            "node: this machine has no name; set it in the file, with --node or as TALLYPORT_NODE",
        )?;
        #[cfg(feature = "lake")]
        let lake = raw.lake.map(|lake| {
            let url = LakeUrl::parse(&lake.url).map_err(|error| format!("lake.url: {error}"))?;
            Ok::<_, String>((url, lake.options))
        });
        let query = raw.query.map(|query| {
            let tls = match (query.cert, query.key) {
                (Some(cert), Some(key)) => Some((folder.join(cert), folder.join(key))),
                (None, None) => None,
                _ => {
                    let problem = "query.cert and query.key: give both, or neither on loopback";
                    return Err(problem.to_owned());
                }
            };
            let limits = query.limits.checked()?;
            Ok(QuerySettings { http: query.http, pgwire: query.pgwire, tls, limits })
        });
        let in_folder = |domain: TrustDomainConfig| TrustDomainConfig {
            bundle_file: folder.join(&domain.bundle_file),
            ..domain
        };
        let trust_domains: Vec<_> = raw.trust_domains.into_iter().map(in_folder).collect();
        let issuers =
            raw.issuers.into_iter().map(|issuer| relative_to(issuer, folder)).collect::<Vec<_>>();
        if !issuers.is_empty() || !trust_domains.is_empty() {
            Authenticator::trusting(issuers.clone(), trust_domains.clone(), None)
                .map_err(|error| format!("issuers: {error}"))?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            log,
            log_secrets,
            appender: AppenderOptions {
                max_wait: Duration::from_millis(raw.log.max_wait_ms),
                ..AppenderOptions::default()
            },
            node,
            issuers,
            trust_domains,
            policy: raw.policy.map(|policy| folder.join(policy.path)),
            masking: raw.masking.map(|masking| folder.join(masking.path)),
            #[cfg(feature = "lake")]
            lake: lake.transpose()?,
            gateway: raw.gateway.map(|gateway| gateway.relative_to(folder)),
            console: raw.console.map(|console| console.relative_to(folder)),
            targets: raw.targets,
            #[cfg(feature = "lake")]
            recorder: raw.recorder.map(raw::RawRecorder::check).transpose()?,
            #[cfg(not(feature = "lake"))]
            recorder: raw.recorder.map(|_| ()),
            query: query.transpose()?,
            telemetry: raw.telemetry.check(folder)?,
        })
    }

    /// The recorder's settings.
    #[cfg(feature = "recorder")]
    pub fn recorder_config(&self) -> Result<RecorderConfig, Failure> {
        let missing =
            |key: &str| Failure::usage(format!("{}: [{key}] is missing", self.path.display()));
        let (lake, options) = self.lake.clone().ok_or_else(|| missing("lake"))?;
        let recorder = self.recorder.as_ref().ok_or_else(|| missing("recorder"))?;
        Ok(RecorderConfig {
            storage_options: options.0,
            commit: recorder.commit,
            retention: recorder.retention,
            partitions: recorder.partitions.clone(),
            accept_missing_history: recorder.accept_missing_history,
            ..RecorderConfig::new(lake)
        })
    }
}

/// Where the log is, and what of it is a secret that may change.
fn log_of(raw: &raw::RawLog, folder: &Path) -> Result<(LogUrl, Vec<LogSecret>), String> {
    let mut log_secrets = Vec::new();
    let mut held = |key, credential: Option<Credential>| {
        let Some(credential) = credential else { return Ok(None) };
        let secret = LogSecret::read(key, credential.relative_to(folder))?;
        let held = secret.held.clone();
        log_secrets.push(secret);
        Ok::<_, String>(Some(held))
    };
    let credentials = Credentials {
        user: held("log.user", raw.user.clone())?,
        password: held("log.password", raw.password.clone())?,
    };
    let log = LogUrl::parse_with(&raw.url, credentials);
    let log = log.map_err(|error| format!("log.url: {error}"))?;
    Ok((log, log_secrets))
}

fn check_node(node: &str) -> Result<ProducerId, ParseIdError> {
    // Nobody's name would do as a part of one.
    ProducerId::parse(node)?;
    ProducerId::parse(format!("{node}/gateway"))
}

fn relative_to(mut issuer: IssuerConfig, folder: &Path) -> IssuerConfig {
    issuer.jwks_file = issuer.jwks_file.map(|path| folder.join(path));
    issuer.ca_file = issuer.ca_file.map(|path| folder.join(path));
    if let Some(introspection) = &mut issuer.introspection {
        introspection.client_secret = introspection.client_secret.clone().relative_to(folder);
    }
    issuer
}
