//! `[[gateway.mcp.servers]]`: one MCP server behind the gateway. Reference: docs/reference/mcp-servers.md.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_core::masking::Mask;
use gateway_core::mcp::{MaskRule, Screening};
use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_detect::{Cards, Rules, Screen};
use tallyport_schemas::{Recording, TargetKind, TargetRef};

use super::mcp_way::{McpWay, RawMcpProcesses};
use super::target::{is_name, parse_recording};
use super::{ConfigError, Credential, RawOAuth2};

/// Names of servers stand before those of their tools, with this between them.
pub(crate) const SEPARATOR: &str = "__";
/// What clients take as the name of a tool has 128 characters, and the tool's own is a part of it.
const MAX_NAME_CHARS: usize = 32;

/// `[[gateway.mcp.servers]]` as written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMcpServer {
    /// What policies call it, and what stands before the names of its tools: `[a-z0-9._-]`, at most 32 characters, without
    /// `__`. Targets and servers share one name space.
    pub name: String,
    /// Where it is: the URL of its endpoint (transport "Streamable HTTP"). `http` only for this very machine.
    pub url: Option<String>,
    /// Or the program that it is, with its arguments (transport "stdio"): the gateway starts it, without a shell.
    #[serde(default)]
    pub command: Vec<String>,
    /// What the program has in its environment beside `PATH` and `LANG`, each a secret, such as `{ CRM_KEY = { file = "crm.key" } }`.
    #[serde(default)]
    pub env: BTreeMap<String, Credential>,
    /// The folder that the program runs in; that of this file when absent.
    pub cwd: Option<PathBuf>,
    /// The CA that signed its certificate (PEM); the public roots when absent.
    pub ca: Option<PathBuf>,
    /// What it is shown as `Authorization: Bearer`.
    pub token: Option<Credential>,
    /// Or a token of an issuer, by the client-credentials grant.
    pub oauth2: Option<RawOAuth2>,
    /// Other fields that it is shown, each with a secret, such as `{ x-api-key = { env = "KEY" } }`.
    #[serde(default)]
    pub headers: BTreeMap<String, Credential>,
    /// `full` (the default) or `digest`, where policy does not say.
    pub recording: Option<String>,
    /// What of its answers is hidden.
    #[serde(default)]
    pub masks: Vec<RawMcpMask>,
    /// What is looked for in its answers: kinds or groups of docs/reference/detectors.md, or `all`, each with `alert`, `mask`,
    /// `deny` or `off`.
    #[serde(default)]
    pub detectors: BTreeMap<String, String>,
    /// Labels of its tools, for policies: `{ merge = ["external.write"] }`.
    #[serde(default)]
    pub labels: BTreeMap<String, Vec<String>>,
    /// How long it may take for an answer, in seconds (default 60).
    pub timeout_seconds: Option<u64>,
    /// How much may be asked of it.
    #[serde(default)]
    pub limits: RawMcpServerLimits,
    /// With `command`: how many of it may run.
    pub processes: Option<RawMcpProcesses>,
}

/// `[[gateway.mcp.servers.masks]]` as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMcpMask {
    /// The tool, as the server calls it; all of them where absent.
    pub tool: Option<String>,
    /// Where in its data: JSON pointers (RFC 6901) in which `*` is every element or member, such as `/rows/*/email`.
    pub at: Vec<String>,
    /// `redact`, `partial:firstN` or `partial:lastN`.
    pub mask: String,
}

/// `[gateway.mcp.servers.limits]` as written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMcpServerLimits {
    /// The most requests under way at once (default 256).
    pub max_requests: Option<usize>,
    /// The most of one principal (default 32).
    pub max_requests_per_principal: Option<usize>,
    /// The most requests of one principal in a minute (default 600).
    pub requests_per_minute: Option<u32>,
}

/// A checked server.
#[derive(Clone, Debug)]
pub struct McpServer {
    pub(crate) name: String,
    pub(crate) way: McpWay,
    pub(crate) recording: Recording,
    pub(crate) screening: Screening,
    pub(crate) labels: BTreeMap<String, Vec<String>>,
    pub(crate) timeout: Duration,
    pub(crate) limits: McpServerLimits,
}

