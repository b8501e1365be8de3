//! What MCP servers write: `what is hidden, size of a piece` (two bytes), then lines, each a message. How events of a stream are cut
//! is another target's (`answers`).

use std::sync::LazyLock;

use gateway_core::masking::Mask;
use gateway_core::mcp::{Events, Id, MaskRule, Screening, canonical};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use tallyport_access::strict_json;
use tallyport_detect::{Cards, Kinds, Rules, Screen};
use tallyport_gateway::config::{McpServer, RawMcpServer};
use tallyport_gateway::mcp_fuzz::{Names, lines, message, tools};

use super::recorded::said;
use crate::Source;

/// What messages are made of.
pub const WORDS: &[&[u8]] = &[
    b"{\"jsonrpc\":\"2.0\",\"id\":1007,\"result\":{",
    b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1007}}\n",
    b"\"error\":{\"code\":-1,\"message\":\"m\",\"data\":{\"secret\":\"x\"}}",
    b"\"content\":[{\"type\":\"text\",\"text\":\"",
    b"\"structuredContent\":{\"secret\":\"s\",\"items\":[{\"secret\":1}]}",
    b"{\\\"secret\\\":\\\"s\\\"}",
    b"\\\"secret\\\":null,",
    b"\"secret\":{\"a\":1},",
    b"\"text\":\"[1e999]\",",
    b"\"tools\":[",
    b"{\"name\":\"find\",\"inputSchema\":{}},",
    b"\"annotations\":{\"readOnlyHint\":true,\"destructiveHint\":true}",
    b"\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":1007}",
    b"\"requestState\":\"s\",",
    b"\"blob\":\"AAAA\",",
    b"4111111111111111",
    b"AKIAQ3EGRZV2XKTYN5WB",
    b"9007199254740993",
    b"\\u0073ecret",
    b"[[[[[[[[[[[[[[[[",
    b"\r\n",
];
const MAX_LINE_BYTES: usize = 1024;
/// What a request is called at the server, and at the client.
const AT_SERVER: u64 = 1007;
const AT_CLIENT: &str = "c-1";
const SUBSCRIPTION: &str = "/_meta/io.modelcontextprotocol~1subscriptionId";

/// By rules, by detectors, and by both, which keep keys back.
static SCREENINGS: LazyLock<[(Screening, Option<Screen>); 3]> = LazyLock::new(|| {
    let rule = |place: &str| MaskRule {
        tool: Some("find".to_owned()),
        place: place.parse().expect("a place"),
        mask: Mask::Redact,
    };
    let rules = vec![rule("/secret"), rule("/items/*/secret")];
    let screen = |rules: &[(&str, &str)]| {
        let rules = Rules::parse(rules.iter().copied()).expect("rules");
        Screen::new(rules, Cards::Hidden).expect("the patterns compile")
    };
    let masks = screen(&[("payment_card", "mask"), ("secrets", "mask")]);
    let denies = screen(&[("payment_card", "mask"), ("secrets", "deny")]);
    [
        (Screening::new(rules.clone(), None), None),
        (Screening::new(Vec::new(), Some(masks.clone())), Some(masks)),
        (Screening::new(rules, Some(denies.clone())), Some(denies)),
    ]
});
static SERVER: LazyLock<McpServer> = LazyLock::new(|| {
    let raw = "name = 'crm'\nurl = 'https://crm.example/mcp'\n[labels]\nfind = ['pii']\n";
    let raw: RawMcpServer = toml::from_str(raw).expect("a server");
    raw.check(&crate::here()).expect("it is in order")
});

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let data =
        json!({ "secret": "s3cr3t-value", "items": [{ "secret": 7, "n": 1 }, { "secret": null }] });
    let text = json!({ "type": "text", "text": data.to_string() });
    let prose = json!({ "type": "text", "text": "it is s3cr3t-value" });
    let result = |result: Value| json!({ "jsonrpc": "2.0", "id": AT_SERVER, "result": result });
    let tool = |name: &str, hints: Value| json!({ "name": name, "description": "d", "inputSchema": { "type": "object" }, "annotations": hints });
    let called = result(json!({ "content": [text, prose], "structuredContent": data }));
    let listed = result(json!({ "tools": [
        tool("find", json!({ "readOnlyHint": true })), tool("drop", json!({ "destructiveHint": false })),
        tool("find", json!({})), tool("find", json!({ "openWorldHint": false })), tool("a b", json!({})), { "name": "none" },
    ] }));
    let found = result(json!({ "content": [
        { "type": "text", "text": "pay 4111 1111 1111 1111 with AKIAQ3EGRZV2XKTYN5WB" },
        { "type": "image", "data": "AAAA" }, { "type": "resource", "resource": { "uri": "u", "blob": "AAAA" } },
    ], "4111111111111111": 4_111_111_111_111_111_u64 }));
    let progress = json!({
        "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": AT_SERVER, "progress": 1 },
    });
    let asks = json!({ "jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": { "message": "m" } });
    let error = json!({ "jsonrpc": "2.0", "id": AT_SERVER, "error": { "code": -32000, "message": "m", "data": data } });
    let lines = |begins: &str, all: &[&Value]| {
        let lines = all.iter().map(|it| format!("{it}\n")).collect::<String>();
        format!("{begins}{lines}").into_bytes()
    };
    vec![
        lines("\0\u{7}", &[&progress, &called]),
        lines("\u{1}\u{1}", &[&found]),
        lines("\u{2}\u{7f}", &[&listed, &error, &asks]),
        lines("\u{2}\u{7f}", &[&found]),
        b"\0\x03\n{\"jsonrpc\":\"2.0\"}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2}\nno end".to_vec(),
    ]
}

