//! What the tests share.
#![allow(dead_code, reason = "not every test uses all of it")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

pub mod fragments;
pub mod texts;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tallyport_detect::{Action, Cards, Detectors, Kinds, Rules, Screen};

pub fn all() -> Detectors {
    Detectors::new(Kinds::all()).unwrap()
}

pub fn masking() -> Screen {
    Screen::new(Rules::uniform(Kinds::all(), Action::Mask), Cards::Hidden).unwrap()
}

/// Makes a text of a line of the corpus: see `corpus/README.md`.
pub fn sample(line: &str) -> String {
    let mut text = line.replace('¦', "").replace('␤', "\n").replace("{corse}", "{corse:}");
    while let Some((start, end, name)) = innermost(&text) {
        let inside = &text[start + 1..end];
        let value = match name {
            "crc" => base62(crc32fast::hash(&text.as_bytes()[start - 30..start])),
            "b64" => STANDARD.encode(&inside["b64:".len()..]),
            "b64url" => URL_SAFE_NO_PAD.encode(&inside["b64url:".len()..]),
            "b64hex" => {
                inside["b64hex:".len()..].bytes().map(|byte| format!("{byte:02x}")).collect()
            }
            "corse" => format!("{:02}", 97 - 2_850_519_006_084_u64 % 97),
            times => inside[times.len() + 1..].repeat(times.parse().unwrap()),
        };
        text.replace_range(start..=end, &value);
    }
    text
}

/// A macro whose braces are balanced: where it is, and its name.
fn innermost(text: &str) -> Option<(usize, usize, &'static str)> {
    const NAMES: [&str; 5] = ["crc", "b64", "b64url", "b64hex", "corse"];
    for (start, _) in text.match_indices('{') {
        let rest = &text[start + 1..];
        let length =
            rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, next) = (&rest[..length], rest[length..].chars().next());
        let known = NAMES.into_iter().find(|known| *known == name);
        let repeated = next == Some('*') && !name.is_empty();
        if let (Some(known), Some(':' | '}')) = (known, next) {
            return Some((start, balanced(text, start), known));
        }
        if repeated {
            return Some((
                start,
                balanced(text, start),
                Box::leak(name.to_owned().into_boxed_str()),
            ));
        }
    }
    None
}

fn balanced(text: &str, start: usize) -> usize {
    let mut depth = 0;
    for (at, letter) in text[start..].char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return start + at;
        }
    }
    text.len() - 1
}

pub fn base62(mut number: u32) -> String {
    let letters = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    for _ in 0..6 {
        text.push(letters[number as usize % 62]);
        number /= 62;
    }
    text.reverse();
    String::from_utf8(text).unwrap()
}
