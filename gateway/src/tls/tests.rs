use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;

use super::leaf::Leaf;
use super::*;

fn dev_ca() -> (tempfile::TempDir, DevCa) {
    let dir = tempfile::tempdir().unwrap();
    let ca = DevCa::create_or_load(&dir.path().join("tls")).unwrap();
    (dir, ca)
}

#[test]
fn development_ca_is_kept_and_private() {
    let (dir, ca) = dev_ca();
    let before = std::fs::read(ca.ca_path()).unwrap();
    let server = std::fs::read(ca.cert_path()).unwrap();
    let again = DevCa::create_or_load(&dir.path().join("tls")).unwrap();
    assert_eq!(before, std::fs::read(again.ca_path()).unwrap());
    assert_eq!(server, std::fs::read(again.cert_path()).unwrap());
    for entry in std::fs::read_dir(dir.path().join("tls")).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
}

#[test]
fn damaged_server_files_are_issued_anew_under_the_same_ca() {
    let (dir, ca) = dev_ca();
    let before = std::fs::read(ca.ca_path()).unwrap();
    std::fs::write(ca.key_path(), "torn").unwrap();
    let again = DevCa::create_or_load(&dir.path().join("tls")).unwrap();
    ServerIdentity::load(&again.cert_path(), &again.key_path()).unwrap();
    assert_eq!(before, std::fs::read(again.ca_path()).unwrap());
}

#[test]
fn key_of_another_certificate_is_refused() {
    let (_one, first) = dev_ca();
    let (_two, second) = dev_ca();
    let error = ServerIdentity::load(&first.cert_path(), &second.key_path()).unwrap_err();
    assert!(matches!(error, TlsError::KeyMismatch { .. }), "{error}");
}

#[test]
fn missing_empty_and_foreign_files_are_named() {
    let (dir, ca) = dev_ca();
    let gone = dir.path().join("gone.pem");
    let error = ServerIdentity::load(&gone, &ca.key_path()).unwrap_err();
    assert!(matches!(error, TlsError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("gone.pem"));
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let error = ServerIdentity::load(&empty, &ca.key_path()).unwrap_err();
    assert!(matches!(error, TlsError::Missing { what: "certificate", .. }), "{error}");
    let error = ServerIdentity::load(&ca.cert_path(), &ca.cert_path()).unwrap_err();
    assert!(matches!(error, TlsError::Missing { what: "private key", .. }), "{error}");
}

#[test]
fn certificate_is_refused_before_and_after_its_life() {
    let (_dir, ca) = dev_ca();
    let path = ca.cert_path();
    let leaf = Leaf::read(&path, &certificates(&path).unwrap()[0]).unwrap();
    let year = Duration::from_secs(365 * 24 * 3600);
    let now = SystemTime::now();
    leaf.check(&path, now).unwrap();
    leaf.check(&path, leaf.not_after).unwrap();
    let late = leaf.check(&path, leaf.not_after + Duration::from_secs(1)).unwrap_err();
    assert!(
        matches!(&late, TlsError::Expired { not_after, .. } if not_after.starts_with("20")),
        "{late}"
    );
    let late = leaf.check(&path, now + year).unwrap_err();
    assert!(matches!(late, TlsError::Expired { .. }), "{late}");
    let early = leaf.check(&path, now - year).unwrap_err();
    assert!(matches!(early, TlsError::NotYetValid { .. }), "{early}");
}

#[test]
fn expired_certificate_does_not_load() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("old.pem"), dir.path().join("old.key"));
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2019, 1, 1);
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let pair = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    let error = ServerIdentity::load(&cert, &key).unwrap_err();
    assert!(matches!(error, TlsError::Expired { .. }), "{error}");
}

#[test]
fn early_data_is_off_on_both_fronts() {
    let (_dir, ca) = dev_ca();
    let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
    assert_eq!(identity.quic_config().unwrap().max_early_data_size, 0);
    assert_eq!(identity.tcp_config().unwrap().max_early_data_size, 0);
}

#[test]
fn the_key_of_resets_outlives_a_start_and_is_one_nodes_own() {
    let (_one, ca) = dev_ca();
    let (_two, other) = dev_ca();
    let token = |ca: &DevCa, node: &str| {
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
        hmac::sign(&identity.reset_key(node), b"connection id").as_ref().to_vec()
    };
    assert_eq!(token(&ca, "gw-1"), token(&ca, "gw-1"));
    assert_ne!(token(&ca, "gw-1"), token(&ca, "gw-2"));
    assert_ne!(token(&ca, "gw-1"), token(&other, "gw-1"));
}

