//! A call of a tool of an MCP server (2026-07-28), and a request to an HTTP service: direct, through nginx as a plain proxy, and through
//! the gateway with both barriers durable on the embedded log, in turn within every round, against one upstream.
//!
//! The upstream, the clients and `connect` are processes of their own (this program again); the gateway is this one. Tools are called
//! over TLS at nginx and at the gateway, once over HTTP/1.1, as the clients of Python and Node.js do, and once over HTTP/2; at the
//! upstream itself over plain HTTP/1.1. The service is asked over HTTP/1.1 without TLS everywhere, at the gateway through `connect`.
//!
//! `cargo bench -p tallyport-benches --bench call [-- --help]`.

use std::time::Duration;

use clap::Parser as _;
use dev_services::DevService;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use tallyport_benches::caller::{self, Callee, Caller, Calls};
use tallyport_benches::figures::{processor_us, profile, resident_kib};
use tallyport_benches::load::peer;
use tallyport_benches::stand::{Peer, SERVER, SERVICE, Setup, Stand, role, run};
use tallyport_benches::watched::{self, Watch};
use tallyport_benches::{Failure, upstream};
use tokio::io::AsyncWriteExt as _;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Appends that are timed before each round with one client.
const APPENDS: usize = 200;
/// Events of the two appends of a call: token, decision and command before it passes, then the response.
const TOOL_APPENDS: [usize; 2] = [3, 1];
/// The same of a request, whose token was checked with its session.
const REQUEST_APPENDS: [usize; 2] = [2, 1];
/// What just happened has left the queues and the allocator then.
const SETTLE: Duration = Duration::from_secs(3);
const MICROS: f64 = 1000.0;

