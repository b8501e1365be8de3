//! What all targets that are asked by HTTP have: where they are, what they are shown, how much may be asked of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_core::json::Hide;
use gateway_core::masking::Mask;
use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_detect::Screen;
use tallyport_schemas::{Recording, TargetRef};
use url::Url;

use super::mcp_server::RawMcpServerLimits;
use super::target::{is_name, parse_detectors, parse_recording};
use super::{ClientIdentity, ConfigError, Credential, McpServerLimits, OAuth2};

/// The largest body of a request, where the file does not say.
const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// The largest that may be set.
const MOST_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// Where a target is and how it is asked, as written; a part of every kind that is asked by HTTP.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
pub struct RawRequestTarget {
    /// What agents call it: `[a-z0-9._-]`, at most 63 characters.
    pub name: String,
    /// Where it is: every path of an agent is taken below it. `http` only for this very machine. No agent chooses a host.
    pub url: String,
    /// The CA that signed its certificate (PEM); the public roots when absent.
    pub ca: Option<PathBuf>,
    /// The gateway's client certificate (PEM).
    pub client_cert: Option<PathBuf>,
    /// Its key (PEM).
    pub client_key: Option<PathBuf>,
    /// What it is shown as `Authorization: Bearer`.
    pub token: Option<Credential>,
    /// `full` (the default) or `digest`, where policy does not say.
    pub recording: Option<String>,
    /// What is looked for in its answers: kinds or groups of docs/reference/detectors.md, or `all`, each with `alert`, `mask`,
    /// `deny` or `off`.
    #[serde(default)]
    pub detectors: BTreeMap<String, String>,
    /// How long it may take until an answer begins, and between two pieces of one, in seconds (default 60).
    pub timeout_seconds: Option<u64>,
    /// How long a request waits for people who must agree, in seconds, before it is told to come again (default 30).
    pub patience_seconds: Option<u64>,
    /// The largest body of a request, in bytes (default 1 MiB).
    pub max_request_bytes: Option<usize>,
    /// The most sessions at once on this target (default: the gateway's own limit).
    pub max_sessions: Option<usize>,
    /// How much may be asked of it.
    #[serde(default)]
    pub limits: RawMcpServerLimits,
}

/// `[[targets.masks]]` and `[[targets.routes.masks]]` as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawHide {
    /// Where in the answer: JSON pointers (RFC 6901) in which `*` is every element or member, such as `/rows/*/email`.
    pub at: Vec<String>,
    /// `redact`, `partial:firstN` or `partial:lastN`.
    pub mask: String,
}

/// What a target is shown so that it lets the gateway in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// As `Authorization: Bearer`.
    pub token: Option<Credential>,
    /// As `Authorization: Basic` (RFC 7617).
    pub basic: Option<(String, Credential)>,
    /// As fields of their own.
    pub headers: Vec<(HeaderName, Credential)>,
    /// A token of an issuer, as `Authorization: Bearer`.
    pub oauth2: Option<OAuth2>,
}

/// A checked target that is asked by HTTP.
#[derive(Clone, Debug)]
pub struct RequestTarget {
    pub(crate) reference: TargetRef,
    pub(crate) url: Url,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) client: Option<ClientIdentity>,
    pub(crate) shown: Shown,
    pub(crate) recording: Recording,
    pub(crate) timeout: Duration,
    pub(crate) patience: Duration,
    pub(crate) max_request_bytes: usize,
    pub(crate) max_sessions: Option<usize>,
    pub(crate) limits: McpServerLimits,
    /// It is asked by HTTP/1.1 alone.
    pub(crate) http1: bool,
}

