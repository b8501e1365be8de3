//! A front takes the port over from another one, and what is open goes on: real sockets, both in this process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tallyport_gateway::BearerToken;
use tallyport_gateway::connect::{ConnectConfig, Connector, StaticToken, Transport, Tunnel};
use tallyport_gateway::front::{Drained, Front, FrontConfig, FrontError, Limits, RunningFront};
use tallyport_gateway::front::{TakeoverError, WhyRefused};
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::raw;
use crate::support::{Double, GOOD_TOKEN, PATIENCE, api, until, within};

/// Where all processes of a test meet.
pub struct Site {
    pub dir: TempDir,
    ca: DevCa,
}

/// One of them.
pub struct Node {
    pub front: RunningFront,
    double: Arc<Double>,
}

impl Site {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = DevCa::create_or_load(&dir.path().join("tls")).unwrap();
        Self { dir, ca }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("front.sock")
    }

    pub async fn start(&self, node: &str, listen: &str) -> Result<Node, FrontError> {
        self.with(node, listen, |_| {}).await
    }

    async fn with(
        &self,
        node: &str,
        listen: &str,
        change: impl FnOnce(&mut Limits),
    ) -> Result<Node, FrontError> {
        let identity = ServerIdentity::load(&self.ca.cert_path(), &self.ca.key_path()).unwrap();
        let mut config = FrontConfig::new(listen.parse().unwrap(), identity);
        config.node = Some(node.to_owned());
        config.takeover_socket = Some(self.socket());
        change(&mut config.limits);
        let (double, _ended) = Double::new();
        let front = within(Front::start(config, double.clone(), api())).await?;
        Ok(Node { front, double })
    }

    pub async fn first(&self) -> Node {
        self.start("blue", "127.0.0.1:0").await.unwrap()
    }

    pub fn connector(&self, addr: SocketAddr, tcp_only: bool) -> Connector {
        connector(addr, &self.ca.ca_path(), tcp_only)
    }
}

fn connector(addr: SocketAddr, ca: &Path, tcp_only: bool) -> Connector {
    let token = Arc::new(StaticToken::new(BearerToken::new(GOOD_TOKEN.to_owned())));
    let mut config = ConnectConfig::new(addr.to_string(), token);
    (config.ca, config.tcp_only) = (Some(ca.to_owned()), tcp_only);
    Connector::new(config).unwrap()
}

impl Node {
    pub fn opened(&self) -> usize {
        self.double.opened.load(Ordering::SeqCst)
    }

    /// Ends as the binary does once another process has the port.
    pub async fn drain(mut self) -> Drained {
        self.front.retire(PATIENCE).await;
        self.front.shutdown(PATIENCE).await
    }

    pub async fn is_taken_over(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(200), self.front.taken_over()).await.is_ok()
    }
}

