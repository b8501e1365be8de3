//! What is masked stays masked, wholly, and is not found again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::sync::LazyLock;

use common::fragments::text;
use common::{all, masking, sample};
use proptest::prelude::*;
use tallyport_detect::{Action, Cards, Detectors, Group, Hit, Kind, Kinds, Rules, Screen};

static ALL: LazyLock<Detectors> = LazyLock::new(all);
static MASKING: LazyLock<Screen> = LazyLock::new(masking);
static LAST_FOUR: LazyLock<Screen> = LazyLock::new(|| {
    Screen::new(Rules::uniform(Kinds::all(), Action::Mask), Cards::LastFour).unwrap()
});
static GROUPS: LazyLock<Vec<Detectors>> = LazyLock::new(|| {
    Group::ALL.iter().map(|group| Detectors::new(Kinds::of(*group)).unwrap()).collect()
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn masked_text_has_no_hits(text in text(), last_four in any::<bool>()) {
        let screen = if last_four { &*LAST_FOUR } else { &*MASKING };
        let mut once = Vec::new();
        screen.mask(&text, Kinds::NONE, &mut once);
        let hits = ALL.scan(&once);
        prop_assert!(hits.is_empty(), "{:?} in {}", show(&once, &hits), once.escape_ascii());
    }

    #[test]
    fn hits_are_in_order_and_apart(text in text()) {
        let hits = ALL.scan(&text);
        let mut end = 0;
        for hit in &hits {
            prop_assert!(end <= hit.range.start && hit.range.start < hit.range.end, "{hits:?}");
            end = hit.range.end;
        }
        prop_assert!(end <= text.len());
    }

    #[test]
    fn a_mask_is_the_text_with_its_hits_replaced(text in text()) {
        let (mut expected, mut from) = (Vec::new(), 0);
        let hits = ALL.scan(&text);
        for hit in &hits {
            expected.extend_from_slice(&text[from..hit.range.start]);
            expected.extend_from_slice(format!("[{}]", hit.kind).as_bytes());
            from = hit.range.end;
        }
        expected.extend_from_slice(&text[from..]);
        let mut masked = Vec::new();
        let findings = MASKING.mask(&text, Kinds::NONE, &mut masked);
        prop_assert_eq!(masked.escape_ascii().to_string(), expected.escape_ascii().to_string());
        prop_assert_eq!(findings.total(), hits.len() as u64);
    }

    #[test]
    fn other_kinds_never_uncover_a_byte(text in text()) {
        let together = ALL.scan(&text);
        for hit in GROUPS.iter().flat_map(|group| group.scan(&text)) {
            let mut uncovered = hit.range.clone();
            for other in &together {
                if other.range.start <= uncovered.start {
                    uncovered.start = uncovered.start.max(other.range.end).min(uncovered.end);
                }
            }
            prop_assert!(uncovered.is_empty(), "{hit:?} {together:?}");
        }
    }
}

/// What the test above once found: text that only became a hit when something beside it was masked.
#[test]
fn masked_text_has_no_hits_that_it_had_not_before() {
    let cases = [
        "{b64url:{\"alg\":\"none\"}}.{64*a}.ann@example.org",
        "://gl¦pat-aB3dE6gH9jK2mN5pQ8sTbob.b+tag@mail.example.org",
        "ssn {400*x}@example.org 123456789",
        "postgres://u:4111 1111 1111 1111@host",
        "phone 1 85 05 78 006 084 91ann@example.org",
        "ann@example.oeyJx-x-{b64url:{\"alg\":\"none\"}}.{b64url:{\"alg\":\"none\"}}.{b64url:{\"alg\":\"none\"}}.",
        "postgres://a:b@c_123-45-6789@+",
        "postgres://a:28_@95%@{b64url:{\"alg\":\"none\"}}.aaaa.[payment_card 1111]",
        "@example.org@example.org-RSSMRA85T10A562S.56@1",
    ];
    for case in cases.map(sample) {
        let mut once = Vec::new();
        MASKING.mask(case.as_bytes(), Kinds::NONE, &mut once);
        assert_eq!(show(&once, &ALL.scan(&once)), [], "{case}");
    }
}

#[test]
fn of_two_kinds_the_stricter_action_has_the_byte_then_the_more_specific() {
    let text = b"postgres://ann:secret@example.org/db";
    let mask = |rules: &[(&str, &str)]| {
        let screen =
            Screen::new(Rules::parse(rules.iter().copied()).unwrap(), Cards::Hidden).unwrap();
        let mut out = Vec::new();
        let findings = screen.mask(text, Kinds::NONE, &mut out);
        (String::from_utf8(out).unwrap(), findings)
    };
    let (out, findings) = mask(&[("url_password", "mask"), ("email", "mask")]);
    assert_eq!(out, "postgres://[url_password]/db");
    assert_eq!(findings.total(), 1);
    let (out, findings) = mask(&[("url_password", "alert"), ("email", "mask")]);
    assert_eq!(out, "postgres://ann:[email]/db", "an alert must not show what another rule masks");
    assert_eq!((findings.total(), findings.action()), (2, Some(Action::Mask)));
    let (out, findings) = mask(&[("url_password", "alert")]);
    assert_eq!((out.as_bytes(), findings.action()), (text.as_slice(), Some(Action::Alert)));
    let (out, findings) = mask(&[("url_password", "deny")]);
    assert_eq!(
        (out.as_str(), findings.action()),
        ("postgres://[url_password]/db", Some(Action::Deny))
    );
}

#[test]
fn the_last_four_of_a_card_are_kept_on_demand() {
    let mut out = Vec::new();
    LAST_FOUR.mask(b"4111 1111 1111 1111, SSN 123456789", Kinds::NONE, &mut out);
    assert_eq!(out, b"[payment_card 1111], SSN [us_ssn]");
}

#[test]
fn context_may_be_given() {
    let mask = |given| {
        let mut out = Vec::new();
        MASKING.mask(b"123456789", given, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(mask(Kinds::NONE), "123456789");
    assert_eq!(mask(ALL.context_of("customer_ssn")), "[us_ssn]");
    assert_eq!(ALL.context_of("customerSsn"), ALL.context_of("SSN"));
    assert!(ALL.context_of("lessons").is_empty());
    assert!(ALL.context_of("bsn").contains(Kind::NlBsn));
}

fn show(text: &[u8], hits: &[Hit]) -> Vec<(Kind, String)> {
    hits.iter().map(|hit| (hit.kind, text[hit.range.clone()].escape_ascii().to_string())).collect()
}
