//! The way to the target: every way of login, every way of protection, and errors that tell nothing.

use dev_services::{DevService, StartError};
use tallyport_schemas::{Body, Session};

use crate::harness::{Options, World};
use crate::wire::{Wire, error_field, query, startup, tags};

/// A server of its own; it stops when the process ends. `None` where it cannot be installed.
pub fn server(arguments: &[&str]) -> Option<&'static DevService> {
    match DevService::start("postgres", arguments) {
        Ok(service) => Some(Box::leak(Box::new(service))),
        Err(StartError::NotInstallable { .. }) => {
            eprintln!("NOT RUN: {}: PostgreSQL cannot be installed", module_path!());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

async fn world(server: &'static DevService, target: String) -> World {
    let target: &'static str = Box::leak(target.into_boxed_str());
    World::start_on(server, Options { target, ..Options::default() }).await
}

async fn works(server: &'static DevService, target: String) -> String {
    let world = world(server, target.clone()).await;
    let (mut wire, hello) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    assert!(tags(&hello).ends_with('Z'), "{target}: {}", error_field(&hello, b'M'));
    wire.send(&query(
        "SELECT ssl::text || ' ' || current_user FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    ))
    .await;
    let answer = wire.until(b'Z', 1).await;
    let (_, row) = answer.iter().find(|(tag, _)| *tag == b'D').expect("a row");
    String::from_utf8_lossy(&row[6..]).into_owned()
}

/// The refusal's SQLSTATE and message.
async fn fails(server: &'static DevService, target: String) -> (String, String) {
    let world = world(server, target).await;
    let mut wire = Wire::new(world.tunnel().await);
    wire.send(&startup(&[("user", "u")])).await;
    let refused = wire.rest().await;
    assert_eq!(tags(&refused), "E");
    let events = world.events().await;
    let lost = |body: &Body| matches!(body, Body::Session(Session::Lost { cause, .. }) if cause == "target_unreachable");
    assert!(events.iter().any(|event| lost(&event.body)));
    for event in &events {
        let text = String::from_utf8(tallyport_schemas::ocsf::encode(event)).unwrap();
        assert!(!text.contains("dev-superuser-password") && !text.contains("wrong-password"));
    }
    (error_field(&refused, b'C'), error_field(&refused, b'M'))
}

pub const PASSWORD: &str = "user = 'postgres'\npassword = { value = 'dev-superuser-password' }\n";

#[tokio::test(flavor = "multi_thread")]
async fn scram_with_and_without_tls() {
    let start = || server(&["--ssl", "--auth", "scram"]);
    let Some(server) = tokio::task::spawn_blocking(start).await.unwrap() else { return };
    let ca = server.text("ca");
    assert_eq!(works(server, format!("{PASSWORD}sslmode = 'disable'\n")).await, "false postgres");
    assert_eq!(works(server, format!("{PASSWORD}sslmode = 'require'\n")).await, "true postgres");
    assert_eq!(
        works(server, format!("{PASSWORD}sslmode = 'verify-full'\nca = '{ca}'\n")).await,
        "true postgres"
    );

    // The same server by an address that its certificate does not name.
    let other = format!("{PASSWORD}address = '[::ffff:127.0.0.1]:{}'\n", server.port("port"));
    assert_eq!(works(server, format!("{other}sslmode = 'require'\n")).await, "true postgres");
    let unnamed = format!("{other}sslmode = 'verify-full'\nca = '{ca}'\n");
    assert_eq!(fails(server, unnamed).await.0, "08001");

    // A certificate that nobody trusts, and a wrong password: the agent learns neither.
    let (sqlstate, message) = fails(server, format!("{PASSWORD}sslmode = 'verify-full'\n")).await;
    assert_eq!(sqlstate, "08001");
    assert!(!message.to_lowercase().contains("certificate"), "{message}");
    let wrong = "user = 'postgres'\npassword = { value = 'wrong-password' }\nsslmode = 'require'\n";
    let (_, message) = fails(server, wrong.to_owned()).await;
    assert!(!message.contains("password"), "{message}");
    let (_, message) = fails(server, "user = 'postgres'\nsslmode = 'disable'\n".to_owned()).await;
    assert!(!message.contains("password"), "{message}");
}

/// The credential of a command is kept for a while: when it is refused meanwhile, the command is asked once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_credential_that_is_refused_is_asked_for_once_more() {
    let start = || server(&["--auth", "scram"]);
    let Some(server) = tokio::task::spawn_blocking(start).await.unwrap() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (secret, runs) = (dir.path().join("secret"), dir.path().join("runs"));
    std::fs::write(&secret, "dev-superuser-password").unwrap();
    let script = format!("echo run >> {}; cat {}", runs.display(), secret.display());
    let target = format!(
        "user = 'postgres'\npassword = {{ command = ['/bin/sh', '-c', '{script}'] }}\nsslmode = 'disable'\n"
    );
    let world = world(server, target).await;
    let count = || std::fs::read_to_string(&runs).unwrap().lines().count();

    let (mut first, hello) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    assert!(tags(&hello).ends_with('Z'), "{}", error_field(&hello, b'M'));
    let (_second, hello) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    assert!(tags(&hello).ends_with('Z'), "{}", error_field(&hello, b'M'));
    let before = count();

    // Rotated, in the database and where the command reads it.
    first.send(&query("ALTER ROLE postgres PASSWORD 'rotated-password'")).await;
    let changed = first.until(b'Z', 1).await;
    assert!(!tags(&changed).contains('E'), "{}", error_field(&changed, b'M'));
    std::fs::write(&secret, "rotated-password").unwrap();
    let (_third, hello) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    assert!(tags(&hello).ends_with('Z'), "{}", error_field(&hello, b'M'));
    assert_eq!(count(), before + 1, "the kept one was used until it was refused");

    // Rotated in the database alone: one more try with what the command says now, then the refusal.
    first.send(&query("ALTER ROLE postgres PASSWORD 'rotated-again'")).await;
    first.until(b'Z', 1).await;
    let mut fourth = Wire::new(world.tunnel().await);
    fourth.send(&startup(&[("user", "u")])).await;
    assert_eq!(tags(&fourth.rest().await), "E");
    assert_eq!(count(), before + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn md5_and_a_socket_without_tls() {
    let start = || server(&["--auth", "md5"]);
    let Some(server) = tokio::task::spawn_blocking(start).await.unwrap() else { return };
    assert_eq!(works(server, format!("{PASSWORD}sslmode = 'disable'\n")).await, "false postgres");
    // A server without TLS is refused where TLS is asked for.
    let (sqlstate, _) = fails(server, format!("{PASSWORD}sslmode = 'require'\n")).await;
    assert_eq!(sqlstate, "08001");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_logs_in() {
    let start = || server(&["--ssl", "--auth", "cert"]);
    let Some(server) = tokio::task::spawn_blocking(start).await.unwrap() else { return };
    let (ca, cert, key) =
        (server.text("ca"), server.text("client_cert"), server.text("client_key"));
    let target =
        format!("user = 'agent_cert'\nca = '{ca}'\nclient_cert = '{cert}'\nclient_key = '{key}'\n");
    assert_eq!(works(server, target).await, "true agent_cert");
}
