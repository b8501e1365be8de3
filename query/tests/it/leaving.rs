//! A reader that leaves takes its question with it, on the PostgreSQL wire too.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Response;
use serde_json::json;
use tallyport_query::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::limits::ENDLESS;
use crate::pg::config;
use crate::world::{Setup, World};

async fn one_turn() -> World {
    let limits = Limits {
        max_concurrent: 1,
        max_queue_wait: Duration::from_millis(200),
        ..Limits::default()
    };
    World::with(Setup { limits, ..Setup::default() }).await
}

/// A connection whose socket closes when the task is aborted.
async fn connect(world: &World) -> (Client, JoinHandle<()>) {
    let token = world.token("auditor").await;
    let (client, connection) = config(world, &token).connect(NoTls).await.unwrap();
    let socket = tokio::spawn(async move {
        let _ended = connection.await;
    });
    (client, socket)
}

async fn wait_until_busy(world: &World) {
    let busy = async { while world.try_sql("auditor", "SELECT 1").await.0 != 429 {} };
    tokio::time::timeout(Duration::from_secs(20), busy).await.expect("the turn is taken");
}

async fn wait_until_free(world: &World) {
    let free = async { while world.try_sql("auditor", "SELECT 1").await.0 != 200 {} };
    tokio::time::timeout(Duration::from_secs(15), free).await.expect("the turn comes back");
}

async fn left(world: &World) -> serde_json::Value {
    let sql = "SELECT count(*) FROM queries WHERE face = 'pgwire' AND activity = 'failed' \
               AND reason LIKE '%reader_left%'";
    world.value(sql).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_socket_gives_the_turn_back_whatever_protocol_it_spoke() {
    let world = one_turn().await;
    let (client, socket) = connect(&world).await;
    let asking = tokio::spawn(async move { client.simple_query(ENDLESS).await.map(|_| ()) });
    wait_until_busy(&world).await;
    socket.abort();
    wait_until_free(&world).await;
    assert!(asking.await.unwrap().is_err());
    assert_eq!(left(&world).await, json!(1));

    let (client, socket) = connect(&world).await;
    let asking = tokio::spawn(async move { client.query(ENDLESS, &[]).await.map(|_| ()) });
    wait_until_busy(&world).await;
    socket.abort();
    wait_until_free(&world).await;
    assert!(asking.await.unwrap().is_err());
    assert_eq!(left(&world).await, json!(2));
    world.running.stop().await;
}

/// A message that waits behind the running question does not hide that the reader is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_sent_more_and_left_has_left() {
    let world = one_turn().await;
    let (client, socket) = connect(&world).await;
    let asking = tokio::spawn(async move {
        let both =
            futures::future::join(client.simple_query(ENDLESS), client.simple_query("SELECT 2"));
        both.await.0.map(|_| ())
    });
    wait_until_busy(&world).await;
    socket.abort();
    wait_until_free(&world).await;
    assert!(asking.await.unwrap().is_err());
    world.running.stop().await;
}

/// A question of a second or more on this machine, and no more than a few.
async fn slow(world: &World) -> String {
    let mut rows = 1_000;
    loop {
        let sql = format!(
            "SELECT count(*) FROM generate_series(1, {rows}) a, generate_series(1, {rows}) b \
             WHERE a.value % 7 < b.value % 5"
        );
        let began = std::time::Instant::now();
        let _counted = world.value(&sql).await;
        if began.elapsed() > Duration::from_millis(1_200) {
            return sql;
        }
        rows = rows * 14 / 10;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_lets_questions_end_and_idle_readers_go() {
    let world = World::start().await;
    let (idle, idle_socket) = connect(&world).await;
    let (client, _socket) = connect(&world).await;
    let (prepares, _its_socket) = connect(&world).await;
    let slow = slow(&world).await;
    let sql = slow.clone();
    let by_wire = tokio::spawn(async move { client.simple_query(&sql).await });
    let sql = slow.clone();
    let by_units = tokio::spawn(async move { prepares.query(&sql, &[]).await });
    // One reader has two turns.
    let token = world.token("curator").await;
    let request = world.http.post(world.url("/v1/sql")).bearer_auth(token);
    let by_http = tokio::spawn(request.json(&json!({ "sql": slow })).send());
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!by_wire.is_finished() && !by_http.is_finished(), "they were over at once");
    let stopping = std::time::Instant::now();
    world.running.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(20), "{:?}", stopping.elapsed());
    let (by_wire, by_http) = (by_wire.await.unwrap(), by_http.await.unwrap().unwrap());
    assert!(by_wire.is_ok(), "{by_wire:?}");
    let by_units = by_units.await.unwrap();
    assert!(by_units.is_ok(), "{by_units:?}");
    assert_eq!(by_http.status().as_u16(), 200);
    let answer: serde_json::Value = by_http.json().await.unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
    idle_socket.await.unwrap();
    assert!(idle.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_while_the_service_is_started_again_waits() {
    let kept = Arc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let url = format!("http://{}/v1/sql", kept.local_addr().unwrap());
    let on_it = || World::with(Setup { listener: Some(Arc::clone(&kept)), ..Setup::default() });
    let ask = || tokio::spawn(reqwest::Client::new().post(&url).json(&json!({})).send());
    let status = async |asked: JoinHandle<reqwest::Result<Response>>| {
        asked.await.unwrap().unwrap().status().as_u16()
    };
    let early = ask();
    let first = on_it().await;
    assert_eq!(status(early).await, 401, "before anything ran");
    first.running.stop().await;
    let meanwhile = ask();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!meanwhile.is_finished(), "it waits");
    let second = on_it().await;
    assert_eq!(status(meanwhile).await, 401, "while none ran");
    second.running.stop().await;
}

/// It was let in, and cannot know that it came too late.
#[tokio::test(flavor = "multi_thread")]
async fn who_connected_just_before_the_end_is_answered() {
    let world = World::start().await;
    let address = world.running.http_addr.unwrap();
    let mut early = TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopping = tokio::spawn(world.running.stop());
    tokio::time::sleep(Duration::from_millis(200)).await;
    early
        .write_all(b"POST /v1/sql HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    early.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    stopping.await.unwrap();
}
