//! Floods of handshakes that nobody means to finish.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, UdpSocket};

use crate::client;
use crate::harness::Options;
use crate::stage::{DEADLINE, GROWTH, Memory, PATIENCE, Stage, stage, times, until};

/// First packets of the QUIC flood, and the addresses that they claim to come from.
const INITIALS: usize = 800;
const SOURCES: usize = 100;
/// Connections from which an address must be proved here.
const RETRY_ABOVE: usize = 8;
/// TCP connections of one address: tried, and admitted.
const SILENT: usize = 300;
const PER_ADDRESS: usize = 64;

/// An Initial packet, and a Retry, of QUIC version 1 (RFC 9000 sections 17.2.2 and 17.2.5).
const INITIAL: u8 = 0xc0;
const RETRY: u8 = 0xf0;

/// First packets of as many connections as asked for: each valid, with a connection id of its own.
async fn first_packets(stage: &Stage, count: usize) -> Vec<Vec<u8>> {
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = client::quic_endpoint();
    let addr = nobody.local_addr().unwrap();
    let (mut packets, mut seen) = (Vec::new(), HashSet::new());
    let mut buffer = vec![0; 65_536];
    while packets.len() < count {
        let connecting =
            endpoint.connect_with(client::quic_config(stage), addr, "localhost").unwrap();
        let connecting = tokio::spawn(connecting);
        loop {
            let received = nobody.recv_from(&mut buffer);
            let (length, _) = tokio::time::timeout(PATIENCE, received).await.unwrap().unwrap();
            // The destination's connection id begins behind its length.
            let id = buffer[6..6 + usize::from(buffer[5])].to_vec();
            if buffer[0] & 0xf0 == INITIAL && seen.insert(id) {
                packets.push(buffer[..length].to_vec());
                break;
            }
        }
        connecting.abort();
    }
    packets
}

/// Sockets at addresses that nothing else here has: each is one more stranger.
async fn sources() -> Vec<UdpSocket> {
    let mut sockets = Vec::new();
    for n in 0..SOURCES {
        let address = Ipv4Addr::new(127, 77, (n / 200) as u8, (n % 200) as u8 + 1);
        sockets.push(UdpSocket::bind((address, 0)).await.unwrap());
    }
    sockets
}

/// Retry packets among what came back, which no source ever answered.
fn retries(sockets: &[UdpSocket]) -> usize {
    let mut buffer = vec![0; 65_536];
    let mut retries = 0;
    for socket in sockets {
        while let Ok(length) = socket.try_recv(&mut buffer) {
            retries += usize::from(length > 0 && buffer[0] & 0xf0 == RETRY);
        }
    }
    retries
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_first_packets_must_prove_its_addresses() {
    let stage = stage!(Options::default(), |limits| {
        limits.retry_above_connections = RETRY_ABOVE;
        limits.handshake_deadline = DEADLINE;
    });
    let packets = first_packets(&stage, INITIALS).await;
    let sockets = sources().await;
    let memory = Memory::now();
    let most = stage
        .while_served(async {
            let mut most = 0;
            for (n, packet) in packets.iter().enumerate() {
                sockets[n % SOURCES].send_to(packet, stage.front.quic_addr).await.unwrap();
                most = most.max(stage.front.connections());
                if n % 8 == 7 {
                    // More at once would only be lost in the socket's buffer.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            most
        })
        .await;
    // Beyond the threshold only who answered a Retry was let in: the honest.
    assert!(most <= RETRY_ABOVE + 4, "{most} connections are held for strangers");
    memory.assert_growth_below(GROWTH);
    let seen = retries(&sockets);
    assert!(seen > INITIALS / 2, "{seen} of {INITIALS} were asked to prove their address");
    let events = stage.turned_away("address_unproved").await;
    until("strangers are still held", || stage.front.connections() <= 2).await;
    stage.turned_away("handshake_timeout").await;
    // All of them in a few events.
    let events = stage.world.wait_for("all counts", |all| {
        let counted: u64 = all
            .iter()
            .filter(|event| format!("{:?}", event.body).contains("address_unproved"))
            .map(times)
            .sum();
        counted >= seen as u64 && all.len() >= events.len()
    });
    events.await;
    let failures = stage.failures().await.len();
    assert!(failures < 200, "{failures} events of {INITIALS} packets");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_tcp_connections_of_one_address_take_its_places_and_no_others() {
    let stage = stage!(Options::default(), |limits| {
        limits.max_connections_per_ip = PER_ADDRESS;
        limits.handshake_deadline = DEADLINE;
    });
    let memory = Memory::now();
    let most = stage
        .while_served(async {
            let mut silent = Vec::new();
            let mut most = 0;
            for _ in 0..SILENT {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.78.0.1:0".parse().unwrap()).unwrap();
                silent.push(socket.connect(stage.front.tcp_addr).await.unwrap());
                most = most.max(stage.front.connections());
            }
            for mut stream in silent {
                let mut byte = [0; 64];
                let ended = stream.read(&mut byte);
                let ended = tokio::time::timeout(PATIENCE, ended).await.expect("it is held");
                assert_eq!(ended.unwrap_or(0), 0);
            }
            most
        })
        .await;
    assert!(most <= PER_ADDRESS + 4, "{most} connections are held");
    memory.assert_growth_below(GROWTH);
    let refused: u64 = stage.turned_away("too_many_connections").await.iter().map(times).sum();
    assert!(refused > 0);
    let late = stage.turned_away("handshake_timeout").await;
    // The address is proved, and on record.
    let client = late[0].context.client.as_ref().unwrap();
    assert_eq!(client.ip, "127.78.0.1");
    assert!(stage.failures().await.len() < 100);
}
