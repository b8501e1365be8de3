use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority that issues the certificates of a service and of its clients.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn issues(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}

/// A service of `authority` that lets in who has a certificate of it, and says whose it saw.
async fn service(authority: &Authority) -> (u16, mpsc::UnboundedReceiver<CertificateDer<'static>>) {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let (certificate, key) = authority.issues("localhost");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (saw, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
            saw.send(shown).unwrap();
            let _request = stream.read(&mut [0; 4096]).await;
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            stream.shutdown().await.unwrap();
        }
    });
    (port, seen)
}

/// Writes a file as if it were some time later.
fn write(path: &Path, text: String) {
    let later = modified(path).max(SystemTime::now()) + Duration::from_secs(1);
    std::fs::write(path, text).unwrap();
    std::fs::File::options().append(true).open(path).unwrap().set_modified(later).unwrap();
}

#[tokio::test]
async fn what_the_gateway_shows_and_whom_it_trusts_follow_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let (first, second) = (Authority::new(), Authority::new());
    let (port, mut seen) = service(&first).await;
    let own = ClientIdentity { cert: file("client.pem"), key: file("client.key") };
    let put = |authority: &Authority| {
        let (certificate, key) = authority.issues("gateway");
        write(&own.cert, certificate.pem());
        write(&own.key, key.serialize_pem());
        certificate.der().clone()
    };
    write(&file("roots.pem"), first.certificate.pem());
    let before = put(&first);
    let made = |port: u16| Made {
        url: format!("https://localhost:{port}/").parse().unwrap(),
        roots: Some(file("roots.pem")),
        own: Some(own.clone()),
        http1: false,
    };
    let client = FollowedClient::new(made(port)).unwrap();
    let ask = async || client.get().get(client.made.url.clone()).send().await;
    let look = || client.look(&mut client.files.lock());
    ask().await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), before);

    write(&own.key, KeyPair::generate().unwrap().serialize_pem());
    look();
    let refused = client.files.lock().refused.clone().unwrap();
    assert!(refused.contains("client.key") && refused.contains("does not belong"), "{refused}");
    ask().await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), before, "half of a new pair changes nothing");

    let after = put(&first);
    look();
    assert_eq!(client.files.lock().refused, None);
    ask().await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), after);

    let (port, mut seen) = service(&second).await;
    let other = FollowedClient::new(made(port)).unwrap();
    assert!(other.get().get(other.made.url.clone()).send().await.is_err(), "of nobody it trusts");
    write(&file("roots.pem"), second.certificate.pem());
    let after = put(&second);
    // It looks by itself when its time has come, and not before.
    other.get();
    assert!(other.get().get(other.made.url.clone()).send().await.is_err());
    other.files.lock().look_at = Instant::now();
    other.get().get(other.made.url.clone()).send().await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), after);
}
