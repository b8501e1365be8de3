//! `tallyport dev`: every service in one process on embedded defaults, with a development issuer. Loopback only.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tallyport_access::client::{ClientAuthentication, ClientCredentials, TokenSource};
use tallyport_access::dev_issuer::{AUDIENCE, DevClient, DevIssuer, PEOPLE_CLIENT};
use tallyport_access::{Authenticator, SecretToken};
use tallyport_eventlog::{AppenderOptions, LogUrl};
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_query::{LakeConfig, ListenConfig, QueryConfig};
use tallyport_recorder::{CommitPolicy, LakeUrl, RecorderConfig};
use tallyport_schemas::TargetRef;
use tallyport_telemetry::Logs;

use super::admission::Admission;
use super::console::ConsolePlan;
use super::dev_target::DevTarget;
use super::gateway::GatewayPlan;
use super::postgres::ThrowAwayPostgres;
use super::telemetry::Observed;
use super::wiring::{Plan, QueryPlan, Services};
use super::{end_at_once_on_another_signal, interrupted};
use crate::answer::Asker;
use crate::args::DevArgs;
use crate::exit::Failure;
use crate::output::print_line;
use crate::ready::{
    GatewayAddresses, QueryAddresses, ReadyClient, ReadyFile, ReadyIssuer, ReadyTarget,
};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DEFAULT_DATA: &str = ".tallyport-dev";
const EXAMPLE_POLICY: &str = include_str!("../../../deploy/examples/policy.cedar");
const EXAMPLE_MASKING: &str = include_str!("../../../deploy/examples/masking.toml");
const SECRET_BYTES: usize = 24;

/// What `dev` and `demo` start.
pub struct DevOptions {
    data: PathBuf,
    listen: SocketAddr,
    log: Option<String>,
    lake: Option<String>,
    target_url: Option<String>,
    target_name: String,
    policy: Option<PathBuf>,
    masking: Option<PathBuf>,
    mcp_servers: Vec<String>,
    targets: Option<PathBuf>,
}

impl DevOptions {
    /// Embedded log, local lake, throw-away PostgreSQL, example policies, all below `data`.
    pub fn embedded(data: PathBuf) -> Self {
        Self {
            data,
            listen: LOOPBACK,
            log: None,
            lake: None,
            target_url: None,
            target_name: "sample".to_owned(),
            policy: None,
            masking: None,
            mcp_servers: Vec::new(),
            targets: None,
        }
    }
}

/// Starts, writes the ready file, serves until it is interrupted.
pub async fn run(args: &DevArgs, logs: &Logs) -> Result<(), Failure> {
    let mut observed = Observed::start_dev(LOOPBACK, logs).await?;
    let served = serve(args, &mut observed).await;
    observed.stop().await;
    served
}

async fn serve(args: &DevArgs, observed: &mut Observed) -> Result<(), Failure> {
    let mut running = start(DevOptions {
        data: args.data.clone().unwrap_or_else(|| DEFAULT_DATA.into()),
        listen: args.listen,
        log: args.log.clone(),
        lake: args.lake.clone(),
        target_url: args.target_url.clone(),
        target_name: args.target_name.clone(),
        policy: args.policy.clone(),
        masking: args.masking.clone(),
        mcp_servers: args.mcp_servers.clone(),
        targets: args.targets.clone(),
    })
    .await?;
    observed.serving(&running.services);
    running.ready.telemetry = observed.url();
    if let Some(path) = &args.ready_file {
        running.ready.write(path)?;
    }
    print_line(running.ready.announcement(args.ready_file.as_deref()))?;
    let failure = tokio::select! {
        () = interrupted() => None,
        failure = running.services.failed() => Some(failure),
    };
    end_at_once_on_another_signal();
    observed.ending(failure, running.shutdown()).await
}

/// Everything of `dev`, running.
pub struct Running {
    ready: ReadyFile,
    services: Services,
    issuer: DevIssuer,
    /// Stops when it is dropped, after everything that uses it.
    _postgres: Option<ThrowAwayPostgres>,
}

impl Running {
    /// Where everything is.
    pub const fn ready(&self) -> &ReadyFile {
        &self.ready
    }

    /// Waits until everything that is on the log now is in the lake.
    pub async fn recorded(&self) -> Result<(), Failure> {
        self.services.recorded().await
    }

    /// Asks the audit as one of the development clients.
    pub async fn asker(&self, client: &str) -> Result<Asker, Failure> {
        let token = self.ready.token_source(client)?.token().await.map_err(Failure::failed)?;
        let http = reqwest::Client::builder().build().map_err(Failure::failed)?;
        Ok(Asker::new(http, &self.ready.query.http, token.expose().to_owned()))
    }

