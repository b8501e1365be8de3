//! A request, read strictly: what could be read in two ways is refused, and what goes on is written anew from what was read.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{Fields, field};

/// The longest request target.
const MAX_TARGET_BYTES: usize = 16 * 1024;
/// The most segments of a path, and the most parameters of a query.
const MAX_PARTS: usize = 256;
/// Fields that stand once (RFC 9110 section 5.3): of two of them one reader takes the first, and another the last.
const SINGLE: [&str; 6] =
    ["host", "origin", "content-type", "sec-fetch-site", "sec-websocket-key", "idempotency-key"];

/// One request of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// In upper case.
    pub method: String,
    /// Its path, decoded; a path that ends with a slash ends with an empty one.
    pub segments: Vec<String>,
    /// Its parameters, decoded, in order.
    pub query: Vec<(String, String)>,
    /// Its fields.
    pub fields: Fields,
    /// Its body.
    pub body: Bytes,
}

/// A request that does not say one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another form of target than a path with a query.
    #[error(
        "send a path that begins with `/` as the request target; the host is the target's own and is not chosen"
    )]
    Form,
    /// Too long.
    #[error(
        "the request target is longer than {MAX_TARGET_BYTES} bytes, or has more than {MAX_PARTS} parts"
    )]
    Long,
    /// An escape that is none, or what is escaped is not text.
    #[error(
        "the request target has an escape that is not one of UTF-8 text (RFC 3986 section 2.1)"
    )]
    Escape,
    /// What servers read in two ways.
    #[error(
        "the path has `.`, `..`, an empty segment, or one of `/`, `\\`, `%`, `;` and control characters within a segment; servers \
         read these in more than one way, so none of them passes"
    )]
    Ambiguous,
    /// A name of a parameter that is none.
    #[error("the query has a parameter without a name, or a control character in its name")]
    Parameter,
    /// A field that stands there twice.
    #[error("the field `{0}` stands there more than once; send it once (RFC 9110 section 5.3)")]
    Repeated(&'static str),
    /// A body in letters that policy would read as others.
    #[error("the body is of another charset than UTF-8; send it as UTF-8 (RFC 8259 section 8.1)")]
    Charset,
}

impl Asked {
    /// Reads a request; its target in origin form (RFC 9112 section 3.2.1).
    ///
    /// # Errors
    /// [`Unreadable`]
    pub fn read(
        method: &str,
        target: &str,
        fields: Fields,
        body: Bytes,
    ) -> Result<Self, Unreadable> {
        if target.len() > MAX_TARGET_BYTES {
            return Err(Unreadable::Long);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let segments = segments(path)?;
        let query = parameters(query)?;
        let times = |name: &&str| fields.iter().filter(|(it, _)| it == name).count();
        if let Some(name) = SINGLE.iter().find(|name| times(name) > 1) {
            return Err(Unreadable::Repeated(name));
        }
        if !is_utf8(field(&fields, "content-type").unwrap_or_default()) {
            return Err(Unreadable::Charset);
        }
        Ok(Self { method: method.to_ascii_uppercase(), segments, query, fields, body })
    }

    /// The path, written anew.
    #[must_use]
    pub fn path(&self) -> String {
        written_path(&self.segments)
    }

    /// The request target, written anew: a path, and a query where there is one.
    #[must_use]
    pub fn target(&self) -> String {
        let mut target = self.path();
        if !self.query.is_empty() {
            target.push('?');
            target.push_str(&written_query(&self.query));
        }
        target
    }

    /// The first parameter of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// Whether nothing says of a body that it is anything else.
fn is_utf8(content_type: &str) -> bool {
    let mut parameters = content_type.split(';').skip(1).filter_map(|it| it.split_once('='));
    parameters.all(|(name, value)| {
        let name = name.trim();
        // RFC 8187 spells a value in another way, which some servers read and others do not.
        !name.ends_with('*')
            && (!name.eq_ignore_ascii_case("charset")
                || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"))
    })
}

fn segments(path: &str) -> Result<Vec<String>, Unreadable> {
    let rest = path.strip_prefix('/').ok_or(Unreadable::Form)?;
    if rest.is_empty() {
        return Ok(vec![String::new()]);
    }
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.len() > MAX_PARTS {
        return Err(Unreadable::Long);
    }
    let last = parts.len() - 1;
    let read = |(place, part): (usize, &&str)| {
        let segment = decoded(part, false)?;
        let is_end = place == last && segment.is_empty();
        let is_plain = !matches!(segment.as_str(), "" | "." | "..");
        let holds = |c: char| c.is_control() || matches!(c, '/' | '\\' | '%' | ';');
        if (is_plain || is_end) && !segment.contains(holds) {
            Ok(segment)
        } else {
            Err(Unreadable::Ambiguous)
        }
    };
    parts.iter().enumerate().map(read).collect()
}

fn parameters(query: &str) -> Result<Vec<(String, String)>, Unreadable> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let pairs: Vec<&str> = query.split('&').filter(|it| !it.is_empty()).collect();
    if pairs.len() > MAX_PARTS {
        return Err(Unreadable::Long);
    }
    let read = |pair: &&str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name, true)?, decoded(value, true)?);
        if name.is_empty() || name.contains(char::is_control) {
            return Err(Unreadable::Parameter);
        }
        Ok((name, value))
    };
    pairs.iter().map(read).collect()
}