/// Lines are what they are however they come; a message is what another reader reads; what is hidden is not there; a definition is one.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choice = usize::from(source.u8()) % SCREENINGS.len();
    let (screening, screen) = &SCREENINGS[choice];
    let size = usize::from(source.u8()).max(1);
    let written = source.rest();
    let came = lines(written, size, MAX_LINE_BYTES);
    assert_eq!(came, cut(written), "how it is cut decides which lines there are");
    for line in came.into_iter().flatten() {
        let Some(told) = message(&line) else { continue };
        let other: Value = serde_json::from_slice(&line).expect("another reader reads it");
        assert_eq!(told, other);
        assert_eq!(told["jsonrpc"], "2.0");
        by_events(&line);
        named(&told);
        screened(screening, screen.as_ref(), choice != 1, &told);
        let listed = told.pointer("/result/tools").and_then(Value::as_array);
        listed.into_iter().for_each(|it| defined(it));
    }
}

/// As anybody would cut lines who has all of them.
fn cut(written: &[u8]) -> Vec<Result<Vec<u8>, Vec<u8>>> {
    let mut all: Vec<_> = written
        .split(|byte| *byte == b'\n')
        .map(|line| match line.get(..MAX_LINE_BYTES) {
            Some(begins) if line.len() > MAX_LINE_BYTES => Err(begins.to_vec()),
            _ => Ok(line.to_vec()),
        })
        .collect();
    // What has no end is no line, unless it is too long already.
    all.pop_if(|last| last.is_ok());
    all
}

/// By HTTP, a line comes as an event.
fn by_events(line: &[u8]) {
    let event = [b"data: ", line, b"\n\n"].concat();
    if !line.contains(&b'\r') {
        assert_eq!(Events::new(2 * MAX_LINE_BYTES).feed(&event).expect("it fits"), [line]);
    }
}

/// Under the client's names, nothing has the server's, and what is somebody else's does not pass.
fn named(told: &Value) {
    let id = |value: Value| Id::read(&value).expect("an id");
    let mut params = Map::from_iter([("_meta".to_owned(), json!({ "progressToken": "mine" }))]);
    let names = Names::new(id(json!(AT_SERVER)), id(json!(AT_CLIENT)), &mut params);
    assert_eq!(params["_meta"]["progressToken"], AT_SERVER);
    let mut aside = told.clone();
    let passes = names.rename(&mut aside);
    if told["method"] == "notifications/progress" {
        assert_eq!(passes, told["params"]["progressToken"] == AT_SERVER, "somebody else's");
        assert!(!passes || aside["params"]["progressToken"] == "mine");
    } else {
        let named = aside.get("params").and_then(|it| it.pointer(SUBSCRIPTION));
        assert!(passes && named.is_none_or(|it| it == AT_CLIENT));
    }
    let mut answer = told.clone();
    names.rename_answer(&mut answer);
    assert!(answer.get("id").is_none_or(|it| it == AT_CLIENT));
    let named = answer.get("result").and_then(|it| it.pointer(SUBSCRIPTION));
    assert!(named.is_none_or(|it| it == AT_CLIENT || !answer["result"]["_meta"].is_object()));
}

