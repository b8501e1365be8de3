//! What a configuration says of a trust domain.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_schemas::PrincipalKind;

use super::id::{SpiffeId, is_trust_domain};

const MAX_LIFETIME_SECONDS: u64 = 24 * 3600;
const MAX_CLOCK_SKEW_SECONDS: u64 = 120;

/// One of `[[trust_domains]]`: workloads of a SPIFFE trust domain come by their SVIDs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustDomainConfig {
    /// Its name, such as `prod.example.com`; principals of it have the issuer `spiffe://prod.example.com`.
    pub name: String,
    /// Its bundle: the SPIFFE bundle format (`spire-server bundle show -format spiffe`), or PEM certificates, with which no
    /// token can be checked. Read anew when it changes.
    pub bundle_file: PathBuf,
    /// The audiences of this service; a JWT-SVID must be for one of them. Empty, none is taken.
    #[serde(default)]
    pub audiences: Vec<String>,
    /// How far the domain's clock may be from ours for tokens, in seconds; at most 120.
    #[serde(default = "default_clock_skew")]
    pub clock_skew_seconds: u64,
    /// The longest time from `iat` to `exp` of a JWT-SVID, in seconds.
    #[serde(default = "default_lifetime")]
    pub max_lifetime_seconds: u64,
    /// Put before every group, so that two trust domains cannot name the same group.
    #[serde(default)]
    pub group_prefix: String,
    /// Who they are, by their paths: the first that matches says it, and a workload that none matches is refused. Without
    /// any, every workload is a service without groups.
    #[serde(default)]
    pub workloads: Vec<Workload>,
}

/// One of `[[trust_domains.workloads]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// A path such as `/ns/agents/sa/billing`, or all below one: `/ns/agents/*`.
    pub path: String,
    /// `agent` or `service`: no SVID makes a human.
    #[serde(default = "default_kind")]
    pub kind: PrincipalKind,
    /// Its groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The model that acts.
    pub model: Option<String>,
}

/// A trust domain's configuration is not taken. The text names the domain, the key and the fix.
#[derive(Debug, thiserror::Error)]
#[error("trust_domains.{name}.{key}: {fix}")]
pub struct TrustDomainError {
    name: String,
    key: String,
    fix: String,
}

impl TrustDomainConfig {
    pub(super) fn check(&self) -> Result<(), TrustDomainError> {
        if !is_trust_domain(&self.name) {
            return Err(self.wrong(
                "name",
                "use a trust domain's name such as prod.example.com: a-z, 0-9, `.`, `-` and `_`, without spiffe://",
            ));
        }
        if self.audiences.iter().any(String::is_empty) {
            return Err(self.wrong("audiences", "an audience is empty"));
        }
        if self.clock_skew_seconds > MAX_CLOCK_SKEW_SECONDS {
            let fix = format!("at most {MAX_CLOCK_SKEW_SECONDS}; set the clocks by NTP instead");
            return Err(self.wrong("clock_skew_seconds", fix));
        }
        if !(1..=MAX_LIFETIME_SECONDS).contains(&self.max_lifetime_seconds) {
            return Err(self.wrong("max_lifetime_seconds", format!("1 to {MAX_LIFETIME_SECONDS}")));
        }
        for workload in &self.workloads {
            let key = format!("workloads.{}", workload.path);
            let example =
                format!("spiffe://{}{}", self.name, workload.prefix().unwrap_or(&workload.path));
            // Below the domain itself: every workload.
            let everybody = workload.path == "/*";
            let is_path = workload.path.starts_with('/') && SpiffeId::parse(&example).is_some();
            if !everybody && !is_path {
                return Err(self.wrong(
                    &key,
                    "write a path such as /ns/agents/sa/billing, or /ns/agents/* for all below",
                ));
            }
            if workload.kind == PrincipalKind::Human {
                return Err(self.wrong(
                    &key,
                    "use kind = \"agent\" or \"service\": people sign in at an issuer",
                ));
            }
            if workload.groups.iter().any(String::is_empty) {
                return Err(self.wrong(&key, "a group is empty"));
            }
        }
        Ok(())
    }

    pub(super) fn wrong(&self, key: &str, fix: impl Into<String>) -> TrustDomainError {
        TrustDomainError { name: self.name.clone(), key: key.to_owned(), fix: fix.into() }
    }
}

impl Workload {
    /// Of a pattern, what comes before its `/*`.
    fn prefix(&self) -> Option<&str> {
        self.path.strip_suffix("/*")
    }

    pub(super) fn is_of(&self, id: &SpiffeId) -> bool {
        match self.prefix() {
            // Whole segments: /ns/agents/* is not of /ns/agents-old/x.
            Some(prefix) => {
                id.path().strip_prefix(prefix).is_some_and(|below| below.starts_with('/'))
            }
            None => id.path() == self.path,
        }
    }
}

const fn default_kind() -> PrincipalKind {
    PrincipalKind::Service
}

const fn default_clock_skew() -> u64 {
    30
}

const fn default_lifetime() -> u64 {
    3600
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Result<TrustDomainConfig, String> {
        let config: TrustDomainConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check().map(|()| config).map_err(|error| error.to_string())
    }

    const GOOD: &str = "name = 'prod.example.com'\nbundle_file = 'b.json'\n[[workloads]]\npath = '/ns/agents/*'\nkind = 'agent'\n";

    #[test]
    fn paths_match_by_whole_segments() {
        let config = config(GOOD).unwrap();
        let of = |path: &str| {
            let id = SpiffeId::parse(&format!("spiffe://prod.example.com{path}")).unwrap();
            config.workloads[0].is_of(&id)
        };
        assert!(of("/ns/agents/sa/billing") && of("/ns/agents/x"));
        assert!(!of("/ns/agents") && !of("/ns/agents-old/x") && !of("/x/ns/agents/y"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_the_name_of_its_key() {
        for (find, put, key) in [
            ("prod.example.com", "spiffe://prod", "name"),
            ("prod.example.com", "Prod", "name"),
            ("/ns/agents/*", "ns/agents/*", "workloads.ns/agents/*"),
            ("/ns/agents/*", "/ns/*/agents", "workloads./ns/*/agents"),
            ("/ns/agents/*", "/ns/agents/", "workloads./ns/agents/"),
            ("'agent'", "'human'", "workloads./ns/agents/*"),
            ("'b.json'", "'b.json'\nclock_skew_seconds = 121", "clock_skew_seconds"),
            ("'b.json'", "'b.json'\nmax_lifetime_seconds = 0", "max_lifetime_seconds"),
            ("'b.json'", "'b.json'\naudiences = ['']", "audiences"),
            ("kind = 'agent'", "groups = ['']", "workloads./ns/agents/*"),
            ("kind", "kinds", "kinds"),
        ] {
            let error = config(&GOOD.replacen(find, put, 1)).unwrap_err();
            assert!(error.contains(key), "{put}: {error}");
        }
        assert!(config(&GOOD.replacen("/ns/agents/*", "/*", 1)).is_ok());
    }
}
