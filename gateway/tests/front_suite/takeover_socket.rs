//! The socket at which a front is asked for its port: who is answered, and what comes of conversations that break off.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tallyport_gateway::front::FrontError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::support::{PATIENCE, until, within};
use crate::takeover::{Site, echoes};

/// What a process says first.
const ASK: &[u8] = b"{\"version\": 1, \"node\": \"green\", \"mark\": \"\"}\n";

#[tokio::test(flavor = "multi_thread")]
async fn one_that_asks_and_dies_changes_nothing() {
    let site = Site::new();
    let old = site.first().await;
    let addr = old.front.quic_addr;
    let connector = site.connector(addr, false);
    let mut tunnel = within(connector.open("echo")).await.unwrap();
    // It has got as far as it can without taking: the answer is there, sockets with it.
    let asker = asked(&site).await;
    echoes(&mut tunnel, "while it was asked").await;
    drop(asker);
    assert!(!old.is_taken_over().await);
    echoes(&mut tunnel, "as before").await;
    echoes(&mut within(connector.open("echo")).await.unwrap(), "same connection").await;
    echoes(&mut within(site.connector(addr, false).open("echo")).await.unwrap(), "another").await;
    assert_eq!(old.opened(), 3);
    // The next one may have it.
    let new = site.start("green", &addr.to_string()).await.unwrap();
    assert!(old.is_taken_over().await);
    echoes(&mut within(site.connector(addr, false).open("echo")).await.unwrap(), "new").await;
    assert_eq!(new.opened(), 1);
}