/// How much may be asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McpServerLimits {
    pub(crate) max_requests: usize,
    pub(crate) max_requests_per_principal: usize,
    pub(crate) requests_per_minute: u32,
}

impl McpServer {
    /// What agents call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What events say of it.
    pub(crate) fn reference(&self) -> TargetRef {
        TargetRef { name: self.name.clone(), kind: TargetKind::Mcp, database: None }
    }
}

impl RawMcpServer {
    /// Checks it; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// With the key and the fix.
    pub fn check(&self, folder: &Path) -> Result<McpServer, ConfigError> {
        let bad = |key: &str, problem: String| {
            ConfigError::new(format!("gateway.mcp.servers.{}.{key}", self.name), problem)
        };
        if !is_name(&self.name) || self.name.len() > MAX_NAME_CHARS || self.name.contains(SEPARATOR)
        {
            let problem = "use 1 to 32 of a-z, 0-9, `.`, `_` and `-`, without `__`";
            return Err(bad("name", problem.to_owned()));
        }
        let mut way = self.way(folder).map_err(|(key, problem)| bad(key, problem))?;
        let recording = match parse_recording(self.recording.as_deref()) {
            Ok(recording @ (Recording::Full | Recording::Digest)) => recording,
            Ok(Recording::Head(_)) => {
                return Err(bad(
                    "recording",
                    "an answer of a tool has no rows; use `full` or `digest`".to_owned(),
                ));
            }
            Err(problem) => return Err(bad("recording", problem)),
        };
        let rules = self.rules().map_err(|problem| bad("masks", problem))?;
        let detectors = self.screen().map_err(|problem| bad("detectors", problem))?;
        let timeout = match self.timeout_seconds.unwrap_or(60) {
            seconds @ 1..=3600 => Duration::from_secs(seconds),
            other => {
                return Err(bad("timeout_seconds", format!("{other} is not within 1 to 3600")));
            }
        };
        let limits = self.limits.check().map_err(|(key, problem)| bad(key, problem))?;
        let screening = Screening::new(rules, detectors);
        if let McpWay::Child(process) = &mut way {
            process.is_screened = screening.is_any();
        }
        Ok(McpServer {
            name: self.name.clone(),
            way,
            recording,
            screening,
            labels: self.labels.clone(),
            timeout,
            limits,
        })
    }

    fn rules(&self) -> Result<Vec<MaskRule>, String> {
        let mut rules = Vec::new();
        for raw in &self.masks {
            let mask: Mask = match raw.mask.parse() {
                // No key is configured for it.
                Ok(Mask::Hash) => {
                    return Err(
                        "`hash` is not available here; use redact or partial:lastN".to_owned()
                    );
                }
                Ok(mask) => mask,
                Err(error) => return Err(error.to_string()),
            };
            if raw.at.is_empty() {
                return Err("`at` names no place; write one such as /rows/*/email".to_owned());
            }
            for place in &raw.at {
                let place = place.parse().map_err(|error| format!("{error}"))?;
                rules.push(MaskRule { tool: raw.tool.clone(), place, mask });
            }
        }
        Ok(rules)
    }

    fn screen(&self) -> Result<Option<Screen>, String> {
        if self.detectors.is_empty() {
            return Ok(None);
        }
        let entries = self.detectors.iter().map(|(name, action)| (name.as_str(), action.as_str()));
        let rules = Rules::parse(entries).map_err(|error| error.to_string())?;
        Screen::new(rules, Cards::Hidden).map(Some).map_err(|error| error.to_string())
    }
}

