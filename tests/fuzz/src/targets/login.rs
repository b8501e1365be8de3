//! What a target asks of the gateway while it logs in: SCRAM-SHA-256, md5, clear text.

use std::path::Path;
use std::sync::LazyLock;

use tallyport_gateway::config::{RawTarget, Target};
use tallyport_gateway::upstream::fuzz::log_in;

use crate::Source;

/// Methods, mechanisms and attributes.
pub const WORDS: &[&[u8]] = &[
    b"\0\0\0\0",
    b"\0\0\0\x03",
    b"\0\0\0\x05salt",
    b"\0\0\0\x0aSCRAM-SHA-256\0\0",
    b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0\0",
    b"\0\0\0\x0br=",
    b",s=",
    b",i=4096",
    b",i=4294967295",
    b"\0\0\0\x0cv=",
    b"\0\0\0\x0ce=other-error",
    b"m=ext,",
];

const PASSWORD: &str = "a-password-that-stays-here";

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let text = format!(
        "name = 'db'\naddress = 'db'\ndatabase = 'app'\nuser = 'u'\npassword = {{ value = '{PASSWORD}' }}\n"
    );
    let raw: RawTarget = toml::from_str(&text).expect("a target");
    raw.check(Path::new("/")).expect("a target")
});

/// Conversations: the way (encrypted, with a binding), then the bodies behind their lengths.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let talk = |way: u8, bodies: &[&[u8]]| {
        let counted = bodies.iter().flat_map(|body| {
            [&u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes()[..], body].concat()
        });
        std::iter::once(way).chain(counted).collect::<Vec<u8>>()
    };
    let begin = b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0";
    let first = b"\0\0\0\x0br=NONCEabcd,s=c2FsdHNhbHQ=,i=4096";
    vec![
        talk(1, &[begin, first, b"\0\0\0\x0cv=AAAA", b"\0\0\0\0"]),
        talk(3, &[begin, first]),
        talk(1, &[b"\0\0\0\x05salt", b"\0\0\0\0"]),
        talk(1, &[b"\0\0\0\x03", b"\0\0\0\0"]),
        talk(0, &[b"\0\0\0\x03"]),
    ]
}

/// Stands for the nonce that the gateway drew.
const NONCE: &[u8] = b"NONCE";
/// So many rounds of hashing are computed, and slow to fuzz.
const SLOW_ITERATIONS: std::ops::RangeInclusive<u64> = 5_000..=1_000_000;

/// In clear text nothing tells the password; a SCRAM that has begun does not end without its proof, and takes no time
/// that the target may choose.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let way = source.u8();
    let (encrypted, bound) = (way & 1 != 0, way & 2 != 0);
    let mut bodies = Vec::new();
    while !source.is_empty() {
        bodies.push(source.counted());
    }
    if bodies.iter().any(|body| is_slow(body)) {
        return;
    }
    let binding = bound.then(|| b"binding".to_vec());
    let mut left = bodies.iter();
    let (answers, done) = log_in(&TARGET, encrypted, binding, |last| {
        left.next().map(|body| with_nonce(body, last.map(|answer| &answer[..])))
    });
    let method = |code: u8| [0, 0, 0, code];
    let asked = |code: u8| bodies.iter().any(|body| body.starts_with(&method(code)));
    for answer in &answers {
        let told = answer.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
        assert!(!told || encrypted, "the password goes out in clear text");
    }
    if done {
        assert!(asked(0), "nobody said that it is done");
        let began = bodies.iter().take_while(|body| !body.starts_with(&method(0)));
        let scram = began.filter(|body| body.starts_with(&method(10))).count();
        assert!(scram == 0 || asked(12), "a SCRAM without its proof is done");
    }
}

fn is_slow(body: &[u8]) -> bool {
    let attributes = body.split(|byte| *byte == b',').filter_map(|part| part.strip_prefix(b"i="));
    attributes
        .filter_map(|number| std::str::from_utf8(number).ok()?.parse::<u64>().ok())
        .any(|number| SLOW_ITERATIONS.contains(&number))
}

/// The body, with the nonce of the last answer (`...r=NONCE`) where it says so.
fn with_nonce(body: &[u8], answer: Option<&[u8]>) -> Vec<u8> {
    let drawn = answer.and_then(|answer| {
        let at = answer.windows(2).rposition(|pair| pair == b"r=")?;
        Some(&answer[at + 2..])
    });
    let place = body.windows(NONCE.len()).position(|window| window == NONCE);
    match (drawn, place) {
        (Some(drawn), Some(at)) => [&body[..at], drawn, &body[at + NONCE.len()..]].concat(),
        _ => body.to_vec(),
    }
}
