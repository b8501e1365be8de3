//! A stream finds what a search of the whole does, wherever the text is cut.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::sync::LazyLock;

use common::fragments::{chunks, cuts, text};
use common::{masking, sample};
use proptest::prelude::*;
use tallyport_detect::{
    Action, Cards, Findings, Kind, Kinds, LOOK_AHEAD, MAX_PEM_BYTES, MAX_RUN_BYTES, REACH_BEHIND,
    Rules, Screen,
};

static MASKING: LazyLock<Screen> = LazyLock::new(masking);

/// Kinds have different actions, so that overlaps are resolved by them too.
static MIXED: LazyLock<Screen> = LazyLock::new(|| {
    let rules = [
        ("all", "mask"),
        ("contact", "alert"),
        ("financial", "deny"),
        ("jwt", "alert"),
        ("phone", "deny"),
    ];
    Screen::new(Rules::parse(rules).unwrap(), Cards::LastFour).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn chunks_change_nothing(text in text(), cuts in cuts(), mixed in any::<bool>()) {
        let screen = if mixed { &*MIXED } else { &*MASKING };
        let whole = whole(screen, &text);
        let streamed = streamed(screen, &chunks(&text, &cuts));
        prop_assert_eq!(lossy(&streamed.0), lossy(&whole.0));
        prop_assert_eq!(streamed.1, whole.1);
    }

    #[test]
    fn a_flush_after_each_line_changes_nothing(text in text(), cuts in cuts()) {
        let whole = whole(&MASKING, &text);
        let mut stream = MASKING.stream(Kinds::NONE);
        let mut out = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            chunks(line, &cuts).iter().for_each(|chunk| stream.push(chunk, &mut out));
            stream.flush(&mut out);
        }
        stream.finish(&mut out);
        prop_assert_eq!(lossy(&out), lossy(&whole.0));
    }

    #[test]
    fn no_more_is_held_than_is_said(text in text(), cuts in cuts()) {
        let mut stream = MASKING.stream(Kinds::NONE);
        let mut out = Vec::new();
        for chunk in chunks(&text, &cuts) {
            stream.push(chunk, &mut out);
            prop_assert!(stream.held() <= LOOK_AHEAD + REACH_BEHIND);
        }
        stream.finish(&mut out);
        prop_assert_eq!(stream.held(), 0);
    }
}

#[test]
fn every_cut_of_every_value() {
    for value in common::fragments::values() {
        let text = [b"x ".as_slice(), value.as_bytes(), b" y"].concat();
        let whole = whole(&MASKING, &text);
        for cut in 0..text.len() {
            let (one, other) = text.split_at(cut);
            assert_eq!(streamed(&MASKING, &[one, other]), whole, "{value} cut at {cut}");
        }
    }
}

/// What was settled long ago is forgotten, but not what stands before the next anchor.
#[test]
fn context_is_remembered_when_the_buffer_is_emptied() {
    for filler in (16 * 1024..16 * 1024 + 1_500).step_by(13) {
        let text = format!("{} ssn {} 123456789", ".".repeat(filler), "=".repeat(50));
        let (out, findings) = streamed(&MASKING, &chunks(text.as_bytes(), &[100]));
        assert!(out.ends_with(b"= [us_ssn]"), "after {filler}");
        assert_eq!(findings.total(), 1);
    }
    // A flush settles all, so that nothing but this keeps what is behind; the buffer is emptied then and not before.
    let mut stream = MASKING.stream(Kinds::NONE);
    let mut out = Vec::new();
    stream.push(format!("{} ssn: ", ".".repeat(17_000)).as_bytes(), &mut out);
    stream.flush(&mut out);
    stream.push(b"123456789", &mut out);
    stream.finish(&mut out);
    assert!(out.ends_with(b" ssn: [us_ssn]"));
}

#[test]
fn a_key_that_comes_line_by_line_with_pauses_is_hidden() {
    let begin = sample("-----BEG¦IN PRI¦VATE KEY-----");
    let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8c\n";
    let end = sample("-----END PRI¦VATE KEY-----");
    let mut stream = MASKING.stream(Kinds::NONE);
    let mut out = Vec::new();
    let lines =
        [format!("before\n{begin}\n"), line.to_owned(), line.repeat(40), format!("{end}\nafter\n")];
    for line in &lines {
        stream.push(line.as_bytes(), &mut out);
        stream.flush(&mut out);
    }
    assert_eq!(lossy(&out), "before\n[private_key]\nafter\n");
    assert_eq!(stream.held(), 0);
    assert_eq!(stream.findings().count(Kind::PrivateKey), 1);
}

#[test]
fn a_key_and_a_token_that_never_end_are_hidden_up_to_their_bound() {
    let begin = sample("-----BEG¦IN PRI¦VATE KEY-----");
    let token = sample("{b64url:{\"alg\":\"none\"}}.");
    for (head, bound, mark) in [
        (begin.as_str(), MAX_PEM_BYTES, "[private_key]"),
        (token.as_str(), MAX_RUN_BYTES - token.len(), "[jwt]"),
    ] {
        let text = [head.as_bytes(), "A".repeat(3 * bound).as_bytes()].concat();
        let (out, _) = streamed(&MASKING, &chunks(&text, &[777]));
        assert_eq!(lossy(&out), format!("{mark}{}", "A".repeat(2 * bound)));
    }
}

#[test]
fn a_stream_is_ready_for_another_text_and_counts_on() {
    let mut stream = MASKING.stream(Kinds::NONE);
    let mut out = Vec::new();
    for _ in 0..2 {
        stream.push(b"411111111111", &mut out);
        stream.finish(&mut out);
        stream.push(b"1111 ann@example.org", &mut out);
        stream.finish(&mut out);
    }
    assert_eq!(lossy(&out), "4111111111111111 [email]".repeat(2));
    assert_eq!(stream.findings().count(Kind::Email), 2);
    assert_eq!(stream.findings().action(), Some(Action::Mask));
}

fn whole(screen: &Screen, text: &[u8]) -> (Vec<u8>, Findings) {
    let mut out = Vec::new();
    let findings = screen.mask(text, Kinds::NONE, &mut out);
    (out, findings)
}

fn streamed(screen: &Screen, chunks: &[&[u8]]) -> (Vec<u8>, Findings) {
    let mut stream = screen.stream(Kinds::NONE);
    let mut out = Vec::new();
    chunks.iter().for_each(|chunk| stream.push(chunk, &mut out));
    stream.finish(&mut out);
    (out, stream.findings().clone())
}

fn lossy(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\n", "\n")
}
