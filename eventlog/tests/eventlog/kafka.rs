//! The log on a real Apache Kafka broker.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dev_services::{DevService, StartError};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tallyport_eventlog::conformance::{Fixture, Violation, run_all};
use tallyport_eventlog::{
    AppendError, Appender, AppenderOptions, Log, LogUrl, Position, ReadError, Record, Topic, open,
};
use tallyport_schemas::{Body, Context, Draft, Integrity, ProducerId, ocsf};

/// `None`: the broker cannot be installed here, and that was said.
pub fn broker(test: &str, args: &[&str]) -> Option<DevService> {
    match DevService::start("kafka", args) {
        Ok(service) => Some(service),
        Err(error @ StartError::NotInstallable { .. }) => {
            crate::not_run(test, error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[derive(Debug)]
struct Kafka {
    bootstrap: String,
    partitions: u32,
    made: AtomicU32,
}

impl Kafka {
    async fn open(&self, number: u32) -> Result<Arc<dyn Log>, Violation> {
        let (bootstrap, partitions) = (&self.bootstrap, self.partitions);
        let url = format!(
            "kafka://{bootstrap}?partitions={partitions}&topic_prefix=p{partitions}.{number}."
        );
        open(&LogUrl::parse(&url).unwrap()).await.map_err(Violation::new)
    }
}

#[async_trait]
impl Fixture for Kafka {
    async fn fresh(&self) -> Result<Arc<dyn Log>, Violation> {
        self.open(self.made.fetch_add(1, Ordering::Relaxed)).await
    }

    async fn reopen(&self, log: Arc<dyn Log>) -> Result<Option<Arc<dyn Log>>, Violation> {
        drop(log);
        self.open(self.made.load(Ordering::Relaxed) - 1).await.map(Some)
    }

    fn releases(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kafka_keeps_the_promises() {
    let Some(service) = broker("kafka_keeps_the_promises", &[]) else { return };
    for partitions in [1, 4] {
        let bootstrap = service.text("bootstrap").to_owned();
        run_all(&Kafka { bootstrap, partitions, made: AtomicU32::new(0) }).await.unwrap();
    }
    what_is_unsafe_or_absent_is_refused(&service).await;
    what_kafka_deleted_is_told_as_truncated(&service).await;
    a_reader_that_keeps_up_is_not_made_to_wait(&service).await;
    what_does_not_arrive_is_an_outage_and_no_end(&service).await;
}

pub fn tool(service: &DevService, args: &[&str]) {
    let done = std::process::Command::new(service.text("java"))
        .args(["-XX:TieredStopAtLevel=1", "-cp", service.text("classpath")])
        .args(args)
        .args(["--bootstrap-server", service.text("bootstrap")])
        .output()
        .unwrap();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn url(service: &DevService, options: &str) -> LogUrl {
    LogUrl::parse(&format!("kafka://{}?{options}", service.text("bootstrap"))).unwrap()
}

async fn what_is_unsafe_or_absent_is_refused(service: &DevService) {
    let absent = open(&url(service, "create=false&topic_prefix=absent.")).await;
    let message = absent.unwrap_err().to_string();
    assert!(message.contains("absent.tallyport.audit.v1 does not exist"), "{message}");

    drop(open(&url(service, "topic_prefix=bad.")).await.unwrap());
    let topic = "bad.tallyport.audit.v1";
    for (setting, value) in [
        ("unclean.leader.election.enable", "true"),
        ("cleanup.policy", "compact"),
        ("message.timestamp.type", "CreateTime"),
        ("max.message.bytes", "1000000"),
    ] {
        let (bad, before) = (format!("{setting}={value}"), format!("delete-config {setting}"));
        let alter = [
            "kafka.admin.ConfigCommand",
            "--alter",
            "--entity-type",
            "topics",
            "--entity-name",
            topic,
        ];
        tool(service, &[&alter[..], &["--add-config", &bad]].concat());
        let refused = open(&url(service, "topic_prefix=bad.")).await;
        let message = refused.expect_err(&bad).to_string();
        assert!(message.contains(&bad) && message.contains("--add-config"), "{message}");
        let (delete, setting) = before.split_once(' ').unwrap();
        if setting == "max.message.bytes" {
            break;
        }
        tool(service, &[&alter[..], &[&format!("--{delete}"), setting]].concat());
    }

    let nobody = open(&LogUrl::parse("kafka://127.0.0.1:1").unwrap()).await;
    let message = nobody.unwrap_err().to_string();
    assert!(message.contains("no Kafka broker at 127.0.0.1:1 answers"), "{message}");
}

/// Two brokers: with one of them nobody can tell a topic that keeps what it acknowledged from one that does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_copies_of_which_one_acknowledges_are_refused() {
    const TEST: &str = "two_copies_of_which_one_acknowledges_are_refused";
    let Some(service) = broker(TEST, &["--brokers", "2"]) else { return };
    let topics = ["two.tallyport.audit.v1", "two.tallyport.control.v1"];
    for topic in topics {
        let create = ["org.apache.kafka.tools.TopicCommand", "--create", "--topic", topic];
        let copies = ["--partitions", "1", "--replication-factor", "2"];
        let size = ["--config", "max.message.bytes=4259840"];
        let acknowledged = ["--config", "min.insync.replicas=1"];
        let stamped = ["--config", "message.timestamp.type=LogAppendTime"];
        tool(&service, &[&create[..], &copies, &size, &acknowledged, &stamped].concat());
    }
    let there = url(&service, "create=false&topic_prefix=two.");
    for topic in topics {
        let message = open(&there).await.expect_err(topic).to_string();
        assert!(message.contains(topic), "{message}");
        assert!(message.contains("min.insync.replicas=1"), "{message}");
        assert!(message.contains("acknowledges events that only one broker has"), "{message}");
        // The fix is in the words.
        let fix = "--add-config min.insync.replicas=2";
        assert!(message.contains(fix), "{message}");
        let alter = ["kafka.admin.ConfigCommand", "--alter", "--entity-type", "topics"];
        let change = ["--entity-name", topic, "--add-config", "min.insync.replicas=2"];
        tool(&service, &[&alter[..], &change].concat());
    }
    let log = open(&there).await.expect("two copies, both of which acknowledge");
    let placed = log.append(vec![record(0)]).await.unwrap();
    let read = log.read(Topic::Audit, placed[0], 1 << 20, PATIENCE).await.unwrap();
    assert_eq!(read.len(), 1);
    // What is made here has two copies, and is right from the start.
    drop(open(&url(&service, "topic_prefix=made.&partitions=1")).await.unwrap());
    let more = url(&service, "create=false&topic_prefix=made.");
    let alter = ["kafka.admin.ConfigCommand", "--alter", "--entity-type", "topics"];
    let change =
        ["--entity-name", "made.tallyport.audit.v1", "--add-config", "min.insync.replicas=1"];
    tool(&service, &[&alter[..], &change].concat());
    let message = open(&more).await.expect_err("it has two copies").to_string();
    assert!(message.contains("made.tallyport.audit.v1"), "{message}");
}

async fn what_kafka_deleted_is_told_as_truncated(service: &DevService) {
    let log = open(&url(service, "topic_prefix=short.&partitions=1")).await.unwrap();
    let batch = (0..20).map(record).collect();
    log.append(batch).await.unwrap();
    let start = Position { partition: 0, offset: 0 };
    // A reader that already stands there must be told too.
    assert!(!log.read(Topic::Audit, start, 1, PATIENCE).await.unwrap().is_empty());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("offsets.json");
    let topic = "short.tallyport.audit.v1";
    let offsets = format!(
        r#"{{"version":1,"partitions":[{{"topic":"{topic}","partition":0,"offset":15}}]}}"#
    );
    std::fs::write(&file, offsets).unwrap();
    let command = "org.apache.kafka.tools.DeleteRecordsCommand";
    tool(service, &[command, "--offset-json-file", file.to_str().unwrap()]);
    assert_eq!(log.earliest(Topic::Audit, 0).await.unwrap(), 15);
    let gone = log.read(Topic::Audit, start, 1, Duration::ZERO).await;
    assert!(matches!(gone, Err(ReadError::Truncated { wanted: 0, earliest: 15, .. })), "{gone:?}");
    let kept = Position { offset: 15, ..start };
    assert_eq!(log.read(Topic::Audit, kept, 1 << 20, PATIENCE).await.unwrap().len(), 5);
}

/// A client that has enough of a partition here asks again after a second unless it is told otherwise, and a reader has
/// long read it by then. Beside it, what the reader does with each record, and the time they took to become durable.
async fn a_reader_that_keeps_up_is_not_made_to_wait(service: &DevService) {
    const RECORDS: u64 = 64;
    let log = open(&url(service, "topic_prefix=quick.&partitions=1")).await.unwrap();
    let random = || -> Vec<u8> { std::iter::repeat_with(rand::random).take(1 << 20).collect() };
    let mut appending = Duration::ZERO;
    for _ in 0..RECORDS / 4 {
        let batch = (0..4).map(|number| Record { value: random().into(), ..record(number) });
        let batch = batch.collect();
        let begun = Instant::now();
        log.append(batch).await.unwrap();
        appending += begun.elapsed();
    }
    let begun = Instant::now();
    let mut working = Duration::ZERO;
    let mut from = Position { partition: 0, offset: 0 };
    while from.offset < RECORDS {
        let read = log.read(Topic::Audit, from, 1 << 20, PATIENCE).await.unwrap();
        from.offset += read.len() as u64;
        let work = Instant::now();
        tokio::time::sleep(Duration::from_millis(20)).await;
        working += work.elapsed();
    }
    let reading = begun.elapsed();
    assert!(reading < 2 * (working + appending), "{reading:?}, {working:?}, {appending:?}");
}

/// The end of somebody else's transaction is a place in the partition at which nothing ever arrives, as from a broker that holds
/// back what it has. It is told, and reading goes on once something comes behind it.
async fn what_does_not_arrive_is_an_outage_and_no_end(service: &DevService) {
    let log = open(&url(service, "topic_prefix=slow.&partitions=1")).await.unwrap();
    let foreign: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", service.text("bootstrap"))
        .set("transactional.id", "foreign")
        .create()
        .unwrap();
    foreign.init_transactions(PATIENCE).unwrap();
    foreign.begin_transaction().unwrap();
    let sent = FutureRecord::<str, str>::to("slow.tallyport.audit.v1").payload("?");
    foreign.send(sent, PATIENCE).await.unwrap();
    foreign.commit_transaction(PATIENCE).unwrap();
    let first = Position { partition: 0, offset: 0 };
    assert_eq!(log.read(Topic::Audit, first, 1, PATIENCE).await.unwrap().len(), 1);
    let next = Position { offset: 1, ..first };
    let read = log.read(Topic::Audit, next, 1 << 20, Duration::ZERO).await;
    let Err(ReadError::Unavailable { reason }) = read else { panic!("{read:?}") };
    assert!(reason.contains("from offset 1 on did not arrive"), "{reason}");
    let behind = log.append(vec![record(1)]).await.unwrap();
    let read = log.read(Topic::Audit, next, 1 << 20, PATIENCE).await.unwrap();
    assert_eq!(read.last().map(|entry| entry.position), Some(behind[0]));
}

const PATIENCE: Duration = Duration::from_secs(30);

fn record(number: usize) -> Record {
    Record { topic: Topic::Audit, key: "k".into(), value: number.to_string().into() }
}

fn draft() -> Draft {
    let body = Integrity::Checkpoint {
        tree_size: 0,
        root: String::new(),
        key_id: String::new(),
        signature: String::new(),
    };
    Draft::new(Context::default().into(), None, Body::Integrity(body))
}

fn restart(data: &Path, port: u16) -> DevService {
    let (data, port) = (data.to_str().unwrap().to_owned(), port.to_string());
    DevService::start("kafka", &["--data", &data, "--port", &port]).unwrap()
}

/// The broker is killed with SIGKILL under load and started again: the appender goes on by itself, and the log
/// accounts for every number.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_broker_fails_commits_in_time_and_the_appender_recovers() {
    const TEST: &str = "a_killed_broker_fails_commits_in_time_and_the_appender_recovers";
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let Some(service) = broker(TEST, &["--data", data.to_str().unwrap()]) else { return };
    let port = service.port("port");
    let log = open(&url(&service, "partitions=2&message_timeout_ms=5000")).await.unwrap();
    let id = ProducerId::parse("p").unwrap();
    let options = AppenderOptions {
        max_wait: Duration::from_secs(8),
        append_timeout: Duration::from_secs(8),
        stop_wait: Duration::from_secs(60),
        ..AppenderOptions::default()
    };
    let appender = Appender::start(Arc::clone(&log), id, "gateway", options).await.unwrap();
    let mut acknowledged = Vec::new();
    for _ in 0..50 {
        acknowledged.push(appender.commit(draft()).await.unwrap());
    }
    let pid = service.ready().get("pid").unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-9", &pid]).status().unwrap().success());
    let started = Instant::now();
    let failed = appender.commit(draft()).await;
    assert!(failed.is_err() && started.elapsed() < Duration::from_secs(20), "{failed:?}");
    let outright = log.append(vec![record(0)]).await;
    assert!(matches!(outright, Err(AppendError::Unknown { .. })), "{outright:?}");
    drop(service);

    let service = restart(&data, port);
    let back = Instant::now();
    loop {
        if let Ok(durable) = appender.commit(draft()).await {
            acknowledged.push(durable);
            break;
        }
        assert!(back.elapsed() < Duration::from_secs(60), "the appender does not recover");
    }
    appender.stop().await.unwrap();
    check_epoch(&*log, &acknowledged).await;
    drop(service);
}

async fn check_epoch(log: &dyn Log, acknowledged: &[tallyport_eventlog::Durable<Draft>]) {
    let mut seqs = std::collections::BTreeSet::new();
    let mut declared = std::collections::BTreeSet::new();
    let mut ids = std::collections::HashMap::new();
    let mut stopped = 0;
    for partition in 0..log.partitions(Topic::Audit) {
        let mut from =
            Position { partition, offset: log.earliest(Topic::Audit, partition).await.unwrap() };
        let latest = log.latest(Topic::Audit, partition).await.unwrap();
        while from.offset < latest {
            for entry in log.read(Topic::Audit, from, 1 << 20, PATIENCE).await.unwrap() {
                from.offset = entry.position.offset + 1;
                let Ok(event) = ocsf::decode(&entry.value) else { continue };
                assert!(seqs.insert(event.producer.seq), "{} is there twice", event.producer.seq);
                ids.insert(event.event_id, entry.position);
                match event.body {
                    Body::Integrity(Integrity::Gap { first_seq, last_seq, .. }) => {
                        declared.extend(first_seq..=last_seq);
                    }
                    Body::Integrity(Integrity::ProducerStopped { events }) => stopped = events,
                    _ => {}
                }
            }
        }
    }
    assert_eq!(seqs.last(), Some(&(stopped - 1)));
    for seq in 0..stopped {
        assert!(
            seqs.contains(&seq) || declared.contains(&seq),
            "{seq} is missing, and no gap says so"
        );
    }
    for durable in acknowledged {
        assert_eq!(ids.get(&durable.get().event_id), durable.positions().first());
    }
}