fn screened(screening: &Screening, screen: Option<&Screen>, has_rules: bool, told: &Value) {
    let screened = screening.screen(Some("find"), told.clone());
    let withheld = screened.is_withheld();
    let text = said(screened);
    let seen: Value = serde_json::from_slice(&text).expect("it is a message");
    // Ids are integers and texts; of a number that was rounded, each reading may be another.
    let is_same = |id: &Value| id.is_f64() || seen["id"] == *id;
    assert!(told.get("id").is_none_or(is_same), "it answers another");
    for part in ["result", "error", "params"].iter().filter_map(|it| seen.get(it)) {
        if let Some(screen) = screen {
            unfound(screen, part);
        }
        if !withheld && has_rules {
            hidden(part);
        }
    }
    if screen.is_none() {
        let other = said(screening.screen(Some("other"), told.clone()));
        assert_eq!(other, told.to_string().into_bytes(), "no rule is for it");
        if seen.to_string().into_bytes() == text {
            let again = said(screening.screen(Some("find"), seen));
            assert_eq!(again, text, "hidden once is not hidden");
        }
    }
}

/// No text, number or name has what detectors look for, but where it is encoded.
fn unfound(screen: &Screen, value: &Value) {
    let finds = |text: &str| !screen.detectors().scan_as(text.as_bytes(), Kinds::NONE).is_empty();
    match value {
        Value::String(text) => assert!(!finds(text), "{text}"),
        Value::Number(number) => assert!(!finds(&number.to_string()), "{number}"),
        Value::Array(elements) => elements.iter().for_each(|it| unfound(screen, it)),
        Value::Object(members) => {
            let is_binary = matches!(value["type"].as_str(), Some("image" | "audio"));
            for (name, member) in members {
                assert!(!finds(name), "{name}");
                let encoded = matches!(name.as_str(), "blob" | "requestState");
                let encoded = encoded || is_binary && name == "data";
                if !(encoded && member.is_string()) {
                    unfound(screen, member);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// Nothing is at the places that rules name, in data and in texts that are data.
fn hidden(value: &Value) {
    match value {
        Value::Array(elements) => elements.iter().for_each(hidden),
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), member) {
                    ("structuredContent" | "data", Value::Object(_) | Value::Array(_)) => {
                        covered(member);
                    }
                    ("text", Value::String(text)) => {
                        data_of(text).iter().for_each(covered);
                    }
                    (_, member) => hidden(member),
                }
            }
        }
        _ => {}
    }
}

/// A client's reader may take a text for data where ours does not: of two names it takes either, a number it rounds.
fn data_of(text: &str) -> Option<Value> {
    let begins = text.trim_ascii_start();
    if !begins.starts_with(['{', '[']) || serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    let data = strict_json(text.as_bytes());
    Some(data.unwrap_or_else(|| panic!("{text} is seen, and may be read in two ways")))
}

fn covered(data: &Value) {
    let secret = &data["secret"];
    assert!(secret.is_null() || secret == "[redacted]", "{secret}");
    let items: Vec<&Value> = match &data["items"] {
        Value::Array(items) => items.iter().collect(),
        Value::Object(items) => items.values().collect(),
        _ => Vec::new(),
    };
    for secret in items.into_iter().map(|it| &it["secret"]) {
        assert!(secret.is_null() || secret == "[redacted]", "{secret}");
    }
}

/// A name has one definition, its hints are not better than what the server says, and its hash is that of what it says.
fn defined(listed: &[Value]) {
    let taken = tools(&SERVER, listed.to_vec());
    let reversed = tools(&SERVER, listed.iter().rev().cloned().collect());
    assert_eq!(taken, reversed, "the order of tools decides");
    let mut last = "";
    for (facts, definition, sha256) in &taken {
        assert!(last < facts.name.as_str(), "{} twice, or out of order", facts.name);
        last = &facts.name;
        assert!(listed.contains(definition) && definition["name"] == facts.name);
        let others = listed.iter().filter(|it| it["name"] == facts.name && *it != definition);
        for other in others {
            let alone = tools(&SERVER, vec![other.clone()]);
            assert!(alone.is_empty(), "which of two is meant?");
        }
        let hints = &definition["annotations"];
        assert!(!facts.read_only || hints["readOnlyHint"] == true);
        assert!(facts.destructive || facts.read_only || hints["destructiveHint"] == false);
        assert!(facts.open_world || hints["openWorldHint"] == false);
        assert_eq!(facts.labels.is_empty(), facts.name != "find");
        let text = canonical(definition).expect("it was canonical");
        let again: Value = serde_json::from_str(&text).expect("it is JSON");
        let again = tools(&SERVER, vec![again]);
        assert_eq!(again.first().map(|it| &it.2), Some(sha256), "written again it is another");
    }
}
