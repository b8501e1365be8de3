//! Answers that webhooks pass on (Standard Webhooks): the three fields, one a line, and the body behind them. Only what was
//! signed with the secret, over exactly this id, time and body, is taken.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;
use tallyport_gateway::webhooks::fuzz::{Answering, ID, SIGNATURE, TIMESTAMP, reads_answer};

/// Fields, and what an answer is made of.
pub const WORDS: &[&[u8]] = &[
    b"\n",
    b"msg_1",
    b"1767225600",
    b"+1767225600",
    b"01767225600",
    b"-1",
    b"v1,",
    b"v1a,",
    b" ",
    b"==",
    b"\"approval_id\"",
    b"\"answer\":\"approve\"",
    b"\"reviewer\":\"@ann\"",
    b"\"digest\":null",
    b"\"comment\":\"\\u0000\"",
    b"{}",
    b"[]",
];

/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;
const TOLERANCE_SECONDS: u64 = 300;
const BODY: &str = r#"{"approval_id":"01a20635-5f36-74df-bd6e-bebe288245d9","answer":"approve","reviewer":"@ann:chat.example.com","digest":"00"}"#;

static KEYS: LazyLock<Answering> = LazyLock::new(|| {
    let two = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\nwhsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";
    Answering::new(two).expect("two secrets")
});

/// Takes a message as the route does.
pub fn run(data: &[u8]) {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (id, timestamp, signature, body) = (next(), next(), next(), next());
    let mut headers = HeaderMap::new();
    for (name, value) in [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)] {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let now = Timestamp::from_second(NOW).expect("a time");
    if let Ok(signed) = KEYS.verify(&headers, body, now) {
        assert_eq!(signed.as_bytes(), id);
        let written = std::str::from_utf8(timestamp).expect("digits");
        let at: i64 = written.parse().expect("digits");
        assert!(at.abs_diff(NOW) <= TOLERANCE_SECONDS, "{at} is not now");
        let due = KEYS.sign(&signed, at, body);
        let sent = std::str::from_utf8(signature).expect("base64");
        let bears = due.split(' ').any(|one| sent.split(' ').any(|sent| sent == one));
        assert!(bears, "`{sent}` is none of `{due}`");
        // Signed is the text: a time that is written in another way was not.
        assert_eq!(written, at.to_string());
    }
    if let Some(reviewer) = reads_answer(body) {
        let whole: Value = serde_json::from_slice(body).expect("JSON");
        assert_eq!(whole["reviewer"], reviewer, "who answers is who it says");
        assert!(whole.is_object() && whole["answer"].is_string());
    }
}

/// A genuine message, one of each that is refused for one thing, and one of nobody's.
pub fn seeds() -> Vec<Vec<u8>> {
    let genuine = KEYS.sign("msg_1", NOW, BODY.as_bytes());
    let message = |id: &str, at: &str, signature: &str| {
        format!("{id}\n{at}\n{signature}\n{BODY}").into_bytes()
    };
    let now = NOW.to_string();
    vec![
        message("msg_1", &now, &genuine),
        message("msg_2", &now, &genuine),
        message("msg_1", &(NOW + 301).to_string(), &genuine),
        message("msg_1", &format!("0{now}"), &genuine),
        message("msg_1", &now, "v1,AAAA v2,AAAA"),
        message("", "", ""),
    ]
}