    /// A token of this client that has run out: it lived for a second.
    pub async fn expired_token(&self, client: &str) -> Result<SecretToken, Failure> {
        let client = self.ready.client(client)?;
        let source = TokenSource::client_credentials(ClientCredentials {
            issuer: self.ready.issuer.url.clone(),
            token_url: Some(self.ready.issuer.token_url.clone()),
            client_id: client.id.clone(),
            authentication: ClientAuthentication::Secret(SecretToken::new(client.secret.clone())),
            audience: Some(self.ready.issuer.audience.clone()),
            scope: None,
            extra: vec![("ttl".to_owned(), "1".to_owned())],
            roots_pem: None,
        })
        .map_err(Failure::failed)?;
        let token = source.token().await.map_err(Failure::failed)?;
        tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
        Ok(token)
    }

    /// Stops in order.
    pub async fn shutdown(self) -> Result<(), Failure> {
        let stopped = self.services.stop().await;
        self.issuer.stop().await;
        stopped
    }
}

/// Starts everything.
pub async fn start(options: DevOptions) -> Result<Running, Failure> {
    if !options.listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "dev hands out tokens to whoever asks, so it listens on loopback only, not on {}; use `tallyport up` with a \
             configuration file for anything else",
            options.listen
        )));
    }
    std::fs::create_dir_all(&options.data)
        .map_err(|error| Failure::failed(format!("{}: {error}", options.data.display())))?;
    let data = options.data.canonicalize().map_err(Failure::failed)?;
    let issuer =
        DevIssuer::start(LOOPBACK, DevClient::defaults()).await.map_err(Failure::failed)?;
    let ca = DevCa::create_or_load(&data.join("tls")).map_err(Failure::failed)?;
    let identity =
        ServerIdentity::load(&ca.cert_path(), &ca.key_path()).map_err(Failure::failed)?;
    let (postgres, target) = target(&options).await?;
    let log_url =
        options.log.clone().unwrap_or_else(|| format!("embedded:{}", data.join("log").display()));
    let lake = lake(&options, &data)?;
    let policy =
        own_or_example(options.policy.as_deref(), &data.join("policy.cedar"), EXAMPLE_POLICY)?;
    let masking = example_masking(&data)?;
    let masking = own_or_example(options.masking.as_deref(), &data.join("masking.toml"), &masking)?;
    let authenticator =
        Authenticator::new(vec![issuer.issuer_config()]).map_err(Failure::failed)?;
    let console = ConsolePlan::Dev {
        issuer: issuer.issuer_url.clone(),
        client_id: PEOPLE_CLIENT.to_owned(),
        audience: AUDIENCE.to_owned(),
        query: None,
    };
    let gateway = GatewayPlan::dev(options.listen, identity, &target, &masking, console)?
        .with_mcp_servers(&options.mcp_servers)?
        .with_targets(super::more_targets::read(options.targets.as_deref())?);
    let reachable = gateway.reachable();
    let admission = Admission { authenticator, policy };
    let plan = Plan {
        log: LogUrl::parse(&log_url).map_err(Failure::usage)?,
        log_secrets: Vec::new(),
        appender: AppenderOptions::default(),
        node: "dev".to_owned(),
        gateway: Some((gateway, admission.clone())),
        recorder: Some(recorder_config(&lake)),
        query: Some((QueryPlan { config: query_config(&lake), identity: None }, admission)),
    };
    let services = Services::start(plan).await?;
    if let Err(failure) = reach(&services, &target).await {
        // The reason is what counts; what had started ends in order.
        let _stopped = services.stop().await;
        issuer.stop().await;
        return Err(failure);
    }
    let ready =
        ready_file(&services, &issuer, reachable, (&data, &ca.ca_path()), (&log_url, &lake))?;
    Ok(Running { ready, services, issuer, _postgres: postgres })
}

/// The user's own database, or a throw-away one with sample data.
async fn target(options: &DevOptions) -> Result<(Option<ThrowAwayPostgres>, DevTarget), Failure> {
    if let Some(url) = &options.target_url {
        return Ok((None, DevTarget::parse(&options.target_name, url)?));
    }
    let password = random_text()?;
    // It starts child processes and waits for them: not on the runtime's own threads.
    let postgres = tokio::task::spawn_blocking(move || ThrowAwayPostgres::start(password))
        .await
        .map_err(Failure::failed)?
        .map_err(Failure::failed)?;
    let target = DevTarget {
        name: options.target_name.clone(),
        host: "127.0.0.1".to_owned(),
        port: postgres.port(),
        database: ThrowAwayPostgres::DATABASE.to_owned(),
        user: ThrowAwayPostgres::ROLE.to_owned(),
        password: Some(postgres.password().to_owned()),
        sslmode: "disable".to_owned(),
        ca: None,
    };
    Ok((Some(postgres), target))
}

