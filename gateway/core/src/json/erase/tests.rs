use proptest::prelude::*;
use serde_json::Value;
use tallyport_detect::{Action, Cards, Rules};

use super::*;

fn rules(places: &[(&str, &str)]) -> Vec<Hide> {
    let rule = |(place, mask): &(&str, &str)| Hide {
        place: place.parse().unwrap(),
        shade: mask.parse::<Mask>().unwrap().into(),
    };
    places.iter().map(rule).collect()
}

fn erased(places: &[(&str, &str)], text: &str) -> Result<(String, u64), BadJson> {
    let rules = rules(places);
    let mut eraser = Eraser::new(&rules, None);
    let mut out = Vec::new();
    eraser.document(text.as_bytes(), &mut out)?;
    Ok((String::from_utf8(out).unwrap(), eraser.hidden))
}

#[test]
fn what_is_not_hidden_stays_byte_for_byte() {
    let text = "{ \"big\": 123456789012345678901234567890.10, \"a\":[1e5,\t\"\\u00e9\"] ,\"email\":\"ada@example.com\" }\n";
    assert_eq!(erased(&[], text).unwrap().0, text);
    let (seen, hidden) = erased(&[("/email", "redact"), ("/a/1", "redact")], text).unwrap();
    assert_eq!(
        seen,
        "{ \"big\": 123456789012345678901234567890.10, \"a\":[1e5,\t\"[redacted]\"] ,\"email\":\"[redacted]\" }\n"
    );
    assert_eq!(hidden, 2);
}

