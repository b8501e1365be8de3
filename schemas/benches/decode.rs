//! What an event costs on its way from the log into rows, in microseconds: decoded, pushed into Arrow's builders,
//! finished. Beside it, in the same run, the way it was decoded before: brackets counted byte by byte, then three
//! parses, one for the envelope, one for the version, one for the facts.
//!
//! `cargo bench -p tallyport-schemas [-- ROUNDS]`
#![allow(clippy::unwrap_used, reason = "a bench fails as a test does")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;
use tallyport_schemas::arrow::EventBatchBuilder;
use tallyport_schemas::{Body, Content, Event, Response, ocsf, samples};

const DEFAULT_ROUNDS: usize = 30;
const PASSES: usize = 20;
/// Bytes of recorded content in the large event: a chunk of an answer as gateways cut them.
const CONTENT_BYTES: usize = 64 * 1024;

fn main() {
    // `cargo bench` passes `--bench`.
    let rounds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(DEFAULT_ROUNDS);
    println!("profile: {}", if cfg!(debug_assertions) { "dev" } else { "release" });
    let events = samples::events();
    let small: Vec<Vec<u8>> = events.iter().map(ocsf::encode).collect();
    let large: Vec<Vec<u8>> = (0..8).filter_map(|_| large(&events)).collect();
    measure("one of every kind", &small, rounds, PASSES);
    measure("a chunk of an answer", &large, rounds, PASSES);
}

fn measure(what: &str, values: &[Vec<u8>], rounds: usize, passes: usize) {
    let count = values.len() * passes;
    let bytes = values.iter().map(Vec::len).sum::<usize>() / values.len();
    let mut stages: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    // In turns, so that what else the machine does meets all of them alike.
    for _ in 0..rounds {
        let started = Instant::now();
        for value in (0..passes).flat_map(|_| values) {
            black_box(as_before(black_box(value)));
        }
        stages.entry("1 decode, as before").or_default().push(started.elapsed());
        let started = Instant::now();
        for value in (0..passes).flat_map(|_| values) {
            black_box(ocsf::decode(black_box(value)).unwrap());
        }
        stages.entry("2 decode").or_default().push(started.elapsed());
        let decoded: Vec<Event> = values.iter().map(|value| ocsf::decode(value).unwrap()).collect();
        let mut builder = EventBatchBuilder::new();
        let started = Instant::now();
        for (event, value) in (0..passes).flat_map(|_| decoded.iter().zip(values)) {
            builder.push(black_box(event), black_box(value), 0, 1, 1);
        }
        stages.entry("3 push into Arrow").or_default().push(started.elapsed());
        let started = Instant::now();
        black_box(builder.finish().unwrap());
        stages.entry("4 finish").or_default().push(started.elapsed());
    }
    println!("{what}: {bytes} bytes");
    for (name, times) in &mut stages {
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        println!("  {name:<24} {:>8.2} us per event", median.as_secs_f64() * 1e6 / count as f64);
    }
}

/// A chunk with much content in it.
fn large(events: &[Event]) -> Option<Vec<u8>> {
    let chunk = |event: &&Event| matches!(&event.body, Body::Response(response) if matches!(**response, Response::Chunk { .. }));
    let mut event = events.iter().find(chunk)?.clone();
    let Body::Response(response) = &mut event.body else { return None };
    let Response::Chunk { content, .. } = &mut **response else { return None };
    // As hard to compress as digests are, so that it stays large.
    let cells: Vec<u8> =
        (0..CONTENT_BYTES as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    *content = Content::record(&cells).ok();
    Some(ocsf::encode(&event))
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    unmapped: Option<Unmapped<'a>>,
}

#[derive(Deserialize)]
struct Unmapped<'a> {
    #[serde(borrow)]
    tallyport: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Version {
    schema_version: String,
}

fn as_before(value: &[u8]) -> Event {
    assert!(depth(value) <= ocsf::MAX_DEPTH);
    let outer: Outer<'_> = serde_json::from_slice(value).unwrap();
    let facts = outer.unmapped.unwrap().tallyport.unwrap().get();
    let Version { schema_version } = serde_json::from_str(facts).unwrap();
    assert!(schema_version.starts_with("1."));
    serde_json::from_str(facts).unwrap()
}

fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
