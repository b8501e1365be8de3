//! The file as written.

#[cfg(feature = "lake")]
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
#[cfg(feature = "lake")]
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
#[cfg(not(feature = "lake"))]
use serde::de::IgnoredAny;
use tallyport_access::{IssuerConfig, TrustDomainConfig};
use tallyport_gateway::config::{Credential, RawAnyTarget, RawGatewayLimits, RawMcp};
use tallyport_gateway::webhooks::RawWebhook;
#[cfg(feature = "lake")]
use tallyport_recorder::{CommitPolicy, Retention};

#[cfg(feature = "lake")]
use super::RecorderSettings;
use super::console::RawConsole;
use super::query_limits::RawQueryLimits;
use super::saml::RawSaml;
use super::telemetry::RawTelemetry;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// Names this machine in producer ids; unique among all machines that write to one log. Left out where `--node` or
    /// `TALLYPORT_NODE` says it.
    pub node: Option<String>,
    /// The log that nothing passes without.
    pub log: RawLog,
    /// Who is trusted to issue tokens; for gateway and query service at least one, or one of `trust_domains`.
    #[serde(default)]
    pub issuers: Vec<IssuerConfig>,
    /// Whose workloads are let in by their SVIDs (SPIFFE).
    #[serde(default)]
    pub trust_domains: Vec<TrustDomainConfig>,
    /// Who may do what: Cedar policies. The recorder, which nobody asks, needs none.
    pub policy: Option<RawPath>,
    /// Which columns are sensitive, and how they are masked.
    pub masking: Option<RawPath>,
    /// Where the recorder writes and the query service reads; one lake for one log.
    #[cfg(feature = "lake")]
    pub lake: Option<RawLake>,
    /// Of roles that this build does not have: they may be there, and are not looked into.
    #[cfg(not(feature = "lake"))]
    #[schemars(skip)]
    pub lake: Option<IgnoredAny>,
    /// The gateway, where it runs here.
    pub gateway: Option<RawGateway>,
    /// The pages for people, served by the gateway.
    pub console: Option<RawConsole>,
    /// What can be reached.
    #[serde(default)]
    pub targets: Vec<RawAnyTarget>,
    /// The recorder, where it runs here.
    #[cfg(feature = "lake")]
    pub recorder: Option<RawRecorder>,
    #[cfg(not(feature = "lake"))]
    #[schemars(skip)]
    pub recorder: Option<IgnoredAny>,
    /// The query service, where it runs here.
    pub query: Option<RawQuery>,
    /// What operators look at.
    #[serde(default)]
    pub telemetry: RawTelemetry,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLog {
    /// `embedded:DIR` or `kafka://HOST:PORT,...`.
    pub url: String,
    /// The name of this service's user at Kafka, where it is not in the URL.
    pub user: Option<Credential>,
    /// The user's password.
    pub password: Option<Credential>,
    /// The longest a commit waits for the log before its session ends.
    #[serde(default = "default_max_wait_ms")]
    pub max_wait_ms: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawPath {
    /// A file; of policies also a directory of `*.cedar`.
    pub path: PathBuf,
}

#[cfg(feature = "lake")]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawLake {
    /// `file:///DIR` or `s3://BUCKET/PREFIX`.
    pub url: String,
    /// Options of the object store, such as `AWS_REGION`.
    #[serde(default)]
    pub options: StoreOptions,
}

/// Options of an object store. Some are keys: their names alone are shown.
#[cfg(feature = "lake")]
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct StoreOptions(pub HashMap<String, String>);

