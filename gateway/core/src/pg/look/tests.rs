use std::sync::OnceLock;

use super::*;
use proptest::prelude::*;
use tallyport_detect::{Cards, Kind, Rules};

const CARD: &str = "4111111111111111";
const TEXT: u32 = 25;
const INT4: u32 = 23;
const INT8: u32 = 20;
const NUMERIC: u32 = 1700;
const JSON: u32 = 114;
const JSONB: u32 = 3802;
const RECORD: u32 = 2249;
const CITEXT: u32 = 16_500;
const TEXT_ARRAY: u32 = 1009;
const INT8_ARRAY: u32 = 1016;

fn screen(rules: &[(&str, &str)]) -> Screen {
    Screen::new(Rules::parse(rules.iter().copied()).unwrap(), Cards::Hidden).unwrap()
}

fn masking() -> Screen {
    static MASKING: OnceLock<Screen> = OnceLock::new();
    MASKING.get_or_init(|| screen(&[("all", "mask")])).clone()
}

/// What is seen of a value of a column `x`.
fn seen(type_oid: u32, format: i16, value: &[u8]) -> Result<Seen, Unreadable> {
    seen_in("x", type_oid, format, value)
}

fn seen_in(name: &str, type_oid: u32, format: i16, value: &[u8]) -> Result<Seen, Unreadable> {
    let screen = masking();
    match Column::of(&screen, name, type_oid, format) {
        Some(column) => Looker::new(&screen).value(&column, value),
        None => Ok(Seen::Same),
    }
}

fn text(type_oid: u32, value: &str) -> String {
    match seen(type_oid, 0, value.as_bytes()).unwrap() {
        Seen::Same => "same".to_owned(),
        Seen::Null => "NULL".to_owned(),
        Seen::Value(value) => String::from_utf8(value).unwrap(),
    }
}

