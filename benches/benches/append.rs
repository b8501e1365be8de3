//! Durable appends per second: on the embedded log beside plain append + fdatasync of the same disk, on Kafka beside
//! Kafka's own `kafka-producer-perf-test` against the same broker, all in one run.
//!
//! Every writer waits for its event before it sends the next one; 1, 64 and 512 of them. The floor is a file that one
//! thread appends events of the same size to and syncs once per group. Kafka's tool has the same acknowledgement (`acks=all`,
//! idempotent, zstd) and runs once with all the room it wants, which is what the broker allows when nobody waits for anything,
//! and once for each number of writers with room for as many records, so that it too sends the next one when one is
//! acknowledged.
//!
//! `cargo bench -p tallyport-benches --bench append [-- SECONDS] [--log embedded|kafka|both]`; add `--profile dev` to
//! measure the build that the tests use.

use std::error::Error;
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::time::{Duration, Instant};

use dev_services::{DevService, StartError};
use tallyport_eventlog::{Appender, AppenderOptions, EmbeddedOptions, LogUrl, open};
use tallyport_schemas::{Body, Context, Draft, Integrity, ProducerId, ocsf};
use tokio::sync::{mpsc, oneshot};

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

const WRITERS: [usize; 3] = [1, 64, 512];
const DEFAULT_SECONDS: u64 = 3;
/// Records of Kafka's own tool per second of a turn: enough to fill it, whatever the machine.
const TOOL_RECORDS_PER_SECOND: u64 = 60_000;
/// The same of each writer, where it has room for no more in flight than there are writers.
const TOOL_RECORDS_PER_WRITER: u64 = 2_000;
/// What a record takes of the tool's room beyond its value, rather too much.
const RECORD_OVERHEAD_BYTES: usize = 160;
/// The tool's own size of a batch.
const TOOL_BATCH_BYTES: usize = 16 * 1024;
const PARTITIONS: usize = 6;
const TURN: Duration = Duration::from_secs(1);
const QUEUE: usize = 1024;

/// What one way did with one number of writers.
struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

struct Options {
    seconds: u64,
    embedded: bool,
    kafka: bool,
}

fn options() -> Result<Options, Failure> {
    let mut options = Options { seconds: DEFAULT_SECONDS, embedded: true, kafka: true };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--log" => {
                let log = arguments.next().unwrap_or_default();
                (options.embedded, options.kafka) = match log.as_str() {
                    "embedded" => (true, false),
                    "kafka" => (false, true),
                    "both" => (true, true),
                    other => return Err(format!("--log {other}: embedded, kafka or both").into()),
                };
            }
            seconds => options.seconds = seconds.parse()?,
        }
    }
    Ok(options)
}