#[cfg(feature = "lake")]
impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// `[gateway]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGateway {
    /// Address of both fronts: UDP for QUIC, TCP for HTTP/2 and HTTP/1.1.
    pub listen: SocketAddr,
    /// Certificate chain (PEM).
    pub cert: PathBuf,
    /// Private key (PEM).
    pub key: PathBuf,
    /// Whether clients are asked for a certificate of theirs, on both fronts: for tokens that are bound to one (RFC 8705), and
    /// for X.509-SVIDs of `trust_domains`. A browser with certificates then asks its user for one.
    #[serde(default)]
    pub ask_client_certificates: bool,
    /// The longest a shutdown waits for open sessions.
    #[serde(default = "default_drain_seconds")]
    pub drain_seconds: u64,
    /// A Unix socket for upgrades: a new gateway of another `node` that is started with the same one takes the port over
    /// from the one that runs, which then drains and ends; absent, nobody can. Needs the log on Kafka.
    pub takeover_socket: Option<PathBuf>,
    /// Sign-in by SAML: signed assertions for short-lived tokens; nobody is signed in so where absent.
    pub saml: Option<RawSaml>,
    /// The front for clients of the Model Context Protocol; there is none where absent.
    pub mcp: Option<RawMcp>,
    /// Bounds of the gateway as a whole.
    #[serde(default)]
    pub limits: RawGatewayLimits,
    /// Who is told of requests for approvals, and may pass on answers.
    #[serde(default)]
    pub webhooks: Vec<RawWebhook>,
}

impl RawGateway {
    pub fn relative_to(mut self, folder: &Path) -> Self {
        self.cert = folder.join(self.cert);
        self.key = folder.join(self.key);
        self.saml = self.saml.map(|saml| saml.relative_to(folder));
        self.takeover_socket = self.takeover_socket.map(|path| folder.join(path));
        self
    }
}

#[cfg(feature = "lake")]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRecorder {
    /// Commit after so many records.
    pub commit_max_rows: usize,
    /// Commit after so many bytes.
    pub commit_max_bytes: usize,
    /// Commit when the oldest record is so old.
    pub commit_max_age_ms: u64,
    /// Keep what the lake has on the log for at least so long.
    pub keep_seconds: u64,
    /// And for at least so many later commits.
    pub keep_commits: usize,
    /// The partitions to record; all when absent.
    pub partitions: Option<Vec<u32>>,
    /// Begin although older records are gone from the log.
    pub accept_missing_history: bool,
}

#[cfg(feature = "lake")]
impl Default for RawRecorder {
    fn default() -> Self {
        let (commit, keep) = (CommitPolicy::default(), Retention::default());
        Self {
            commit_max_rows: commit.max_rows,
            commit_max_bytes: commit.max_bytes,
            commit_max_age_ms: u64::try_from(commit.max_age.as_millis()).unwrap_or(u64::MAX),
            keep_seconds: keep.keep_for.as_secs(),
            keep_commits: keep.keep_commits,
            partitions: None,
            accept_missing_history: false,
        }
    }
}

#[cfg(feature = "lake")]
impl RawRecorder {
    pub fn check(self) -> Result<RecorderSettings, String> {
        for (key, value) in
            [("commit_max_rows", self.commit_max_rows), ("commit_max_bytes", self.commit_max_bytes)]
        {
            if value == 0 {
                return Err(format!("recorder.{key}: 0 would never commit anything; at least 1"));
            }
        }
        if self.commit_max_bytes > CommitPolicy::LARGEST_BYTES {
            let most = CommitPolicy::LARGEST_BYTES;
            return Err(format!("recorder.commit_max_bytes: at most {most}"));
        }
        if self.partitions.as_ref().is_some_and(Vec::is_empty) {
            return Err(
                "recorder.partitions: name at least one, or leave the key out for all".to_owned()
            );
        }
        Ok(RecorderSettings {
            commit: CommitPolicy {
                max_rows: self.commit_max_rows,
                max_bytes: self.commit_max_bytes,
                max_age: Duration::from_millis(self.commit_max_age_ms),
            },
            retention: Retention {
                keep_for: Duration::from_secs(self.keep_seconds),
                keep_commits: self.keep_commits,
            },
            partitions: self.partitions,
            accept_missing_history: self.accept_missing_history,
        })
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawQuery {
    /// HTTP address; without TLS only on loopback.
    pub http: Option<SocketAddr>,
    /// PostgreSQL wire address; without TLS only on loopback.
    pub pgwire: Option<SocketAddr>,
    /// Certificate chain (PEM).
    pub cert: Option<PathBuf>,
    /// Private key (PEM).
    pub key: Option<PathBuf>,
    /// What questions may take.
    #[serde(default)]
    pub limits: RawQueryLimits,
}

const fn default_max_wait_ms() -> u64 {
    5_000
}

const fn default_drain_seconds() -> u64 {
    30
}
