//! Many sessions: the memory of idle ones over QUIC, and how many new ones a second are opened, each with its token
//! checked and policy asked, beside traffic of other sessions.
//!
//! The gateway runs alone in this process on an embedded log; the sessions are opened by a child, through the same
//! connector as `tallyport connect`, 100 to a QUIC connection; PostgreSQL and pgbench are the real ones.
//!
//! `cargo bench -p tallyport-benches --bench sessions [-- --help]`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use tallyport_benches::Failure;
use tallyport_benches::figures::{Waits, processor_us, profile, resident_kib};
use tallyport_benches::load::{pgbench, pgbench_tables, postgres, psql};
use tallyport_benches::stand::{Peer, Setup, Stand, TARGET, connector, role, run};
use tallyport_benches::wire::Client;
use tallyport_gateway::connect::{Connector, Tunnel};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SESSIONS: &str = "--sessions";
const PER_CONNECTION: usize = 100;
/// Sessions that the child opens at the same time.
const OPENING: usize = 32;
/// What just happened has left the queues and the allocator then.
const SETTLE: Duration = Duration::from_secs(3);

/// Idle sessions, and new ones beside traffic.
#[derive(clap::Parser)]
struct Options {
    /// Sessions that stay idle.
    #[arg(long, default_value_t = 5000)]
    idle: usize,
    /// New sessions a second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// For so long.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Clients of pgbench beside them.
    #[arg(long, default_value_t = 8)]
    traffic: u32,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Failure> {
    run(async |arguments| match role(&arguments, SESSIONS) {
        Some(rest) => open_sessions(rest).await,
        None => measure(&Options::parse_from(arguments)).await,
    })
}

async fn measure(options: &Options) -> Result<(), Failure> {
    let postgres = postgres(&["--max-connections", "5400"]).await?;
    let target = postgres.port("port");
    pgbench_tables(target).await?;
    let stand = Stand::start(Setup { sessions: 10_000, ..Setup::new(target) }).await?;
    println!("profile: {}", profile());
    let mut peer = stand.spawn(SESSIONS, &[&options.idle.to_string()])?;
    let me = std::process::id();
    peer.line().await?;
    sleep(SETTLE).await;
    let (memory, processor) = (resident_kib(me), processor_us(me));
    let begun = Instant::now();
    tell(&mut peer, "open").await?;
    let opened = peer.line().await?;
    let (took, spent) = (begun.elapsed(), processor_us(me) - processor);
    sleep(SETTLE).await;
    let backends =
        psql(target, "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            .await?;
    let idle = options.idle as f64;
    println!(
        "{} idle sessions over QUIC ({opened}; the server has {} backends): {:.1} KiB each in the gateway; \
         opened {:.0} a second, {:.2} ms of the gateway's processor time each",
        options.idle,
        backends.trim(),
        (resident_kib(me) - memory) / idle,
        idle / took.as_secs_f64(),
        spent / 1000.0 / idle,
    );
    fresh(options, &stand, &mut peer).await?;
    peer.kill().await?;
    stand.stop().await;
    Ok(())
}

/// New sessions beside traffic, and the same traffic alone.
async fn fresh(options: &Options, stand: &Stand, peer: &mut Peer) -> Result<(), Failure> {
    let (connect, port) = stand.connect().await?;
    pgbench(port, options.traffic, 2).await?;
    let alone = pgbench(port, options.traffic, options.seconds).await?;
    let beside = pgbench(port, options.traffic, options.seconds);
    let opening = async {
        tell(peer, &format!("rate {} {}", options.rate, options.seconds)).await?;
        peer.line().await
    };
    let (beside, opened) = tokio::join!(beside, opening);
    let beside = beside?;
    println!("new sessions, {} a second asked for: {}", options.rate, opened?);
    println!(
        "beside them {} clients of pgbench: {:.0} tps, {:.0} without ({:.2})",
        options.traffic,
        beside.tps,
        alone.tps,
        beside.tps / alone.tps
    );
    connect.kill().await
}

async fn tell(peer: &mut Peer, line: &str) -> Result<(), Failure> {
    peer.stdin.write_all(format!("{line}\n").as_bytes()).await?;
    Ok(peer.stdin.flush().await?)
}

/// The child: holds idle sessions, and opens others at the asked rate.
async fn open_sessions(arguments: &[String]) -> Result<(), Failure> {
    let idle: usize = arguments.last().ok_or("how many?")?.parse()?;
    let connections = idle.div_ceil(PER_CONNECTION).max(1);
    let connectors: Vec<_> =
        (0..connections).map(|_| connector(arguments).map(Arc::new)).collect::<Result<_, _>>()?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    println!("ready");
    let mut held = Vec::new();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["open"] => {
                held = hold(&connectors, idle).await?;
                println!("{} of them on {connections} connections", held.len());
            }
            ["rate", rate, seconds] => {
                println!("{}", at_rate(&connectors, rate.parse()?, seconds.parse()?).await?);
            }
            other => return Err(format!("{other:?}?").into()),
        }
    }
    drop(held);
    Ok(())
}

async fn open(connector: Arc<Connector>) -> Result<Client<Tunnel>, Failure> {
    Client::login(connector.open(TARGET).await?).await
}

async fn hold(connectors: &[Arc<Connector>], idle: usize) -> Result<Vec<Client<Tunnel>>, Failure> {
    let mut held = Vec::with_capacity(idle);
    let mut opening = JoinSet::new();
    for connector in connectors.iter().cycle().take(idle) {
        if opening.len() == OPENING
            && let Some(opened) = opening.join_next().await
        {
            held.push(opened??);
        }
        opening.spawn(open(Arc::clone(connector)));
    }
    while let Some(opened) = opening.join_next().await {
        held.push(opened??);
    }
    Ok(held)
}

/// Opens sessions at a fixed rate, whether the ones before are open yet or not, and closes each.
async fn at_rate(
    connectors: &[Arc<Connector>],
    rate: u32,
    seconds: u32,
) -> Result<String, Failure> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut opening = JoinSet::new();
    let begun = Instant::now();
    for connector in connectors.iter().cycle().take(usize::try_from(rate * seconds)?) {
        ticks.tick().await;
        let connector = Arc::clone(connector);
        opening.spawn(async move {
            let begun = Instant::now();
            let client = open(connector).await?;
            let took = begun.elapsed();
            client.close().await?;
            Ok::<_, Failure>(took)
        });
    }
    let mut waits = Waits::new();
    let mut failed = 0;
    while let Some(opened) = opening.join_next().await {
        match opened? {
            Ok(took) => waits.add(took),
            Err(error) => {
                eprintln!("a session failed: {error}");
                failed += 1;
            }
        }
    }
    let per_second = waits.count() as f64 / begun.elapsed().as_secs_f64();
    let [p50, p99] = waits.at([50, 99]);
    Ok(format!(
        "{per_second:.0} a second opened, p50 {p50:.1} ms, p99 {p99:.1} ms, {failed} failed"
    ))
}