fn main() -> Result<(), Failure> {
    let options = options()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("profile: {}", if cfg!(debug_assertions) { "dev" } else { "release" });
    let (bytes, encoding) = encoding(ProducerId::parse("bench")?);
    println!("an event has {bytes} bytes, encoded in {encoding:.1?}");
    println!(
        "{:>7}  {:<28} {:>10} {:>9} {:>9}  {:>8}",
        "writers", "way", "events/s", "p50 ms", "p99 ms", "of limit"
    );
    if options.embedded {
        runtime.block_on(embedded(options.seconds, bytes))?;
    }
    if options.kafka {
        match DevService::start("kafka", &[]) {
            Ok(service) => runtime.block_on(kafka(&service, options.seconds, bytes))?,
            Err(StartError::NotInstallable { .. }) => {
                println!("NOT RUN: appends on Kafka: it cannot be installed");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn embedded(seconds: u64, event_bytes: usize) -> Result<(), Failure> {
    let dir = tempfile::tempdir_in(std::env::current_dir()?)?;
    let raw = raw_file(dir.path().join("raw"))?;
    let log = LogUrl::Embedded(EmbeddedOptions::new(dir.path().join("log")));
    let appender = appender(&log).await?;
    for writers in WRITERS {
        let mut sums = [Sums::default(), Sums::default()];
        let [floor, committed] = &mut sums;
        // Turns of a second each, so that what else the machine does meets all of them alike.
        for _ in 0..seconds {
            let file = raw.clone();
            let plain = move || raw_append(file.clone(), event_bytes);
            floor.add(turn(writers, plain).await?);
            let appender = appender.clone();
            committed.add(turn(writers, move || commit(appender.clone())).await?);
        }
        let [floor, committed] = sums.map(Sums::figures);
        print(writers, "append + fdatasync", &floor, floor.per_second);
        print(writers, "commit, embedded log", &committed, floor.per_second);
    }
    appender.stop().await?;
    Ok(())
}

async fn kafka(service: &DevService, seconds: u64, event_bytes: usize) -> Result<(), Failure> {
    let log =
        LogUrl::parse(&format!("kafka://{}?partitions={PARTITIONS}", service.text("bootstrap")))?;
    let appender = appender(&log).await?;
    let most = producer_perf_test(service, seconds * TOOL_RECORDS_PER_SECOND, event_bytes, None)?;
    println!("{:>7}  {:<28} {most:>10.0}", "", "kafka-producer-perf-test");
    for writers in WRITERS {
        let records =
            seconds * TOOL_RECORDS_PER_SECOND.min(TOOL_RECORDS_PER_WRITER * writers as u64);
        let limit = producer_perf_test(service, records, event_bytes, Some(writers))?;
        println!("{writers:>7}  {:<28} {limit:>10.0}", "the same, so many in flight");
        let mut committed = Sums::default();
        for _ in 0..seconds {
            let appender = appender.clone();
            committed.add(turn(writers, move || commit(appender.clone())).await?);
        }
        print(writers, "commit, Kafka", &committed.figures(), limit);
    }
    appender.stop().await?;
    Ok(())
}

async fn appender(log: &LogUrl) -> Result<Appender, Failure> {
    let id = ProducerId::parse("bench")?;
    Ok(Appender::start(open(log).await?, id, "gateway", AppenderOptions::default()).await?)
}

/// Records per second of Kafka's own tool in its best five seconds, with the acknowledgement of our producer, into the
/// same topic; with room for so many records in flight, or for all it wants.
fn producer_perf_test(
    service: &DevService,
    records: u64,
    event_bytes: usize,
    in_flight: Option<usize>,
) -> Result<f64, Failure> {
    let bootstrap = format!("bootstrap.servers={}", service.text("bootstrap"));
    let mut tool = std::process::Command::new(service.text("java"));
    tool.args(["-cp", service.text("classpath"), "org.apache.kafka.tools.ProducerPerformance"])
        .args(["--topic", "tallyport.audit.v1", "--throughput", "-1"])
        .args(["--num-records", &records.to_string()])
        .args(["--record-size", &event_bytes.to_string(), "--producer-props", &bootstrap])
        .args(["acks=all", "enable.idempotence=true", "compression.type=zstd"]);
    if let Some(in_flight) = in_flight {
        let room = in_flight * (event_bytes + RECORD_OVERHEAD_BYTES);
        tool.arg("linger.ms=0").arg(format!("buffer.memory={room}"));
        // A batch has its room to itself from its first record on: each partition is to have one.
        let batch = (room / PARTITIONS.min(in_flight)).min(TOOL_BATCH_BYTES);
        tool.arg(format!("batch.size={batch}"));
    } else {
        tool.arg("linger.ms=1");
    }
    let done = tool.output()?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let rates = said.lines().filter_map(|line| {
        let rate = line.split(" records sent, ").nth(1)?.split_whitespace().next()?;
        rate.parse::<f64>().ok()
    });
    rates.reduce(f64::max).ok_or_else(|| {
        let more = String::from_utf8_lossy(&done.stderr);
        format!("kafka-producer-perf-test failed: {said}{more}").into()
    })
}

fn print(writers: usize, way: &str, figures: &Figures, limit: f64) {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{writers:>7}  {way:<28} {:>10.0} {:>9.2} {:>9.2}  {:>7.0}%",
        figures.per_second,
        ms(figures.p50),
        ms(figures.p99),
        100.0 * figures.per_second / limit
    );
}

/// What all turns of one way did.
#[derive(Default)]
struct Sums {
    waits: Vec<Duration>,
    took: Duration,
}

impl Sums {
    fn add(&mut self, turn: Self) {
        self.waits.extend(turn.waits);
        self.took += turn.took;
    }

    fn figures(mut self) -> Figures {
        self.waits.sort_unstable();
        let at = |percent: usize| {
            let index = self.waits.len() * percent / 100;
            self.waits.get(index).copied().unwrap_or_default()
        };
        let per_second = self.waits.len() as f64 / self.took.as_secs_f64();
        Figures { per_second, p50: at(50), p99: at(99) }
    }
}

/// `writers` tasks that each append one event after the other.
async fn turn<F: Future<Output = Result<(), Failure>> + Send + 'static>(
    writers: usize,
    append: impl Fn() -> F + Clone + Send + Sync + 'static,
) -> Result<Sums, Failure> {
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let append = append.clone();
            tokio::spawn(async move {
                let mut waits = Vec::new();
                while started.elapsed() < TURN {
                    let begun = Instant::now();
                    append().await?;
                    waits.push(begun.elapsed());
                }
                Ok::<_, Failure>(waits)
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    Ok(Sums { waits, took: started.elapsed() })
}

fn draft() -> Draft {
    let body = Integrity::Checkpoint {
        tree_size: 1,
        root: "0".repeat(64),
        key_id: "bench".to_owned(),
        signature: "0".repeat(64),
    };
    Draft::new(Context::default().into(), None, Body::Integrity(body))
}

/// How long an event is on the log, and how long it takes to encode.
fn encoding(id: ProducerId) -> (usize, Duration) {
    const TIMES: u32 = 2000;
    let producer = tallyport_schemas::Producer { id, epoch: 0, seq: 0 };
    let event = draft().at(producer);
    let started = Instant::now();
    let bytes = (0..TIMES).map(|_| std::hint::black_box(ocsf::encode(&event)).len()).max();
    (bytes.unwrap_or_default(), started.elapsed() / TIMES)
}

async fn commit(appender: Appender) -> Result<(), Failure> {
    let _durable = appender.commit(draft()).await?;
    Ok(())
}

type Waiting = (Vec<u8>, oneshot::Sender<std::io::Result<()>>);

async fn raw_append(raw: mpsc::Sender<Waiting>, bytes: usize) -> Result<(), Failure> {
    let (done, synced) = oneshot::channel();
    raw.send((vec![b'e'; bytes], done)).await?;
    Ok(synced.await??)
}

/// A thread that appends what waits to a file, syncs it, and tells all of them.
fn raw_file(path: std::path::PathBuf) -> std::io::Result<mpsc::Sender<Waiting>> {
    let mut file = File::create(path)?;
    let (queue, mut waiting) = mpsc::channel::<Waiting>(QUEUE);
    std::thread::spawn(move || {
        while let Some(first) = waiting.blocking_recv() {
            let (mut bytes, mut replies) = (first.0, vec![first.1]);
            while let Ok((more, reply)) = waiting.try_recv() {
                bytes.extend_from_slice(&more);
                replies.push(reply);
            }
            let synced = file.write_all(&bytes).and_then(|()| file.sync_data());
            for reply in replies {
                let told = match &synced {
                    Ok(()) => Ok(()),
                    Err(error) => Err(error.kind().into()),
                };
                let _gone = reply.send(told);
            }
        }
    });
    Ok(queue)
}