/// A key, and what is wrong with it.
pub(super) type Problem = (&'static str, String);

impl RawRequestTarget {
    /// Checks it; relative paths are taken from `folder`.
    pub(super) fn check(
        &self,
        reference: TargetRef,
        folder: &Path,
    ) -> Result<RequestTarget, Problem> {
        if !is_name(&self.name) {
            return Err(("name", "use 1 to 63 of a-z, 0-9, `.`, `_` and `-`".to_owned()));
        }
        let url = parse_url(&self.url).map_err(|problem| ("url", problem))?;
        let client = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => {
                Some(ClientIdentity { cert: folder.join(cert), key: folder.join(key) })
            }
            (None, None) => None,
            _ => {
                return Err((
                    "client_cert",
                    "client_cert and client_key belong together".to_owned(),
                ));
            }
        };
        let seconds = |key, value: Option<u64>, fallback| match value.unwrap_or(fallback) {
            value @ 1..=3600 => Ok(Duration::from_secs(value)),
            other => Err((key, format!("{other} is not within 1 to 3600"))),
        };
        let max_request_bytes = match self.max_request_bytes.unwrap_or(MAX_REQUEST_BYTES) {
            bytes @ 1..=MOST_REQUEST_BYTES => bytes,
            other => {
                return Err((
                    "max_request_bytes",
                    format!("{other} is not within 1 to {MOST_REQUEST_BYTES}"),
                ));
            }
        };
        if self.max_sessions == Some(0) {
            return Err(("max_sessions", "0 would refuse everybody; use 1 or more".to_owned()));
        }
        let token = self.token.clone().map(|token| token.relative_to(folder));
        Ok(RequestTarget {
            reference,
            url,
            ca: self.ca.as_ref().map(|ca| folder.join(ca)),
            client,
            shown: Shown { token, ..Shown::default() },
            recording: recording(self.recording.as_deref())?,
            timeout: seconds("timeout_seconds", self.timeout_seconds, 60)?,
            patience: seconds("patience_seconds", self.patience_seconds, 30)?,
            max_request_bytes,
            max_sessions: self.max_sessions,
            limits: self.limits.check()?,
            http1: false,
        })
    }

    pub(super) fn screen(&self) -> Result<Option<Screen>, Problem> {
        parse_detectors(&self.detectors).map_err(|problem| ("detectors", problem))
    }
}

impl RequestTarget {
    /// What agents call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.reference.name
    }
}

/// With the key and the fix.
pub(super) fn named(name: &str, (key, problem): (&str, String)) -> ConfigError {
    ConfigError::new(format!("targets.{name}.{key}"), problem)
}

fn recording(text: Option<&str>) -> Result<Recording, Problem> {
    match parse_recording(text) {
        Ok(recording @ (Recording::Full | Recording::Digest)) => Ok(recording),
        Ok(Recording::Head(_)) => {
            Err(("recording", "an answer of HTTP has no rows; use `full` or `digest`".to_owned()))
        }
        Err(problem) => Err(("recording", problem)),
    }
}

/// The rules of what is hidden.
pub(super) fn hides(raw: &[RawHide]) -> Result<Vec<Hide>, String> {
    let mut rules = Vec::new();
    for raw in raw {
        let mask: Mask = match raw.mask.parse() {
            // No key is configured for it.
            Ok(Mask::Hash) => {
                return Err("`hash` is not available here; use redact or partial:lastN".to_owned());
            }
            Ok(mask) => mask,
            Err(error) => return Err(error.to_string()),
        };
        if raw.at.is_empty() {
            return Err("`at` names no place; write one such as /rows/*/email".to_owned());
        }
        for place in &raw.at {
            rules.push(Hide {
                place: place.parse().map_err(|error| format!("{error}"))?,
                shade: mask.into(),
            });
        }
    }
    Ok(rules)
}

fn parse_url(text: &str) -> Result<Url, String> {
    let fix = || {
        "write where the service is, such as https://crm.example.com/api, without a user, a query or a fragment".to_owned()
    };
    let url = Url::parse(text).map_err(|_| fix())?;
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(fix()),
    };
    let has_user = !url.username().is_empty() || url.password().is_some();
    match url.scheme() {
        _ if has_user || url.fragment().is_some() || url.query().is_some() => Err(fix()),
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        "http" => Err("`http` shows the credential to whoever listens; use https".to_owned()),
        _ => Err(fix()),
    }
}
