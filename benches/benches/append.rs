//! Durable appends per second on the embedded log, beside plain append + fdatasync in the same run.
//!
//! Every writer waits for its event before it sends the next one. Three ways take turns, each with 1, 16 and 64
//! writers: a file that one task appends to and syncs once per group (the floor), [`Log::append`] of a ready record,
//! and [`Appender::commit`], which also numbers and encodes the event.
//!
//! `cargo bench -p tallyport-benches --bench append [-- SECONDS]`; add `--profile dev` to measure the build that the
//! tests use.

use std::error::Error;
use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tallyport_eventlog::{
    Appender, AppenderOptions, EmbeddedOptions, Log, LogUrl, Record, Topic, open,
};
use tallyport_schemas::{Body, Context, Draft, Integrity, ProducerId, ocsf};
use tokio::sync::{mpsc, oneshot};

type Failure = Box<dyn Error + Send + Sync>;

const WRITERS: [usize; 3] = [1, 16, 64];
const DEFAULT_SECONDS: u64 = 3;
const EVENT_BYTES: usize = 500;
const TURN: Duration = Duration::from_secs(1);
const QUEUE: usize = 1024;

/// What one way did with one number of writers.
struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn main() -> Result<(), Failure> {
    // `cargo bench` passes `--bench`.
    let seconds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(DEFAULT_SECONDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(compare(seconds))
}

async fn compare(seconds: u64) -> Result<(), Failure> {
    let dir = tempfile::tempdir_in(std::env::current_dir()?)?;
    let raw = raw_file(dir.path().join("raw"))?;
    let log = open(&LogUrl::Embedded(EmbeddedOptions::new(dir.path().join("log")))).await?;
    let other = open(&LogUrl::Embedded(EmbeddedOptions::new(dir.path().join("log2")))).await?;
    let options = AppenderOptions::default();
    let id = ProducerId::parse("bench")?;
    let appender = Appender::start(other, id.clone(), "gateway", options).await?;
    println!("profile: {}", if cfg!(debug_assertions) { "dev" } else { "release" });
    let (bytes, encoding) = encoding(id);
    println!(
        "a record has {EVENT_BYTES} bytes; a committed event {bytes}, encoded in {encoding:.1?}"
    );
    println!(
        "{:>7}  {:<22} {:>10} {:>9} {:>9}  {:>8}",
        "writers", "way", "events/s", "p50 ms", "p99 ms", "of raw"
    );
    for writers in WRITERS {
        let mut sums = [Sums::default(), Sums::default(), Sums::default()];
        let [floor, embedded, committed] = &mut sums;
        // Turns of a second each, so that what else the machine does meets all of them alike.
        for _ in 0..seconds {
            let file = raw.clone();
            floor.add(turn(writers, move || raw_append(file.clone())).await?);
            let log = Arc::clone(&log);
            embedded.add(turn(writers, move || log_append(Arc::clone(&log))).await?);
            let appender = appender.clone();
            committed.add(turn(writers, move || commit(appender.clone())).await?);
        }
        let [floor, embedded, committed] = sums.map(Sums::figures);
        print(writers, "append + fdatasync", &floor, &floor);
        print(writers, "embedded Log::append", &embedded, &floor);
        print(writers, "Appender::commit", &committed, &floor);
    }
    appender.stop().await?;
    Ok(())
}

fn print(writers: usize, way: &str, figures: &Figures, floor: &Figures) {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{writers:>7}  {way:<22} {:>10.0} {:>9.2} {:>9.2}  {:>7.0}%",
        figures.per_second,
        ms(figures.p50),
        ms(figures.p99),
        100.0 * figures.per_second / floor.per_second
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

async fn log_append(log: Arc<dyn Log>) -> Result<(), Failure> {
    let value = vec![b'e'; EVENT_BYTES].into();
    log.append(vec![Record { topic: Topic::Audit, key: "k".into(), value }]).await?;
    Ok(())
}

type Waiting = (Vec<u8>, oneshot::Sender<std::io::Result<()>>);

async fn raw_append(raw: mpsc::Sender<Waiting>) -> Result<(), Failure> {
    let (done, synced) = oneshot::channel();
    raw.send((vec![b'e'; EVENT_BYTES], done)).await?;
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
