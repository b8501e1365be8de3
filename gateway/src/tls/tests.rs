use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

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
    let leaf = certificates(&path).unwrap().remove(0);
    let year = Duration::from_secs(365 * 24 * 3600);
    let now = SystemTime::now();
    check_validity(&path, &leaf, now).unwrap();
    let late = check_validity(&path, &leaf, now + year).unwrap_err();
    assert!(matches!(late, TlsError::Expired { .. }), "{late}");
    let early = check_validity(&path, &leaf, now - year).unwrap_err();
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
}