impl RawMcpServerLimits {
    pub(super) fn check(&self) -> Result<McpServerLimits, (&'static str, String)> {
        let none = |key| Err((key, "0 would refuse everybody; use 1 or more".to_owned()));
        let limits = McpServerLimits {
            max_requests: self.max_requests.unwrap_or(256),
            max_requests_per_principal: self.max_requests_per_principal.unwrap_or(32),
            requests_per_minute: self.requests_per_minute.unwrap_or(600),
        };
        match limits {
            McpServerLimits { max_requests: 0, .. } => none("limits.max_requests"),
            McpServerLimits { max_requests_per_principal: 0, .. } => {
                none("limits.max_requests_per_principal")
            }
            McpServerLimits { requests_per_minute: 0, .. } => none("limits.requests_per_minute"),
            limits => Ok(limits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "name = 'crm'\nurl = 'https://crm.example.com/mcp'\n";

    fn check(text: &str) -> Result<McpServer, String> {
        let raw: RawMcpServer = toml::from_str(text).map_err(|error| error.to_string())?;
        raw.check(Path::new("/etc/tallyport")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_what_is_used() {
        let server = check(&format!(
            "{LEAST}token = {{ file = 'crm.token' }}\nheaders = {{ x-tenant = {{ env = 'T' }} }}\nrecording = 'digest'\n\
             detectors = {{ secrets = 'deny' }}\nmasks = [{{ tool = 'find', at = ['/rows/*/email'], mask = 'partial:last4' }}]\n\
             limits = {{ requests_per_minute = 7 }}",
        ))
        .unwrap();
        let McpWay::Http(endpoint) = &server.way else { panic!("{server:?}") };
        assert!(
            matches!(&endpoint.token, Some(Credential::File(file)) if file == Path::new("/etc/tallyport/crm.token"))
        );
        assert_eq!(endpoint.headers[0].0, "x-tenant");
        assert_eq!((server.recording, server.limits.requests_per_minute), (Recording::Digest, 7));
        assert_eq!(server.reference().kind, TargetKind::Mcp);
    }

    #[test]
    fn a_program_of_whose_answers_something_is_hidden_is_known() {
        for (more, is_screened) in [
            ("", false),
            ("detectors = { secrets = 'deny' }", true),
            ("masks = [{ at = ['/email'], mask = 'redact' }]", true),
        ] {
            let server =
                check(&format!("name = 'crm'\ncommand = ['sh', '-c', 'x']\ncwd = '/'\n{more}"))
                    .unwrap();
            let McpWay::Child(process) = &server.way else { panic!("{server:?}") };
            assert_eq!(process.is_screened, is_screened, "{more}");
        }
    }

    #[test]
    fn what_cannot_be_meant_names_its_key() {
        for (from, to, key) in [
            ("'crm'", "'CRM'", "name"),
            ("'crm'", "'a__b'", "name"),
            ("'crm'", "'a23456789012345678901234567890123'", "name"),
            ("https://crm", "http://crm", "url"),
            ("https://crm", "ftp://crm", "url"),
            ("https://crm", "https://me:you@crm", "url"),
            ("https://crm.example.com/mcp", "crm", "url"),
            ("\n", "\nheaders = { host = { value = 'x' } }\n", "headers"),
            ("\n", "\nheaders = { mcp-session-id = { value = 'x' } }\n", "headers"),
            ("\n", "\nrecording = 'head:3'\n", "recording"),
            ("\n", "\ndetectors = { cats = 'mask' }\n", "detectors"),
            ("\n", "\nmasks = [{ at = ['rows'], mask = 'redact' }]\n", "masks"),
            ("\n", "\nmasks = [{ at = [], mask = 'redact' }]\n", "masks"),
            ("\n", "\nmasks = [{ at = ['/a'], mask = 'hash' }]\n", "masks"),
            ("\n", "\nlimits = { max_requests = 0 }\n", "limits.max_requests"),
            ("\n", "\ntimeout_seconds = 0\n", "timeout_seconds"),
            ("\n", "\nprefix = 'x'\n", "prefix"),
        ] {
            let told = check(&LEAST.replacen(from, to, 1)).unwrap_err();
            assert!(told.contains(key), "{to}: {told}");
        }
        assert!(check(&LEAST.replace("https://crm.example.com", "http://localhost:9")).is_ok());
    }
}