/// A value with its length.
fn counted(value: &[u8]) -> Vec<u8> {
    [&u32::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

fn ints(ints: &[u32]) -> Vec<u8> {
    ints.iter().flat_map(|int| int.to_be_bytes()).collect()
}

/// An array of one dimension.
fn array(element: u32, flags: u32, elements: &[Option<&[u8]>]) -> Vec<u8> {
    let mut out = ints(&[1, flags, element, u32::try_from(elements.len()).unwrap(), 1]);
    for element in elements {
        out.extend(element.map_or_else(|| (-1_i32).to_be_bytes().to_vec(), counted));
    }
    out
}

fn record(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut out = ints(&[u32::try_from(fields.len()).unwrap()]);
    for (type_oid, value) in fields {
        out.extend([ints(&[*type_oid]), counted(value)].concat());
    }
    out
}

/// The card as a `numeric` in binary format, of a scale of 2.
fn numeric_card() -> Vec<u8> {
    [4_u16, 3, 0, 2, 4111, 1111, 1111, 1111].map(u16::to_be_bytes).concat()
}

fn int8_card() -> [u8; 8] {
    4_111_111_111_111_111_i64.to_be_bytes()
}

#[test]
fn texts_and_documents_are_marked_where_something_was_found() {
    assert_eq!(text(TEXT, "card 4111-1111-1111-1111."), "card [payment_card].");
    assert_eq!(text(TEXT, "nothing"), "same");
    let document = r#"{"a": ["x", 4111111111111111], "b": "ada\u0040example.com"}"#;
    let marked = r#"{"a": ["x", "[payment_card]"], "b": "[email]"}"#;
    assert_eq!((text(JSON, document), text(JSONB, document)), (marked.into(), marked.into()));
    let binary = [b"\x01", document.as_bytes()].concat();
    let wanted = [b"\x01", marked.as_bytes()].concat();
    assert_eq!(seen(JSONB, 1, &binary), Ok(Seen::Value(wanted)));
    assert_eq!(seen(JSON, 1, document.as_bytes()), Ok(Seen::Value(marked.into())));
    assert_eq!(seen(JSONB, 1, b"\x02{}"), Err(Unreadable::Malformed));
    assert_eq!(seen(JSONB, 1, b""), Err(Unreadable::Malformed));
    assert!(matches!(seen(JSON, 0, br#"["\ud800"]"#), Err(Unreadable::Json(_))));
}

#[test]
fn a_number_that_was_found_is_null_in_both_formats() {
    for written in [CARD, "-4111111111111111", "4111111111111111.00"] {
        assert_eq!(text(NUMERIC, written), "NULL", "{written}");
    }
    assert_eq!((text(INT8, CARD), text(INT8, "4111111111111112")), ("NULL".into(), "same".into()));
    assert_eq!(seen(INT8, 1, &int8_card()), Ok(Seen::Null));
    assert_eq!(seen(NUMERIC, 1, &numeric_card()), Ok(Seen::Null));
    assert_eq!(seen(INT8, 1, b"1234"), Err(Unreadable::Malformed));
    // Nine digits are something where the column's name says so.
    for format in [0, 1] {
        let ssn: &[u8] = if format == 0 { b"123456789" } else { &[0x07, 0x5B, 0xCD, 0x15] };
        assert_eq!(seen_in("x", INT4, format, ssn), Ok(Seen::Same));
        assert_eq!(seen_in("customer_ssn", INT4, format, ssn), Ok(Seen::Null));
    }
}

#[test]
fn elements_of_an_array_are_looked_into_one_by_one() {
    for (value, wanted) in [
        (r#"{a,"4111 1111 1111 1111",NULL,b}"#, r#"{a,"[payment_card]",NULL,b}"#),
        (
            r#"[2:3][0:0]={{4111111111111111},{"\"x\" \\"}}"#,
            r#"[2:3][0:0]={{"[payment_card]"},{"\"x\" \\"}}"#,
        ),
        (r#"{"\"ada@example.com\" \\"}"#, r#"{"\"[email]\" \\"}"#),
        (r#"{4111,1111,1111,1111}"#, "same"),
        ("{}", "same"),
    ] {
        assert_eq!(text(TEXT_ARRAY, value), wanted, "{value}");
    }
    assert_eq!(text(INT8_ARRAY, "{7,4111111111111111,NULL}"), "{7,NULL,NULL}");
    assert_eq!(
        text(199, r#"{"{\"a\":\"4111111111111111\"}"}"#),
        r#"{"{\"a\":\"[payment_card]\"}"}"#
    );
    for broken in ["", "x", r#"{"a"#, r#"{"a\"#] {
        assert_eq!(seen(TEXT_ARRAY, 0, broken.as_bytes()), Err(Unreadable::Malformed), "{broken}");
    }
    // A key goes over commas and quotes, but not over elements.
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let value = format!("{{\"-----BEGIN PRIVATE KEY-----\n{body}\",kept}}");
    assert_eq!(text(TEXT_ARRAY, &value), "{\"[private_key]\",kept}");
}

#[test]
fn binary_arrays_and_records_are_looked_into_one_by_one() {
    let plain = array(TEXT, 0, &[Some(b"a"), Some(CARD.as_bytes())]);
    let marked = array(TEXT, 0, &[Some(b"a"), Some(b"[payment_card]")]);
    assert_eq!(seen(TEXT_ARRAY, 1, &plain), Ok(Seen::Value(marked)));
    let numbers = array(INT8, 0, &[Some(&int8_card()), Some(&7_i64.to_be_bytes())]);
    let nulled = array(INT8, 1, &[None, Some(&7_i64.to_be_bytes())]);
    assert_eq!(seen(INT8_ARRAY, 1, &numbers), Ok(Seen::Value(nulled)));
    assert_eq!(seen(TEXT_ARRAY, 1, &array(TEXT, 1, &[None, Some(b"a")])), Ok(Seen::Same));
    assert_eq!(seen(TEXT_ARRAY, 1, &ints(&[0, 0, TEXT])), Ok(Seen::Same));

    let with_number = record(&[(INT8, &int8_card()), (TEXT, b"a")]);
    for type_oid in [RECORD, CITEXT] {
        assert_eq!(seen(type_oid, 1, &with_number), Ok(Seen::Null));
        assert_eq!(seen(type_oid, 1, &record(&[(TEXT, b"a"), (16, &[1])])), Ok(Seen::Same));
    }
    let records = array(RECORD, 0, &[Some(&with_number)]);
    assert_eq!(seen(2287, 1, &records), Ok(Seen::Value(array(RECORD, 1, &[None]))));
}

#[test]
fn types_that_are_not_known_are_looked_into_as_they_are_and_kept_back_where_that_says_nothing() {
    assert_eq!(text(CITEXT, CARD), "NULL", "no mark is known to be a value of it");
    assert_eq!(text(CITEXT, "a"), "same");
    assert_eq!(text(RECORD, r#"(1,"4111 1111 1111 1111")"#), "NULL");
    assert_eq!(seen(CITEXT, 1, CARD.as_bytes()), Ok(Seen::Null));
    assert_eq!(seen(CITEXT, 1, b"a"), Ok(Seen::Same));
    // `int8range` and `hstore`, whose numbers and lengths say nothing to whoever does not know them.
    let range = [&[2, 0, 0, 0, 8][..], &int8_card()].concat();
    assert_eq!(seen(3926, 1, &range), Err(Unreadable::Binary));
    assert_eq!(
        seen(CITEXT, 1, &[0, 0, 0, 1, 0, 0, 0, 1, b'a', 0, 0, 0, 1, b'b']),
        Err(Unreadable::Binary)
    );
    assert_eq!(seen(17, 1, CARD.as_bytes()), Ok(Seen::Same), "bytes are no text");
    assert_eq!(text(17, CARD), "NULL", "written as they are, they are");
}

#[test]
fn what_nests_too_deep_is_kept_back() {
    let mut value = record(&[(TEXT, b"a")]);
    for _ in 0..=MAX_DEPTH {
        value = record(&[(RECORD, &value)]);
    }
    assert_eq!(seen(RECORD, 1, &value), Err(Unreadable::Depth));
}

#[test]
fn fields_of_a_line_are_looked_into_one_by_one() {
    let screen = masking();
    let line = |line: &str| {
        let seen = Looker::new(&screen).line(line.as_bytes());
        seen.map_or_else(|| "same".to_owned(), |seen| String::from_utf8(seen).unwrap())
    };
    assert_eq!(line("1\tAda\t\\N\n"), "same");
    assert_eq!(line("1\t4111111111111111\tx\t\n"), "1\t[payment_card]\tx\t\n");
    assert_eq!(line("1,\"4111 1111 1111 1111\",x\r\n"), "1,\"[payment_card]\",x\r\n");
    let body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    let key = format!("1\t-----BEGIN PRIVATE KEY-----\\n{body}\tkept\n");
    assert_eq!(line(&key), "1\t[private_key]\tkept\n");
}

#[test]
fn an_alert_changes_nothing_and_counts() {
    let screen = screen(&[("payment_card", "alert"), ("email", "deny")]);
    for (type_oid, format, value) in [
        (TEXT, 0, CARD.as_bytes().to_vec()),
        (JSON, 0, format!("{{\"a\" : \"{CARD}\"}}").into_bytes()),
        (INT8, 1, int8_card().to_vec()),
        (TEXT_ARRAY, 0, format!("{{{CARD}}}").into_bytes()),
        (INT8_ARRAY, 1, array(INT8, 0, &[Some(&int8_card())])),
    ] {
        let column = Column::of(&screen, "x", type_oid, format).unwrap();
        let mut looker = Looker::new(&screen);
        assert_eq!(looker.value(&column, &value), Ok(Seen::Same));
        assert_eq!(looker.findings.count(Kind::PaymentCard), 1);
        assert!(!looker.denies());
    }
    let column = Column::of(&screen, "x", TEXT, 0).unwrap();
    let mut looker = Looker::new(&screen);
    looker.value(&column, b"ada@example.com").unwrap();
    assert!(looker.denies());
}

#[test]
fn messages_are_marked_and_lose_their_words_where_something_must_not_pass() {
    let body = |message: &str| format!("SERROR\0C23505\0M{message}\0DKey (x)=({message}).\0P8\0\0");
    let screen = screen(&[("payment_card", "mask"), ("email", "deny")]);
    let mut looker = Looker::new(&screen);
    assert_eq!(looker.error(b'E', body("nothing").as_bytes()).unwrap(), None);
    let seen = looker.error(b'E', body(CARD).as_bytes()).unwrap().unwrap();
    assert_eq!(&seen[5..], body("[payment_card]").as_bytes());
    assert_eq!(looker.findings.count(Kind::PaymentCard), 2);
    let seen = looker.error(b'E', body("ada@example.com").as_bytes()).unwrap().unwrap();
    assert_eq!(&seen[5..], [&b"SERROR\0C23505\0M"[..], messages::WITHHELD, b"\0P8\0\0"].concat());
    let mut looker = Looker::new(&screen);
    let told = [&7_i32.to_be_bytes()[..], b"channel\0", CARD.as_bytes(), b"\0"].concat();
    let seen = looker.notification(&told).unwrap().unwrap();
    assert_eq!(&seen[5..], [&7_i32.to_be_bytes()[..], b"channel\0[payment_card]\0"].concat());
    let status = [b"application_name\0", CARD.as_bytes(), b"\0"].concat();
    let seen = looker.parameter_status(&status).unwrap().unwrap();
    assert_eq!(&seen[5..], b"application_name\0[payment_card]\0");
    assert_eq!(looker.parameter_status(b"a\0b\0").unwrap(), None);
}

/// Ways to write the card into a value of which all but the card is drawn.
fn planted() -> impl Strategy<Value = (u32, i16, Vec<u8>)> {
    let around = "[ a-z.:;(){},\"\\\\\n]{0,12}";
    let grouped = prop_oneof![
        Just(CARD.to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("4111-1111-1111-1111".to_owned())
    ];
    let texts = (around, grouped, around)
        .prop_map(|(before, card, after)| format!("{before} {card} {after}"));
    (texts, 0..14_u8).prop_map(|(text, way)| {
        let json = serde_json::json!({ "a": [text], "b": 4_111_111_111_111_111_i64 }).to_string();
        let quoted = format!("{{x,\"{}\"}}", text.replace('\\', "\\\\").replace('"', "\\\""));
        let bytes = text.as_bytes();
        match way {
            0 => (TEXT, 0, text.into_bytes()),
            1 => (TEXT, 1, text.into_bytes()),
            2 => (JSON, 0, json.into_bytes()),
            3 => (JSONB, 1, [b"\x01", json.as_bytes()].concat()),
            4 => (TEXT_ARRAY, 0, quoted.into_bytes()),
            5 => (TEXT_ARRAY, 1, array(TEXT, 0, &[Some(b"x"), Some(bytes)])),
            6 => (INT8, 0, CARD.as_bytes().to_vec()),
            7 => (INT8, 1, int8_card().to_vec()),
            8 => (NUMERIC, 1, numeric_card()),
            9 => (INT8_ARRAY, 1, array(INT8, 0, &[None, Some(&int8_card())])),
            10 => (
                RECORD,
                1,
                record(&[(TEXT, bytes), (INT8, &int8_card()), (NUMERIC, &numeric_card())]),
            ),
            11 => (2287, 1, array(RECORD, 0, &[Some(&record(&[(JSON, json.as_bytes())]))])),
            12 => (CITEXT, 1, text.into_bytes()),
            _ => (CITEXT, 0, text.into_bytes()),
        }
    })
}

proptest! {
    #[test]
    fn nothing_of_a_card_is_seen_in_any_format((type_oid, format, value) in planted()) {
        let shown = match seen(type_oid, format, &value).unwrap() {
            Seen::Same => return Err(TestCaseError::fail("it was not found")),
            Seen::Null => return Ok(()),
            Seen::Value(shown) => shown,
        };
        let lies = |part: &[u8]| shown.windows(part.len()).any(|window| window == part);
        prop_assert!(!lies(b"1111") && !lies(&int8_card()) && !lies(&1111_u16.to_be_bytes().repeat(2)));
        // What is shown is a value of its type, in which nothing is found any more.
        prop_assert_eq!(seen(type_oid, format, &shown), Ok(Seen::Same));
    }

    #[test]
    fn no_bytes_make_it_panic(type_oid in 0_u32..17_000, format in 0_i16..2, value in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _seen = seen(type_oid, format, &value);
    }
}
