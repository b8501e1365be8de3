//! The clock of a machine is set, forward and back, while sessions are open: libfaketime before the real binary.

use std::path::Path;

use serde_json::Value;
use tallyport_tests::{Role, Site, eventually, rows, say_not_run};
use tokio_postgres::{Client, NoTls};

/// A session, kept open; none where the agent is not let in.
async fn session(port: u16) -> Option<Client> {
    let at = format!("host=127.0.0.1 port={port} user=anyone dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&at, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

async fn answers(client: &Client) -> bool {
    client.simple_query("SELECT 1").await.is_ok()
}

fn set(clock: &Path, to: &str) {
    let next = clock.with_extension("next");
    std::fs::write(&next, to).unwrap();
    std::fs::rename(&next, clock).unwrap();
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..300 {
        if holds().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_lets_nobody_stay_and_loses_nothing() {
    let test = "a_clock_that_jumps_lets_nobody_stay_and_loses_nothing";
    let Some(site) = Site::start(test) else { return };
    let clock = site.path("clock");
    set(&clock, "+0");
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let config = site.config("clock.toml", &log, &lake, &["gateway", "recorder", "query"]);
    let clock_arguments = ["--clock", clock.to_str().unwrap()];
    let Some(role) = Role::try_start("up", &config, &clock_arguments) else {
        return say_not_run(test, &"libfaketime cannot be installed");
    };
    let forward = site.connect();
    let early = session(forward.port()).await.expect("the agent gets in");
    assert!(answers(&early).await);

    // Back: who is in stays no longer for it, and is not thrown out; a token of now is one of the future.
    set(&clock, "-1h");
    until("a token from later is refused", async || session(forward.port()).await.is_none()).await;
    assert!(answers(&early).await, "{}", role.log());

    // Forward, past the end of every token.
    set(&clock, "+24h");
    until("the session ends", async || !answers(&early).await).await;
    assert!(session(forward.port()).await.is_none(), "a token that is over lets nobody in");

    // As it was: from what is on record nothing is missing.
    set(&clock, "+0");
    until("the agent gets in again", async || match session(forward.port()).await {
        Some(client) => answers(&client).await,
        None => false,
    })
    .await;
    let failures = "SELECT DISTINCT failure FROM authentications WHERE outcome = 'failure'";
    let told = || site.sql(failures).iter().map(|row| row["failure"].clone()).collect::<Vec<_>>();
    let both = ["expired", "not_yet_valid"].map(Value::from);
    assert!(eventually(|| both.iter().all(|it| told().contains(it))), "{:?}", told());
    let expired =
        "SELECT count(*) AS n FROM events WHERE family = 'session' AND activity = 'expired'";
    assert!(eventually(|| site.sql(expired)[0]["n"] == 1), "{:?}", site.sql(expired));
    let books = rows(&site.ask(&["ask", "gaps", "--json"]));
    assert!(!books.is_empty() && books.iter().all(|it| it["missing"] == 0), "{books:?}");
    drop(forward);
    role.stop();
}
