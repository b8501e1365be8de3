//! Large transfers, many tunnels, and readers that do not read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tallyport_gateway::connect::{Connector, Tunnel};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Ended, Gateway, within};

const LARGE_BYTES: usize = 64 << 20;
const BLOCK_BYTES: usize = 64 << 10;
/// Debug builds on a loaded machine are slow.
const LARGE_PATIENCE: Duration = Duration::from_secs(120);

/// Sends and receives `total` bytes at the same time and checks every one of them.
async fn round_trip(stream: impl AsyncRead + AsyncWrite + Unpin, total: usize) {
    let (mut from, mut to) = tokio::io::split(stream);
    let send = async {
        let mut sent = 0;
        while sent < total {
            to.write_all(pattern(sent, BLOCK_BYTES.min(total - sent))).await.unwrap();
            sent += BLOCK_BYTES.min(total - sent);
        }
        to.shutdown().await.unwrap();
    };
    let receive = async {
        let mut received = 0;
        let mut buffer = vec![0; BLOCK_BYTES];
        loop {
            let count = from.read(&mut buffer).await.unwrap();
            if count == 0 {
                break received;
            }
            assert!(&buffer[..count] == pattern(received, count), "wrong bytes at {received}");
            received += count;
        }
    };
    let ((), received) = tokio::join!(send, receive);
    assert_eq!(received, total);
}

/// What lies at `offset`: blocks repeat after a prime number of bytes, so that a lost or doubled one shows.
fn pattern(offset: usize, length: usize) -> &'static [u8] {
    const PERIOD: usize = 251;
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes =
        BYTES.get_or_init(|| (0..PERIOD + BLOCK_BYTES).map(|at| (at % PERIOD) as u8).collect());
    &bytes[offset % PERIOD..][..length]
}

fn speed(what: &str, started: Instant) {
    let secs = started.elapsed().as_secs_f64();
    let rate = LARGE_BYTES as f64 / (1 << 20) as f64 / secs;
    println!("throughput: {what}: {rate:.0} MiB/s each way (debug build, echo, 64 MiB)");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_echo_is_whole_on_every_way() {
    let gateway = Gateway::start().await;
    for (what, tcp_only) in [("HTTP/3 CONNECT", false), ("HTTP/2 CONNECT", true)] {
        let tunnel = within(gateway.connector(tcp_only).open("echo")).await.unwrap();
        let started = Instant::now();
        tokio::time::timeout(LARGE_PATIENCE, round_trip(tunnel, LARGE_BYTES)).await.unwrap();
        speed(what, started);
    }
    let started = Instant::now();
    round_trip(plain_echo().await, LARGE_BYTES).await;
    speed("plain TCP on loopback", started);
}

async fn plain_echo() -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut from, mut to) = stream.split();
        let _ = tokio::io::copy(&mut from, &mut to).await;
    });
    TcpStream::connect(addr).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tunnels_share_one_connection() {
    for tcp_only in [false, true] {
        let gateway = Gateway::start().await;
        let connector = gateway.connector(tcp_only);
        let mut tunnels = Vec::new();
        for _ in 0..120 {
            let connector = connector.clone();
            tunnels.push(tokio::spawn(async move {
                let tunnel = connector.open("echo").await.unwrap();
                round_trip(tunnel, 100_000).await;
            }));
        }
        for tunnel in tunnels {
            within(tunnel).await.unwrap();
        }
        assert_eq!(gateway.double.opened.load(Ordering::SeqCst), 120);
        assert_eq!(gateway.front.connections(), 1, "tcp_only {tcp_only}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tunnels_than_one_connection_takes_get_another() {
    let gateway = Gateway::start().await;
    let connector = gateway.connector(false);
    let mut held: Vec<Tunnel> = Vec::new();
    for _ in 0..260 {
        held.push(within(connector.open("echo")).await.unwrap());
    }
    assert_eq!(gateway.front.connections(), 2);
    for tunnel in &mut held {
        tunnel.write_all(b"x").await.unwrap();
        assert_eq!(within(tunnel.read_u8()).await.unwrap(), b'x');
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn service_that_does_not_read_stops_the_client() {
    for tcp_only in [false, true] {
        let mut gateway = Gateway::start().await;
        let connector = gateway.connector(tcp_only);
        let tunnel = within(connector.open("sink")).await.unwrap();
        let (taken, writer) = write_until_stopped(tunnel).await;
        // A stream's window, and what lies in buffers on the way.
        assert!(
            taken < 8 << 20,
            "tcp_only {tcp_only}: {taken} bytes went into a tunnel nobody reads"
        );
        // The others on the same connection are not held up.
        round_trip(within(connector.open("echo")).await.unwrap(), 1 << 20).await;
        gateway.double.release.notify_one();
        within(writer).await.unwrap();
        assert_eq!([gateway.next_end().await, gateway.next_end().await], [Ended::Eof, Ended::Eof]);
    }
}

/// Writes until a write waits; the task then goes on and ends the tunnel after its last block.
async fn write_until_stopped(mut tunnel: Tunnel) -> (usize, tokio::task::JoinHandle<()>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let writer = tokio::spawn(async move {
        let block = vec![1; BLOCK_BYTES];
        for _ in 0..LARGE_BYTES / BLOCK_BYTES / 2 {
            tunnel.write_all(&block).await.unwrap();
            count.fetch_add(BLOCK_BYTES, Ordering::SeqCst);
        }
        tunnel.shutdown().await.unwrap();
    });
    let mut before = 0;
    within(async {
        loop {
            // Stopped is when nothing moves for a while: there is no event for that.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = taken.load(Ordering::SeqCst);
            if now == before && now > 0 {
                return;
            }
            before = now;
        }
    })
    .await;
    (taken.load(Ordering::SeqCst), writer)
}

#[tokio::test(flavor = "multi_thread")]
async fn abrupt_end_of_a_client_ends_its_tunnels_at_once() {
    for tcp_only in [false, true] {
        let mut gateway = Gateway::start().await;
        let connector: Arc<Connector> = gateway.connector(tcp_only);
        let mut tunnel = within(connector.open("echo")).await.unwrap();
        tunnel.write_all(b"half a stat").await.unwrap();
        let started = Instant::now();
        drop(tunnel);
        let ended = gateway.next_end().await;
        // Over HTTP/2 hyper reads a stream that was reset as one that ended; it is an error where
        // the reset comes while the echo is written back.
        assert!(tcp_only || ended == Ended::Error, "{ended:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
