//! Certificates that are renewed while gateway and query service run: who connects then is shown the new ones, on every
//! front, and who is connected goes on.

use std::path::Path;
use std::process::{Command, Stdio};

use tallyport_gateway::tls::DevCa;
use tallyport_tests::{Role, Site, eventually, free_port, psql, said};

use crate::together::{checks, get};

#[test]
fn renewed_certificates_are_shown_without_a_restart() {
    let test = "renewed_certificates_are_shown_without_a_restart";
    let Some(site) = Site::start(test) else { return };
    let (telemetry, query) = (free_port(), free_port());
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let config = site.config("up.toml", &log, &lake, &["gateway", "recorder"]);
    let text = std::fs::read_to_string(&config).unwrap();
    let more = format!(
        "[query]\nhttp = \"127.0.0.1:{query}\"\ncert = \"query.pem\"\nkey = \"query.key\"\n\
         [telemetry]\nlisten = \"127.0.0.1:{telemetry}\"\n"
    );
    std::fs::write(&config, text + &more).unwrap();
    let tls = site.path("tls");
    let write_query_pair = || {
        std::fs::copy(tls.join("server.pem"), site.path("query.pem")).unwrap();
        std::fs::copy(tls.join("server.key"), site.path("query.key")).unwrap();
    };
    write_query_pair();
    checks(&config);
    let up = Role::start("up", &config);
    let ports = [site.gateway_port(), query];
    let old = certificate(&tls.join("server.pem"));
    assert_eq!(ports.map(shown), [old.clone(), old.clone()]);
    let telemetry = format!("127.0.0.1:{telemetry}");
    assert_eq!(goes_at(&telemetry, "gateway"), end(&tls.join("server.pem")));
    let before = site.connect();
    let ask = |port: u16| {
        psql(port, "any", "postgres").args(["-At", "-c", "SELECT 'here'"]).output().unwrap()
    };
    assert_eq!(said(&ask(before.port())).trim(), "here");

    // Half of the new pair is no pair: nobody is shown it, and nobody is turned away.
    std::fs::copy(site.path("key-agent.pem"), site.path("query.key")).unwrap();
    assert!(eventually(|| up.log().contains("cannot be read anew")), "{}", up.log());
    assert_eq!(shown(query), old);

    // Another authority's: over QUIC, too, only the new one fits what clients trust now.
    std::fs::remove_dir_all(&tls).unwrap();
    DevCa::create_or_load(&tls).unwrap();
    write_query_pair();
    let new = certificate(&tls.join("server.pem"));
    assert_ne!(new, old);
    assert!(eventually(|| ports.map(shown) == [new.clone(), new.clone()]), "{}", up.log());
    let after = site.connect();
    assert_eq!(said(&ask(after.port())).trim(), "here", "a new connection");
    for face in ["gateway", "query"] {
        assert!(eventually(|| goes_at(&telemetry, face) == end(&tls.join("server.pem"))));
    }
    drop((before, after));
    let log = up.end();
    assert_eq!(log.matches("was read anew").count(), 2, "{log}");
    assert_eq!(log.matches("cannot be read anew").count(), 1, "said once: {log}");
}

/// The certificate that is shown at a port.
fn shown(port: u16) -> String {
    let connect = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    pem(&String::from_utf8_lossy(&connect.stdout))
}

fn certificate(file: &Path) -> String {
    pem(&std::fs::read_to_string(file).unwrap())
}

/// The first certificate of a text.
fn pem(text: &str) -> String {
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----").unwrap_or_default();
    let (body, _) = rest.split_once("-----END CERTIFICATE-----").unwrap_or_default();
    body.lines().collect()
}

/// Until when a certificate is good, as Unix time.
fn end(file: &Path) -> Option<String> {
    let dates = Command::new("sh")
        .args(["-c", "date -d \"$(openssl x509 -noout -enddate -in \"$0\" | cut -d= -f2)\" +%s"])
        .arg(file)
        .output()
        .expect("openssl runs");
    Some(String::from_utf8_lossy(&dates.stdout).trim().to_owned())
}

/// The same, as metrics have it of what is shown.
fn goes_at(telemetry: &str, face: &str) -> Option<String> {
    let series = format!("tallyport_certificate_not_after_seconds{{face=\"{face}\"}} ");
    let (_, metrics) = get(telemetry, "/metrics");
    metrics.lines().find_map(|line| line.strip_prefix(&series).map(|at| at.trim().to_owned()))
}
