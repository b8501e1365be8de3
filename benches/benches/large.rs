//! One large result, and one large COPY into a table: direct and through the gateway, with everything recorded and with
//! digests only; and the most memory that the gateway's process had meanwhile. Beside it bare tunnels over QUIC.
//!
//! The gateway runs alone in this process on an embedded log, `connect` in a child, PostgreSQL is the real one. The
//! client reads and throws away. The ways take turns within every round.
//!
//! `cargo bench -p tallyport-benches --bench large [-- --help]`.

use std::time::Instant;

use clap::Parser as _;
use tallyport_benches::Failure;
use tallyport_benches::figures::{
    Waits, forget_peak, peak_kib, processor_us, profile, resident_kib, spread,
};
use tallyport_benches::load::{postgres, psql};
use tallyport_benches::stand::{ALLOW_ALL, Peer, Setup, Stand, run};
use tallyport_benches::tunnel::{self, Tunnel};
use tallyport_benches::wire::Client;
use tokio::net::TcpStream;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DIGEST: &str = r#"@id("digest") @record("digest") permit (principal, action, resource);"#;
/// Bytes of a row: its number, and hexadecimal digits, which compress to a little over half.
const ROW: usize = 520;

/// Pieces of COPY data that are sent again and again, and lines of each.
const COPY_PIECES: usize = 64;
const COPY_ROWS: usize = 128;

const MIB: usize = 1024 * 1024;

/// One large result, and one large COPY into a table.
#[derive(clap::Parser)]
struct Options {
    /// How large.
    #[arg(long, default_value_t = 1024)]
    mib: usize,
    /// Turns of each way.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A way to the database.
struct Way {
    name: &'static str,
    port: u16,
    /// Whose processor time is told.
    process: u32,
    gateway: Option<(Stand, Peer)>,
    select: Waits,
    copy: Waits,
    peak: f64,
    recorded: u64,
    processor: f64,
}

impl Way {
    fn new(name: &'static str, port: u16, gateway: Option<(Stand, Peer)>) -> Self {
        let (select, copy) = <(Waits, Waits)>::default();
        let process = std::process::id();
        Self { name, port, process, gateway, select, copy, peak: 0.0, recorded: 0, processor: 0.0 }
    }

