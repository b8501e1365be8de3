//! How often random ids are taken for something: the figures in `docs/reference/detectors.md`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use common::all;
use common::texts::Chance;
use tallyport_detect::{Detectors, Kinds};

const IDS: usize = 20_000;

/// A name, at most so many of a thousand that fire, and how one is made.
type Case = (&'static str, f64, fn(&mut Chance) -> String);

const CASES: &[Case] = &[
    ("nine digits", 0.0, |chance| format!("{:09}", chance.next() % 1_000_000_000)),
    ("ten digits", 0.0, |chance| format!("{:010}", chance.next() % 10_000_000_000)),
    ("eleven digits", 0.0, |chance| format!("{:011}", chance.next() % 100_000_000_000)),
    ("thirteen digits", 0.0, |chance| format!("{:013}", chance.next() % 10_000_000_000_000)),
    ("sixteen digits", 35.0, |chance| format!("{:016}", chance.next() % 10_000_000_000_000_000)),
    ("fifteen digits", 3.0, |chance| format!("{:015}", chance.next() % 1_000_000_000_000_000)),
    ("nineteen digits", 0.0, |chance| {
        format!("{:019}", chance.next() % 10_000_000_000_000_000_000)
    }),
    ("UUIDs of version 4", 0.1, |chance| uuid(chance)),
    ("SHA-256 in hexadecimal", 0.1, |chance| {
        (0..4).map(|_| format!("{:016x}", chance.next())).collect()
    }),
    ("seconds since 1970", 0.0, |chance| {
        format!("{}", 1_500_000_000 + chance.next() % 500_000_000)
    }),
    ("milliseconds since 1970", 0.0, |chance| {
        format!("{}", 1_500_000_000_000 + chance.next() % 500_000_000_000)
    }),
    ("nanoseconds since 1970", 0.0, |chance| {
        format!("{}", 1_500_000_000_000_000_000 + chance.next() % 500_000_000_000_000_000)
    }),
    ("times (RFC 3339)", 0.0, |chance| {
        format!(
            "20{:02}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            chance.below(30),
            1 + chance.below(12),
            1 + chance.below(28),
            chance.below(24),
            chance.below(60),
            chance.below(60),
            chance.below(1_000_000)
        )
    }),
    ("IPv4 addresses", 0.0, |chance| {
        format!(
            "{}.{}.{}.{}",
            chance.below(256),
            chance.below(256),
            chance.below(256),
            chance.below(256)
        )
    }),
    ("prices", 0.0, |chance| {
        format!("{},{:03}.{:02}", 1 + chance.below(999), chance.below(1000), chance.below(100))
    }),
    ("decimals", 0.0, |chance| format!("{}", chance.next() as f64 / 1e15)),
    ("versions", 0.0, |chance| {
        format!("v{}.{}.{}", chance.below(30), chance.below(300), chance.below(20_000))
    }),
    ("order numbers 2026-000000", 0.0, |chance| format!("2026-{:06}", chance.below(1_000_000))),
    ("ids 000-00-0000", 950.0, |chance| {
        format!("{:03}-{:02}-{:04}", chance.below(1000), chance.below(100), chance.below(10_000))
    }),
    ("ids AA000000A", 0.0, |chance| {
        format!(
            "{}{}{:06}{}",
            letter(chance),
            letter(chance),
            chance.below(1_000_000),
            letter(chance)
        )
    }),
    ("ids 00000000A", 0.0, |chance| format!("{:08}{}", chance.below(100_000_000), letter(chance))),
    ("base64 of 48 bytes", 0.1, |chance| (0..64).map(|_| base64(chance)).collect()),
];

#[test]
fn random_ids_are_seldom_taken_for_something() {
    let detectors = all();
    let mut over = Vec::new();
    for (name, bound, make) in CASES {
        let rate = rate(&detectors, *make, "{\"id\":\"", "\"}");
        println!("{name:<28}{rate:>8.2} of 1,000");
        if rate > *bound {
            over.push(format!("{name}: {rate:.2} of 1,000, at most {bound}"));
        }
    }
    assert!(over.is_empty(), "{}", over.join("\n"));
}

/// What a word nearby makes of them: why a bare pattern is no defence.
#[test]
fn beside_a_word_most_nine_digit_ids_are_social_security_numbers() {
    let detectors = all();
    let make: fn(&mut Chance) -> String = |chance| format!("{:09}", chance.next() % 1_000_000_000);
    let rate = rate(&detectors, make, "{\"ssn\":\"", "\"}");
    println!("nine digits beside `ssn`: {rate:.0} of 1,000");
    assert!(rate > 850.0);
    let given = detectors.scan_as(b"123456789", detectors.context_of("ssn"));
    assert_eq!(given.len(), 1);
    assert_eq!(detectors.scan_as(b"123456789", Kinds::NONE), []);
}

/// Hits in a thousand.
fn rate(detectors: &Detectors, make: fn(&mut Chance) -> String, before: &str, after: &str) -> f64 {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let fired = (0..IDS).filter(|_| {
        let text = format!("{before}{}{after}", make(&mut chance));
        !detectors.scan(text.as_bytes()).is_empty()
    });
    fired.count() as f64 * 1000.0 / IDS as f64
}

fn uuid(chance: &mut Chance) -> String {
    let (high, low) = (chance.next(), chance.next());
    uuid::Builder::from_random_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
        .into_uuid()
        .to_string()
}

fn letter(chance: &mut Chance) -> char {
    char::from(b'A' + chance.below(26) as u8)
}

fn base64(chance: &mut Chance) -> char {
    char::from(
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[chance.below(64)],
    )
}
