//! Every kind: what fires, where exactly, and what does not (see `corpus/README.md`).
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::ops::Range;

use common::{all, sample};
use tallyport_detect::{Hit, Kind};

#[test]
fn secrets() {
    check(include_str!("corpus/secrets.txt"));
}

#[test]
fn numbers() {
    check(include_str!("corpus/numbers.txt"));
}

#[test]
fn plain_text() {
    check(include_str!("corpus/plain.txt"));
}

#[test]
fn every_kind_has_a_case_that_fires() {
    let text = ["secrets", "numbers", "plain"].map(|name| {
        let path = format!("{}/tests/corpus/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    });
    for kind in Kind::ALL {
        assert!(text.concat().contains(&format!("⟪{kind}:")), "{kind} has no case");
    }
}

fn check(cases: &str) {
    let detectors = all();
    let mut wrong = Vec::new();
    for line in cases.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (text, expected) = parse(&sample(line));
        let hits = detectors.scan(text.as_bytes());
        if hits != expected {
            let show = |hit: &Hit| format!("{} {:?}", hit.kind, text.get(hit.range.clone()));
            let [hits, expected] =
                [&hits, &expected].map(|hits| hits.iter().map(show).collect::<Vec<_>>());
            wrong.push(format!("{line}\n  found    {hits:?}\n  expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Takes the brackets out of a case.
fn parse(line: &str) -> (String, Vec<Hit>) {
    let (mut text, mut hits, mut rest) = (String::new(), Vec::new(), line);
    while let Some((before, marked)) = rest.split_once('⟪') {
        text.push_str(before);
        let (kind, marked) = marked.split_once(':').unwrap();
        let (value, after) = marked.split_once('⟫').unwrap();
        let range: Range<usize> = text.len()..text.len() + value.len();
        hits.push(Hit { kind: kind.parse().unwrap(), range });
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    (text, hits)
}
