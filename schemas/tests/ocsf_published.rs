//! Every value on the log keeps to the published OCSF 1.8 schema and to our own; and the validator can say no.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod arbitrary;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tallyport_schemas::{ocsf, samples};

/// Runs the validator over these lines; `None`, said aloud, when its packages cannot be had.
fn validate(test: &str, lines: &[Vec<u8>]) -> Option<Output> {
    let mut validator = Command::new(dev_services::repo_root().join("deploy/dev/validate-ocsf"))
        .arg("--all")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = validator.stdin.take().unwrap();
    let input = lines.join(&b'\n');
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = validator.wait_with_output().unwrap();
    if output.status.code() == Some(75) {
        eprintln!("NOT RUN: {test}: {}", String::from_utf8_lossy(&output.stderr).trim());
        return None;
    }
    writer.join().unwrap().unwrap();
    Some(output)
}

fn assert_valid(output: &Output, events: usize) {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains(&format!("{events} valid events, 0 violations")), "{out}");
}

#[test]
fn every_sample_is_valid() {
    let lines: Vec<_> = samples::events().iter().map(ocsf::encode).collect();
    if let Some(output) = validate("every_sample_is_valid", &lines) {
        assert_valid(&output, lines.len());
    }
}

/// Whatever a token, a target or an agent puts into a text: the value stays OCSF.
#[test]
fn arbitrary_events_are_valid() {
    const SEED_VARIABLE: &str = "TALLYPORT_TEST_SEED";
    const EVENTS: usize = 300;
    let seed = std::env::var(SEED_VARIABLE)
        .map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().unwrap());
    eprintln!("replay with {SEED_VARIABLE}={seed}");
    let bytes: Vec<u8> = seed.to_le_bytes().repeat(4);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = arbitrary::event();
    let lines: Vec<_> = (0..EVENTS)
        .map(|_| ocsf::encode(&strategy.new_tree(&mut runner).unwrap().current()))
        .collect();
    if let Some(output) = validate("arbitrary_events_are_valid", &lines) {
        assert_valid(&output, EVENTS);
    }
}

/// A validator that accepts everything would make the tests above worthless.
#[test]
fn broken_events_are_refused() {
    let sample = |name: &str| -> Value {
        let sample = samples::all().into_iter().find(|sample| sample.name == name).unwrap();
        serde_json::from_slice(&ocsf::encode(&sample.event)).unwrap()
    };
    let cases = broken(&sample);
    let mut lines: Vec<_> =
        cases.iter().map(|(_, event)| serde_json::to_vec(event).unwrap()).collect();
    lines.push(b"{\"class_uid\": NaN}".to_vec());
    lines.push(b"no JSON at all".to_vec());
    let Some(output) = validate("broken_events_are_refused", &lines) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for (at, (expected, _)) in cases.iter().enumerate() {
        let line = said.lines().find(|line| line.starts_with(&format!("line {}: ", at + 1)));
        assert!(line.is_some_and(|line| line.contains(expected)), "{expected}: {line:?}\n{said}");
    }
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.contains(&format!("0 valid events, {} violations", lines.len())), "{out}\n{said}");
}

/// What must stand in the validator's words, and the event it must say it of.
fn broken(sample: &dyn Fn(&str) -> Value) -> Vec<(&'static str, Value)> {
    let with = |name: &str, change: &dyn Fn(&mut Value)| {
        let mut event = sample(name);
        change(&mut event);
        event
    };
    let without = |name: &str, key: &'static str| {
        with(name, &|event| drop(event.as_object_mut().unwrap().remove(key)))
    };
    let own = "/unmapped/tallyport";
    vec![
        ("surprise", with("decision.denied", &|it| it["surprise"] = json!(1))),
        ("surprise", with("decision.denied", &|it| it["actor"]["user"]["surprise"] = json!(1))),
        ("severity_id", with("decision.denied", &|it| it["severity_id"] = json!(42))),
        ("actor", without("command.refused", "actor")),
        ("user", without("authentication.failed", "user")),
        ("src_endpoint", without("command.refused", "src_endpoint")),
        ("time", with("session.opened", &|it| it["time"] = json!("noon"))),
        ("port", with("session.opened", &|it| it["src_endpoint"]["port"] = json!(70_000))),
        ("ip", with("session.opened", &|it| it["src_endpoint"]["ip"] = json!("nowhere"))),
        ("action_id", with("decision.denied", &|it| it["metadata"]["profiles"] = json!([]))),
        ("no class", with("decision.denied", &|it| it["class_uid"] = json!(1))),
        (
            "metadata.version",
            with("decision.denied", &|it| it["metadata"]["version"] = json!("1.7.0")),
        ),
        ("type_uid", with("decision.denied", &|it| it["type_uid"] = json!(600_301))),
        ("severity", with("decision.denied", &|it| it["severity"] = json!("Loud"))),
        ("profiles", with("session.opened", &|it| it["metadata"]["profiles"] = json!(["trace"]))),
        ("metadata", without("query.started", "metadata")),
        ("unmapped", without("query.started", "unmapped")),
        (
            "event_id",
            with("query.started", &|it| {
                it.pointer_mut(own).unwrap().as_object_mut().unwrap().remove("event_id");
            }),
        ),
        (
            "tallyport",
            with("query.started", &|it| {
                it.pointer_mut(own).unwrap()["body"]["detail"]["face"] = json!("mirror");
            }),
        ),
        (
            "tallyport",
            with("approval.requested", &|it| {
                it.pointer_mut(own).unwrap()["body"]["detail"]["surprise"] = json!(1);
            }),
        ),
        (
            "tallyport",
            with("command.refused", &|it| {
                it.pointer_mut(own).unwrap()["producer"]["seq"] = json!(-1);
            }),
        ),
    ]
}

#[test]
fn nothing_at_all_is_refused() {
    if let Some(output) = validate("nothing_at_all_is_refused", &[]) {
        assert_eq!(output.status.code(), Some(1));
    }
}
