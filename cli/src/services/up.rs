//! `tallyport up` and its parts: the services of a configuration file, until SIGINT or SIGTERM.

use std::fmt;
#[cfg(feature = "query")]
use std::sync::Arc;

use tallyport_eventlog::LogUrl;
#[cfg(feature = "query")]
use tallyport_gateway::tls::ServerIdentity;
#[cfg(feature = "query")]
use tallyport_query::{LakeConfig, ListenConfig, QueryConfig};
use tallyport_telemetry::Logs;

#[cfg(any(feature = "gateway", feature = "query"))]
use super::admission::{self, Admission};
#[cfg(feature = "gateway")]
use super::gateway::GatewayPlan;
use super::handed::Handed;
use super::telemetry::Observed;
#[cfg(feature = "query")]
use super::wiring::QueryPlan;
use super::wiring::{Plan, Services};
use super::{end_at_once_on_another_signal, end_at_once_on_second_signal, interrupted};
use crate::args::ConfigArgs;
use crate::config::Config;
use crate::exit::Failure;

/// Which services this process runs.
#[derive(Clone, Copy, Debug)]
pub struct Roles {
    gateway: bool,
    recorder: bool,
    query: bool,
}

impl Roles {
    /// The gateway alone.
    #[cfg(feature = "gateway")]
    pub const GATEWAY: Self = Self { gateway: true, recorder: false, query: false };
    /// The recorder alone.
    #[cfg(feature = "recorder")]
    pub const RECORDER: Self = Self { gateway: false, recorder: true, query: false };
    /// The query service alone.
    #[cfg(feature = "query")]
    pub const QUERY: Self = Self { gateway: false, recorder: false, query: true };

    /// Those that the file has a section for: a file that has none would run a process that does nothing.
    fn of(config: &Config) -> Result<Self, Failure> {
        let roles = Self {
            gateway: config.gateway.is_some(),
            recorder: config.recorder.is_some(),
            query: config.query.is_some(),
        };
        if roles.gateway || roles.recorder || roles.query {
            return Ok(roles);
        }
        Err(Failure::usage(format!(
            "{}: it names no role; add [gateway], [recorder] or [query]",
            config.path.display()
        )))
    }

    /// These, where this build has them all: one that is left out silently would not be missed.
    fn built(self, config: &Config) -> Result<Self, Failure> {
        let lacking = self.lacking();
        if lacking.is_empty() {
            return Ok(self);
        }
        Err(Failure::usage(format!(
            "{}: [{}]: this build of tallyport {}; run the role that it has by its name (such as `tallyport gateway`), or \
             use the full binary",
            config.path.display(),
            lacking.join("], ["),
            crate::built::has()
        )))
    }

    /// Those of them that this build does not have.
    fn lacking(self) -> Vec<&'static str> {
        [
            ("gateway", self.gateway, cfg!(feature = "gateway")),
            ("recorder", self.recorder, cfg!(feature = "recorder")),
            ("query", self.query, cfg!(feature = "query")),
        ]
        .iter()
        .filter(|(_, wanted, built)| *wanted && !built)
        .map(|(role, ..)| *role)
        .collect()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [("gateway", self.gateway), ("recorder", self.recorder), ("query", self.query)];
        let named: Vec<_> = all.iter().filter(|(_, runs)| *runs).map(|(name, _)| *name).collect();
        f.write_str(&named.join(","))
    }
}

/// Serves these roles, or those of the file, until it is told to stop or a service fails for good.
pub async fn run(
    args: &ConfigArgs,
    roles: Option<Roles>,
    logs: &Logs,
    handed: Handed,
) -> Result<(), Failure> {
    let config = Config::read(&args.config, args.node.as_deref())?;
    let roles = roles.map_or_else(|| Roles::of(&config)?.built(&config), Ok)?;
    let mut observed = Observed::start(&config.telemetry, &config.node, logs).await?;
    let served = serve(&config, roles, &mut observed, handed).await;
    observed.stop().await;
    served
}

