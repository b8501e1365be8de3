//! `tallyport connect`: a local port for an ordinary client, over QUIC to the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use tallyport_access::SecretToken;
use tallyport_access::client::TokenSource;
use tallyport_gateway::BearerToken;
use tallyport_gateway::connect::{
    ConnectConfig, Connector, Credentials, NoToken, TokenError, TokenProvider,
};
use tallyport_gateway::tls::CertificateFiles;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::args::{ConnectArgs, ReachArgs};
use crate::exit::Failure;
use crate::output::print_line;
use crate::ready::ReadyFile;
use crate::services::interrupted;

/// Listens until it is interrupted.
pub async fn run(args: &ConnectArgs) -> Result<(), Failure> {
    let config = config(&args.reach).await?;
    let forwarding = Forwarding::listen(config, args.listen, &args.target).await?;
    let address = forwarding.address;
    if let Some(path) = &args.listen_file {
        let text = json!({ "host": address.ip().to_string(), "port": address.port(), "target": args.target });
        crate::ready::write_whole(path, &format!("{text}\n"))?;
    }
    let (target, ip, port) = (&args.target, address.ip(), address.port());
    match &args.kubeconfig {
        Some(path) => {
            super::kubeconfig::write(path, (target, args.namespace.as_deref()), address)?;
            let path = path.display();
            print_line(format_args!(
                "{target} is at {address}; try: kubectl --kubeconfig {path} get pods"
            ))?;
        }
        None => print_line(format_args!(
            "{target} is at {address}; try: psql -h {ip} -p {port} (a database), curl http://{address}/ (a service)"
        ))?,
    }
    interrupted().await;
    forwarding.stop().await;
    Ok(())
}

/// As whom, and to where.
pub async fn config(args: &ReachArgs) -> Result<ConnectConfig, Failure> {
    let certificate = args.client_cert.clone().zip(args.client_key.clone());
    let certificate = certificate
        .map(|(certificate, key)| CertificateFiles::new(certificate, key))
        .transpose()
        .map_err(Failure::usage)?;
    if certificate.is_some() && !args.access.says_who() {
        let ready = args.access.ready_file.as_deref().map(ReadyFile::read).transpose()?;
        return gateway(args, ready.as_ref(), Arc::new(NoToken), certificate);
    }
    let access = if args.bearer { Access::new(&args.access) } else { Access::bound(&args.access) }?;
    // A token that cannot be had is better known now than at the first connection.
    access.tokens.token().await.map_err(|error| crate::access::no_token(&error))?;
    gateway(args, access.ready.as_ref(), Arc::new(FromSource(access.tokens)), certificate)
}

fn gateway(
    args: &ReachArgs,
    ready: Option<&ReadyFile>,
    provider: Arc<dyn TokenProvider>,
    certificate: Option<CertificateFiles>,
) -> Result<ConnectConfig, Failure> {
    let mut config = match (&args.gateway, ready) {
        (Some(gateway), _) => ConnectConfig::new(gateway.clone(), provider),
        (None, Some(ready)) => from_ready(ready, provider),
        (None, None) => {
            return Err(Failure::usage(
                "where is the gateway? set --gateway HOST:PORT or --ready-file",
            ));
        }
    };
    if let Some(ca) = &args.access.ca {
        config.ca = Some(ca.clone());
    }
    config.certificate = certificate;
    config.tcp_only = args.tcp;
    Ok(config)
}

fn from_ready(ready: &ReadyFile, provider: Arc<dyn TokenProvider>) -> ConnectConfig {
    let mut config = ConnectConfig::new(ready.gateway.quic.clone(), provider);
    config.server_name = Some(ready.gateway.server_name.clone());
    config.ca = Some(PathBuf::from(&ready.ca));
    config
}

/// A local port that leads to a target, until it is stopped.
pub struct Forwarding {
    address: SocketAddr,
    stop: CancellationToken,
    connector: Arc<Connector>,
    task: JoinHandle<()>,
}

impl Forwarding {
    /// To the first target of a ready file, as one of its clients, or with this very token.
    pub async fn start(
        ready: &ReadyFile,
        client: &str,
        token: Option<SecretToken>,
    ) -> Result<Self, Failure> {
        let tokens = match token {
            Some(token) => TokenSource::fixed(token),
            None => ready.token_source(client)?,
        };
        let target = ready
            .targets
            .first()
            .ok_or_else(|| Failure::failed("the ready file names no target"))?;
        let config = from_ready(ready, Arc::new(FromSource(tokens)));
        Self::listen(config, SocketAddr::from(([127, 0, 0, 1], 0)), &target.name).await
    }

    async fn listen(
        config: ConnectConfig,
        listen: SocketAddr,
        target: &str,
    ) -> Result<Self, Failure> {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| Failure::failed(format!("cannot listen on {listen}: {error}")))?;
        let address = listener.local_addr().map_err(Failure::failed)?;
        let connector = Arc::new(Connector::new(config).map_err(Failure::usage)?);
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (connector, stop, target) =
                (Arc::clone(&connector), stop.clone(), target.to_owned());
            async move {
                if let Err(error) = connector.forward(listener, &target, stop).await {
                    tracing::error!(%error, "the local port is closed");
                }
            }
        });
        Ok(Self { address, stop, connector, task })
    }

    /// The local port.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Ends all connections and waits for that.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ended = self.task.await;
        self.connector.close().await;
    }
}

/// The client library's tokens out of ours.
struct FromSource(TokenSource);

#[async_trait]
impl TokenProvider for FromSource {
    async fn token(&self) -> Result<Credentials, TokenError> {
        let bound = self.0.bound_token().await.map_err(TokenError::new)?;
        let token = Some(BearerToken::new(bound.token.expose().to_owned()));
        Ok(Credentials { token, key: bound.key })
    }
}
