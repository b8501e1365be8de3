//! What the fields of an answer say: how it is encoded, and where it leads.

use super::media::trimmed;
use super::{Fields, field};
use crate::target::Protocol;

/// Charsets whose letters are the bytes that are looked for.
const READABLE: [&str; 3] = ["utf-8", "utf8", "us-ascii"];
const TYPE: &str = "content-type";

/// How an answer is encoded, in its own words, so that what is in it cannot be found; none where it is not.
pub(super) fn coded(fields: &Fields) -> Option<String> {
    let codings = |name: &'static str, plain: &'static str| {
        let values = fields.iter().filter(move |(it, _)| it == name);
        let each = values.flat_map(|(_, value)| value.split(',')).map(trimmed);
        let is_plain =
            move |it: &&str| it.eq_ignore_ascii_case("identity") || it.eq_ignore_ascii_case(plain);
        each.filter(|it| !it.is_empty()).find(|it| !is_plain(it)).map(str::to_owned)
    };
    codings("content-encoding", "identity").or_else(|| codings("transfer-encoding", "chunked"))
}

/// A charset that it says to be in and in which nothing can be looked for.
pub(super) fn charset(fields: &Fields) -> Option<String> {
    // Blanks where none may be, and whatever is quoted, are read as the most lenient reader does.
    let media = fields.iter().filter(|(name, _)| name == TYPE);
    let parameters = media.flat_map(|(_, value)| value.split([';', ',']).skip(1));
    let charsets = parameters
        .filter_map(|it| it.split_once('='))
        .filter(|(name, _)| name.trim().trim_end_matches('*').eq_ignore_ascii_case("charset"));
    let mut values = charsets.map(|(_, value)| value.trim().trim_matches(['"', '\'']));
    let is_readable = |value: &str| READABLE.iter().any(|it| it.eq_ignore_ascii_case(value));
    values.find(|value| !is_readable(value)).map(|value| format!("charset {value}"))
}

/// Whether it says of itself that it is one thing and another.
pub(super) fn is_two_things(fields: &Fields) -> bool {
    let first = field(fields, TYPE);
    fields.iter().any(|(name, value)| name == TYPE && Some(value.as_str()) != first)
}

/// Whether it leads to a path of the same host: `//host`, `/\host`, and what a reader makes of these who leaves control
/// characters out, lead elsewhere (RFC 3986 section 4.2; WHATWG URL, "relative slash state").
pub(super) fn is_path(target: &str) -> bool {
    let mut chars = target.chars();
    chars.next() == Some('/')
        && !matches!(chars.next(), Some('/' | '\\'))
        && !target.contains(char::is_control)
}

/// The links of an answer (RFC 8288), as its reader would find them; those to elsewhere are left out, and such as have what a
/// lenient reader takes for one more.
pub(super) fn links(protocol: &dyn Protocol, value: &str) -> String {
    let one = |link: &str| {
        let link = link.trim();
        let link = link.strip_prefix('<').filter(|link| !link.contains('<'))?;
        let (target, rest) = link.split_once('>')?;
        let target = if is_path(target) { target.to_owned() } else { protocol.located(target)? };
        Some(format!("<{target}>{rest}"))
    };
    let links: Vec<String> = value.split(", ").filter_map(one).collect();
    links.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_encoded_says_so_in_one_of_three_ways() {
        for (name, value, told) in [
            ("content-encoding", "identity", None),
            ("content-encoding", "identity, br", Some("br")),
            ("transfer-encoding", "chunked", None),
            ("transfer-encoding", "gzip, chunked", Some("gzip")),
        ] {
            assert_eq!(coded(&fields(&[(name, value)])).as_deref(), told, "{value}");
        }
        let twice = [("content-encoding", "identity"), ("content-encoding", "gzip")];
        assert_eq!(coded(&fields(&twice)).as_deref(), Some("gzip"));
        for (media, is_readable) in [
            ("application/json", true),
            ("text/plain; Charset=\"UTF-8\"", true),
            ("text/plain;charset=us-ascii", true),
            ("text/plain;charset=utf-16", false),
            ("text/plain; charset = utf-16le", false),
            ("text/plain;charset='utf-7'", false),
            ("text/plain;a=\"x;charset=utf-8\";charset=utf-32", false),
            ("text/plain;charset=utf-8,text/plain;charset=utf-16", false),
        ] {
            assert_eq!(charset(&fields(&[(TYPE, media)])).is_none(), is_readable, "{media}");
        }
        assert!(is_two_things(&fields(&[(TYPE, "text/plain"), (TYPE, "application/json")])));
        assert!(!is_two_things(&fields(&[(TYPE, "text/plain"), (TYPE, "text/plain")])));
    }

    #[test]
    fn a_path_leads_to_the_same_host() {
        for target in ["/", "/a//b", "/a?b=//c"] {
            assert!(is_path(target), "{target}");
        }
        for target in ["", "a", "//a", "/\\a", "/\t/a", "/\n\\a", "\\\\a"] {
            assert!(!is_path(target), "{target:?}");
        }
    }
}
