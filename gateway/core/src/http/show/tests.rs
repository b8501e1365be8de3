use tallyport_detect::{Cards, Rules};

use super::*;
use crate::http::Service;

const CARD: &str = "4111111111111111";

fn service() -> Service {
    Service::new("crm".to_owned(), "https://crm.example.com".to_owned(), Vec::new(), None)
}

fn screen() -> Screen {
    let rules = Rules::parse([("payment_card", "mask"), ("secrets", "deny")]).unwrap();
    Screen::new(rules, Cards::Hidden).unwrap()
}

fn plan(places: &[&str], detects: bool) -> Plan {
    let hide = |place: &&str| Hide {
        place: place.parse().unwrap(),
        shade: "redact".parse::<crate::masking::Mask>().unwrap().into(),
    };
    Plan {
        hides: places.iter().map(hide).collect(),
        screen: detects.then(screen),
        ..Plan::default()
    }
}

fn fields(media: &str) -> Fields {
    vec![("content-type".to_owned(), media.to_owned())]
}

/// What is shown of an answer that comes in pieces.
fn shown(plan: Plan, media: &str, pieces: &[&str]) -> Result<(String, u64), NotShown> {
    let mut show = Show::begin(plan, &service(), 200, &fields(media))?;
    let mut all = Vec::new();
    for piece in pieces {
        if let Some(shown) = show.feed(&Bytes::from((*piece).to_owned()))? {
            all.extend_from_slice(&shown.bytes);
        }
    }
    all.extend_from_slice(&show.finish()?.bytes);
    Ok((String::from_utf8(all).unwrap(), show.masked_values()))
}

#[test]
fn a_document_is_looked_into_wherever_it_is_cut() {
    let text = format!("{{\"card\":\"{CARD}\",\"n\":1}}");
    for cut in 0..text.len() {
        let (one, other) = text.split_at(cut);
        let seen = shown(plan(&["/card"], false), "application/json", &[one, other]).unwrap();
        assert_eq!(seen, ("{\"card\":\"[redacted]\",\"n\":1}".to_owned(), 1));
        let text = format!("{CARD} and more");
        let (one, other) = text.split_at(cut.min(text.len()));
        let (seen, masked) = shown(plan(&[], true), "text/plain", &[one, other]).unwrap();
        assert!(!seen.contains("41111") && masked == 1, "{seen}");
    }
}

#[test]
fn what_nothing_can_look_into_does_not_pass() {
    let refused =
        |plan: Plan, media: &str| Show::begin(plan, &service(), 200, &fields(media)).is_err();
    assert!(refused(plan(&["/a"], false), "text/html"), "a rule cannot mean it");
    assert!(refused(plan(&["/a"], false), "image/png"));
    assert!(refused(plan(&[], true), "image/png"));
    assert!(refused(plan(&["/a"], false), ""), "no type at all");
    assert!(!refused(plan(&[], false), "image/png"), "nothing is looked for");
    assert!(!refused(Plan { opaque: true, ..plan(&[], true) }, "image/png"));
    assert!(refused(Plan { opaque: true, ..plan(&["/a"], true) }, "image/png"), "a rule is more");
    let mut encoded = fields("application/json");
    encoded.push(("content-encoding".to_owned(), "gzip".to_owned()));
    let show = Show::begin(plan(&["/a"], false), &service(), 200, &encoded);
    assert_eq!(show.unwrap_err(), NotShown::Encoded("gzip".to_owned()));
    // What passes as it came from where nothing is looked for is looked into nowhere.
    let coded = |plan: Plan, name: &str, value: &str| {
        let mut said = fields("text/plain");
        said.retain(|(it, _)| it != name);
        said.push((name.to_owned(), value.to_owned()));
        Show::begin(plan, &service(), 200, &said)
    };
    for (name, value) in [
        ("content-type", "text/plain;charset=utf-16"),
        ("content-type", "application/json; charset = utf-16le"),
        ("transfer-encoding", "gzip, chunked"),
    ] {
        for (plan, passes) in [
            (plan(&["/a"], false), false),
            (plan(&[], true), false),
            (Plan { opaque: true, ..plan(&[], true) }, name == "content-type"),
            (Plan::default(), true),
        ] {
            assert_eq!(coded(plan, name, value).is_ok(), passes, "{name}: {value}");
        }
    }
    assert!(coded(plan(&[], true), "content-type", "text/plain; charset=UTF-8").is_ok());
    assert!(coded(plan(&[], true), "transfer-encoding", "chunked").is_ok());
    let mut two = fields("application/json");
    two.extend(fields("text/plain"));
    assert!(Show::begin(plan(&[], true), &service(), 200, &two).is_err(), "it is two things");
    let head = Plan { is_head: true, ..plan(&["/a"], false) };
    assert!(!refused(head, "image/png"), "nothing comes");
}

#[test]
fn what_is_denied_stops_where_it_is_found() {
    let key = "AKIAQ3EGRZV2XKTYN5WB";
    let told =
        shown(plan(&[], true), "application/json", &[&format!("{{\"k\":\"{key}\"}}")]).unwrap_err();
    assert_eq!(told, NotShown::Kept("aws_access_key_id (1)".to_owned()));
    let told =
        shown(plan(&[], true), "text/plain", &["first ", &format!("{key} "), "more"]).unwrap_err();
    assert!(matches!(told, NotShown::Kept(_)), "{told:?}");
    let mut named = fields("text/plain");
    named.push(("content-disposition".to_owned(), format!("attachment; filename={key}")));
    assert!(
        Show::begin(plan(&[], true), &service(), 200, &named).is_err(),
        "a field is looked into"
    );
}

