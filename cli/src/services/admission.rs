//! Whom a service lets in, and what policy lets them do: for the roles that answer somebody.

use std::path::{Path, PathBuf};

use tallyport_access::policy::PolicyStore;
use tallyport_access::saml::SamlExchange;
use tallyport_access::{Authenticator, ConfigError};

use crate::config::Config;
use crate::exit::Failure;

/// What gateway and query service share of it.
#[derive(Clone)]
pub struct Admission {
    /// Who is trusted to issue tokens.
    pub authenticator: Authenticator,
    /// Cedar policies, a file or a directory.
    pub policy: PathBuf,
}

impl Admission {
    /// From a configuration file, and what gives tokens for assertions, where this process does.
    pub fn from_config(config: &Config, exchange: Option<&SamlExchange>) -> Result<Self, Failure> {
        let (issuers, domains) = (config.issuers.clone(), config.trust_domains.clone());
        let authenticator =
            Authenticator::trusting(issuers, domains, exchange).map_err(|error| match error {
                ConfigError::NoIssuers => in_file(
                    config,
                    "issuers: at least one [[issuers]] with issuer and audiences is needed, or one of \
                     [[trust_domains]], or [gateway.saml] for the gateway",
                ),
                error => Failure::usage(error),
            })?;
        Ok(Self { authenticator, policy: policy(config)?.to_path_buf() })
    }

    /// The policies as they are now.
    pub fn load_policies(&self) -> Result<PolicyStore, Failure> {
        PolicyStore::load(&self.policy).map_err(Failure::usage)
    }
}

/// Whether the policies of a configuration file can be loaded.
pub fn check_policies(config: &Config) -> Result<(), Failure> {
    let loaded = PolicyStore::load(policy(config)?);
    loaded.map(drop).map_err(|error| in_file(config, &format!("policy.path: {error}")))
}

fn policy(config: &Config) -> Result<&Path, Failure> {
    config.policy.as_deref().ok_or_else(|| {
        in_file(config, "policy: [policy] with path is needed, a file or a directory of *.cedar")
    })
}

fn in_file(config: &Config, what: &str) -> Failure {
    Failure::usage(format!("{}: {what}", config.path.display()))
}
