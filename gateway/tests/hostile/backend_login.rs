//! Backends that misbehave before a session is ready: each is a clear error in time, on record, and holds up nobody.

use std::sync::atomic::Ordering;

use tallyport_gateway::config::GatewayLimits;
use tallyport_gateway::connect::Transport;
use tallyport_schemas::{Body, Session};

use crate::evil::{Authority, Backend, Login, header, notice};
use crate::harness::{Options, SOON};
use crate::stage::{DEADLINE, GROWTH, INTERVAL, Memory, Stage, stage};
use crate::wire::{Wire, error_field, frame, startup, tags};

/// A year in which a certificate is good, and one in which it was.
const GOOD: i32 = 2099;
const PAST: i32 = 2021;

/// Name, behaviour, further settings, and what the event says of it.
type Case = (&'static str, Login, String, &'static str);

fn limits() -> GatewayLimits {
    GatewayLimits {
        dial_timeout: DEADLINE,
        strangers_interval: INTERVAL,
        ..GatewayLimits::default()
    }
}

/// Asks for a session on `name`, and sees it refused: what the client is told, and the event's message.
async fn refused(stage: &Stage, name: &str) -> (String, String) {
    let tunnel = stage.connector(Transport::Quic).open(name).await.unwrap();
    let mut wire = Wire::new(tunnel);
    wire.send(&startup(&[("user", "u")])).await;
    let refused = wire.rest().await;
    assert_eq!(tags(&refused), "E", "{name}");
    assert_eq!(error_field(&refused, b'S'), "FATAL", "{name}");
    assert_eq!(error_field(&refused, b'C'), "08001", "{name}");
    let events = stage.world.events().await;
    let recorded = events.iter().find_map(|event| match &event.body {
        Body::Session(Session::Lost { cause, message, .. })
            if event.context.target.as_ref().is_some_and(|target| target.name == name) =>
        {
            assert_eq!(cause, "target_unreachable", "{name}");
            Some(message.clone())
        }
        _ => None,
    });
    (error_field(&refused, b'M'), recorded.unwrap_or_else(|| panic!("{name} is not on record")))
}

/// All of them at a time, on one gateway, while an honest session is served.
async fn all_are_refused(cases: Vec<Case>) {
    let mut backends = Vec::new();
    let mut others = Vec::new();
    for (name, login, more, _) in &cases {
        let backend = Backend::start(login.clone()).await;
        others.push(backend.target(name, more));
        backends.push(backend);
    }
    let stage = stage!(Options { limits: limits(), others, ..Options::default() }, |_limits| {});
    let memory = Memory::now();
    stage
        .while_served(async {
            let each = cases.iter().map(|(name, _, _, says)| {
                let stage = &stage;
                async move {
                    let began = std::time::Instant::now();
                    let (told, recorded) = refused(stage, name).await;
                    assert!(recorded.contains(says), "{name}: {recorded}");
                    assert!(began.elapsed() < SOON, "{name} took {:?}", began.elapsed());
                    // What a client is told names no certificate, no password, no text of the target.
                    for secret in ["certificate", "password", "xxxx", "localhost"] {
                        assert!(!told.contains(secret), "{name}: {told}");
                    }
                }
            });
            futures::future::join_all(each).await;
        })
        .await;
    memory.assert_growth_below(GROWTH);
    for (backend, (name, ..)) in backends.iter().zip(&cases) {
        assert!(backend.dialled.load(Ordering::SeqCst) > 0, "{name} was never dialled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_answer_with_nonsense_are_refused() {
    let plain = || "sslmode = 'disable'".to_owned();
    let authentication = |kind: i32| frame(b'R', &kind.to_be_bytes());
    let cases: Vec<Case> = vec![
        ("http", Login::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), plain(), "limit is"),
        ("zeros", Login::Says(vec![0; 4096]), plain(), "four is the least"),
        ("two-gigabytes", Login::Repeats(header(b'R', i32::MAX)), plain(), "the limit is 65536"),
        ("negative", Login::Says(header(b'R', -1)), plain(), "four is the least"),
        ("rows", Login::Says(frame(b'D', b"\0\0")), plain(), "unexpected message `D`"),
        ("notices", Login::Repeats(notice(1000)), plain(), "not ready after 256 messages"),
        ("big-notices", Login::Repeats(notice(70_000)), plain(), "the limit is 65536"),
        ("kerberos", Login::Says(authentication(7)), plain(), "authentication method 7"),
        ("clear-text", Login::Says(authentication(3)), plain(), "password"),
        (
            "parameters",
            Login::Repeats([authentication(0), frame(b'S', b"a\0b\0")].concat()),
            plain(),
            "unexpected message `R`",
        ),
    ];
    all_are_refused(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_hang_are_given_up_in_time() {
    let late = "not ready within 1000 ms";
    let plain = || "sslmode = 'disable'".to_owned();
    let sasl = frame(b'R', &[&10_i32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat());
    let password = "password = { value = 'secret' }\nsslmode = 'disable'".to_owned();
    let cases: Vec<Case> = vec![
        ("silent", Login::Says(Vec::new()), plain(), late),
        ("silent-before-tls", Login::Says(Vec::new()), "sslmode = 'require'".to_owned(), late),
        ("silent-in-tls", Login::HangsInTls, "sslmode = 'require'".to_owned(), late),
        ("silent-after-sasl", Login::Says(sasl), password, late),
        ("half-a-message", Login::Says(header(b'R', 8)), plain(), late),
        ("dripping", Login::Drips(notice(60_000)), plain(), late),
        ("no-tls", Login::Says(b"N".to_vec()), "sslmode = 'require'".to_owned(), "not offer TLS"),
    ];
    all_are_refused(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_whose_certificate_does_not_match_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &ours.pem).unwrap();
    let verified = || format!("ca = '{}'", file.display());
    let tls = |authority: &Authority, name, year| Login::Tls(authority.acceptor(name, year));
    let cases: Vec<Case> = vec![
        (
            "other-name",
            tls(&ours, "db.example.com", GOOD),
            verified(),
            "TLS with the target failed",
        ),
        ("other-authority", tls(&theirs, "localhost", GOOD), verified(), "TLS with the target"),
        ("expired", tls(&ours, "localhost", PAST), verified(), "TLS with the target failed"),
        // The control: with a certificate that matches it is the login that fails.
        ("matching", tls(&ours, "localhost", GOOD), verified(), "not ready within"),
    ];
    all_are_refused(cases).await;
}