#[test]
fn a_field_that_tells_of_what_is_hidden_does_not_pass() {
    let mut given = fields("application/json");
    given.push(("etag".to_owned(), "\"a\"".to_owned()));
    given.push(("set-cookie".to_owned(), "a=b".to_owned()));
    given.push(("content-disposition".to_owned(), format!("name={CARD}")));
    let names = |plan| {
        let mut show = Show::begin(plan, &service(), 200, &given).unwrap();
        let head = show.finish().unwrap().head.unwrap();
        (head.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), format!("{head:?}"))
    };
    assert_eq!(names(Plan::default()).0, ["content-type", "etag", "content-disposition"]);
    let (names, all) = names(plan(&[], true));
    assert_eq!(names, ["content-type", "content-disposition"]);
    assert!(!all.contains(CARD), "{all}");
}

#[test]
fn lines_are_shown_as_they_come_and_a_half_one_waits() {
    let mut show =
        Show::begin(plan(&["/c"], false), &service(), 200, &fields("application/x-ndjson"))
            .unwrap();
    let mut feed = |text: &str| {
        let shown = show.feed(&Bytes::from(text.to_owned())).unwrap();
        shown.map(|it| String::from_utf8(it.bytes.to_vec()).unwrap()).unwrap_or_default()
    };
    assert_eq!(feed("{\"c\":"), "");
    assert_eq!(feed("1}\n{\"c\":2}\n{\"c"), "{\"c\":\"[redacted]\"}\n{\"c\":\"[redacted]\"}\n");
    assert!(show.finish().is_err(), "what is cut is no document");
}

#[test]
fn a_large_document_is_shown_as_it_comes_and_a_small_one_waits_for_its_end() {
    let json = fields("application/json");
    let list =
        |count: usize| format!("[{}", "{\"card\":\"4111\",\"t\":\"some text\"},".repeat(count));
    let mut show = Show::begin(plan(&["/*/card"], true), &service(), 200, &json).unwrap();
    assert!(
        show.feed(&list(10).into()).unwrap().is_none(),
        "it may turn out to hold what is denied"
    );
    let begun = show.feed(&list(100_000)[1..].to_owned().into()).unwrap().unwrap();
    assert!(begun.head.is_some() && begun.bytes.len() > HELD_BACK_BYTES);
    assert!(!begun.bytes.windows(4).any(|it| it == b"4111"));
    let more = show.feed(&Bytes::from_static(b"{\"card\":1},")).unwrap().unwrap();
    assert_eq!((more.head, &more.bytes[..]), (None, &b"{\"card\":\"[redacted]\"},"[..]));
    assert_eq!(show.masked_values(), 100_011);
    // What is denied comes late: all before it has passed, and nothing after.
    let told = show.feed(&Bytes::from_static(b"\"AKIAQ3EGRZV2XKTYN5WB\","));
    assert!(matches!(told, Err(NotShown::Kept(_))), "{told:?}");
    // One value that never ends is not gathered for ever.
    let mut show = Show::begin(plan(&["/a"], false), &service(), 200, &json).unwrap();
    let piece = Bytes::from("x".repeat(MAX_VALUE_BYTES / 4));
    show.feed(&Bytes::from_static(b"{\"b\":\"")).unwrap();
    for _ in 0..3 {
        assert!(show.feed(&piece).unwrap().is_none());
    }
    show.feed(&piece).and_then(|_| show.feed(&piece)).map(|_| ()).unwrap_err();
}

/// What waits is looked at again at twice as much, but before that is too much: others have come by then, and it is over.
#[test]
fn a_long_value_and_what_follows_it_are_not_taken_for_one() {
    let json = fields("application/json");
    let mut show = Show::begin(plan(&["/*/card"], false), &service(), 200, &json).unwrap();
    let long = "1".repeat(MAX_VALUE_BYTES / 4 * 3);
    assert!(show.feed(&format!("[{{\"card\":\"{long}").into()).unwrap().is_none());
    let mut passed = 0;
    for piece in
        std::iter::once("\"}".to_owned()).chain((0..40).map(|_| ",\"some text\"".repeat(20_000)))
    {
        passed += show.feed(&piece.into()).unwrap().map_or(0, |it| it.bytes.len());
    }
    passed += show.feed(&Bytes::from_static(b"]")).unwrap().map_or(0, |it| it.bytes.len());
    passed += show.finish().unwrap().bytes.len();
    assert_eq!(passed, "[{\"card\":\"[redacted]\"}]".len() + 40 * 20_000 * ",\"some text\"".len());
}

#[test]
fn a_body_that_its_head_denies_is_not_shown() {
    let secret = Bytes::from(format!("{{\"card\":\"{CARD}\"}}"));
    let empty = [("content-length", "0"), ("transfer-encoding", "chunked")];
    let empty = empty.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let json = fields("application/json");
    let head = Plan { is_head: true, ..plan(&["/card"], false) };
    for (plan, status, fields) in [
        (plan(&["/card"], false), 200, [&json[..], &empty].concat()),
        (plan(&[], true), 200, [&json[..], &empty].concat()),
        (plan(&["/card"], false), 204, json.clone()),
        (plan(&["/card"], false), 304, json.clone()),
        (head, 200, json.clone()),
    ] {
        let begin = || Show::begin(plan.clone(), &service(), status, &fields).unwrap();
        assert_eq!(begin().feed(&secret).unwrap_err(), NotShown::Unannounced, "{status}");
        let ended = begin().finish().unwrap();
        assert!(ended.head.is_some() && ended.bytes.is_empty(), "{status}");
    }
    let mut free = Show::begin(plan(&[], false), &service(), 204, &json).unwrap();
    assert!(free.feed(&secret).unwrap().is_some(), "where nothing is looked for it passes");
}
