//! What is wrong with a TOML file: line, column, key and problem, and nothing of the values in it. The library's own
//! text quotes the source line, which may hold a password.

use std::fmt;

/// Describes `error`, which parsing `text` gave.
pub fn describe(text: &str, error: &toml::de::Error) -> String {
    let mut bare = error.clone();
    // Without the input the library names the key and does not quote the line.
    bare.set_input(None);
    let bare = bare.to_string();
    let key = bare.trim_end().rsplit_once("\nin `").map(|(_, key)| key.trim_end_matches('`'));
    let message = error.message();
    // A value in the place of a key is part of the path to it: the path is shown up to there.
    let wrong = quoted(message).filter(|_| !names_a_key(message));
    let key = key.map(|key| {
        let parts = key.split('.').take_while(|part| wrong != Some(part));
        parts.collect::<Vec<_>>().join(".")
    });
    let place = error.span().map(|span| Place::of(text, span.start));
    let said = [
        place.map(|place| place.to_string()),
        key.filter(|key| !key.is_empty()),
        Some(without_values(message)),
    ];
    said.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

struct Place {
    line: usize,
    column: usize,
}

impl Place {
    fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// `invalid type: string "hunter2", expected a table` becomes `invalid type: string, expected a table`.
fn without_values(message: &str) -> String {
    if names_a_key(message) {
        return message.to_owned();
    }
    let (found, expected) = message
        .rsplit_once(", expected ")
        .map_or((message, None), |(found, expected)| (found, Some(expected)));
    let found = found.split(['`', '"', '\'']).next().unwrap_or_default();
    let found = found.trim_end_matches([' ', ':', ',']);
    let found = match found {
        "invalid socket address syntax" => "write an address and a port, such as 127.0.0.1:8443",
        found => found,
    };
    let Some(expected) = expected else { return found.to_owned() };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        expected => expected,
    };
    format!("{found}, expected {expected}")
}

/// Whether what the message quotes is the name of a key.
fn names_a_key(message: &str) -> bool {
    ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .any(|start| message.starts_with(start))
}

fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_keys_are_repeated() {
        for (message, said) in [
            ("unknown field `nodes`, expected `node`", "unknown field `nodes`, expected `node`"),
            ("unknown variant `s3cret`, expected `env`", "unknown variant, expected `env`"),
            (
                "invalid type: string \"s3cret\", expected u64",
                "invalid type: string, expected a whole number from 0 on",
            ),
            (
                "invalid type: string \"a, expected s3cret\", expected u64",
                "invalid type: string, expected a whole number from 0 on",
            ),
            (
                "invalid socket address syntax",
                "write an address and a port, such as 127.0.0.1:8443",
            ),
            ("invalid value: s3cret it's", "invalid value: s3cret it"),
            ("`s3cret` is no name", ""),
        ] {
            assert_eq!(without_values(message), said);
        }
    }

    #[test]
    fn a_key_that_a_kind_needs_or_has_not_is_named() {
        #[derive(Debug, serde::Deserialize)]
        struct File {
            #[serde(rename = "targets")]
            _targets: Vec<tallyport_gateway::config::RawAnyTarget>,
        }
        for (keys, said) in [
            ("", "targets.crm.address: this kind of target needs the key and it is missing"),
            (
                "kind = \"http\"",
                "targets.crm.url: this kind of target needs the key and it is missing",
            ),
            (
                "kind = \"http\"\nuser = \"s3cret\"",
                "targets.crm.user: a target of kind http has no such key",
            ),
        ] {
            let text = format!("[[targets]]\nname = \"crm\"\n{keys}\n");
            let error = toml::from_str::<File>(&text).unwrap_err();
            assert_eq!(describe(&text, &error), format!("line 1, column 1: targets: {said}"));
        }
    }
}