#[test]
fn the_seal_outlives_a_start_and_is_one_certificates_own() {
    let (_one, ca) = dev_ca();
    let (_two, other) = dev_ca();
    let seal = |ca: &DevCa| ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap().seal();
    let marked = seal(&ca).put(b"context", 1, "state");
    assert_eq!(seal(&ca).taken_off(b"context", 0, &marked), Some("state"));
    assert_eq!(seal(&other).taken_off(b"context", 0, &marked), None);
}

/// A certificate of its own authority for `name`, in the two files; in force or over.
fn write_pair(cert: &Path, key: &Path, name: &str, in_force: bool) {
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    if !in_force {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let pair = rcgen::KeyPair::generate().unwrap();
    let later = std::fs::metadata(cert).and_then(|meta| meta.modified());
    let later = later.map_or_else(|_| SystemTime::now(), |at| at + Duration::from_secs(1));
    for (path, pem) in
        [(cert, params.self_signed(&pair).unwrap().pem()), (key, pair.serialize_pem())]
    {
        std::fs::write(path, pem).unwrap();
        std::fs::File::options().append(true).open(path).unwrap().set_modified(later).unwrap();
    }
}

/// The certificate that a client is shown.
async fn shown_by(
    acceptor: &tokio_rustls::TlsAcceptor,
    trusted: &Path,
    name: &'static str,
) -> bool {
    let client = client_config(Some(trusted), None, ALPN_H2).unwrap();
    let (here, there) = tokio::io::duplex(1 << 16);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let connect = connector.connect(name.try_into().unwrap(), here);
    let (connected, _accepted) = tokio::join!(connect, acceptor.accept(there));
    connected.is_ok()
}

#[tokio::test]
async fn what_is_written_anew_is_shown_and_what_is_no_good_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let other = dir.path().join("other.pem");
    write_pair(&cert, &key, "first.example", true);
    let first = dir.path().join("first.pem");
    std::fs::copy(&cert, &first).unwrap();
    let mut identity = ServerIdentity::load(&cert, &key).unwrap();
    // What was made of it before counts, too.
    let config = Arc::new(identity.clone().tcp_config().unwrap());
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let seal = identity.seal();
    let marked = seal.put(b"context", 1, "state");
    assert!(identity.look().is_none(), "nothing is new");
    assert!(shown_by(&acceptor, &first, "first.example").await);

    write_pair(&cert, &key, "over.example", false);
    assert!(matches!(identity.look(), Some(Err(TlsError::Expired { .. }))));
    write_pair(&cert, &other, "half.example", true);
    assert!(matches!(identity.look(), Some(Err(TlsError::KeyMismatch { .. }))));
    std::fs::remove_file(&cert).unwrap();
    assert!(matches!(identity.look(), Some(Err(TlsError::Unreadable { .. }))));
    assert!(shown_by(&acceptor, &first, "first.example").await, "the one before serves on");

    write_pair(&cert, &key, "second.example", true);
    assert_eq!(identity.look().unwrap().unwrap().names, ["second.example"]);
    assert!(identity.look().is_none(), "once");
    assert!(shown_by(&acceptor, &cert, "second.example").await);
    assert!(!shown_by(&acceptor, &first, "first.example").await);
    assert_eq!(seal.taken_off(b"context", 0, &marked), Some("state"));
    let fresh = ServerIdentity::load(&cert, &key).unwrap().seal();
    let marked = seal.put(b"context", 1, "state");
    assert_eq!(fresh.taken_off(b"context", 0, &marked), Some("state"), "as one that starts now");
}

#[tokio::test]
async fn a_ca_that_is_shown_as_a_server_is_told_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&pair).unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&cert, certificate.pem()).unwrap();
    std::fs::write(&key, pair.serialize_pem()).unwrap();

    let server = ServerIdentity::load(&cert, &key).unwrap().tcp_config().unwrap();
    let client = client_config(Some(&cert), None, ALPN_H2).unwrap();
    let (here, there) = tokio::io::duplex(1 << 16);
    let accept = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(there);
    let name = "localhost".try_into().unwrap();
    let connect = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, here);
    let (connected, _refused) = tokio::join!(connect, accept);
    let said = in_words(&connected.unwrap_err().to_string());
    assert!(said.contains("CA:FALSE"), "{said}");
    assert_eq!(in_words("certificate expired"), "certificate expired");
    let plain =
        in_words(&rustls::Error::from(rustls::InvalidMessage::InvalidContentType).to_string());
    assert!(plain.contains("http://"), "{plain}");
}
