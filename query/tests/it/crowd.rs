//! More that come than there are places, and strangers that stay: told early, counted on record, and others are served.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tallyport_query::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;

use crate::pg;
use crate::world::{Setup, World};

/// Counts go on record every ten seconds; no busier machine takes longer than this.
const SOON: Duration = Duration::from_secs(60);

async fn narrow(max_connections: usize, max_connections_per_ip: usize) -> World {
    let limits = Limits { max_connections, max_connections_per_ip, ..Limits::default() };
    World::with(Setup { limits, ..Setup::default() }).await
}

/// Waits for the count of who was turned away for `code`; gives what it says.
async fn counted(world: &World, front: &str, code: &str) -> String {
    let began = Instant::now();
    let sql = format!(
        "SELECT message FROM authentications WHERE failure = '{code}' \
         AND front = '{front}' AND message LIKE 'counted %'"
    );
    loop {
        // No connection is kept: there may be no place for another.
        let token = world.token("auditor").await;
        let request = world.http.post(world.url("/v1/sql")).bearer_auth(token);
        let request = request.header("connection", "close").json(&json!({ "sql": sql }));
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        if let Some(message) = answer["rows"][0][0].as_str() {
            return message.to_owned();
        }
        assert!(began.elapsed() < SOON, "{code} of {front} is on record nowhere: {answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn silent(world: &World) -> TcpStream {
    TcpStream::connect(world.running.http_addr.unwrap()).await.unwrap()
}

/// What is said to a request on a connection of its own.
async fn asked(world: &World) -> String {
    let mut stream = silent(world).await;
    let request = b"GET /v1/ask HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_over_http_is_told_at_once() {
    let world = narrow(8, 2).await;
    let held = [silent(&world).await, silent(&world).await];
    let told = asked(&world).await;
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    assert!(told.contains("\"too_many_connections\"") && told.contains("your address"), "{told}");
    drop(held);
    let began = Instant::now();
    while !asked(&world).await.starts_with("HTTP/1.1 401") {
        assert!(began.elapsed() < SOON, "there is room again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    counted(&world, "query_http", "too_many_connections").await;
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_over_postgresql_is_told_at_once() {
    let world = narrow(2, 8).await;
    let addr = world.running.pg_addr.unwrap();
    let held = [TcpStream::connect(addr).await.unwrap(), TcpStream::connect(addr).await.unwrap()];
    let token = world.token("auditor").await;
    let refused = pg::config(&world, &token).connect(NoTls).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "53300");
    assert!(refused.as_db_error().unwrap().message().starts_with("this service"), "{refused:?}");
    drop(held);
    let began = Instant::now();
    while pg::config(&world, &token).connect(NoTls).await.is_err() {
        assert!(began.elapsed() < SOON, "there is room again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    counted(&world, "query_pgwire", "too_many_connections").await;
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reader_does_not_have_the_connections_of_all() {
    let world = narrow(4, 4).await;
    let first = pg::connect(&world, "auditor").await;
    let token = world.token("auditor").await;
    let refused = pg::config(&world, &token).connect(NoTls).await.err().unwrap();
    assert_eq!(refused.code().unwrap().code(), "53300");
    assert!(refused.as_db_error().unwrap().message().starts_with("your principal"), "{refused:?}");
    let other = pg::connect(&world, "curator").await;
    assert!(other.simple_query("SELECT 1").await.is_ok());
    drop(first);
    let began = Instant::now();
    while pg::config(&world, &token).connect(NoTls).await.is_err() {
        assert!(began.elapsed() < SOON, "a connection that ended counts no more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    counted(&world, "query_pgwire", "too_many_connections").await;
    world.running.stop().await;
}

/// HTTP/1.1 has a deadline for headers besides; over HTTP/2 nothing else would end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_which_nothing_is_asked_is_closed() {
    let world = World::start().await;
    let (mut first, mut second) = (silent(&world).await, silent(&world).await);
    second.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let began = Instant::now();
    for stream in [&mut first, &mut second] {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it is still open after {:?}", began.elapsed());
    }
    let message = counted(&world, "query_http", "no_request").await;
    assert!(message.starts_with("counted 2 times"), "{message}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bad_tokens_is_counted_and_does_not_fill_the_log() {
    const SENT: u64 = 200;
    let world = World::start().await;
    for _ in 0..SENT {
        // A connection of its own: the service closes one after a few of them.
        let request = world.http.post(world.url("/v1/sql")).bearer_auth("nonsense");
        let request = request.header("connection", "close");
        let status = request.json(&json!({ "sql": "SELECT 1" })).send().await.unwrap().status();
        assert_eq!(status, 401);
    }
    counted(&world, "query_http", "malformed").await;
    let sql = "SELECT count(*) FROM authentications WHERE failure = 'malformed' \
               AND message NOT LIKE 'counted %'";
    // 32 of one address in ten seconds; a slow machine may have begun more than one such time.
    let single = world.value(sql).await.as_u64().unwrap();
    assert!((32..=SENT / 2).contains(&single), "{single} events of their own");
    world.running.stop().await;
}

/// Asks with this token on a connection that stays; the status, and none where the connection is over.
async fn asked_on(stream: &mut TcpStream, token: &str) -> Option<String> {
    let request = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: 18\r\n\r\n\
         {{\"sql\":\"SELECT 1\"}}"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let (mut said, mut buffer) = (String::new(), [0_u8; 4096]);
    while !is_whole(&said) {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => said.push_str(std::str::from_utf8(&buffer[..read]).unwrap()),
            _ => return None,
        }
    }
    said.split(' ').nth(1).map(str::to_owned)
}

/// Whether an answer is there to its end: what is left of one would be taken for another.
fn is_whole(said: &str) -> bool {
    let Some((head, body)) = said.split_once("\r\n\r\n") else { return false };
    match head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(bytes) => body.len() as u64 >= bytes.parse().unwrap(),
        None => body.ends_with("0\r\n\r\n"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_bad_tokens_end_a_connection_unless_one_was_good() {
    let world = World::start().await;
    let mut stranger = silent(&world).await;
    let mut answers = Vec::new();
    // A quick one is there before the end of the eighth: it is told why and is no try.
    while let Some(status) = asked_on(&mut stranger, "nonsense").await {
        answers.push(status);
        assert!(answers.len() < 20, "it is let go on: {answers:?}");
    }
    let refused = answers.iter().take_while(|status| *status == "401").count();
    assert_eq!(refused, 8, "{answers:?}");
    assert!(answers[8..].iter().all(|status| status == "429"), "{answers:?}");
    counted(&world, "query_http", "too_many_failures").await;
    let mut reader = silent(&world).await;
    let token = world.token("auditor").await;
    assert_eq!(asked_on(&mut reader, &token).await.as_deref(), Some("200"));
    for _ in 0..10 {
        assert_eq!(asked_on(&mut reader, "nonsense").await.as_deref(), Some("401"));
    }
    assert_eq!(asked_on(&mut reader, &token).await.as_deref(), Some("200"));
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_keeps_no_connection_for_more_tries() {
    let world = World::start().await;
    let stream = silent(&world).await;
    // No byte of a body fits: every answer stays open.
    let client =
        h2::client::Builder::new().initial_window_size(0).handshake::<_, &[u8]>(stream).await;
    let (mut client, connection) = client.unwrap();
    let connection = tokio::spawn(connection);
    let mut answers = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..12 {
        let request = http::Request::get(world.url("/v1/ask"))
            .header("authorization", "Bearer nonsense")
            .body(())
            .unwrap();
        client = client.ready().await.unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        statuses.push(answer.status().as_u16());
        answers.push(answer);
    }
    let (tried, refused) = statuses.split_at(8);
    assert!(tried.iter().all(|status| *status == 401), "{statuses:?}");
    assert!(refused.iter().all(|status| *status == 429), "{statuses:?}");
    connection.abort();
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::start().await;
    let token = world.token("auditor").await;
    let mut stream = silent(&world).await;
    let begun = format!(
        "POST /v1/sql HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: 20\r\n\r\n{{"
    );
    stream.write_all(begun.as_bytes()).await.unwrap();
    let mut said = [0_u8; 4096];
    let read = tokio::time::timeout(2 * SOON, stream.read(&mut said)).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&said[..read]);
    assert!(
        said.starts_with("HTTP/1.1 400") && said.contains("could not be read in 30 s"),
        "{said}"
    );
    world.running.stop().await;
}

/// Who is told that there is no place takes one of few turns; beyond those, connections are closed at once.
#[tokio::test(flavor = "multi_thread")]
async fn to_be_told_takes_a_turn_too() {
    const TURNS: usize = 64;
    const REFUSAL: Duration = Duration::from_secs(5);
    let world = narrow(1, 1).await;
    let began = Instant::now();
    let mut held = Vec::new();
    // The first has the place, the next ones the turns: they say nothing, so that telling them waits.
    for _ in 0..=TURNS {
        held.push(silent(&world).await);
    }
    let mut beyond = silent(&world).await;
    let read = beyond.read(&mut [0_u8; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    assert!(began.elapsed() < REFUSAL, "it was kept as long as those that are told");
    drop(held);
    world.running.stop().await;
}