async fn serve(
    config: &Config,
    roles: Roles,
    observed: &mut Observed,
    handed: Handed,
) -> Result<(), Failure> {
    if matches!(config.log, LogUrl::Embedded(_)) && !roles.recorder {
        tracing::warn!(
            "no [recorder] in the one process of the embedded log: nothing reaches the lake"
        );
    }
    let mut services = Services::start(plan(config, roles, handed)?).await?;
    observed.serving(&services);
    tracing::info!(config = %config.path.display(), %roles, "serving");
    let taken_over = services.taken_over();
    let failure = tokio::select! {
        () = interrupted() => {
            tracing::info!("stopping: sessions drain, the log is flushed");
            end_at_once_on_another_signal();
            None
        }
        node = taken_over => {
            tracing::info!(node, "stopping, since another process has the port: sessions drain, the log is flushed");
            end_at_once_on_second_signal();
            None
        }
        failure = services.failed() => {
            tracing::info!("stopping after a failure: sessions drain, the log is flushed");
            end_at_once_on_another_signal();
            Some(failure)
        }
    };
    observed.ending(failure, services.stop()).await
}

/// Everything a start would check, without opening the log, the lake or a socket.
pub fn check(config: &Config) -> Result<(), Failure> {
    let roles = Roles::of(config)?;
    plan(config, roles, Handed::nothing())?;
    for role in roles.lacking() {
        eprintln!(
            "tallyport: note: [{role}] was not looked into: this build {}",
            crate::built::has()
        );
    }
    #[cfg(any(feature = "gateway", feature = "query"))]
    if roles.gateway || roles.query {
        admission::check_policies(config)?;
    }
    Ok(())
}

fn plan(config: &Config, roles: Roles, mut handed: Handed) -> Result<Plan, Failure> {
    // The key of its tokens is read where it is used alone: by the gateway.
    #[cfg(feature = "gateway")]
    let saml = if roles.gateway { config.saml()? } else { None };
    #[cfg(all(feature = "query", not(feature = "gateway")))]
    let saml: Option<Arc<tallyport_access::saml::SamlExchange>> = None;
    #[cfg(any(feature = "gateway", feature = "query"))]
    let admission = if roles.gateway || roles.query {
        Some(Admission::from_config(config, saml.as_deref())?)
    } else {
        None
    };
    #[cfg(feature = "query")]
    let query = roles.query.then(|| query_plan(config, &mut handed)).transpose()?;
    handed.are_all_taken()?;
    Ok(Plan {
        log: config.log.clone(),
        log_secrets: config.log_secrets.clone(),
        appender: config.appender,
        node: config.node.clone(),
        #[cfg(feature = "gateway")]
        gateway: roles
            .gateway
            .then(|| GatewayPlan::from_config(config, saml))
            .transpose()?
            .zip(admission.clone()),
        #[cfg(feature = "recorder")]
        recorder: roles.recorder.then(|| config.recorder_config()).transpose()?,
        #[cfg(feature = "query")]
        query: query.zip(admission),
    })
}

#[cfg(feature = "query")]
fn query_plan(config: &Config, handed: &mut Handed) -> Result<QueryPlan, Failure> {
    let missing =
        |key: &str| Failure::usage(format!("{}: [{key}] is missing", config.path.display()));
    let settings = config.query.as_ref().ok_or_else(|| missing("query"))?;
    let (lake, options) = config.lake.clone().ok_or_else(|| missing("lake"))?;
    let identity = match &settings.tls {
        Some((cert, key)) => Some(ServerIdentity::load(cert, key).map_err(|error| {
            let file = config.path.display();
            Failure::usage(format!("{file}: query.cert, query.key: {error}"))
        })?),
        None => None,
    };
    let tls = identity.as_ref().map(ServerIdentity::tcp_config).transpose();
    let tls = tls.map_err(Failure::usage)?;
    // The two speak different protocols, and clients say so in ALPN.
    let mut listen = |address, alpn: &[&[u8]]| ListenConfig {
        address,
        listener: handed.at(address).map(Arc::new),
        tls: tls.clone().map(|mut tls| {
            tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            Arc::new(tls)
        }),
    };
    let http = settings.http.map(|address| listen(address, &[b"h2", b"http/1.1"]));
    let pgwire = settings.pgwire.map(|address| listen(address, &[b"postgresql"]));
    for (key, face) in [("query.http", &http), ("query.pgwire", &pgwire)] {
        let checked = face.as_ref().map_or(Ok(()), |face| face.check(key));
        checked.map_err(|error| Failure::usage(format!("{}: {error}", config.path.display())))?;
    }
    let config = QueryConfig {
        lake: LakeConfig { url: lake.as_url().clone(), storage_options: options.0 },
        http,
        pgwire,
        limits: settings.limits.limits(),
    };
    Ok(QueryPlan { config, identity })
}
