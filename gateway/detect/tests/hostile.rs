//! No text costs more than linear time or keeps more than is said.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::texts::json_rows;
use common::{all, masking, sample};
use tallyport_detect::{Kinds, LOOK_AHEAD, REACH_BEHIND};

/// What an attacker's text may cost beyond benign rows of the same size, in times: twice the worst that is known. Looking at
/// all of a window for every byte would be some hundred times. Benign text profits more from an optimised build.
const MAX_RATIO: f64 = if cfg!(debug_assertions) { 15.0 } else { 40.0 };

const BYTES: usize = 64 * 1024;
/// Several ticks of the kernel's clock.
const EXACT: Duration = Duration::from_millis(25);

/// Each is repeated up to the size of the text; no line breaks but where there are some.
const PIECES: &[&str] = &[
    "1",
    "@",
    "-",
    " ",
    "[",
    "]",
    "\n",
    ".",
    "a",
    "A",
    "\u{a0}",
    "\\",
    "1 ",
    "1-",
    "11 ",
    "123456 ",
    "123456-",
    "12345678901234567890 ",
    "-----BEGIN ",
    "-----BEG¦IN PRI¦VATE KEY-----",
    "-----BEG¦IN PRI¦VATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJ\n",
    "private_key\": \"-----BEGIN ",
    "eyJ",
    "eyJ.",
    "eyJhbGciOiJub25lIn0.",
    "{b64url:{\"alg\":\"none\"}}.aaaa ",
    "{b64url:{\"a\":[[[[[[[[[[[[}}.aaaa.",
    "://",
    "://a:b@",
    "postgres://a:b@c ",
    "a:",
    "a@",
    "a@a.aa.",
    "@a.aa.aa.aa",
    "a@-.",
    "%40",
    "a%40a.aa",
    "\\u0040",
    "ann@example.org ",
    "ssn ",
    "ssn 123456789 ",
    "card 4111111111111111 ",
    "4111 ",
    "4111 1111 1111 1111 ",
    "4111-1111-1111-1111-",
    "phone 030 1234567 ",
    "+1 555 ",
    "(555) ",
    "GB82 ",
    "GB82",
    "AA00 0000 ",
    "GB82 WEST 1234 5698 7654 32 ",
    "[iban]",
    "[iban] 123456789 ssn ",
    "[us_ssn",
    "RSSMRA85T10A562S",
    "aaaaaa11a11a111a",
    "twilio ",
    "twilio0123456789abcdef",
    "authorization: bearer ",
    "authorization: basic aaaa",
    "AKIA",
    "AKIAAAAAAAAAAAAAAAAA ",
    "ghp_",
    "glpat-",
    "gl¦pat-aB3dE6gH9jK2mN5pQ8sT",
    "xoxb-a-a-a-",
    "sk-proj-",
    "ya29.",
    "hf_",
    "SG.",
    ":AA",
    "123456789:AAaaaaaaaaa",
    "sig=",
    "AccountKey=",
    "ecret_access_key=",
    "IQoJb3JpZ2lu",
    "hooks.slack.com/services/",
];

fn hostile() -> impl Iterator<Item = String> {
    PIECES.iter().map(|piece| sample(piece))
}

#[test]
fn no_text_costs_many_times_what_benign_text_does() {
    let detectors = all();
    let benign = json_rows(BYTES);
    let mut worst = (0.0, String::new());
    // Both in one run, so that the machine is the same.
    let base = time(|| drop(black_box(detectors.scan(&benign))));
    for piece in hostile() {
        let text: Vec<u8> = piece.bytes().cycle().take(BYTES).collect();
        let taken = time(|| drop(black_box(detectors.scan(&text))));
        let ratio = taken.as_secs_f64() / base.as_secs_f64();
        if ratio > worst.0 {
            worst = (ratio, piece.clone());
        }
        assert!(ratio < MAX_RATIO, "{piece:?} costs {ratio:.0} times what rows of JSON cost");
    }
    println!("the worst costs {:.1} times what rows of JSON cost: {:?}", worst.0, worst.1);
}

#[test]
fn time_is_linear_in_the_text() {
    let detectors = all();
    for piece in hostile() {
        let text: Vec<u8> = piece.bytes().cycle().take(8 * BYTES / 4).collect();
        let small = time(|| drop(black_box(detectors.scan(&text[..BYTES / 4]))));
        let large = time(|| drop(black_box(detectors.scan(&text))));
        let growth = large.as_secs_f64() / small.as_secs_f64();
        assert!(growth < 24.0, "{piece:?}: eight times the text takes {growth:.0} times as long");
    }
}

#[test]
fn a_stream_holds_no_more_than_its_tail() {
    let screen = masking();
    for piece in hostile() {
        let text: Vec<u8> = piece.bytes().cycle().take(BYTES).collect();
        let mut stream = screen.stream(Kinds::NONE);
        let mut out = Vec::new();
        for chunk in text.chunks(5_000) {
            out.clear();
            stream.push(chunk, &mut out);
            assert!(
                stream.held() <= LOOK_AHEAD + REACH_BEHIND,
                "{piece:?} holds {}",
                stream.held()
            );
        }
    }
}

/// One run's time, of as many as make it exact enough.
fn time(mut run: impl FnMut()) -> Duration {
    let began = spent();
    let mut runs = 0;
    loop {
        run();
        runs += 1;
        let spent = spent() - began;
        if spent > EXACT {
            return spent / runs;
        }
    }
}

/// What this thread had of a processor (`proc_pid_schedstat(5)`, up to a tick late): others on the same machine do not count. Where the
/// kernel does not tell, the time that went by.
fn spent() -> Duration {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let on_processor = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    on_processor.map_or_else(|| BEGAN.elapsed(), Duration::from_nanos)
}