/// A call direct, through nginx and through the gateway.
#[derive(clap::Parser)]
struct Options {
    /// Clients at a time, each with a connection of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    clients: Vec<usize>,
    /// Rounds; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each way in each round.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Calls of a tool that are held open at once.
    #[arg(long, default_value_t = 10_000)]
    streams: usize,
    #[command(flatten)]
    watch: Watch,
    /// Stay up after the load and print the process ids, for a profiler.
    #[arg(long)]
    hold: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One way to the upstream.
struct Way {
    name: &'static str,
    caller: Caller,
    /// The processes between the caller and the upstream.
    between: Vec<u32>,
}

/// What is compared.
struct Compared {
    what: &'static str,
    /// How many events go on record together.
    appends: [usize; 2],
}

/// What a way did in one round.
#[derive(Clone, Copy)]
struct Round {
    calls: Calls,
    /// Processor time of what is between, in microseconds a call.
    processor: f64,
}

fn main() -> Result<(), Failure> {
    run(async |arguments| {
        if role(&arguments, upstream::ROLE).is_some() {
            return upstream::serve().await;
        }
        if watched::serve(&arguments).await? {
            return Ok(());
        }
        match role(&arguments, caller::ROLE) {
            Some(rest) => caller::serve(rest).await,
            None => measure(&Options::parse_from(arguments)).await,
        }
    })
}

async fn measure(options: &Options) -> Result<(), Failure> {
    // Each held call is a connection to the upstream, here and, since it is inherited, in the other processes.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    let watched = options.watch.start().await?;
    let (mut server, port) = upstream::start().await?;
    let sessions = options.streams.max(4096);
    let stand = Stand::start(Setup { sessions, ..Setup::before(port) }).await?;
    let (connect, by_connect) = stand.connect_to(SERVICE).await?;
    let nginx = nginx(port, &stand).await?;
    println!("profile: {}", profile());
    let mut over_http1 = tools(port, nginx.as_ref(), &stand, false)?;
    let what = Compared { what: "a tool (2026-07-28), HTTP/1.1", appends: TOOL_APPENDS };
    compare(&what, &mut over_http1, &stand, options).await?;
    let mut over_http2 = tools(port, nginx.as_ref(), &stand, true)?;
    let what = Compared { what: "a tool (2026-07-28), HTTP/2", appends: TOOL_APPENDS };
    compare(&what, &mut over_http2, &stand, options).await?;
    let mut requests = requests(port, nginx.as_ref(), (&connect, by_connect))?;
    let what = Compared { what: "a request to an HTTP service", appends: REQUEST_APPENDS };
    compare(&what, &mut requests, &stand, options).await?;
    if options.streams > 0 {
        println!();
        println!("{} calls of a tool held open at once, each a stream", options.streams);
        println!(
            "{:<10} {:>8} {:>8} {:>12} {:>15}",
            "way", "held", "whole", "KiB/stream", "open, us/stream"
        );
        for way in over_http2.iter_mut().filter(|way| !way.between.is_empty()) {
            hold(way, &mut server, options.streams).await?;
        }
    }
    if options.hold {
        println!("the gateway is process {}, connect {}", std::process::id(), connect.id());
        tokio::signal::ctrl_c().await?;
    }
    connect.kill().await?;
    stand.stop().await;
    match watched {
        Some(watched) => watched.stop().await,
        None => Ok(()),
    }
}

/// nginx in front of the upstream, with the gateway's certificate; none, said, where it cannot be installed.
async fn nginx(upstream: u16, stand: &Stand) -> Result<Option<DevService>, Failure> {
    let [certificate, key, _ca] = stand.certificate()?;
    let upstream = format!("127.0.0.1:{upstream}");
    let more = ["--upstream", &upstream, "--certificate", &certificate, "--key", &key];
    peer("nginx", more.map(str::to_owned).to_vec()).await
}

fn pids(nginx: &DevService) -> Vec<u32> {
    let pids = nginx.ready().get("pids").and_then(Value::as_array);
    pids.into_iter().flatten().filter_map(|pid| pid.as_u64()?.try_into().ok()).collect()
}

fn tools(
    port: u16,
    nginx: Option<&DevService>,
    stand: &Stand,
    http2: bool,
) -> Result<Vec<Way>, Failure> {
    let [_certificate, _key, ca] = stand.certificate()?;
    let tools = |url: String, ca: Option<&String>| Callee {
        url,
        tools: true,
        ca: ca.cloned(),
        token: None,
        http2,
    };
    let mut ways =
        vec![Way::new("direct", &tools(format!("http://127.0.0.1:{port}/mcp"), None), vec![])?];
    if let Some(nginx) = nginx {
        let url = format!("https://localhost:{}/mcp", nginx.port("port"));
        ways.push(Way::new("nginx", &tools(url, Some(&ca)), pids(nginx))?);
    }
    let token = stand.token_file().to_str().map(str::to_owned);
    let url = format!("{}/mcp/{SERVER}", stand.origin());
    let callee = Callee { token, ..tools(url, Some(&ca)) };
    ways.push(Way::new("gateway", &callee, vec![std::process::id()])?);
    Ok(ways)
}

fn requests(
    port: u16,
    nginx: Option<&DevService>,
    connect: (&Peer, u16),
) -> Result<Vec<Way>, Failure> {
    let at = |port: u16| Callee {
        url: format!("http://127.0.0.1:{port}/orders/7"),
        tools: false,
        ca: None,
        token: None,
        http2: false,
    };
    let mut ways = vec![Way::new("direct", &at(port), vec![])?];
    if let Some(nginx) = nginx {
        ways.push(Way::new("nginx", &at(nginx.port("plain_port")), pids(nginx))?);
    }
    let (connect, port) = connect;
    ways.push(Way::new("gateway", &at(port), vec![std::process::id(), connect.id()])?);
    Ok(ways)
}

impl Way {
    fn new(name: &'static str, callee: &Callee, between: Vec<u32>) -> Result<Self, Failure> {
        Ok(Self { name, caller: Caller::start(callee)?, between })
    }

    fn processor(&self) -> f64 {
        self.between.iter().copied().map(processor_us).sum()
    }

    fn resident(&self) -> f64 {
        self.between.iter().copied().map(resident_kib).sum()
    }

