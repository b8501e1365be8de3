//! How readers enter over the PostgreSQL wire: tokens of any length, and who they are then.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_postgres::error::SqlState;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::pg::{config, connect};
use crate::world::{Setup, World};

const FAILURES: &str = "SELECT failure FROM authentications WHERE front = 'query_pgwire' AND outcome = 'failure' ORDER BY time";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_too_long_is_refused_in_words_and_on_record() {
    let world = World::start().await;
    for bytes in [9_000, 20_000, 60_000, 1_000_000] {
        let error =
            config(&world, &"x".repeat(bytes)).connect(NoTls).await.map(|_| ()).unwrap_err();
        let said = error.as_db_error().unwrap_or_else(|| panic!("{bytes}: {error:?}"));
        assert_eq!(said.severity(), "FATAL", "{bytes}");
        assert_eq!(said.code(), &SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "{bytes}");
        if bytes >= 20_000 {
            assert!(said.message().contains("bytes"), "{bytes}: {}", said.message());
        }
    }
    let failures = world.rows(FAILURES).await;
    assert_eq!(failures, ["malformed", "too_large", "too_large", "too_large"].map(|f| json!([f])));
    world.running.stop().await;
}

/// A long token arrives in pieces, and what follows it is read from where it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_token_may_be_good_and_come_in_pieces() {
    let world = World::start().await;
    let token = world.token("auditor").await;
    let mut socket = tokio::net::TcpStream::connect(world.running.pg_addr.unwrap()).await.unwrap();
    socket.write_all(&[0, 0, 0, 16, 0, 3, 0, 0]).await.unwrap();
    socket.write_all(b"user\0x\0\0").await.unwrap();
    // Blanks around a token are no part of it.
    let body = format!("{}{token}\0", " ".repeat(15_000));
    socket.write_all(b"p").await.unwrap();
    socket.write_all(&u32::try_from(body.len() + 4).unwrap().to_be_bytes()).await.unwrap();
    for piece in body.as_bytes().chunks(4_000) {
        socket.write_all(piece).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let query = b"SELECT 'heard'\0";
    socket.write_all(b"Q").await.unwrap();
    socket.write_all(&u32::try_from(query.len() + 4).unwrap().to_be_bytes()).await.unwrap();
    socket.write_all(query).await.unwrap();
    let mut answer = Vec::new();
    let heard = async {
        while !String::from_utf8_lossy(&answer).contains("heard") {
            assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0, "the connection ended");
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), heard).await.expect("an answer");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_user_is_who_the_token_says() {
    let world = World::start().await;
    let client = connect(&world, "auditor").await;
    for sql in ["SELECT current_user", "SELECT session_user"] {
        let messages = client.simple_query(sql).await.unwrap();
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        assert_eq!(row, Some("auditor"), "{sql}");
    }
    world.running.stop().await;
}

/// Longer than an issuer's answer holds.
const A_LITTLE_OVER_A_SECOND: Duration = Duration::from_millis(1_300);

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_taken_back_ends_its_connections() {
    let world = World::with(Setup { introspected: true, ..Setup::default() }).await;
    let token = world.token("auditor").await;
    let (client, connection) = config(&world, &token).connect(NoTls).await.unwrap();
    let ended = tokio::spawn(connection);
    client.simple_query("SELECT 1").await.expect("it counts");
    world.issuer.revoke(&token);
    let refused = async { while client.simple_query("SELECT 1").await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("the issuer is asked");
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
    ended.expect("the connection ends").unwrap().ok();
    let on_record = "SELECT count(*) > 0 FROM authentications WHERE failure = 'inactive' AND front = 'query_pgwire'";
    assert_eq!(world.value(on_record).await, true);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_ends_with_its_token() {
    let world = World::with(Setup { introspected: true, ..Setup::default() }).await;
    let revoked = world.token("auditor").await;
    let expires = world.token_for("auditor", 2).await;
    for token in [&expires, &revoked] {
        let (_client, connection) = config(&world, token).connect(NoTls).await.unwrap();
        let ended = tokio::spawn(connection);
        if token == &revoked {
            world.issuer.revoke(token);
        }
        tokio::time::sleep(A_LITTLE_OVER_A_SECOND / 2).await;
        assert!(!ended.is_finished(), "it counts as yet");
        let ended = tokio::time::timeout(Duration::from_secs(6), ended).await;
        let last = ended.expect("nobody asks, and it ends").unwrap();
        let last = last.expect_err("it says why");
        let told = last.as_db_error().unwrap_or_else(|| panic!("{last:?}"));
        assert_eq!(told.code(), &SqlState::INVALID_AUTHORIZATION_SPECIFICATION, "{told}");
        let why = if token == &revoked { "does not count" } else { "expired" };
        assert!(told.message().contains(why), "{told}");
    }
    world.running.stop().await;
}