pub async fn echoes(tunnel: &mut Tunnel, text: &str) {
    tunnel.write_all(text.as_bytes()).await.unwrap();
    tunnel.flush().await.unwrap();
    let mut echoed = vec![0; text.len()];
    within(tunnel.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(echoed, text.as_bytes());
}

/// Clients that come one after the other, each with a connection of its own, until told to stop.
struct Load {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
}

impl Load {
    fn start(site: &Site, addr: SocketAddr) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = JoinSet::new();
        for tcp_only in [false, false, false, true] {
            let (stop, served, ca) = (stop.clone(), served.clone(), site.ca.ca_path());
            clients.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let connector = connector(addr, &ca, tcp_only);
                    let mut tunnel = connector.open("echo").await.expect("nobody is refused");
                    let expected = if tcp_only { Transport::Tcp } else { Transport::Quic };
                    assert_eq!(tunnel.transport(), expected, "nobody has to fall back");
                    echoes(&mut tunnel, "hello").await;
                    tunnel.shutdown().await.unwrap();
                    within(tunnel.read_to_end(&mut Vec::new())).await.unwrap();
                    connector.close().await;
                    served.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { clients, stop, served }
    }

    async fn serves_more(&self, count: usize) {
        let from = self.served.load(Ordering::SeqCst);
        until(|| self.served.load(Ordering::SeqCst) >= from + count).await;
    }

    async fn stop(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(client) = within(self.clients.join_next()).await {
            client.expect("a client was refused");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_and_what_is_open_goes_on() {
    let site = Site::new();
    let old = site.first().await;
    let addr = old.front.quic_addr;
    let load = Load::start(&site, addr);
    load.serves_more(20).await;
    let kept: Vec<_> = [false, true].map(|tcp_only| site.connector(addr, tcp_only)).into();
    let mut long = Vec::new();
    for connector in &kept {
        long.push(within(connector.open("echo")).await.unwrap());
    }

    let new = site.start("green", &addr.to_string()).await.unwrap();
    assert_eq!(within(old.front.taken_over()).await, "green");
    assert_eq!(new.front.quic_addr, addr);
    let double = old.double.clone();
    let drained = tokio::spawn(old.drain());
    load.serves_more(20).await;
    for tunnel in &mut long {
        echoes(tunnel, "still here").await;
    }
    // Once clients know, what is next is the new one's, on connections that they had, too.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = double.opened.load(Ordering::SeqCst);
    load.serves_more(20).await;
    for connector in &kept {
        echoes(&mut within(connector.open("echo")).await.unwrap(), "next").await;
    }
    assert_eq!(double.opened.load(Ordering::SeqCst), before, "the old one opens nothing more");
    assert!(new.opened() > 20);
    load.stop().await;

    assert!(!drained.is_finished(), "two tunnels are open there");
    for tunnel in &mut long {
        // More than one packet each way, over the relay.
        echoes(tunnel, &"x".repeat(200_000)).await;
        tunnel.shutdown().await.unwrap();
    }
    drop(long);
    let drained = within(drained).await.unwrap();
    assert_eq!((drained.cut_tunnels, drained.complete), (0, true));
    let mut tunnel = within(site.connector(addr, false).open("echo")).await.unwrap();
    echoes(&mut tunnel, "after it has ended").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_after_the_takeover_is_the_new_ones_even_if_the_old_one_does_not_drain_yet() {
    let site = Site::new();
    let old = site.first().await;
    let addr = old.front.quic_addr;
    let new = site.start("green", &addr.to_string()).await.unwrap();
    assert!(old.is_taken_over().await);
    for tcp_only in [false, true] {
        // Where both accept, the kernel gives some to each.
        for _ in 0..16 {
            let mut tunnel = within(site.connector(addr, tcp_only).open("echo")).await.unwrap();
            echoes(&mut tunnel, "whose").await;
        }
    }
    assert_eq!((old.opened(), new.opened()), (0, 32));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_drain_at_once_and_each_gets_its_own_packets() {
    let site = Site::new();
    let mut nodes = vec![site.first().await];
    let addr = nodes[0].front.quic_addr;
    let mut tunnels = Vec::new();
    for node in ["green", "red", "white", "black"] {
        tunnels.push(within(site.connector(addr, false).open("echo")).await.unwrap());
        nodes.push(site.start(node, &addr.to_string()).await.unwrap());
        for tunnel in &mut tunnels {
            echoes(tunnel, "whose am I").await;
        }
    }
    let full = site.start("grey", &addr.to_string()).await.map(|_| ()).unwrap_err();
    assert!(
        matches!(
            &full,
            FrontError::Takeover(TakeoverError::Refused {
                why: WhyRefused::TooMany { draining: 4 },
                ..
            })
        ),
        "{full}"
    );
    // One in the middle ends; those around it do not notice.
    let green = nodes.remove(1);
    assert_eq!(green.opened(), 1);
    drop(tunnels.remove(1));
    assert!(within(green.drain()).await.complete);
    for tunnel in &mut tunnels {
        echoes(tunnel, "and now").await;
    }
    assert_eq!(nodes.iter().map(Node::opened).collect::<Vec<_>>(), [1, 1, 1, 0]);
    let grey = site.start("grey", &addr.to_string()).await.unwrap();
    echoes(&mut within(site.connector(addr, false).open("echo")).await.unwrap(), "grey").await;
    assert_eq!(grey.opened(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_began_with_the_old_one_is_not_lost() {
    let site = Site::new();
    // Every client has to prove its address, and only who asked for it can take the proof.
    let old = site.with("blue", "127.0.0.1:0", |limits| limits.retry_above_connections = 0);
    let old = old.await.unwrap();
    let addr = old.front.quic_addr;
    let relay = raw::Relay::to(addr).await;
    relay.first_only.store(true, Ordering::SeqCst);
    let endpoint = raw::endpoint();
    let config = raw::client_config_of(&site.ca);
    let connecting = endpoint.connect_with(config, relay.addr, "localhost").unwrap();
    until(|| relay.retries.load(Ordering::SeqCst) > 0).await;
    let new = site.start("green", &addr.to_string()).await.unwrap();
    let double = old.double.clone();
    let drained = tokio::spawn(old.drain());
    relay.first_only.store(false, Ordering::SeqCst);
    let mut client = raw::Http3::on(within(connecting).await.expect("not refused")).await;
    client.echo().await;
    assert_eq!((double.opened.load(Ordering::SeqCst), new.opened()), (1, 0));
    drop(client);
    assert!(within(drained).await.unwrap().complete);
}
