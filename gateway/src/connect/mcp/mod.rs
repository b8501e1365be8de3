//! A server of the Model Context Protocol on standard input and output, for clients that start one as a child (transport
//! "stdio"): each message goes to `/mcp` as it came, and what that answers comes back.

mod message;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::mcp::Events;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::{ConnectError, Connector, Reply};
use message::{Message, failure};

/// The longest message that is taken from the client, in bytes.
const MAX_MESSAGE_BYTES: u64 = 4 * 1024 * 1024;
/// The longest answer that is taken from the gateway, in bytes.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;
/// Lines that wait for the client to read them.
const MAX_LINES: usize = 64;
/// Requests under way at a time.
const MAX_UNDER_WAY: usize = 64;
/// How long answers that are under way may take once the client says no more: a gateway says after 20 s that a call waits for
/// somebody.
const LINGER: Duration = Duration::from_secs(30);

/// Serves one client until its input ends.
///
/// # Errors
/// When input or output fail. What fails at the gateway is told to the client.
///
/// # Cancel safety
/// A dropped call ends what is under way.
pub async fn serve(
    connector: Arc<Connector>,
    mut input: impl AsyncBufRead + Unpin,
    output: impl AsyncWrite + Send + Unpin + 'static,
) -> std::io::Result<()> {
    let (lines, said) = mpsc::channel(MAX_LINES);
    let desk = Arc::new(Desk {
        connector,
        lines,
        revision: Mutex::default(),
        under_way: Mutex::default(),
    });
    let writing = tokio::spawn(write_all(said, output));
    let served = read_all(&desk, &mut input).await;
    drop(desk);
    // What was said before the end is written, whatever ended it.
    writing.await.map_err(std::io::Error::other)??;
    served
}

async fn read_all(
    desk: &Arc<Desk>,
    mut input: &mut (impl AsyncBufRead + Unpin),
) -> std::io::Result<()> {
    let mut tasks = JoinSet::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut input).take(MAX_MESSAGE_BYTES).read_until(b'\n', &mut line).await?;
        if read == 0 {
            break;
        }
        if !line.ends_with(b"\n") && read as u64 == MAX_MESSAGE_BYTES {
            let wrong = format!("a message is longer than {MAX_MESSAGE_BYTES} bytes");
            desk.say(failure(None, -32_600, &wrong)).await;
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, wrong));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match Message::read(&line) {
            Err(wrong) => desk.say(failure(None, -32_700, &wrong)).await,
            Ok(message) => {
                // Whoever is told that nobody wants its answer any more leaves, and the gateway ends what runs for it.
                if let Some(cancelled) = message.cancels()
                    && let Some(task) = desk.under_way.lock().remove(&cancelled)
                {
                    task.abort();
                    continue;
                }
                while tasks.len() >= MAX_UNDER_WAY {
                    let _ended = tasks.join_next().await;
                }
                // Known before it can be over.
                let mut under_way = desk.under_way.lock();
                let id = message.id();
                let task = tasks.spawn(Arc::clone(desk).relay(message));
                under_way.extend(id.map(|id| (id, task)));
            }
        }
    }
    let rest = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(LINGER, rest).await.is_err() {
        tracing::error!(
            requests = tasks.len(),
            "input ended, and the gateway did not answer within 30 s; what was asked may be done all the same"
        );
    }
    Ok(())
}

/// Writes line by line, each whole: whoever says it may be stopped at any time.
async fn write_all(
    mut said: mpsc::Receiver<Vec<u8>>,
    mut output: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    while let Some(mut line) = said.recv().await {
        line.push(b'\n');
        output.write_all(&line).await?;
        output.flush().await?;
    }
    Ok(())
}

struct Desk {
    connector: Arc<Connector>,
    lines: mpsc::Sender<Vec<u8>>,
    /// What `initialize` agreed on; clients of 2026-07-28 say it in each message.
    revision: Mutex<Option<String>>,
    under_way: Mutex<HashMap<String, AbortHandle>>,
}

impl Desk {
    async fn relay(self: Arc<Self>, message: Message) {
        let revision = self.revision.lock().clone();
        let told = match message.ask(revision.as_deref()) {
            Err(wrong) => Err((-32_600, wrong)),
            Ok(ask) => match self.connector.post(&ask).await {
                Ok(reply) => self.answer(&message, reply).await,
                Err(error) => Err(unreached(&error)),
            },
        };
        if let Err((code, why)) = told {
            tracing::warn!(method = message.method(), why, "the gateway gave no answer");
            if message.id().is_some() {
                self.say(failure(message.raw_id(), code, &why)).await;
            }
        }
        if let Some(id) = message.id() {
            self.under_way.lock().remove(&id);
        }
    }

    async fn answer(&self, message: &Message, mut reply: Reply) -> Result<(), (i64, String)> {
        let media = reply.headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let broken = |error: ConnectError| unreached(&error);
        if media.is_some_and(|media| media.starts_with("text/event-stream")) {
            let mut events = Events::new(MAX_EVENT_BYTES);
            while let Some(data) = reply.chunk().await.map_err(broken)? {
                let found = events.feed(&data).map_err(|error| (-32_000, error.to_string()))?;
                for event in found {
                    self.pass(message, &event).await?;
                }
            }
            return Ok(());
        }
        let body = reply.whole(MAX_EVENT_BYTES).await.map_err(broken)?;
        if body.is_empty() && reply.status.is_success() {
            return Ok(());
        }
        // An answer of the protocol, whatever its status is.
        if serde_json::from_slice::<Value>(&body).is_ok_and(|body| body.get("jsonrpc").is_some()) {
            return self.pass(message, &body).await;
        }
        Err((-32_000, refused(reply.status, &body)))
    }

    /// Gives the client what it was sent, on one line.
    async fn pass(&self, message: &Message, text: &[u8]) -> Result<(), (i64, String)> {
        let value: Value = serde_json::from_slice(text).map_err(|_| {
            (-32_000, "the gateway answered with something that is no JSON".to_owned())
        })?;
        if message.method() == "initialize"
            && let Some(agreed) = value.pointer("/result/protocolVersion").and_then(Value::as_str)
        {
            *self.revision.lock() = Some(agreed.to_owned());
        }
        // As it came where that is one line already: what is on record is what is given.
        let one_line = !text.contains(&b'\n') && !text.contains(&b'\r');
        let line = if one_line { text.to_vec() } else { value.to_string().into_bytes() };
        self.say(line).await;
        Ok(())
    }

    async fn say(&self, line: Vec<u8>) {
        // Nobody reads any more: the end of the input follows.
        let _gone = self.lines.send(line).await;
    }
}

fn unreached(error: &ConnectError) -> (i64, String) {
    (-32_000, error.to_string())
}

/// What a refusal says that is none of the protocol's.
fn refused(status: StatusCode, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |field: &str| body.get(field).and_then(Value::as_str).map(str::to_owned);
    match (text("message"), text("code")) {
        (Some(message), Some(code)) => format!("the gateway refused: {message} ({code})"),
        _ => format!(
            "the gateway answered with status {status}; is [gateway.mcp] in its configuration?"
        ),
    }
}
