//! The lake and the log as others read them: Delta's own log out of the bucket, and the topic by kcat.

use std::collections::BTreeMap;
use std::process::Command;

use dev_services::{DevService, repo_root};
use serde_json::Value;
use tallyport_tests::{said, say_not_run};

/// What a table's commits add up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Rows of all files.
    rows: u64,
    /// Per partition of the log, the offset of the next record.
    next: BTreeMap<String, u64>,
}

/// The lake has every record of the topic once, and no more. Nobody may be writing.
pub fn has_the_whole_topic(s3: &DevService, prefix: &str, kafka: &DevService) {
    let Some(topic) = topic(kafka) else { return };
    assert!(topic.rows > 500, "too little to mean anything: {topic:?}");
    assert_eq!(recorded(s3, prefix), topic, "lake (left) and topic (right)");
}

/// Reads the commits of `events` one after the other.
fn recorded(s3: &DevService, prefix: &str) -> Recorded {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (endpoint, bucket) = (s3.text("endpoint"), s3.text("bucket"));
    // This server does not check signatures, but answers only who has one.
    let signature = format!(
        "AWS4-HMAC-SHA256 Credential={}/20000101/{}/s3/aws4_request, SignedHeaders=host, Signature=0",
        s3.text("access_key"),
        s3.text("region")
    );
    let client = reqwest::Client::new();
    let mut recorded = Recorded::default();
    let mut files = BTreeMap::new();
    for version in 0.. {
        let url = format!("{endpoint}/{bucket}/{prefix}/events/_delta_log/{version:020}.json");
        let (status, text) = runtime.block_on(async {
            let request = client.get(&url).header("authorization", &signature);
            let answer = request.send().await.expect("the store answers");
            (answer.status().as_u16(), answer.text().await.expect("a whole answer"))
        });
        match status {
            200 => {}
            404 => break,
            other => panic!("{url}: HTTP {other}: {text}"),
        }
        for line in text.lines() {
            let action = serde_json::from_str(line).expect("an action of Delta");
            take(&mut files, &action);
            recorded.take(&action);
        }
    }
    recorded.rows = files.values().sum();
    recorded
}

/// The rows of each file that is there: a compaction takes files away and adds others with the same rows.
fn take(files: &mut BTreeMap<String, u64>, action: &Value) {
    if let Some(removed) = action["remove"]["path"].as_str() {
        assert!(files.remove(removed).is_some(), "what is removed was there: {action}");
        assert_eq!(action["remove"]["dataChange"], false, "no row is removed: {action}");
    }
    if let Some(added) = action["add"]["path"].as_str() {
        let stats = action["add"]["stats"].as_str().expect("statistics");
        let stats: Value = serde_json::from_str(stats).expect("statistics");
        let rows = stats["numRecords"].as_u64().expect("a number of records");
        files.insert(added.to_owned(), rows);
    }
}

impl Recorded {
    fn take(&mut self, action: &Value) {
        // What each last record was is beside it, under another name.
        let id = action["txn"]["appId"].as_str();
        if let Some(partition) = id.and_then(|id| id.strip_prefix("tallyport-recorder/audit/")) {
            let next = action["txn"]["version"].as_u64().expect("an offset");
            let before = self.next.insert(partition.to_owned(), next).unwrap_or_default();
            assert!(before < next, "the position only goes on: {action}");
        }
    }
}

/// The records of the topic, as an ordinary consumer counts them; none where that consumer could not be installed.
fn topic(kafka: &DevService) -> Option<Recorded> {
    let output = Command::new(repo_root().join("deploy/dev/kcat"))
        .args(["-C", "-q", "-b", kafka.text("bootstrap"), "-t", "tallyport.audit.v1"])
        .args(["-o", "beginning", "-e", "-f", "%p %o\n"])
        .output()
        .expect("kcat runs");
    if output.status.code() == Some(75) {
        say_not_run("the lake has the whole topic", &said(&output));
        return None;
    }
    assert!(output.status.success(), "{}", said(&output));
    let mut topic = Recorded::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (partition, offset) = line.split_once(' ').expect("partition and offset");
        let next = offset.parse::<u64>().expect("an offset") + 1;
        let known = topic.next.entry(partition.to_owned()).or_default();
        *known = next.max(*known);
        topic.rows += 1;
    }
    Some(topic)
}
