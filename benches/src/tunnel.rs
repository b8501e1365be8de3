//! What QUIC alone costs: a bare tunnel over QUIC of the same library, in two processes as the
//! gateway and `connect` are, that looks at nothing. A synced one lets each piece wait in each direction until its bytes
//! are on the disk, as they are, which is the least that "durable before it passes" can mean.
//!
//! Encryption, packets, windows and changes of threads are what the gateway has too; identity, policy, protocols,
//! masking, events, and whatever makes a log searchable are not.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Endpoint, TransportConfig, VarInt};
use tallyport_gateway::tls::{self, ServerIdentity};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::Failure;
use crate::stand::{Peer, Stand, path, role};

/// The side of the target, and that of the client.
const FRONT: &str = "--tunnel-front";
const CONNECT: &str = "--tunnel-connect";
/// Each piece is on the disk before it passes.
const SYNCED: &str = "synced";
const PLAIN: &str = "plain";
const ALPN: &[u8] = b"h3";
/// The most that is read at once.
const PIECE_BYTES: usize = 64 * 1024;
/// What is synced goes round in a file of this length: one that grows takes longer to sync.
const RING_BYTES: usize = 64 << 20;
/// The windows of the gateway's front, and of `connect`, which reads more ahead.
const FRONT_STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECT_STREAM_WINDOW_BYTES: u32 = 4 << 20;
const WINDOW_BYTES: u32 = 16 << 20;
const SEND_WINDOW_BYTES: u64 = 8 << 20;
const STREAMS: u32 = 4096;

/// A running tunnel.
pub struct Tunnel {
    /// Where clients come in.
    pub port: u16,
    /// The side of the target, and that of the client.
    sides: [Peer; 2],
    /// Where what passes is written.
    _dir: tempfile::TempDir,
}

impl Tunnel {
    /// Starts both sides, with the certificate of `stand`, before the port of a target. What is synced goes below the
    /// current directory.
    ///
    /// # Errors
    /// When a side does not start.
    pub async fn start(stand: &Stand, target: u16, synced: bool) -> Result<Self, Failure> {
        let dir = tempfile::tempdir_in(std::env::current_dir()?)?;
        let [certificate, key, ca] = stand.certificate()?;
        let (file, target) = (path(dir.path().join("pieces"))?, target.to_string());
        let mode = if synced { SYNCED } else { PLAIN };
        let given = [certificate, key, target, mode.to_owned(), file];
        let mut front = Peer::start(FRONT, given.iter().map(String::as_str))?;
        let address = front.line().await?;
        let mut connect = Peer::start(CONNECT, [address.as_str(), &ca].into_iter())?;
        let port = connect.line().await?.parse()?;
        Ok(Self { port, sides: [front, connect], _dir: dir })
    }

    /// The processes of the side of the target and of that of the client.
    #[must_use]
    pub fn ids(&self) -> [u32; 2] {
        let [front, connect] = &self.sides;
        [front.id(), connect.id()]
    }
}

/// Runs as a side where the arguments say so: then it does not come back before its owner has gone.
///
/// # Errors
/// When it cannot.
pub async fn serve(arguments: &[String]) -> Result<bool, Failure> {
    if let Some(given) = role(arguments, FRONT) {
        front(given).await?;
    } else if let Some(given) = role(arguments, CONNECT) {
        connect(given).await?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

async fn front(given: &[String]) -> Result<(), Failure> {
    let [certificate, key, target, mode, file] = given else {
        return Err("CERTIFICATE KEY PORT MODE FILE".into());
    };
    let target: u16 = target.parse()?;
    let disk = (mode == SYNCED).then(|| Disk::start(Path::new(file))).transpose()?;
    let identity = ServerIdentity::load(Path::new(certificate), Path::new(key))?;
    let crypto = QuicServerConfig::try_from(identity.quic_config()?)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport(STREAMS, FRONT_STREAM_WINDOW_BYTES)));
    let endpoint = Endpoint::server(config, "127.0.0.1:0".parse()?)?;
    println!("{}", endpoint.local_addr()?);
    while let Some(incoming) = endpoint.accept().await {
        let disk = disk.clone();
        tokio::spawn(async move {
            let Ok(conn) = incoming.await else { return };
            while let Ok((send, receive)) = conn.accept_bi().await {
                let disk = disk.clone();
                tokio::spawn(async move {
                    let Ok(server) = dial(target).await else { return };
                    let (reader, writer) = server.into_split();
                    both(pass(receive, writer, disk.clone()), pass(reader, send, disk)).await;
                });
            }
        });
    }
    Ok(())
}

async fn connect(given: &[String]) -> Result<(), Failure> {
    let [front, ca] = given else { return Err("FRONT CA".into()) };
    let front: SocketAddr = front.parse()?;
    let crypto = tls::client_config(Some(&PathBuf::from(ca)), None, ALPN)?;
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(crypto)?));
    config.transport_config(Arc::new(transport(0, CONNECT_STREAM_WINDOW_BYTES)));
    let endpoint = Endpoint::client("0.0.0.0:0".parse()?)?;
    let conn = endpoint.connect_with(config, front, "localhost")?.await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let (send, receive) = conn.open_bi().await?;
        tokio::spawn(async move {
            let (reader, writer) = client.into_split();
            both(pass(reader, send, None), pass(receive, writer, None)).await;
        });
    }
}

fn transport(streams: u32, stream_window: u32) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .stream_receive_window(VarInt::from_u32(stream_window))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_idle_timeout(None)
        .datagram_receive_buffer_size(None);
    transport
}

async fn dial(port: u16) -> std::io::Result<TcpStream> {
    let server = TcpStream::connect(("127.0.0.1", port)).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// Both directions; an end of either is passed on, an error of one ends both.
async fn both(
    one: impl Future<Output = Result<(), Failure>>,
    other: impl Future<Output = Result<(), Failure>>,
) {
    let _ended = tokio::try_join!(one, other);
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    disk: Option<Disk>,
) -> Result<(), Failure> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await?;
        let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break };
        if let Some(disk) = &disk {
            disk.put(Bytes::copy_from_slice(read)).await?;
        }
        to.write_all(read).await?;
    }
    Ok(to.shutdown().await?)
}

/// A thread that writes and syncs what waits, all of it at once.
#[derive(Clone)]
struct Disk(std::sync::mpsc::Sender<(Bytes, oneshot::Sender<()>)>);

impl Disk {
    fn start(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path)?;
        file.write_all_at(&vec![0; RING_BYTES], 0)?;
        file.sync_all()?;
        let (sender, waiting) = std::sync::mpsc::channel::<(Bytes, oneshot::Sender<()>)>();
        std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
            let mut pieces = Vec::new();
            let mut told = Vec::new();
            let mut at = 0;
            while let Ok(first) = waiting.recv() {
                for (piece, done) in std::iter::once(first).chain(waiting.try_iter()) {
                    pieces.extend_from_slice(&piece);
                    told.push(done);
                }
                at = if at + pieces.len() > RING_BYTES { 0 } else { at };
                let written = file.write_all_at(&pieces, at as u64);
                // Nobody is told then, and nothing passes: the run ends with an error of the client.
                if written.and_then(|()| file.sync_data()).is_err() {
                    return;
                }
                at += pieces.len();
                pieces.clear();
                for done in told.drain(..) {
                    let _gone = done.send(());
                }
            }
        })?;
        Ok(Self(sender))
    }

    async fn put(&self, piece: Bytes) -> Result<(), Failure> {
        let (done, told) = oneshot::channel();
        self.0.send((piece, done)).map_err(|_| "the disk refused")?;
        Ok(told.await?)
    }
}