    async fn round(&mut self, clients: usize, time: Duration) -> Result<Round, Failure> {
        let before = self.processor();
        let calls = self.caller.load(clients, time).await?;
        Ok(Round { processor: (self.processor() - before) / calls.count.max(1) as f64, calls })
    }
}

async fn compare(
    what: &Compared,
    ways: &mut [Way],
    stand: &Stand,
    options: &Options,
) -> Result<(), Failure> {
    println!();
    println!(
        "{:<34} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8} {:>12} {:>8}",
        what.what,
        "clients",
        "calls/s",
        "of direct",
        "of nginx",
        "p50 ms",
        "p99 ms",
        "us/call",
        "MiB"
    );
    let time = Duration::from_secs_f64(options.seconds);
    for &clients in &options.clients {
        let mut rounds: Vec<Vec<Round>> = ways.iter().map(|_| Vec::new()).collect();
        let mut appends = [Vec::new(), Vec::new()];
        for round in 0..=options.rounds {
            for (events, appends) in what.appends.into_iter().zip(&mut appends) {
                let [append] = stand.appends(events, APPENDS).await?.at([50]);
                appends.push(append * MICROS);
            }
            for (way, rounds) in ways.iter_mut().zip(&mut rounds) {
                let done = way.round(clients, time).await?;
                // The first is for what is compiled, connected and cached once.
                if round > 0 {
                    rounds.push(done);
                }
            }
        }
        let direct =
            rounds.first().map_or(f64::NAN, |rounds| median(rounds, |round| round.calls.rate));
        let by_nginx =
            ways.iter().position(|way| way.name == "nginx").and_then(|at| rounds.get(at));
        let nginx = by_nginx.map_or(f64::NAN, |rounds| median(rounds, |round| round.calls.rate));
        for (way, rounds) in ways.iter().zip(&rounds) {
            let rate = median(rounds, |round| round.calls.rate);
            println!(
                "  {:<32} {clients:>7} {rate:>9.0} {:>9.3} {:>9.3} {:>8.3} {:>8.3} {:>12.1} {:>8.1}",
                way.name,
                rate / direct,
                rate / nginx,
                median(rounds, |round| round.calls.p50_ms),
                median(rounds, |round| round.calls.p99_ms),
                median(rounds, |round| round.processor),
                way.resident() / 1024.0,
            );
        }
        if clients == 1 {
            added(&rounds, what, &appends);
        }
    }
    Ok(())
}

/// What the gateway adds to one client's call, beside what its two appends take.
fn added(rounds: &[Vec<Round>], what: &Compared, appends: &[Vec<f64>; 2]) {
    let p50 = |rounds: Option<&Vec<Round>>| {
        rounds.map_or(f64::NAN, |rounds| median(rounds, |round| round.calls.p50_ms)) * MICROS
    };
    let [first, second] = what.appends;
    let [first_us, second_us] = appends.each_ref().map(|of| median(of, |append| *append));
    let added = p50(rounds.last()) - p50(rounds.first());
    println!(
        "  the gateway adds {added:.0} us at p50: appends of {first} and {second} events, {first_us:.0} and {second_us:.0} us, \
         and {:.0} us (goal: at most 500)",
        added - first_us - second_us
    );
}

fn median<T>(rounds: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

async fn hold(way: &mut Way, server: &mut Peer, streams: usize) -> Result<(), Failure> {
    tokio::time::sleep(SETTLE).await;
    let (memory, processor) = (way.resident(), way.processor());
    let held = way.caller.hold(streams).await?;
    let processor = way.processor() - processor;
    tokio::time::sleep(SETTLE).await;
    let memory = way.resident() - memory;
    server.stdin.write_all(b"go on\n").await?;
    let whole = way.caller.ended().await?;
    let each = streams as f64;
    println!(
        "{:<10} {held:>8} {whole:>8} {:>12.1} {:>15.0}",
        way.name,
        memory / each,
        processor / each
    );
    Ok(())
}