#[test]
fn a_member_that_stands_twice_is_hidden_twice() {
    let (seen, hidden) =
        erased(&[("/card", "redact")], r#"{"card":"4111","c\u0061rd":"4112"}"#).unwrap();
    assert!(!seen.contains("411"), "{seen}");
    assert_eq!(hidden, 2);
}

#[test]
fn what_has_parts_is_hidden_whole_and_null_stays() {
    let text = r#"{"data":{"a":[1,{"b":"x"}]},"none":null,"n":4111111111111111,"yes":true}"#;
    let places = [("/*", "redact")];
    let (seen, hidden) = erased(&places, text).unwrap();
    assert_eq!(seen, r#"{"data":"[redacted]","none":null,"n":"[redacted]","yes":"[redacted]"}"#);
    assert_eq!(hidden, 3);
    let (seen, _) =
        erased(&[("/rows/*/n", "partial:last4")], r#"{"rows":[{"n":"123456789"}]}"#).unwrap();
    assert!(seen.contains("789") && !seen.contains("12345"), "{seen}");
}

#[test]
fn what_is_no_json_does_not_pass() {
    for text in [
        "",
        "{",
        "{\"a\"}",
        "[1,]",
        "{\"a\":1,}",
        "01",
        "1 2",
        "nul",
        "\"\\ud800\"",
        "\"a",
        "{\"a\":1}x",
        "'a'",
        "\"a\u{1}b\"",
        "[1 2]",
        "+1",
        "1.",
        "\\",
        "{a:1}",
        "NaN",
        "-",
    ] {
        assert!(erased(&[("/a", "redact")], text).is_err(), "{text}");
    }
    let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 2), "]".repeat(MAX_DEPTH + 2));
    assert_eq!(erased(&[], &deep), Err(BadJson::Depth));
    let hidden = format!("{{\"a\":{deep}}}");
    assert_eq!(erased(&[("/a", "redact")], &hidden), Err(BadJson::Depth));
}

#[test]
fn detectors_look_into_names_texts_and_numbers() {
    let screen =
        Screen::new(Rules::parse([("payment_card", "mask")]).unwrap(), Cards::Hidden).unwrap();
    let mut eraser = Eraser::new(&[], Some(&screen));
    let mut out = Vec::new();
    let text = r#"{"4111111111111111":1,"t":"pay 4111 1111 1111 1111 now","n":4111111111111111}"#;
    eraser.document(text.as_bytes(), &mut out).unwrap();
    let seen = String::from_utf8(out).unwrap();
    assert!(!seen.contains("1111"), "{seen}");
    assert!(serde_json::from_str::<Value>(&seen).is_ok(), "{seen}");
    assert_eq!(eraser.findings.action(), Some(Action::Mask));
}

#[test]
fn a_list_passes_as_it_comes_and_only_what_is_not_whole_waits() {
    let rules = rules(&[("/items/*/s", "redact")]);
    let mut eraser = Eraser::new(&rules, None);
    let mut document = Document::new(&eraser, usize::MAX);
    let mut out = Vec::new();
    document.feed(&mut eraser, b"{\"kind\":\"List\",\"items\":[", &mut out).unwrap();
    for index in 0..1000 {
        let item = format!("{{\"n\":{index},\"s\":\"secret\"}},");
        let (one, other) = item.as_bytes().split_at(index % item.len());
        document.feed(&mut eraser, one, &mut out).unwrap();
        document.feed(&mut eraser, other, &mut out).unwrap();
        assert!(document.held() < 64, "{}", document.held());
    }
    let text = String::from_utf8(out.clone()).unwrap();
    assert!(text.contains("{\"n\":990,\"s\":\"[redacted]\"}") && !text.contains("secret"));
    assert_eq!(document.finish(&mut eraser, &mut out), Err(BadJson::Syntax(text.len() - 4000)));
}

/// The beginning of a long value is not read again for each piece of it: that would take as long as the square of its length.
#[test]
fn a_long_value_is_looked_at_again_only_when_much_of_it_came() {
    let rules = rules(&[("/s", "redact")]);
    let mut eraser = Eraser::new(&rules, None);
    let mut document = Document::new(&eraser, usize::MAX);
    let mut out = Vec::new();
    document.feed(&mut eraser, b"{\"s\":[", &mut out).unwrap();
    // Read again for each, these would be some 600 GB: the test would not end.
    for _ in 0..300_000 {
        document.feed(&mut eraser, b"\"0123456789\",", &mut out).unwrap();
    }
    document.feed(&mut eraser, b"1],\"t\":2}", &mut out).unwrap();
    document.finish(&mut eraser, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "{\"s\":\"[redacted]\",\"t\":2}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c\"\\\\\u{e9}]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[abs]", inner, 0..4)
                .prop_map(|it| Value::from(it.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    })
}

proptest! {
    /// Nothing below a hidden member is left, whatever stands around it.
    #[test]
    fn nothing_of_what_is_hidden_is_left(around in any_json(), secret in "[0-9]{12}") {
        let document = serde_json::json!({ "around": around, "s": secret.clone(), "rows": [{ "s": [secret.clone()] }] });
        let text = document.to_string();
        let (seen, _) = erased(&[("/s", "redact"), ("/rows/*/s", "redact")], &text).unwrap();
        prop_assert!(!seen.contains(&secret));
        let read: Value = serde_json::from_str(&seen).unwrap();
        prop_assert_eq!(&read["around"], &document["around"]);
    }

    /// Where a document is cut on its way changes nothing.
    #[test]
    fn pieces_are_read_as_the_whole(
        value in any_json(),
        broken in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let rows = serde_json::json!({ "rows": [value, { "s": value }], "s": value, "card": "4111 1111 1111 1111" });
        let mut text = serde_json::to_vec_pretty(&rows).unwrap();
        if let Some((at, byte)) = broken {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let rules = rules(&[("/s", "redact"), ("/rows/*/s", "partial:last4"), ("/rows/0/a", "redact")]);
        let screen = Screen::new(Rules::parse([("payment_card", "mask")]).unwrap(), Cards::Hidden).unwrap();
        let mut whole = (Eraser::new(&rules, Some(&screen)), Vec::new());
        let told = whole.0.document(&text, &mut whole.1);
        let mut cuts: Vec<usize> = cuts.iter().map(|it| it.index(text.len())).collect();
        cuts.sort_unstable();
        cuts.push(text.len());
        let mut pieces = (Eraser::new(&rules, Some(&screen)), Vec::new());
        let mut document = Document::new(&pieces.0, usize::MAX);
        let mut from = 0;
        let mut fed = Ok(());
        for cut in cuts {
            fed = fed.and_then(|()| document.feed(&mut pieces.0, &text[from..cut], &mut pieces.1));
            from = cut;
        }
        let fed = fed.and_then(|()| document.finish(&mut pieces.0, &mut pieces.1));
        prop_assert_eq!(fed, told);
        if told.is_ok() {
            prop_assert_eq!(String::from_utf8(pieces.1), String::from_utf8(whole.1));
            prop_assert_eq!(pieces.0.hidden, whole.0.hidden);
            prop_assert_eq!(pieces.0.findings.action(), whole.0.findings.action());
        }
    }

    /// Whatever the bytes are, they pass as they are or not at all.
    #[test]
    fn without_rules_nothing_changes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut out = Vec::new();
        let passed = Eraser::new(&[], None).document(&bytes, &mut out).is_ok();
        prop_assert_eq!(passed, serde_json::from_slice::<Value>(&bytes).is_ok() && passed);
        if passed {
            prop_assert_eq!(out, bytes);
        }
    }
}
