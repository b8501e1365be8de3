//! A name whose address changes, hangs, or is none. The resolver is a double, the sockets are real.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::config::{RawTarget, Target};
use crate::upstream::stream::connect;
use crate::upstream::{DialError, TargetTls};

const SOON: Duration = Duration::from_secs(20);

/// Two hosts with one port, as a name could have them one after the other.
async fn two_hosts() -> [TcpListener; 2] {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        if let Ok(second) = TcpListener::bind(("127.0.0.2", port)).await {
            return [first, second];
        }
    }
}

fn target(port: u16, more: &str) -> Target {
    let text = format!(
        "name = 'db'\naddress = 'db.example.com:{port}'\ndatabase = 'd'\nuser = 'u'\n{more}"
    );
    let raw: RawTarget = toml::from_str(&text).unwrap();
    raw.check(Path::new("/")).unwrap()
}

/// A resolver whose answer is `answer`, and how often it was asked.
fn answering(answer: &Arc<Mutex<Vec<SocketAddr>>>) -> (Resolver, Arc<AtomicUsize>) {
    let (answer, asked) = (Arc::clone(answer), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let resolver = Resolver::with(move |host, _port| {
        assert_eq!(host, "db.example.com");
        count.fetch_add(1, Ordering::SeqCst);
        Ok(answer.lock().clone())
    });
    (resolver, asked)
}

#[tokio::test]
async fn every_dial_asks_anew_and_a_cancellation_goes_where_the_session_is() {
    let hosts = two_hosts().await;
    let addresses = [hosts[0].local_addr().unwrap(), hosts[1].local_addr().unwrap()];
    let target = target(addresses[0].port(), "sslmode = 'disable'");
    let answer = Arc::new(Mutex::new(vec![addresses[0]]));
    let (resolver, asked) = answering(&answer);
    let first = connect(&target, None, &resolver, None).await.unwrap();
    assert_eq!(first.peer_addr(), Some(addresses[0]));
    *answer.lock() = vec![addresses[1]];
    let second = connect(&target, None, &resolver, None).await.unwrap();
    assert_eq!(second.peer_addr(), Some(addresses[1]));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // The key of a session means nothing to another host.
    let cancel = connect(&target, None, &resolver, first.peer_addr()).await.unwrap();
    assert_eq!(cancel.peer_addr(), Some(addresses[0]));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// Answers one SSLRequest with a certificate for `name`.
fn serve_tls(host: TcpListener, issuer: &Issuer<'_, KeyPair>, name: &str) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
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
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        let (mut stream, _) = host.accept().await.unwrap();
        stream.read_exact(&mut [0; 8]).await.unwrap();
        stream.write_all(b"S").await.unwrap();
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let _end = stream.read(&mut [0; 1]).await;
        }
    });
}

#[tokio::test]
async fn a_name_that_is_moved_to_another_host_meets_the_check_of_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, ca.pem()).unwrap();
    let issuer = Issuer::new(params, key);

    let [real, other] = two_hosts().await;
    let addresses = [real.local_addr().unwrap(), other.local_addr().unwrap()];
    // The other host has a certificate of the same authority, for its own name.
    serve_tls(real, &issuer, "db.example.com");
    serve_tls(other, &issuer, "elsewhere.example.com");
    let target = target(addresses[0].port(), &format!("ca = '{}'", file.display()));
    let tls = TargetTls::load(&target).unwrap();
    let answer = Arc::new(Mutex::new(vec![addresses[0]]));
    let (resolver, _) = answering(&answer);
    assert!(connect(&target, tls.as_ref(), &resolver, None).await.unwrap().is_encrypted());
    *answer.lock() = vec![addresses[1]];
    let refused = connect(&target, tls.as_ref(), &resolver, None).await.unwrap_err();
    assert!(matches!(refused, DialError::Tls(_)), "{refused}");
}

#[tokio::test]
async fn a_name_without_an_address_is_an_error() {
    let (resolver, _) = answering(&Arc::default());
    let refused = resolver.resolve("db.example.com", 5432).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::NotFound);
    let failing = Resolver::with(|_, _| Err(io::Error::other("no server answers")));
    assert!(failing.resolve("db.example.com", 5432).await.is_err());
}

#[tokio::test]
async fn a_resolver_that_hangs_takes_so_many_threads_and_no_more() {
    let (release, wait) = mpsc::channel::<()>();
    let (wait, asked) = (Mutex::new(wait), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let resolver = Resolver::with(move |_, port| {
        count.fetch_add(1, Ordering::SeqCst);
        // Until the other end is dropped.
        let _released = wait.lock().recv();
        Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
    });
    let dial = || {
        let resolver = resolver.clone();
        tokio::spawn(async move {
            let dialled = resolver.resolve("db.example.com", 1);
            timeout(Duration::from_millis(100), dialled).await
        })
    };
    // Who waits gives up; the threads do not.
    for dialled in (0..100).map(|_| dial()).collect::<Vec<_>>() {
        assert!(dialled.await.unwrap().is_err(), "a lookup that hangs came to an end");
    }
    assert_eq!(asked.load(Ordering::SeqCst), MAX_LOOKUPS);
    // An address needs no resolver, and other work finds a thread.
    assert!(resolver.resolve("::1", 1).await.is_ok());
    timeout(SOON, tokio::task::spawn_blocking(|| ())).await.unwrap().unwrap();
    drop(release);
    let again = timeout(SOON, resolver.resolve("db.example.com", 1)).await.unwrap();
    assert_eq!(again.unwrap().len(), 1);
}