/// `blanks`: whether `+` is one, as in forms.
fn decoded(text: &str, blanks: bool) -> Result<String, Unreadable> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || {
                    let digit = rest.next().and_then(|it| char::from(it).to_digit(16));
                    digit.and_then(|it| u8::try_from(it).ok()).ok_or(Unreadable::Escape)
                };
                digit()? * 16 + digit()?
            }
            b'+' if blanks => b' ',
            b'#' => return Err(Unreadable::Form),
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Unreadable::Escape)
}

pub(crate) fn written_path(segments: &[String]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        escape(segment, &mut path, |byte| {
            byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
        });
    }
    path
}

pub(crate) fn written_query(query: &[(String, String)]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~*,:/@".contains(&byte);
    let mut text = String::new();
    for (place, (name, value)) in query.iter().enumerate() {
        if place > 0 {
            text.push('&');
        }
        escape(name, &mut text, plain);
        text.push('=');
        escape(value, &mut text, plain);
    }
    text
}

fn escape(text: &str, out: &mut String, plain: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(target: &str) -> Result<Asked, Unreadable> {
        Asked::read("get", target, Vec::new(), Bytes::new())
    }

    #[test]
    fn what_was_read_is_written_in_one_way() {
        for (sent, written) in [
            ("/", "/"),
            ("/customers/7", "/customers/7"),
            ("/a%2db/%C3%A9", "/a-b/%C3%A9"),
            ("/a/", "/a/"),
            ("/a?x=1+2&y=%26&z", "/a?x=1%202&y=%26&z="),
            ("/a?x=1&&x=2&", "/a?x=1&x=2"),
            ("/apis/x/clusterroles/system:node", "/apis/x/clusterroles/system:node"),
        ] {
            assert_eq!(read(sent).unwrap().target(), written, "{sent}");
        }
        assert_eq!(read("/a").unwrap().method, "GET");
    }

    #[test]
    fn what_two_readers_take_for_two_things_is_refused() {
        for sent in [
            "/a/../b",
            "/a/./b",
            "/a//b",
            "//a",
            "/a/%2e%2e/b",
            "/a/%2E%2e",
            "/a/.%2e/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%252fb",
            "/a%25",
            "/a;x=1/b",
            "/a%3bx",
            "/a%00",
            "/a%0d%0ab",
            "/%2e/a",
            "/..",
        ] {
            assert_eq!(read(sent), Err(Unreadable::Ambiguous), "{sent}");
        }
        for sent in ["/a%", "/a%2", "/a%zz", "/a%ff", "/a?x=%ff", "/a?%c3"] {
            assert_eq!(read(sent), Err(Unreadable::Escape), "{sent}");
        }
        for sent in ["", "*", "http://other.example.com/a", "a/b", "/a#b", "other.example.com:443"]
        {
            assert_eq!(read(sent), Err(Unreadable::Form), "{sent}");
        }
        for sent in ["/a?=1", "/a?%0a=1"] {
            assert_eq!(read(sent), Err(Unreadable::Parameter), "{sent}");
        }
        assert_eq!(read(&format!("/{}", "a".repeat(MAX_TARGET_BYTES))), Err(Unreadable::Long));
        assert_eq!(read(&"/a".repeat(MAX_PARTS + 1)), Err(Unreadable::Long));
    }

    #[test]
    fn what_says_a_body_is_two_things_is_refused() {
        let read = |fields: &[(&str, &str)]| {
            let owned =
                fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Asked::read("POST", "/a", owned.collect(), Bytes::from_static(b"{}")).map(|_| ())
        };
        for name in SINGLE {
            assert_eq!(read(&[(name, "a"), ("accept", "b")]), Ok(()), "{name}");
            assert_eq!(read(&[(name, "a"), (name, "a")]), Err(Unreadable::Repeated(name)));
        }
        assert_eq!(read(&[("accept", "a"), ("accept", "b")]), Ok(()));
        for (charset, is_read) in [
            ("", true),
            ("; charset=utf-8", true),
            (";Charset=\"UTF-8\"", true),
            (";stream=watch", true),
            ("; charset=utf-16", false),
            ("; charset=utf-8; charset=utf-7", false),
            ("; charset*=utf-8''utf-7", false),
            (" ; CHARSET = iso-8859-1", false),
        ] {
            let media = format!("application/json{charset}");
            let want = if is_read { Ok(()) } else { Err(Unreadable::Charset) };
            assert_eq!(read(&[("content-type", &media)]), want, "{media}");
        }
    }

    proptest! {
        /// What is written is read as what it was written from.
        #[test]
        fn writing_and_reading_are_one(segments in proptest::collection::vec("[^/\\\\%;\\p{Cc}]{1,8}", 1..5), query in proptest::collection::vec(("[^\\p{Cc}]{1,6}", ".{0,6}"), 0..4)) {
            prop_assume!(segments.iter().all(|it| it != "." && it != ".."));
            let asked = Asked { method: "GET".into(), segments, query, fields: Vec::new(), body: Bytes::new() };
            prop_assert_eq!(read(&asked.target()), Ok(asked));
        }
    }
}