/// A database that is not there is better known now than at the first connection.
async fn reach(services: &Services, target: &DevTarget) -> Result<(), Failure> {
    let Some(gateway) = &services.gateway else { return Ok(()) };
    gateway.probe(&target.name).await.map_err(|error| {
        Failure::failed(format!(
            "the database `{}` of {}:{} cannot be used: {error}; start it, or correct --target-url",
            target.database, target.host, target.port
        ))
    })
}

fn lake(options: &DevOptions, data: &Path) -> Result<LakeUrl, Failure> {
    match &options.lake {
        None => {
            let folder = data.join("lake");
            std::fs::create_dir_all(&folder).map_err(Failure::failed)?;
            LakeUrl::from_dir(&folder).map_err(Failure::usage)
        }
        Some(url) if url.contains("://") => LakeUrl::parse(url).map_err(Failure::usage),
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .map_err(|error| Failure::usage(format!("{folder}: {error}")))?;
            let folder = Path::new(folder).canonicalize().map_err(Failure::usage)?;
            LakeUrl::from_dir(&folder).map_err(Failure::usage)
        }
    }
}

fn recorder_config(lake: &LakeUrl) -> RecorderConfig {
    RecorderConfig { commit: CommitPolicy::development(), ..RecorderConfig::new(lake.clone()) }
}

fn query_config(lake: &LakeUrl) -> QueryConfig {
    QueryConfig {
        lake: LakeConfig { url: lake.as_url().clone(), storage_options: HashMap::new() },
        http: Some(ListenConfig::plain(LOOPBACK)),
        pgwire: Some(ListenConfig::plain(LOOPBACK)),
        limits: tallyport_query::Limits::default(),
    }
}

/// The user's file, or a copy of the example that can be edited while it runs.
fn own_or_example(own: Option<&Path>, copy: &Path, example: &str) -> Result<PathBuf, Failure> {
    match own {
        Some(path) => path
            .canonicalize()
            .map_err(|error| Failure::usage(format!("{}: {error}", path.display()))),
        None => {
            if !copy.exists() {
                std::fs::write(copy, example)
                    .map_err(|error| Failure::failed(format!("{}: {error}", copy.display())))?;
            }
            Ok(copy.to_path_buf())
        }
    }
}

/// The example labels, with a key of keyed hashes made for this data directory.
fn example_masking(data: &Path) -> Result<String, Failure> {
    let key = data.join("hash.key");
    if !key.exists() {
        crate::ready::write_whole(&key, &random_text()?)?;
    }
    let place = format!("hash_key = {{ file = {:?} }}", key.display().to_string());
    Ok(EXAMPLE_MASKING.replace("# hash_key = { env = \"TALLYPORT_HASH_KEY\" }", &place))
}

fn ready_file(
    services: &Services,
    issuer: &DevIssuer,
    reachable: Vec<TargetRef>,
    (data, ca): (&Path, &Path),
    (log, lake): (&str, &LakeUrl),
) -> Result<ReadyFile, Failure> {
    let missing = || Failure::failed("a service of `dev` did not start");
    let gateway = services.gateway.as_ref().ok_or_else(missing)?;
    let query = &services.query.as_ref().ok_or_else(missing)?.running;
    Ok(ReadyFile {
        pid: std::process::id(),
        data_dir: data.to_path_buf(),
        gateway: GatewayAddresses {
            quic: gateway.quic_addr().to_string(),
            https: format!("https://{}", gateway.tcp_addr()),
            server_name: "localhost".to_owned(),
            console: format!("https://localhost:{}/console/", gateway.tcp_addr().port()),
        },
        ca: ca.to_path_buf(),
        query: QueryAddresses {
            http: format!("http://{}", query.http_addr.ok_or_else(missing)?),
            pg: query.pg_addr.ok_or_else(missing)?.to_string(),
        },
        log: log.to_owned(),
        lake: lake.to_string(),
        targets: reachable.into_iter().map(ready_target).collect(),
        telemetry: None,
        issuer: ReadyIssuer {
            url: issuer.issuer_url.clone(),
            token_url: issuer.token_url.clone(),
            audience: AUDIENCE.to_owned(),
            people_client: PEOPLE_CLIENT.to_owned(),
            clients: issuer.clients().iter().map(ready_client).collect(),
        },
    })
}

fn ready_target(target: TargetRef) -> ReadyTarget {
    ReadyTarget {
        name: target.name,
        kind: target.kind.as_str().to_owned(),
        database: target.database,
    }
}

fn ready_client(client: &DevClient) -> ReadyClient {
    let description = if client.groups.is_empty() {
        format!("{} (no groups)", client.display_name)
    } else {
        format!("{} ({})", client.display_name, client.groups.join(", "))
    };
    ReadyClient { id: client.id.clone(), secret: client.secret.expose().to_owned(), description }
}

/// A secret for this run.
fn random_text() -> Result<String, Failure> {
    use std::io::Read as _;
    let mut bytes = [0_u8; SECRET_BYTES];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| Failure::failed(format!("no random bytes: {error}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
