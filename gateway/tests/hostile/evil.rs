//! Targets that are none: backends that misbehave at login, and a proxy that does so in the middle of a session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::wire::frame;

/// What a backend answers to a start-up packet.
#[derive(Clone)]
pub enum Login {
    /// These bytes, then nothing, and the connection stays.
    Says(Vec<u8>),
    /// These bytes without end.
    Repeats(Vec<u8>),
    /// These bytes, one at a time, without end.
    Drips(Vec<u8>),
    /// Its consent to TLS, then nothing.
    HangsInTls,
    /// TLS with this certificate, then nothing.
    Tls(TlsAcceptor),
}

/// A backend that listens until it is dropped.
pub struct Backend {
    pub addr: SocketAddr,
    /// Connections that were made to it.
    pub dialled: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Backend {
    pub async fn start(login: Login) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let dialled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&dialled);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(misbehave(stream, login.clone()));
            }
        });
        Self { addr, dialled, _tasks: tasks }
    }

    /// The target, as it is written.
    pub fn target(&self, name: &str, more: &str) -> String {
        format!(
            "name = '{name}'\naddress = 'localhost:{}'\ndatabase = 'd'\nuser = 'u'\n{more}\n",
            self.addr.port()
        )
    }
}

async fn misbehave(mut stream: TcpStream, login: Login) {
    // The start-up packet, or the request for TLS: 8 bytes in both at least.
    let mut head = [0; 8];
    if stream.read_exact(&mut head).await.is_err() {
        return;
    }
    match login {
        Login::Says(bytes) => {
            let _gone = stream.write_all(&bytes).await;
            linger(stream).await;
        }
        Login::Repeats(bytes) => while stream.write_all(&bytes).await.is_ok() {},
        Login::Drips(bytes) => {
            for byte in bytes.iter().cycle() {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Login::HangsInTls => {
            let _gone = stream.write_all(b"S").await;
            linger(stream).await;
        }
        Login::Tls(acceptor) => {
            let _gone = stream.write_all(b"S").await;
            if let Ok(stream) = acceptor.accept(stream).await {
                linger(stream).await;
            }
        }
    }
}

/// Reads and says nothing until the other side leaves.
async fn linger(mut stream: impl AsyncRead + Unpin) {
    let _end = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// A header of `tag` that claims `length`, which counts itself.
pub fn header(tag: u8, length: i32) -> Vec<u8> {
    [&[tag][..], &length.to_be_bytes()].concat()
}

/// A notice of the target, of `bytes`.
pub fn notice(bytes: usize) -> Vec<u8> {
    frame(b'N', &[b"SNOTICE\0C00000\0M".as_slice(), &vec![b'x'; bytes], b"\0\0"].concat())
}

/// An authority, and certificates that it signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// TLS with a certificate for `name` that ends in `last_year`.
    pub fn acceptor(&self, name: &str, last_year: i32) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What a proxy says in the target's place, once the client's statement names it.
#[derive(Clone)]
pub struct Trick {
    pub marker: &'static str,
    pub says: Vec<u8>,
    /// Said after that, again and again.
    pub repeats: Vec<u8>,
}

impl Trick {
    pub fn once(marker: &'static str, says: Vec<u8>) -> Self {
        Self { marker, says, repeats: Vec::new() }
    }
}

/// Stands before the real PostgreSQL and lets all pass, until a statement names one of its tricks.
pub struct Proxy {
    pub addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub async fn start(postgres_port: u16, tricks: Vec<Trick>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tricks = Arc::new(tricks);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(("127.0.0.1", postgres_port)).await.unwrap();
                connections.spawn(carry(client, server, Arc::clone(&tricks)));
            }
        });
        Self { addr, _tasks: tasks }
    }

    /// The target, as it is written.
    pub fn target(&self, name: &str) -> String {
        format!(
            "name = '{name}'\naddress = '{}'\ndatabase = 'postgres'\nuser = 'postgres'\nsslmode = 'disable'\nrecording = 'digest'\n",
            self.addr
        )
    }
}

async fn carry(client: TcpStream, server: TcpStream, tricks: Arc<Vec<Trick>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = tokio::io::copy(&mut from_server, &mut to_client);
    let asked = async {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = from_client.read(&mut buffer).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
            let text = String::from_utf8_lossy(&buffer[..count]);
            if let Some(trick) = tricks.iter().find(|trick| text.contains(trick.marker)) {
                return Some(trick.clone());
            }
            to_server.write_all(&buffer[..count]).await.ok()?;
        }
    };
    let trick = tokio::select! {
        _end = answers => None,
        trick = asked => trick,
    };
    let Some(Trick { says, repeats, .. }) = trick else { return };
    let _gone = to_client.write_all(&says).await;
    if repeats.is_empty() {
        return linger(from_client).await;
    }
    while to_client.write_all(&repeats).await.is_ok() {}
}
