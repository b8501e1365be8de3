//! Tunnels over HTTP/2 and TCP, for networks that block UDP.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::call::{self, Call, Identified};
use super::config::ConnectConfig;
use super::error::ConnectError;
use super::quic::MAX_REFUSAL_BYTES;
use super::request::{Ask, Body, Reply};
use super::{Transport, Tunnel, resolve};
use crate::tls::{self, ALPN_H2, Written, in_words};

const STREAM_RECEIVE_WINDOW_BYTES: u32 = 4 << 20;
const RECEIVE_WINDOW_BYTES: u32 = 16 << 20;
const SEND_BUFFER_BYTES: usize = 256 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

type Requests = SendRequest<Full<Bytes>>;

/// The shared connection.
pub(super) struct Pool {
    tls: TlsConnector,
    server_name: ServerName<'static>,
    current: Mutex<Option<(Requests, Option<Written>)>>,
}

impl Pool {
    pub(super) fn new(config: &ConnectConfig) -> Result<Self, ConnectError> {
        let tls = tls::client_config(config.ca.as_deref(), config.certificate.as_ref(), ALPN_H2)?;
        let name = config.server_name();
        let server_name =
            ServerName::try_from(name.clone()).map_err(|_| ConnectError::ServerName { name })?;
        let tls = TlsConnector::from(Arc::new(tls));
        Ok(Self { tls, server_name, current: Mutex::new(None) })
    }

    /// Opens a tunnel.
    pub(super) async fn open(
        &self,
        config: &ConnectConfig,
        call: Call<'_>,
    ) -> Result<Tunnel, ConnectError> {
        let (requests, kept) = self.requests(config).await?;
        match open_on(requests, call).await {
            // A kept connection may have died unnoticed; a session that it opened is lost with it.
            Err(ConnectError::Broken { .. }) if kept => {
                *self.current.lock().await = None;
                let (requests, _) = self.requests(config).await?;
                open_on(requests, call).await
            }
            outcome => outcome,
        }
    }

    /// Asks the gateway itself.
    pub(super) async fn ask(
        &self,
        config: &ConnectConfig,
        identified: Identified<'_>,
        (ask, authority): (&Ask, &str),
    ) -> Result<Reply, ConnectError> {
        let (mut requests, _) = self.requests(config).await?;
        let request = ask.request(&identified, authority)?.map(|()| Full::new(ask.body.clone()));
        requests.ready().await.map_err(ConnectError::broken)?;
        let response = requests.send_request(request).await.map_err(ConnectError::broken)?;
        if let Some(nonce) = call::nonce_of(&response) {
            return Err(ConnectError::Nonce { nonce });
        }
        let (head, body) = response.into_parts();
        Ok(Reply::new(head, Body::H2(body)))
    }

    /// The shared connection and whether it was there already.
    async fn requests(&self, config: &ConnectConfig) -> Result<(Requests, bool), ConnectError> {
        let mut current = self.current.lock().await;
        let shows = config.shows();
        // A certificate was renewed: nothing new begins with the old one.
        let kept = current.as_ref().filter(|(kept, shown)| !kept.is_closed() && *shown == shows);
        if let Some((requests, _)) = kept {
            return Ok((requests.clone(), true));
        }
        *current = None;
        let requests = timeout(config.tcp_deadline, self.connect(config))
            .await
            .unwrap_or_else(|_| Err(unreachable(config, "no answer")))?;
        *current = Some((requests.clone(), shows));
        Ok((requests, false))
    }

    async fn connect(&self, config: &ConnectConfig) -> Result<Requests, ConnectError> {
        let addrs = resolve(&config.gateway).await?;
        let stream = TcpStream::connect(addrs.as_slice())
            .await
            .map_err(|error| unreachable(config, &error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| unreachable(config, &error.to_string()))?;
        let stream = self.tls.connect(self.server_name.clone(), stream).await.map_err(|error| {
            let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match refused {
                Some(rustls::Error::InvalidCertificate(why)) => {
                    ConnectError::NotTrusted { reason: in_words(&why.to_string()) }
                }
                _ => unreachable(config, &error.to_string()),
            }
        })?;
        let (requests, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_RECEIVE_WINDOW_BYTES)
            .initial_connection_window_size(RECEIVE_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(config, &error.to_string()))?;
        // Ends with the connection, which ends with its last handle and stream.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the gateway ended");
            }
        });
        Ok(requests)
    }
}

async fn open_on(mut requests: Requests, call: Call<'_>) -> Result<Tunnel, ConnectError> {
    let request = call.request()?.map(|()| Full::default());
    requests.ready().await.map_err(ConnectError::broken)?;
    let response = requests.send_request(request).await.map_err(ConnectError::broken)?;
    let status = response.status();
    if let Some(nonce) = call::nonce_of(&response) {
        return Err(ConnectError::Nonce { nonce });
    }
    if status != StatusCode::OK {
        let body = Limited::new(response.into_body(), MAX_REFUSAL_BYTES).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        return Err(ConnectError::refused(status, &body));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(ConnectError::broken)?;
    Ok(Tunnel::new(TokioIo::new(upgraded), Transport::Tcp))
}

fn unreachable(config: &ConnectConfig, reason: &str) -> ConnectError {
    ConnectError::Unreachable {
        gateway: config.gateway.clone(),
        protocol: "TCP",
        reason: reason.to_owned(),
    }
}
