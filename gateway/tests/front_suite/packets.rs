//! Packets as large as the path takes, both ways, and no larger: the path is a relay of the test that looks at their sizes.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tallyport_gateway::connect::Connector;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;

use crate::support::{Gateway, within};

/// UDP payload of the Ethernet that everybody has.
const ETHERNET: usize = 1_500 - 28;
const JUMBO: usize = 9_001 - 28;
/// Ten of them, which quinn hands over at once, must fit into one datagram.
const LARGEST: usize = 65_507 / 10;
const PIECE: usize = 1 << 16;
const AT_LEAST: usize = 8 << 20;
/// Each probe that is too large is lost three times before a smaller one is tried.
const LONG: Duration = Duration::from_secs(60);

/// The largest packets that came through.
#[derive(Default)]
struct Seen {
    to_gateway: AtomicUsize,
    to_connector: AtomicUsize,
}

/// A path to the front for one connector; what is larger than it takes is lost, and nobody is told.
async fn path(front: SocketAddr, takes: usize) -> (SocketAddr, Arc<Seen>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (addr, seen) = (socket.local_addr().unwrap(), Arc::<Seen>::default());
    let noted = seen.clone();
    tokio::spawn(async move {
        let (mut packet, mut connector) = (vec![0; 1 << 16], None);
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            let (to, largest) = if from == front {
                (connector, &noted.to_connector)
            } else {
                connector = Some(from);
                (Some(front), &noted.to_gateway)
            };
            if let Some(to) = to.filter(|_| len <= takes) {
                largest.fetch_max(len, Ordering::Relaxed);
                let _full = socket.send_to(&packet[..len], to).await;
            }
        }
    });
    (addr, seen)
}

/// Sends until the largest packets of both directions are in `expected`.
async fn both_ways_come_to(expected: RangeInclusive<usize>, takes: usize) {
    let gateway = Gateway::start().await;
    let (addr, seen) = path(gateway.front.quic_addr, takes).await;
    let mut config = gateway.config();
    config.server_name = Some("localhost".to_owned());
    config.gateway = addr.to_string();
    let tunnel = within(Connector::new(config).unwrap().open("echo")).await.unwrap();
    let largest =
        || [&seen.to_gateway, &seen.to_connector].map(|largest| largest.load(Ordering::Relaxed));
    let (mut from, mut to) = tokio::io::split(tunnel);
    let sending = async {
        let (piece, mut sent) = (vec![7; PIECE], 0);
        while sent < AT_LEAST || largest().iter().any(|largest| !expected.contains(largest)) {
            to.write_all(&piece).await.unwrap();
            sent += PIECE;
        }
        to.shutdown().await.unwrap();
        sent
    };
    let receiving = async {
        let (mut buffer, mut came) = (vec![0; PIECE], 0);
        while let count @ 1.. = from.read(&mut buffer).await.unwrap() {
            assert!(buffer[..count].iter().all(|byte| *byte == 7));
            came += count;
        }
        came
    };
    let both = tokio::time::timeout(LONG, async { tokio::join!(sending, receiving) }).await;
    let (sent, came) = both.unwrap_or_else(|_| panic!("{:?} of {expected:?}", largest()));
    assert_eq!(came, sent);
    assert!(largest().iter().all(|largest| expected.contains(largest)), "{:?}", largest());
}

#[tokio::test(flavor = "multi_thread")]
async fn jumbo_frames_are_used_where_the_path_takes_them() {
    both_ways_come_to(LARGEST - 100..=LARGEST, JUMBO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_takes_no_more_than_ethernet_is_found_out() {
    both_ways_come_to(ETHERNET - 50..=ETHERNET, ETHERNET).await;
}
