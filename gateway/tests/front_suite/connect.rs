//! The connector: local ports, refusals in PostgreSQL's words, fallback, reconnection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tallyport_gateway::connect::{Ask, ConnectError, Connector, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::{Ended, Gateway, within};

type Forwarding = JoinHandle<Result<(), ConnectError>>;

async fn forward(
    connector: Arc<Connector>,
    target: &'static str,
) -> (SocketAddr, CancellationToken, Forwarding) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let running = tokio::spawn(async move { connector.forward(listener, target, token).await });
    (addr, cancel, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn local_port_carries_connections_to_the_target() {
    for tcp_only in [false, true] {
        let mut gateway = Gateway::start().await;
        let (addr, cancel, running) = forward(gateway.connector(tcp_only), "echo").await;
        let mut first = TcpStream::connect(addr).await.unwrap();
        let mut second = TcpStream::connect(addr).await.unwrap();
        first.write_all(b"one").await.unwrap();
        second.write_all(b"two").await.unwrap();
        second.shutdown().await.unwrap();
        let mut echoed = String::new();
        within(second.read_to_string(&mut echoed)).await.unwrap();
        assert_eq!(echoed, "two");
        assert_eq!(gateway.next_end().await, Ended::Eof);
        let mut three = [0; 3];
        within(first.read_exact(&mut three)).await.unwrap();
        assert_eq!(&three, b"one");
        // The end of forwarding ends what it carries.
        cancel.cancel();
        within(running).await.unwrap().unwrap();
        assert_eq!(within(first.read(&mut three)).await.unwrap_or(0), 0);
        // Over HTTP/2 hyper makes no difference between a stream that was reset and one that ended.
        assert_eq!(gateway.next_end().await, if tcp_only { Ended::Eof } else { Ended::Error });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_client_is_told_why_in_its_own_words() {
    let gateway = Gateway::start().await;
    for (target, sqlstate, words) in [
        ("denied", "42501", "reading payroll is not allowed (denied_by_policy)"),
        ("nowhere", "3D000", "there is no target of that name"),
        ("down", "57P03", "the log takes no events"),
    ] {
        let (addr, _cancel, _running) = forward(gateway.connector(false), target).await;
        let error = postgres_error(addr).await;
        assert_eq!(error.code().code(), sqlstate);
        assert_eq!(error.severity(), "FATAL");
        assert!(error.message().contains(words), "{}", error.message());
    }
    let unauthentic = Arc::new(Connector::new(gateway.config_with("stolen")).unwrap());
    let (addr, _cancel, _running) = forward(unauthentic, "echo").await;
    assert_eq!(postgres_error(addr).await.code().code(), "28000");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_client_is_told_when_the_gateway_is_not_there() {
    let gateway = Gateway::start().await;
    let mut config = gateway.config();
    config.gateway = "127.0.0.1:1".to_owned();
    config.quic_deadline = Duration::from_millis(200);
    let (addr, _cancel, _running) =
        forward(Arc::new(Connector::new(config).unwrap()), "echo").await;
    let error = postgres_error(addr).await;
    assert_eq!(error.code().code(), "08001");
    assert!(error.message().contains("cannot be reached"), "{}", error.message());
}

/// What a real PostgreSQL driver makes of it.
async fn postgres_error(addr: SocketAddr) -> tokio_postgres::error::DbError {
    let mut config = tokio_postgres::Config::new();
    config.host(addr.ip().to_string()).port(addr.port()).user("agent").dbname("orders");
    match within(config.connect(tokio_postgres::NoTls)).await {
        Ok(_) => panic!("it connected"),
        Err(error) => error.as_db_error().expect("an error of the server").clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_is_used_where_udp_is_blocked() {
    let gateway = Gateway::start().await;
    // Swallows what is sent to it, as a firewall does: TCP is answered on this port, UDP is not.
    let (port, _swallow) = port_with_deaf_udp(gateway.front.tcp_addr).await;
    let mut config = gateway.config();
    config.gateway = format!("127.0.0.1:{port}");
    config.quic_deadline = Duration::from_millis(300);
    let connector = Connector::new(config).unwrap();
    let mut tunnel = within(connector.open("echo")).await.unwrap();
    assert_eq!(tunnel.transport(), Transport::Tcp);
    assert!(connector.uses_tcp());
    tunnel.write_all(b"x").await.unwrap();
    assert_eq!(within(tunnel.read_u8()).await.unwrap(), b'x');
    // It is not tried again for every tunnel.
    let started = std::time::Instant::now();
    within(connector.open("echo")).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(300));
}

async fn port_with_deaf_udp(gateway: SocketAddr) -> (u16, UdpSocket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let deaf = UdpSocket::bind(addr).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut local, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut remote = TcpStream::connect(gateway).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut local, &mut remote).await;
            });
        }
    });
    (addr.port(), deaf)
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_is_not_trusted_is_an_error_and_no_reason_to_fall_back() {
    let gateway = Gateway::start().await;
    let other = Gateway::start().await;
    for tcp_only in [false, true] {
        let mut config = gateway.config();
        config.ca = Some(other.ca_path());
        config.tcp_only = tcp_only;
        let connector = Connector::new(config).unwrap();
        let refused = within(connector.open("echo")).await.unwrap_err();
        assert!(matches!(refused, ConnectError::NotTrusted { .. }), "{refused}");
        assert_eq!(connector.uses_tcp(), tcp_only);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connector_survives_a_restart_of_the_gateway() {
    for tcp_only in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let keep = dir.path().to_owned();
        let gateway = Gateway::at("127.0.0.1:0".parse().unwrap(), dir, |_| {}).await;
        let connector = gateway.connector(tcp_only);
        let mut tunnel = within(connector.open("echo")).await.unwrap();
        let addr = gateway.front.quic_addr;
        // The certificate authority stays the same.
        let again = tempfile::tempdir().unwrap();
        std::fs::create_dir(again.path().join("tls")).unwrap();
        for entry in std::fs::read_dir(keep.join("tls")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), again.path().join("tls").join(entry.file_name())).unwrap();
        }
        within(gateway.front.shutdown(Duration::from_millis(10))).await;
        assert!(within(tunnel.read(&mut [0; 1])).await.is_err());
        let restarted = Gateway::at(addr, again, |_| {}).await;
        let mut tunnel = within(connector.open("echo")).await.unwrap();
        tunnel.write_all(b"x").await.unwrap();
        assert_eq!(within(tunnel.read_u8()).await.unwrap(), b'x');
        assert_eq!(restarted.front.open_tunnels(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_target_can_have_are_not_sent() {
    let gateway = Gateway::start().await;
    let refused = gateway.connector(false).open("../etc").await.unwrap_err();
    assert!(matches!(refused, ConnectError::BadTarget { .. }), "{refused}");
}

/// A gateway answers in full and takes no more of what is sent (RFC 9114 section 4.1): the answer counts.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_before_all_was_sent_is_read() {
    let gateway = Gateway::start().await;
    for tcp_only in [false, true] {
        let connector = gateway.connector(tcp_only);
        // More than goes on its way before the other side reads.
        let body = vec![b'x'; 8 << 20].into();
        let ask = Ask { path: "/v1/early", fields: Vec::new(), body };
        let mut reply = within(connector.post(&ask)).await.unwrap();
        assert_eq!(reply.status, StatusCode::OK, "over TCP: {tcp_only}");
        assert_eq!(within(reply.whole(100)).await.unwrap(), b"answered");
    }
}
