//! Credentials of Kafka that change while the log is open, at a real broker that asks for them every few seconds.

use std::path::Path;
use std::time::{Duration, Instant};

use dev_services::DevService;
use tallyport_eventlog::{
    AppendError, Credentials, HeldSecret, Log, LogUrl, Position, Record, Topic, open,
};
use tokio::time::sleep;

use crate::kafka::{broker, tool};

/// Longer than new credentials are looked for, and a connection is believed for old ones.
const SETTLES: Duration = Duration::from_secs(12);

fn password(service: &DevService, password: &str) {
    let scram = format!("SCRAM-SHA-256=[iterations=4096,password={password}]");
    let user = ["--entity-type", "users", "--entity-name", "gateway"];
    let alter = ["kafka.admin.ConfigCommand", "--alter", "--add-config", &scram];
    tool(service, &[&alter[..], &user].concat());
}

async fn append(log: &dyn Log, text: &str) -> Result<Position, AppendError> {
    let record = Record {
        topic: Topic::Audit,
        key: b"credentials".as_slice().into(),
        value: text.as_bytes().to_vec().into(),
    };
    log.append(vec![record]).await.map(|positions| positions[0])
}

/// Appends until it has been so for `for_`; what the last one said.
async fn append_for(log: &dyn Log, for_: Duration) -> Result<Position, AppendError> {
    let until = Instant::now() + for_;
    loop {
        let last = append(log, "meanwhile").await;
        if Instant::now() > until {
            return last;
        }
        sleep(Duration::from_millis(250)).await;
    }
}

async fn reads(log: &dyn Log, from: Position, text: &str) {
    let read = log.read(Topic::Audit, from, 1 << 20, Duration::from_secs(10)).await.unwrap();
    assert_eq!(read.first().map(|entry| &entry.value[..]), Some(text.as_bytes()));
}

fn write(file: &Path, text: &str) {
    std::fs::write(file, format!("{text}\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_new_password_counts_without_a_restart() {
    let Some(service) = broker("a_new_password_counts_without_a_restart", &["--sasl"]) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    password(&service, "first");
    write(&file, "first");
    let url = format!(
        "kafka://{}?security.protocol=sasl_plaintext&sasl.mechanism=SCRAM-SHA-256&sasl.username=gateway\
         &message_timeout_ms=5000&sasl.password_file={}",
        service.text("sasl_bootstrap"),
        file.display()
    );
    let log = open(&LogUrl::parse(&url).unwrap()).await.unwrap();
    let log = log.as_ref();
    let first = append(log, "by the first").await.unwrap();
    reads(log, first, "by the first").await;

    password(&service, "second");
    write(&file, "second");
    append_for(log, SETTLES).await.unwrap();
    let second = append(log, "by the second").await.unwrap();
    reads(log, second, "by the second").await;
    reads(log, first, "by the first").await;

    // One that the brokers do not take is passed over; and so is none at all.
    write(&file, "wrong");
    append_for(log, SETTLES).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    append_for(log, Duration::from_secs(8)).await.unwrap();
    let third = append(log, "still by the second").await.unwrap();
    reads(log, third, "still by the second").await;

    // One that stands beside the URL, as a command's output does.
    let (user, held) = (HeldSecret::new("gateway"), HeldSecret::new("second"));
    let credentials = Credentials { user: Some(user), password: Some(held.clone()) };
    let url = format!(
        "kafka://{}?security.protocol=sasl_plaintext&sasl.mechanism=SCRAM-SHA-256&message_timeout_ms=5000",
        service.text("sasl_bootstrap")
    );
    let other = open(&LogUrl::parse_with(&url, credentials).unwrap()).await.unwrap();
    let other = other.as_ref();
    let fourth = append(other, "held").await.unwrap();
    password(&service, "third");
    held.set("third");
    append_for(other, SETTLES).await.unwrap();
    reads(other, fourth, "held").await;
}
