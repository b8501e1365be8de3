//! Fields of a service's answer: `status flags body` (three bytes), then lines of `name: value`. The body is one of a few that
//! hold what is to be hidden; what is said of it is foreign.

use bytes::Bytes;
use gateway_core::http::{Fields, Plan, Service, Show};
use gateway_core::json::Hide;
use gateway_core::masking::Mask;
use tallyport_detect::{Cards, Rules, Screen};
use url::Url;

/// What fields are made of.
pub const WORDS: &[&[u8]] = &[
    b"content-type: application/json\n",
    b"content-type: application/x-ndjson\n",
    b"content-type: text/plain\n",
    b"text/event-stream",
    b"application/problem+json",
    b"; charset=utf-8",
    b"; charset=\"utf-16\"",
    b"content-encoding: gzip\n",
    b"identity, ",
    b"transfer-encoding: chunked\n",
    b"content-length: 0\n",
    b"location: https://crm.example/api",
    b"link: <https://crm.example/api/2>; rel=\"next\"\n",
    b", <",
    b">; ",
    b"//elsewhere.example",
    b"/\\elsewhere.example",
    b"@elsewhere.example",
    b"..",
    b"%2f",
    b"etag: \"a\"\n",
    b"4111111111111111",
];
const STATUS: [u16; 8] = [200, 201, 203, 204, 206, 301, 304, 404];
/// A card by which a detector finds it, and a rule by its place.
const SECRET: &str = "4111111111111111";
const BODIES: [&str; 4] = [
    "{\"n\":1,\"secret\":\"4111111111111111\"}",
    "{\"secret\":\"4111111111111111\"}\n{\"secret\":\"4111111111111111\"}\n",
    "data: {\"secret\":\"4111111111111111\"}\n\n",
    "paid with 4111111111111111, thank you",
];
const BASE: &str = "https://crm.example/api";
/// Where the agent asked.
const HERE: &str = "http://gateway.example:8080/orders/7";

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "\u{0}\u{1}\u{0}content-type: application/json\netag: \"a\"\n",
        "\u{0}\u{2}\u{3}content-type: text/plain; charset=utf-8\nx-request-id: 4111111111111111\n",
        "\u{0}\u{5}\u{1}content-type: application/x-ndjson\n",
        "\u{3}\u{1}\u{0}content-type: application/json\ncontent-length: 0\ntransfer-encoding: chunked\n",
        "\u{5}\u{0}\u{0}location: https://crm.example/api/2?a=b\nlink: <https://crm.example/api/2>; rel=\"next\", </3>\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Whatever is said of a body, nothing of it is seen that is to be hidden, and no field leads to another host.
pub fn run(data: &[u8]) {
    let [status, flags, body, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let status = STATUS[usize::from(*status) % STATUS.len()];
    let body = BODIES[usize::from(*body) % BODIES.len()];
    let has = |bit: u8| flags & (1 << bit) != 0;
    let (rules, screened) = (has(0), has(1));
    let plan = Plan {
        hides: if rules { vec![hide()].into() } else { Vec::new().into() },
        screen: screened.then(screen),
        opaque: has(2),
        lines: has(3),
        // A rule means no text: where the configuration says that it is one, detectors look.
        text: has(4) && !rules,
        is_head: has(5),
    };
    let looks = rules || screened;
    let opaque = plan.opaque;
    let service = Service::new("crm".to_owned(), BASE.to_owned(), Vec::new(), None);
    let fields = fields(text);
    let Ok(mut show) = Show::begin(plan, &service, status, &fields) else { return };
    let mut seen = Vec::new();
    let (mut head, middle) = (None, body.len() / 2);
    let mut take = |shown: gateway_core::http::Shown| {
        let (told, bytes) = shown.seen();
        head = head.take().or(told.cloned());
        seen.extend_from_slice(bytes);
    };
    let whole = [&body[..middle], &body[middle..]].into_iter().all(|piece| {
        let shown = show.feed(&Bytes::copy_from_slice(piece.as_bytes()));
        shown.map(|shown| shown.into_iter().for_each(&mut take)).is_ok()
    });
    if whole && let Ok(last) = show.finish() {
        take(last);
    }
    let seen = String::from_utf8_lossy(&seen);
    // Bytes of a type that nothing looks into pass where the configuration says so, and no rule is set.
    let may_be_seen = !looks || (opaque && !rules);
    assert!(may_be_seen || !seen.contains(SECRET), "{seen}");
    for (name, value) in head.iter().flat_map(|head| &head.fields) {
        assert!(fields.iter().any(|(it, _)| it == name), "{name} was not said");
        assert!(!(looks && name == "etag"), "it tells of the whole body");
        assert!(!screened || value != SECRET, "{name}: {value}");
        match name.as_str() {
            "location" => is_here(value),
            "link" => targets(value).for_each(is_here),
            _ => {}
        }
    }
}

/// Those that a client of HTTP takes: names in lower case, values without what no field can hold.
fn fields(text: &str) -> Fields {
    let line = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        let name = http::HeaderName::from_bytes(name.as_bytes()).ok()?;
        let value = http::HeaderValue::from_str(value).ok()?;
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    text.lines().filter_map(line).take(16).collect()
}

/// As a browser would follow it.
fn is_here(target: &str) {
    let here = Url::parse(HERE).expect("an address");
    let Ok(there) = here.join(target) else { return };
    assert_eq!(there.origin(), here.origin(), "{target} leads elsewhere");
}

/// What a lenient reader takes for the targets of links: whatever stands between `<` and `>`.
fn targets(value: &str) -> impl Iterator<Item = &str> {
    value.split('<').skip(1).filter_map(|it| it.split('>').next())
}

fn hide() -> Hide {
    Hide { place: "/secret".parse().expect("a place"), shade: Mask::Redact.into() }
}

fn screen() -> Screen {
    let rules = Rules::parse([("payment_card", "mask")]).expect("a rule");
    Screen::new(rules, Cards::Hidden).expect("a screen")
}
