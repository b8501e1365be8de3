//! Agents at work: each statement carries a mark of its own, each row that arrives gives its mark back.
#![expect(clippy::expect_used, reason = "a test harness: an agent that cannot work fails the test")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::eventually;

const AGENTS: usize = 4;

/// Agents that work until they are stopped, or until their connection breaks.
#[derive(Debug)]
pub struct Load {
    stopping: Arc<AtomicBool>,
    received: Arc<Mutex<BTreeSet<String>>>,
    agents: Vec<JoinHandle<()>>,
}

impl Load {
    /// Sends agents to the database `postgres` behind this local port; `round` is part of their marks.
    #[must_use]
    pub fn start(round: u64, port: u16) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let received = Arc::new(Mutex::new(BTreeSet::new()));
        let agents = (0..AGENTS)
            .map(|agent| {
                let (stopping, received) = (Arc::clone(&stopping), Arc::clone(&received));
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .expect("a runtime");
                    runtime.block_on(work(
                        &format!("mark-{round}-{agent}"),
                        port,
                        &stopping,
                        &received,
                    ));
                })
            })
            .collect();
        Self { stopping, received, agents }
    }

    /// Waits until every agent is likely to have had its rows.
    pub fn wait_for_traffic(&self) {
        self.wait_for_more(4 * AGENTS);
    }

    /// Waits until so many more answers arrived.
    pub fn wait_for_more(&self, answers: usize) {
        let due = self.received.lock().len() + answers;
        assert!(eventually(|| self.received.lock().len() >= due), "the agents receive rows");
    }

    /// The marks of all rows that arrived, once the agents have ended their work.
    #[must_use]
    pub fn stop(self) -> BTreeSet<String> {
        self.stopping.store(true, Ordering::Release);
        self.broken()
    }

    /// The marks of all rows that arrived, once every agent's connection has broken.
    #[must_use]
    pub fn broken(self) -> BTreeSet<String> {
        for agent in self.agents {
            agent.join().expect("an agent does not panic");
        }
        Arc::try_unwrap(self.received).expect("all agents ended").into_inner()
    }
}

/// One connection's work; it ends with the connection, which the kill breaks.
async fn work(name: &str, port: u16, stopping: &AtomicBool, received: &Mutex<BTreeSet<String>>) {
    let options =
        format!("host=127.0.0.1 port={port} user=anyone dbname=postgres connect_timeout=20");
    let Ok((client, connection)) = tokio_postgres::connect(&options, NoTls).await else { return };
    let driver = tokio::spawn(connection);
    let mut number = 0_u64;
    while !stopping.load(Ordering::Acquire) {
        number += 1;
        // Simple and extended protocol in turn; now and then a result that takes several chunks.
        let rows = if number.is_multiple_of(50) { 5_000 } else { 1 };
        let sql = format!(
            "SELECT '{name}-{number}-' || g, repeat('x', 200) FROM generate_series(1, {rows}) g"
        );
        let marks: Option<Vec<String>> = if number.is_multiple_of(2) {
            let answer = client.simple_query(&sql).await.ok();
            answer.map(|messages| messages.iter().filter_map(simple_mark).collect())
        } else {
            let answer = client.query(sql.as_str(), &[]).await.ok();
            answer.map(|rows| rows.iter().map(|row| row.get::<_, String>(0)).collect())
        };
        let Some(marks) = marks else { break };
        received.lock().extend(
            marks.iter().filter_map(|mark| mark.rsplit_once('-')).map(|(mark, _)| mark.to_owned()),
        );
    }
    drop(client);
    driver.abort();
}

fn simple_mark(message: &SimpleQueryMessage) -> Option<String> {
    match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }
}
