//! A SIEM's view: a plain consumer (kcat) reads the topic of a run on a real Apache Kafka; every value is OCSF.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use dev_services::repo_root;
use tallyport_tests::{Stack, eventually, psql, said, say_not_run, start_or_say};

#[test]
fn every_value_on_kafka_is_ocsf() {
    let test = "every_value_on_kafka_is_ocsf";
    let Some(kafka) = start_or_say(test, "kafka", &[]) else { return };
    let stack = Stack::start(&["--log", &format!("kafka://{}", kafka.text("bootstrap"))]);
    let forward = stack.connect("support-agent", "sample");
    let seen = psql(forward.port(), "anyone", "sample")
        .args([
            "-At",
            "-c",
            "SELECT id, name, ssn FROM app.customers ORDER BY id",
            "-c",
            "DELETE FROM app.orders",
            "-c",
            "SELEC",
        ])
        .output()
        .expect("psql runs");
    assert!(said(&seen).contains("Ada Example"), "{}", said(&seen));
    assert!(!said(&seen).contains("900-11-1001"), "{}", said(&seen));
    // The recorder has them too, from the same topic.
    let recorded = || {
        stack
            .sql("auditor", "SELECT command_id FROM commands WHERE statement LIKE 'DELETE%' AND disposition = 'refused'")
            .len()
            == 1
    };
    assert!(eventually(recorded), "the refused statement is answerable");

    let consumed = Command::new(repo_root().join("deploy/dev/kcat"))
        .args([
            "-C",
            "-q",
            "-b",
            kafka.text("bootstrap"),
            "-t",
            "tallyport.audit.v1",
            "-o",
            "beginning",
            "-e",
            "-f",
            "%s\n",
        ])
        .output()
        .expect("kcat runs");
    if consumed.status.code() == Some(75) {
        say_not_run(test, &said(&consumed));
        return;
    }
    assert!(consumed.status.success(), "{}", said(&consumed));
    let values = String::from_utf8_lossy(&consumed.stdout);
    assert!(values.lines().count() > 20, "too little on the topic: {}", values.lines().count());
    assert!(!values.contains("900-11-1001"), "an unmasked value is on the topic");

    are_ocsf(test, &values);
}

/// Every line is valid by the published schemas.
fn are_ocsf(test: &str, values: &str) {
    let mut validator = Command::new(repo_root().join("deploy/dev/validate-ocsf"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the validator starts");
    validator
        .stdin
        .take()
        .expect("piped")
        .write_all(values.as_bytes())
        .expect("the validator reads");
    let judged = validator.wait_with_output().expect("the validator ends");
    if judged.status.code() == Some(75) {
        say_not_run(test, &said(&judged));
        return;
    }
    assert!(judged.status.success(), "{}", said(&judged));
}
