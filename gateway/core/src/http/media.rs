//! Media types (RFC 9110 section 8.3.1), read strictly: of one that is written in another way, two readers make two things.

/// A media type with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Media {
    /// `type/subtype`, in lower case.
    pub name: String,
    /// Names in lower case, values without their quotes.
    pub parameters: Vec<(String, String)>,
}

impl Media {
    /// None where it is not exactly a token, `/` and a token, with parameters.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = pieces(text, ';')?.into_iter().map(trimmed);
        let name = parts.next()?;
        let (kind, subtype) = name.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) {
            return None;
        }
        let parameter = |part: &str| {
            let (name, value) = part.split_once('=')?;
            let value = if is_token(value) { value.to_owned() } else { unquoted(value)? };
            is_token(name).then(|| (name.to_ascii_lowercase(), value))
        };
        let parameters = parts.filter(|part| !part.is_empty()).map(parameter);
        Some(Self {
            name: name.to_ascii_lowercase(),
            parameters: parameters.collect::<Option<_>>()?,
        })
    }

    /// Whether it says of a body that it is JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.name == "application/json" || self.name.ends_with("+json")
    }
}

/// The parts of a list between separators that stand in no quoted text; none where such a text has no end.
pub(crate) fn pieces(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut all, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == separator && !quoted => {
                all.push(text.get(from..at)?);
                from = at + c.len_utf8();
            }
            _ => {}
        }
    }
    all.push(text.get(from..)?);
    (!quoted).then_some(all)
}

/// Without the blanks around it.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Whether it is a word of HTTP (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&it);
    !text.is_empty() && text.bytes().all(is_plain)
}

/// What a quoted text says.
fn unquoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let (mut said, mut escaped) = (String::with_capacity(inner.len()), false);
    for c in inner.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return None,
            c if c.is_control() && c != '\t' => return None,
            c => {
                said.push(c);
                escaped = false;
            }
        }
    }
    (!escaped).then_some(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_read_in_one_way_or_not_at_all() {
        let read = |text: &str| {
            Media::read(text).map(|it| {
                let said = it.parameters.iter().map(|(name, value)| format!(";{name}={value}"));
                it.name + &said.collect::<String>()
            })
        };
        for (text, want) in [
            ("application/json", "application/json"),
            (" Application/JSON ; Charset=\"utf-8\" ;", "application/json;charset=utf-8"),
            ("a/b+json;x=\"1;2\\\",\";y=z", "a/b+json;x=1;2\",;y=z"),
            ("*/*;q=0.1", "*/*;q=0.1"),
        ] {
            assert_eq!(read(text).as_deref(), Some(want), "{text}");
        }
        for text in [
            "",
            "json",
            "/json",
            "application/",
            "application/x-www-form-urlencoded,a/b+json",
            "application/x-www-form-urlencoded a/b+json",
            "a/b/c+json",
            "a /b",
            "a/b;x",
            "a/b;x =1",
            "a/b;x= 1",
            "a/b;x=",
            "a/b;x=\"1",
            "a/b;x=\"1\"2\"",
            "a/b;x=1 2",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
