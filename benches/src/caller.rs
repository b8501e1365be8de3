//! Clients of calls, in a process of their own, so that what they cost is not counted for what they call: each has a connection of its
//! own and asks again as soon as it has the answer.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::{Certificate, Client, RequestBuilder, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin};
use tokio::task::JoinSet;

use crate::Failure;
use crate::figures::Waits;
use crate::stand::Peer;
use crate::upstream::{FIND, WAIT};

/// The role of a process that is that.
pub const ROLE: &str = "--caller";
/// Streams on one connection: fewer than any front lets by default.
const STREAMS: usize = 100;
/// Streams that are being opened at a time.
const OPENING: usize = 64;
const REVISION: &str = "2026-07-28";

/// What is called.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Callee {
    /// Where it is: `/mcp` of a server, or a resource to get.
    pub url: String,
    /// Whether tools are called there.
    pub tools: bool,
    /// PEM of the CA of its certificate.
    pub ca: Option<String>,
    /// A file with the token to show.
    pub token: Option<String>,
    /// Whether HTTP/2 is offered: the clients of Python and Node.js speak HTTP/1.1.
    pub http2: bool,
}

/// What one run was.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Calls {
    /// In a second.
    pub rate: f64,
    /// How many.
    pub count: usize,
    /// The middle one in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 took at most so long, in milliseconds.
    pub p99_ms: f64,
}

/// A process with clients of one callee.
pub struct Caller(Peer);

impl Caller {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(callee: &Callee) -> Result<Self, Failure> {
        let told = serde_json::to_string(callee)?;
        Ok(Self(Peer::start(ROLE, std::iter::once(told.as_str()))?))
    }

    /// So many clients for so long.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn load(&mut self, clients: usize, time: Duration) -> Result<Calls, Failure> {
        let told = self.say(&Order::Load { clients, millis: time.as_millis() as u64 }).await?;
        Ok(serde_json::from_str(&told)?)
    }

    /// Opens so many calls of [`WAIT`], and says how many are held.
    ///
    /// # Errors
    /// When one is refused.
    pub async fn hold(&mut self, count: usize) -> Result<usize, Failure> {
        Ok(self.say(&Order::Hold { count }).await?.parse()?)
    }

    /// How many of those that are held were answered whole.
    ///
    /// # Errors
    /// When one breaks off.
    pub async fn ended(&mut self) -> Result<usize, Failure> {
        Ok(self.0.line().await?.parse()?)
    }

    async fn say(&mut self, order: &Order) -> Result<String, Failure> {
        let line = format!("{}\n", serde_json::to_string(order)?);
        self.0.stdin.write_all(line.as_bytes()).await?;
        self.0.line().await
    }
}

#[derive(Serialize, Deserialize)]
enum Order {
    Load { clients: usize, millis: u64 },
    Hold { count: usize },
}

/// Does what it is told line by line, as the process of that role.
///
/// # Errors
/// When a call fails.
pub async fn serve(arguments: &[String]) -> Result<(), Failure> {
    let callee: Callee = serde_json::from_str(arguments.first().ok_or("CALLEE is missing")?)?;
    let token = callee.token.as_deref().map(Path::new).map(std::fs::read_to_string).transpose()?;
    let caller = Calling { callee, token };
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = next(&mut orders).await? {
        match order {
            Order::Load { clients, millis } => {
                let calls = caller.load(clients, Duration::from_millis(millis)).await?;
                println!("{}", serde_json::to_string(&calls)?);
            }
            Order::Hold { count } => {
                let held = caller.hold(count).await?;
                println!("{}", held.len());
                println!("{}", whole(held).await?);
            }
        }
    }
    Ok(())
}

async fn next(orders: &mut Lines<BufReader<Stdin>>) -> Result<Option<Order>, Failure> {
    let Some(line) = orders.next_line().await? else { return Ok(None) };
    Ok(Some(serde_json::from_str(&line)?))
}

#[derive(Clone)]
struct Calling {
    callee: Callee,
    token: Option<String>,
}

impl Calling {
    fn client(&self) -> Result<Client, Failure> {
        let mut client = Client::builder().no_proxy().pool_max_idle_per_host(usize::MAX);
        if !self.callee.http2 {
            client = client.http1_only();
        }
        if let Some(ca) = &self.callee.ca {
            client = client.tls_certs_only(Certificate::from_pem_bundle(&std::fs::read(ca)?)?);
        }
        Ok(client.build()?)
    }

    fn call(&self, client: &Client, tool: &str, number: usize) -> RequestBuilder {
        let mut request = if self.callee.tools {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": REVISION,
                "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
                "progressToken": number,
            });
            let params = json!({ "name": tool, "arguments": { "id": 7 }, "_meta": meta });
            let message =
                json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params });
            let fields = [
                ("accept", "application/json, text/event-stream"),
                ("mcp-protocol-version", REVISION),
                ("mcp-method", "tools/call"),
                ("mcp-name", tool),
            ];
            let request = client.post(&self.callee.url).json(&message);
            fields.into_iter().fold(request, |request, (name, value)| request.header(name, value))
        } else {
            client.get(&self.callee.url)
        };
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request
    }

    async fn load(&self, clients: usize, time: Duration) -> Result<Calls, Failure> {
        let mut running = JoinSet::new();
        let began = Instant::now();
        for _ in 0..clients {
            let (caller, client) = (self.clone(), self.client()?);
            running.spawn(async move {
                let mut waits = Waits::new();
                // The first connects, which is not what is measured.
                let mut first = true;
                while began.elapsed() < time || first {
                    let asked = Instant::now();
                    let answer = caller.call(&client, FIND, waits.count()).send().await?;
                    answered(answer).await?;
                    if !std::mem::take(&mut first) {
                        waits.add(asked.elapsed());
                    }
                }
                Ok::<_, Failure>(waits)
            });
        }
        let mut waits = Waits::new();
        while let Some(ended) = running.join_next().await {
            waits.extend(ended??);
        }
        let count = waits.count();
        let [p50_ms, p99_ms] = waits.at([50, 99]);
        Ok(Calls { rate: count as f64 / began.elapsed().as_secs_f64(), count, p50_ms, p99_ms })
    }

    async fn hold(&self, count: usize) -> Result<Vec<Response>, Failure> {
        let clients = (0..count.div_ceil(STREAMS)).map(|_| self.client());
        let clients = clients.collect::<Result<Vec<_>, _>>()?;
        let opened = futures::stream::iter(0..count).map(|number| {
            let client = clients.get(number / STREAMS);
            let call = client.map(|client| self.call(client, WAIT, number));
            async move {
                let mut answer = call.ok_or("no client")?.send().await?;
                let status = answer.status();
                let first = answer.chunk().await?.unwrap_or_default();
                let said = String::from_utf8_lossy(&first);
                if !said.contains("working on it") {
                    return Err::<_, Failure>(
                        format!("call {number} was answered {status}: {said}").into(),
                    );
                }
                Ok(answer)
            }
        });
        opened.buffer_unordered(OPENING).try_collect().await
    }
}

async fn answered(answer: Response) -> Result<(), Failure> {
    let status = answer.status();
    let body = answer.bytes().await?;
    if !status.is_success() || !body.windows(b"TEA-100".len()).any(|part| part == b"TEA-100") {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(())
}

async fn whole(held: Vec<Response>) -> Result<usize, Failure> {
    let mut ended = 0;
    for answer in held {
        answered(answer).await?;
        ended += 1;
    }
    Ok(ended)
}
