//! `pgbench -S -M prepared` through the gateway alone, without recorder and query service: throughput beside a direct
//! connection, beside pgbouncer in session mode and beside bare tunnels over QUIC, and the processor time of each process
//! per transaction.
//!
//! The gateway runs in this process on an embedded log, `connect` in a child process (this program again), PostgreSQL
//! and pgbench are the real ones.
//!
//! `cargo bench -p tallyport-benches --bench way [-- --help]`.

use clap::Parser as _;
use tallyport_benches::Failure;
use tallyport_benches::figures::{processor_us, profile};
use tallyport_benches::load::{Load, pgbench, pgbench_tables, pgbouncer, postgres};
use tallyport_benches::stand::{Setup, Stand, run};
use tallyport_benches::tunnel::{self, Tunnel};
use tallyport_benches::watched::{self, Watch};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `pgbench -S` through the gateway alone.
#[derive(clap::Parser)]
struct Options {
    /// Clients at a time, one run for each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    clients: Vec<u32>,
    /// Seconds of each run.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// `embedded`, or `memory`, which takes the disk and SQLite away.
    #[arg(long, default_value = "embedded", value_parser = ["embedded", "memory"])]
    log: String,
    #[command(flatten)]
    watch: Watch,
    /// Stay up after the load and print the process ids, for a profiler.
    #[arg(long)]
    hold: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Failure> {
    run(async |arguments| {
        if tunnel::serve(&arguments).await? || watched::serve(&arguments).await? {
            return Ok(());
        }
        measure(&Options::parse_from(arguments)).await
    })
}

async fn measure(options: &Options) -> Result<(), Failure> {
    let watched = options.watch.start().await?;
    let postgres = postgres(&[]).await?;
    let direct = postgres.port("port");
    pgbench_tables(direct).await?;
    let bouncer = pgbouncer(direct).await?;
    let peer = bouncer.as_ref().map(|service| service.port("port"));
    let stand =
        Stand::start(Setup { in_memory: options.log == "memory", ..Setup::new(direct) }).await?;
    let (connect, port) = stand.connect().await?;
    let tunnels =
        [Tunnel::start(&stand, direct, false).await?, Tunnel::start(&stand, direct, true).await?];
    let ways = [
        ("tunnel", tunnels[0].port, tunnels[0].ids()),
        ("synced tunnel", tunnels[1].port, tunnels[1].ids()),
        ("gateway", port, [std::process::id(), connect.id()]),
    ];
    for port in [Some(direct), peer].into_iter().flatten().chain(ways.map(|(_, port, _)| port)) {
        pgbench(port, 2, 2).await?;
    }
    println!("profile: {}", profile());
    println!(
        "{:>7} {:<13} {:>8} {:>9} {:>12} {:>8} {:>8} {:>8} {:>14} {:>14}",
        "clients",
        "way",
        "tps",
        "of direct",
        "of pgbouncer",
        "p50 ms",
        "p99 ms",
        "slowest",
        "gateway us/tx",
        "connect us/tx"
    );
    for &clients in &options.clients {
        let straight = pgbench(direct, clients, options.seconds).await?;
        print(clients, "direct", &straight, &straight, None, "");
        let mut bounced = None;
        if let Some(peer) = peer {
            let load = pgbench(peer, clients, options.seconds).await?;
            print(clients, "pgbouncer", &load, &straight, Some(&load), "");
            bounced = Some(load);
        }
        for (name, port, pids) in ways {
            let before = pids.map(processor_us);
            let through = pgbench(port, clients, options.seconds).await?;
            let after = pids.map(processor_us);
            let transactions = through.tps * f64::from(options.seconds);
            let [gateway_us, connect_us] =
                [0, 1].map(|n: usize| spent(&before, &after, n) / transactions);
            let processor = format!(" {gateway_us:>14.1} {connect_us:>14.1}");
            print(clients, name, &through, &straight, bounced.as_ref(), &processor);
        }
    }
    if options.hold {
        println!(
            "port {port}; gateway is process {}, connect {}",
            std::process::id(),
            connect.id()
        );
        tokio::signal::ctrl_c().await?;
    }
    connect.kill().await?;
    stand.stop().await;
    match watched {
        Some(watched) => watched.stop().await,
        None => Ok(()),
    }
}

fn spent(before: &[f64; 2], after: &[f64; 2], n: usize) -> f64 {
    after.get(n).copied().unwrap_or_default() - before.get(n).copied().unwrap_or_default()
}

/// `slowest` is the share of the client that had the fewest transactions: 1 is fair.
fn print(clients: u32, way: &str, load: &Load, direct: &Load, peer: Option<&Load>, more: &str) {
    let of_peer = peer.map_or(f64::NAN, |peer| load.tps / peer.tps);
    println!(
        "{clients:>7} {way:<13} {:>8.0} {:>9.3} {of_peer:>12.3} {:>8.2} {:>8.2} {:>8.2}{more}",
        load.tps,
        load.tps / direct.tps,
        load.p50_ms,
        load.p99_ms,
        load.slowest
    );
}
