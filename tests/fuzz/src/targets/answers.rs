//! What services, clusters and MCP servers say, cut anywhere: `cut cut` (two bytes), then a document, or a stream of events.

use gateway_core::json::{BadJson, Document, Eraser, Hide};
use gateway_core::masking::Mask;
use gateway_core::mcp::Events;
use serde_json::Value;

/// What answers are made of.
pub const WORDS: &[&[u8]] = &[
    b"{\"items\":[",
    b"\"secret\":",
    b"\"s3cr3t-value\"",
    b"{\"secret\":\"s3cr3t-value\"},",
    b"null",
    b"true",
    b"-1.5e+10",
    b"\\u0073ecret",
    b"\\\"",
    b"]}",
    b"[[[[[[[[",
    b"data: {}\n\n",
    b"event: message\n",
    b"id: 7\n",
    b"retry: 100\n",
    b"\r\n",
    b": \n",
];

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "\u{3}\u{9}{\"kind\":\"List\",\"items\":[{\"secret\":\"s3cr3t-value\",\"n\":1.0},{\"secret\":[1,{\"a\":2}]}]}",
        "\u{1}\u{2}[true, null , -0, \"\\u00e9\\\"\"]\n",
        "\u{5}\u{6}: hello\nevent: message\nid: 1\ndata: {\"a\":\ndata: 1}\r\n\r\ndata: 2\n\n",
        "\u{5}\u{6}{\"secret\":",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Where they are cut changes nothing, and what is hidden is not there.
pub fn run(data: &[u8]) {
    let [one, other, rest @ ..] = data else { return };
    let mut cuts = [usize::from(*one), usize::from(*other)].map(|it| it.min(rest.len()));
    cuts.sort_unstable();
    let [one, other] = cuts;
    let pieces = [&rest[..one], &rest[one..other], &rest[other..]];
    document(rest, pieces);
    events(rest, pieces);
}

fn document(whole: &[u8], pieces: [&[u8]; 3]) {
    let hide =
        |place: &str| Hide { place: place.parse().expect("a place"), shade: Mask::Redact.into() };
    let rules = [hide("/secret"), hide("/items/*/secret")];
    let mut eraser = Eraser::new(&rules, None);
    let mut seen = Vec::new();
    let told = eraser.document(whole, &mut seen);
    let mut by_piece = Eraser::new(&rules, None);
    let mut document = Document::new(&by_piece, 16);
    let mut out = Vec::new();
    let fed =
        pieces.into_iter().try_for_each(|piece| document.feed(&mut by_piece, piece, &mut out));
    let fed: Result<(), BadJson> = fed.and_then(|()| document.finish(&mut by_piece, &mut out));
    assert_eq!(fed, told, "how it is cut decides whether it passes");
    if told.is_err() {
        return;
    }
    assert_eq!(out, seen, "how it is cut decides what is seen");
    assert_eq!(by_piece.hidden, eraser.hidden);
    // Numbers that no reader of this kind holds pass as they are; whatever else passes is a document.
    if let (Ok(read), Ok(_)) =
        (serde_json::from_slice::<Value>(&seen), serde_json::from_slice::<Value>(whole))
    {
        let items = read["items"].as_array().into_iter().flatten();
        for object in std::iter::once(&read).chain(items) {
            let secret = &object["secret"];
            assert!(secret.is_null() || secret == "[redacted]", "{secret}");
        }
    }
}

fn events(whole: &[u8], pieces: [&[u8]; 3]) {
    const MOST: usize = 64;
    let mut at_once = Events::new(MOST);
    let told = at_once.feed(whole);
    let mut by_piece = Events::new(MOST);
    let mut all = Vec::new();
    let mut fits = true;
    for piece in pieces {
        match by_piece.feed(piece) {
            Ok(events) => all.extend(events),
            Err(_) => {
                fits = false;
                break;
            }
        }
    }
    assert_eq!(told.is_ok(), fits, "how it is cut decides whether it fits");
    if let Ok(told) = told {
        assert_eq!(told, all, "how it is cut decides what it says");
        assert!(told.iter().all(|it| it.len() <= MOST));
    }
}