/// One that asks, and has its answer.
async fn asked(site: &Site) -> UnixStream {
    let mut asker = UnixStream::connect(site.socket()).await.unwrap();
    asker.write_all(ASK).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = within(asker.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.contains("\"offer\"") && answer.contains("\"blue\""), "{answer}");
    asker
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_too_slow_is_told_that_the_port_is_not_its_own() {
    let site = Site::new();
    let old = site.first().await;
    let mut asker = asked(&site).await;
    let mut last = String::new();
    within(asker.read_to_string(&mut last)).await.unwrap();
    assert_eq!(last, "\"withdrawn\"\n");
    let _too_late = asker.write_all(b"{\"take\": true}\n").await;
    assert!(!old.is_taken_over().await);
    let addr = old.front.quic_addr;
    echoes(&mut within(site.connector(addr, false).open("echo")).await.unwrap(), "on").await;
    // A stop waits for a conversation that is under way, and for no other.
    let asker = asked(&site).await;
    let stopping = tokio::spawn(old.drain());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!stopping.is_finished(), "the port may be taken yet");
    drop(asker);
    assert!(within(stopping).await.unwrap().complete);
    assert!(UnixStream::connect(site.socket()).await.is_err(), "nobody is to be asked any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_the_socket_is_not_answered() {
    let site = Site::new();
    let old = site.first().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n\n"[..], b"{}\n", b"\n", &[0xff; 20_000], b""] {
        let mut asker = UnixStream::connect(site.socket()).await.unwrap();
        let _cut = asker.write_all(garbage).await;
        asker.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _reset = within(asker.read_to_end(&mut answer)).await;
        assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(!old.is_taken_over().await);
    let addr = old.front.quic_addr;
    site.start("green", &addr.to_string()).await.unwrap();
    assert!(old.is_taken_over().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_of_the_same_name_or_address_gets_nothing() {
    let site = Site::new();
    let old = site.first().await;
    let addr = old.front.quic_addr;
    let same = site.start("blue", &addr.to_string()).await.map(|_| ()).unwrap_err();
    let told = same.to_string();
    assert!(told.contains("`blue`") && told.contains("another `node`"), "{told}");
    assert!(matches!(same, FrontError::Takeover(error) if error.is_configuration()));
    let other = site.start("green", "127.0.0.1:1").await.map(|_| ()).unwrap_err();
    let told = other.to_string();
    assert!(told.contains(&addr.to_string()) && told.contains("127.0.0.1:1"), "{told}");
    assert!(!old.is_taken_over().await);
    echoes(&mut within(site.connector(addr, false).open("echo")).await.unwrap(), "on").await;
    // One that drains still has its name.
    let new = site.start("green", &addr.to_string()).await.unwrap();
    assert!(site.start("blue", &addr.to_string()).await.is_err());
    assert!(within(old.drain()).await.complete);
    until_forgotten(&site, addr).await;
    assert!(new.is_taken_over().await);
}

/// Takes the port over as `blue`, once the one of that name that drained is known to have ended.
async fn until_forgotten(site: &Site, addr: SocketAddr) {
    within(async {
        while site.start("blue", &addr.to_string()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nobody_listens_at_is_replaced_and_one_that_is_no_socket_is_not() {
    let site = Site::new();
    // Of a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(site.socket()).unwrap());
    let old = site.first().await;
    let mode = std::fs::metadata(site.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "for its owner only");
    let new = site.start("green", &old.front.quic_addr.to_string()).await.unwrap();
    assert!(old.is_taken_over().await);
    within(old.front.shutdown(PATIENCE)).await;
    assert!(site.socket().exists(), "it is the new one's");
    within(new.front.shutdown(PATIENCE)).await;
    assert!(!site.socket().exists(), "nobody is to be asked there");

    std::fs::write(site.socket(), "precious").unwrap();
    let refused = site.start("blue", "127.0.0.1:0").await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("is no socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(site.socket()).unwrap(), "precious");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_gets_nothing() {
    let site = Site::new();
    let old = site.first().await;
    std::fs::set_permissions(site.dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let script = "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; connect($s, sockaddr_un($ARGV[0])) or die $!; \
                  syswrite($s, $ARGV[1]); print sysread($s, my $heard, 4096) // 0";
    let ask = || {
        let asked = as_another_user(script).arg(site.socket()).arg(OsStr::from_bytes(ASK)).output();
        asked.map(|asked| {
            let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (told(&asked.stdout), told(&asked.stderr))
        })
    };
    match tokio::task::block_in_place(ask) {
        Ok((_, told)) if !told.contains("setpriv:") => {
            assert!(told.contains("Permission denied"), "the file's mode keeps it out: {told}");
        }
        cannot => {
            eprintln!(
                "NOT RUN: another_user_gets_nothing: this user cannot be another: {cannot:?}"
            );
            return;
        }
    }
    // Whoever gets through all the same is known by its user.
    std::fs::set_permissions(site.socket(), PermissionsExt::from_mode(0o666)).unwrap();
    let (heard, told) = tokio::task::block_in_place(ask).unwrap();
    // Cut off while it spoke, or when it listened.
    assert!(matches!((heard.as_str(), told.as_str()), ("" | "0", "")), "{heard} {told}");
    assert!(!old.is_taken_over().await);

    // Nor is it asked.
    let site = Site::new();
    std::fs::set_permissions(site.dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let script = "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die $!; \
                  listen($s, 1); while (accept(my $c, $s)) { sysread($c, my $heard, 4096) }";
    let mut listening = as_another_user(script).arg(site.socket()).spawn().unwrap();
    until(|| std::os::unix::net::UnixStream::connect(site.socket()).is_ok()).await;
    let refused = site.start("green", "127.0.0.1:0").await.map(|_| ()).unwrap_err();
    listening.kill().unwrap();
    listening.wait().unwrap();
    assert!(refused.to_string().contains("another user answers"), "{refused}");
}

/// A mistyped path, or one that the old process was not given: to stop what holds the port would end its sessions.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_where_nobody_can_be_asked_names_the_socket() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::new();
    let address = held.local_addr().unwrap().to_string();
    let refused = site.start("green", &address).await.map(|_| ()).unwrap_err().to_string();
    let socket = site.socket().display().to_string();
    assert!(refused.contains(&address) && refused.contains(&socket), "{refused}");
    assert!(refused.contains("nobody answers at the takeover socket"), "{refused}");
}

/// Perl is in the base system of every Debian, and anybody may run it.
fn as_another_user(script: &str) -> std::process::Command {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/perl", "-e"]);
    command.arg(script);
    command
}