    async fn through(name: &'static str, setup: Setup) -> Result<Self, Failure> {
        let stand = Stand::start(setup).await?;
        let (connect, port) = stand.connect().await?;
        Ok(Self::new(name, port, Some((stand, connect))))
    }
}

fn main() -> Result<(), Failure> {
    run(async |arguments| {
        if tunnel::serve(&arguments).await? {
            return Ok(());
        }
        measure(&Options::parse_from(arguments)).await
    })
}

async fn measure(options: &Options) -> Result<(), Failure> {
    let postgres = postgres(&[]).await?;
    let direct = postgres.port("port");
    let bytes = options.mib * MIB;
    println!("profile: {}; filling a table of {} MiB", profile(), options.mib);
    fill(direct, bytes / ROW).await?;
    let digest = Setup { policy: DIGEST, ..Setup::new(direct) };
    let recorded = Way::through("all recorded", Setup { policy: ALLOW_ALL, ..digest }).await?;
    let digested = Way::through("digest only", digest).await?;
    let (stand, _) = recorded.gateway.as_ref().ok_or("no gateway")?;
    let [plain, synced] =
        [Tunnel::start(stand, direct, false).await?, Tunnel::start(stand, direct, true).await?];
    let bare = |name, tunnel: &Tunnel| {
        let [process, _] = tunnel.ids();
        Way { process, ..Way::new(name, tunnel.port, None) }
    };
    let mut ways = [
        Way::new("direct", direct, None),
        bare("tunnel", &plain),
        bare("synced tunnel", &synced),
        recorded,
        digested,
    ];
    let lines = copy_lines();
    for round in 1..=options.rounds {
        for way in &mut ways {
            turn(way, &lines, bytes).await?;
            eprintln!("round {round} of {}: {}", options.rounds, way.name);
        }
    }
    report(&mut ways, options);
    for way in ways {
        if let Some((stand, connect)) = way.gateway {
            connect.kill().await?;
            stand.stop().await;
        }
    }
    Ok(())
}

/// Rows that no page cache of compressed pages makes smaller than they are.
async fn fill(port: u16, rows: usize) -> Result<(), Failure> {
    let digests: Vec<String> =
        (0..16).map(|part| format!("md5((g * 16 + {part})::text)")).collect();
    let sql = format!(
        "CREATE UNLOGGED TABLE wide AS SELECT g AS id, {} AS body FROM generate_series(1, {rows}) g; \
         CREATE UNLOGGED TABLE sink (id bigint, body text); VACUUM ANALYZE wide",
        digests.join(" || ")
    );
    for statement in sql.split("; ") {
        psql(port, statement).await?;
    }
    Ok(())
}

/// Lines for COPY as hard to compress as the rows are: in pieces larger than what is compressed at once.
fn copy_lines() -> Vec<String> {
    let digits =
        |row: usize| (0..32).map(move |part| format!("{:016x}", spread((row * 32 + part) as u64)));
    let line = |row| format!("{row}\t{}\n", digits(row).collect::<String>());
    (0..COPY_PIECES)
        .map(|piece| (0..COPY_ROWS).map(|row| line(piece * COPY_ROWS + row)).collect())
        .collect()
}

async fn turn(way: &mut Way, lines: &[String], bytes: usize) -> Result<(), Failure> {
    let before = resident_kib(std::process::id());
    forget_peak()?;
    let processor = processor_us(way.process);
    let mut client = Client::login(TcpStream::connect(("127.0.0.1", way.port)).await?).await?;
    let begun = Instant::now();
    let answer = client.query("SELECT id, body FROM wide").await?;
    way.select.add(begun.elapsed());
    if answer.bytes < bytes as u64 / 2 {
        return Err(format!("an answer of {} bytes", answer.bytes).into());
    }
    way.processor += processor_us(way.process) - processor;
    let begun = Instant::now();
    client.copy_in("COPY sink FROM STDIN", lines, bytes).await?;
    way.copy.add(begun.elapsed());
    client.query("TRUNCATE sink").await?;
    client.close().await?;
    way.peak = way.peak.max(peak_kib(std::process::id()) - before);
    way.recorded = way.gateway.as_ref().map_or(0, |(stand, _)| stand.log_bytes());
    Ok(())
}

fn report(ways: &mut [Way], options: &Options) {
    println!(
        "{:<14} {:>12} {:>9} {:>12} {:>9} {:>14} {:>14} {:>16}",
        "way",
        "SELECT MB/s",
        "of direct",
        "COPY in MB/s",
        "of direct",
        "more memory",
        "log MiB in all",
        "processor s/GB"
    );
    let mb = (options.mib * MIB) as f64 / 1e6;
    let mut direct = None;
    // The client is in this process, as the gateways are: what it takes is not theirs.
    let client = ways.first().map_or(0.0, |way| way.processor);
    let own = std::process::id();
    for way in ways {
        if way.process == own && way.gateway.is_some() {
            way.processor -= client;
        }
        let [select, copy] = [&mut way.select, &mut way.copy].map(|waits| {
            let [median] = waits.at([50]);
            mb / (median / 1000.0)
        });
        let (of_select, of_copy) = *direct.get_or_insert((select, copy));
        println!(
            "{:<14} {select:>12.0} {:>9.2} {copy:>12.0} {:>9.2} {:>10.1} MiB {:>14} {:>16.2}",
            way.name,
            select / of_select,
            copy / of_copy,
            way.peak / 1024.0,
            way.recorded / MIB as u64,
            way.processor / 1e6 / (mb / 1000.0) / options.rounds as f64,
        );
    }
    println!("medians of {} rounds of {} MiB", options.rounds, options.mib);
}
