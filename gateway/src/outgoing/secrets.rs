//! What was given to what is behind the gateway, and must not be said again: neither to the log nor to anybody who asks.

use std::cmp::Reverse;

use serde_json::{Map, Value};
use url::form_urlencoded::byte_serialize;
use zeroize::Zeroizing;

use crate::config::Secret;

pub(super) const REDACTED: &str = "[redacted]";
/// What is shorter is in everything.
const MIN_BYTES: usize = 4;
/// The same in bytes of which nothing is known: numbers and words of a few letters are in those.
const MIN_SPELT_BYTES: usize = 8;
/// The shortest part of a secret that is looked for alone.
const MIN_RUN_BYTES: usize = 12;

/// The secrets of one process, as long as it runs, or of one request.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Vec<Secret>);

impl Secrets {
    /// One more. What has lines may be said line by line.
    pub(crate) fn add(&mut self, secret: &Secret) {
        let lines = secret.expose().lines().map(str::trim);
        let whole = std::iter::once(secret.expose());
        let parts = whole.chain(lines).filter(|part| part.len() >= MIN_BYTES);
        self.0.extend(parts.map(|part| Secret::new(part.to_owned())));
        // A secret may be a part of another one.
        self.0.sort_by_key(|secret| Reverse(secret.expose().len()));
    }

    /// And those of another.
    pub(crate) fn extend(&mut self, other: Self) {
        let others = other
            .0
            .into_iter()
            .filter(|it| !self.0.iter().any(|known| known.expose() == it.expose()));
        let others: Vec<Secret> = others.collect();
        self.0.extend(others);
        self.0.sort_by_key(|secret| Reverse(secret.expose().len()));
    }

    /// The same of a field's value: alone, it is the secret; of `Token abc` and `name=abc; other=def` it is what stands within.
    pub(crate) fn add_field(&mut self, value: &Secret) {
        self.add(value);
        for part in value.expose().split([' ', ';', ',']) {
            for part in [Some(part), part.split_once('=').map(|(_, it)| it)].into_iter().flatten() {
                if part.len() >= MIN_SPELT_BYTES && part != value.expose() {
                    self.add(&Secret::new(part.to_owned()));
                }
            }
        }
    }

    /// How they may stand in bytes: as they are, in strings of JSON (RFC 8259 section 7), in addresses and forms; and the longer
    /// runs of what is written as it is everywhere.
    pub(super) fn spellings(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let mut all: Vec<Zeroizing<Vec<u8>>> = Vec::new();
        for secret in &self.0 {
            let plain = secret.expose();
            let quoted = Zeroizing::new(Value::from(plain).to_string());
            let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
            let slashed = Zeroizing::new(inner.replace('/', "\\/"));
            let encoded = Zeroizing::new(byte_serialize(plain.as_bytes()).collect::<String>());
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._~-".contains(c);
            let runs = plain.split(|c| !is_plain(c)).filter(|run| run.len() >= MIN_RUN_BYTES);
            let whole = [plain, inner, slashed.as_str(), encoded.as_str()];
            let whole = whole.into_iter().filter(|it| it.len() >= MIN_SPELT_BYTES);
            for text in whole.chain(runs) {
                if !all.iter().any(|known| known.as_slice() == text.as_bytes()) {
                    all.push(Zeroizing::new(text.as_bytes().to_vec()));
                }
            }
        }
        all
    }

    /// Takes them out of a text.
    pub(crate) fn hide_in_text(&self, text: String) -> String {
        self.sayings().without(&text).unwrap_or(text)
    }

    /// Takes them out of all texts and names of a message.
    pub(crate) fn hide(&self, value: &mut Value) {
        if !self.0.is_empty() {
            self.sayings().hide(value);
        }
    }

    /// As they are, and as a text says them that is an address, a form or JSON itself; what may have another in it first.
    fn sayings(&self) -> Sayings {
        let plain = self.0.iter().map(|it| Zeroizing::new(it.expose().to_owned()));
        let spelt = self.spellings().into_iter();
        let spelt =
            spelt.filter_map(|it| Some(Zeroizing::new(std::str::from_utf8(&it).ok()?.to_owned())));
        let mut all: Vec<Zeroizing<String>> = plain.chain(spelt).collect();
        all.sort_by_key(|it| Reverse(it.len()));
        all.dedup();
        Sayings(all)
    }
}

/// What is looked for in texts.
struct Sayings(Vec<Zeroizing<String>>);

impl Sayings {
    /// A text without them; nothing where it has none.
    fn without(&self, text: &str) -> Option<String> {
        self.0.iter().any(|it| text.contains(it.as_str())).then(|| {
            self.0.iter().fold(text.to_owned(), |text, it| text.replace(it.as_str(), REDACTED))
        })
    }

    fn hide(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(hidden) = self.without(text) {
                    *text = hidden;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(item)),
            Value::Object(members) => {
                members.iter_mut().for_each(|(_, member)| self.hide(member));
                if members.keys().any(|name| self.without(name).is_some()) {
                    let named = std::mem::take(members).into_iter();
                    *members = named
                        .map(|(name, it)| (self.without(&name).unwrap_or(name), it))
                        .collect::<Map<_, _>>();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_child_was_given_is_not_said_again() {
        let mut secrets = Secrets::default();
        for secret in ["hunter2", "hunter2-and-more", "-----BEGIN\nAAAABBBB\n-----END", "no"] {
            secrets.add(&Secret::new(secret.to_owned()));
        }
        let hidden = secrets.hide_in_text("a hunter2-and-more, hunter2. AAAABBBB no".to_owned());
        assert_eq!(hidden, "a [redacted], [redacted]. [redacted] no");
        let mut message = json!({ "result": [{ "hunter2": "x hunter2" }, 7, "good"] });
        secrets.hide(&mut message);
        assert_eq!(message, json!({ "result": [{ "[redacted]": "x [redacted]" }, 7, "good"] }));
        assert!(!format!("{secrets:?}").contains("hunter2"));
        let mut of_field = Secrets::default();
        of_field.add_field(&Secret::new("Token abcdefgh1; session=zyxwvuts9; a=b".to_owned()));
        let hidden = of_field.hide_in_text("abcdefgh1, zyxwvuts9 Token a=b".to_owned());
        assert_eq!(hidden, "[redacted], [redacted] Token a=b");
        let hidden =
            of_field.hide_in_text("session%3Dzyxwvuts9%3B and session=zyxwvuts9".to_owned());
        assert_eq!(hidden, "[redacted]%3B and [redacted]");
        let mut spelt = Secrets::default();
        spelt.add(&Secret::new("pass/\"word".to_owned()));
        let said = "pass%2F%22word, pass/\\\"word, pass\\/\\\"word";
        let hidden = spelt.hide_in_text(said.to_owned());
        assert_eq!(hidden, "[redacted], [redacted], [redacted]");
        let mut later = Secrets::default();
        for secret in ["hunter2", "swordfish"] {
            later.add(&Secret::new(secret.to_owned()));
        }
        secrets.extend(later);
        let hidden = secrets.hide_in_text("hunter2-and-more swordfish".to_owned());
        assert_eq!(hidden, "[redacted] [redacted]");
    }
}
