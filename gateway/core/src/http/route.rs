//! Templates of paths.

use std::cmp::Ordering;
use std::str::FromStr;

/// A path with places for what varies: `/customers/{id}/orders`, and `{rest*}` at its end for any number of segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    One(String),
    Rest(String),
}

/// A text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no path; write one such as /customers/{{id}}, each name once, and {{rest*}} only at its end"
)]
pub struct BadTemplate(String);

impl FromStr for Template {
    type Err = BadTemplate;

    fn from_str(text: &str) -> Result<Self, BadTemplate> {
        let bad = || BadTemplate(text.chars().take(128).collect());
        let rest = text.strip_prefix('/').ok_or_else(bad)?;
        let pieces: Vec<&str> = rest.split('/').collect();
        let last = pieces.len() - 1;
        let mut names: Vec<&str> = Vec::new();
        let mut parts = Vec::new();
        for (place, piece) in pieces.into_iter().enumerate() {
            let inner = piece.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
            let part = match inner {
                Some(name) => {
                    let plain = name.strip_suffix('*').unwrap_or(name);
                    let is_rest = plain != name;
                    if !is_parameter(plain) || names.contains(&plain) || (is_rest && place != last)
                    {
                        return Err(bad());
                    }
                    names.push(plain);
                    if is_rest { Part::Rest(plain.to_owned()) } else { Part::One(plain.to_owned()) }
                }
                None => {
                    let holds = |c: char| c.is_control() || "{}%;\\?#".contains(c);
                    let is_end = piece.is_empty() && place == last;
                    if piece.contains(holds)
                        || matches!(piece, "." | "..")
                        || (piece.is_empty() && !is_end)
                    {
                        return Err(bad());
                    }
                    Part::Literal(piece.to_owned())
                }
            };
            parts.push(part);
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

fn looks_like(segment: &str, text: &str) -> bool {
    let (segment, text) = (segment.to_lowercase(), text.to_lowercase());
    let rest = segment.strip_prefix(&text).filter(|_| !text.is_empty());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn is_parameter(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'-')
}

impl Template {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands in its places, where a path is one of it.
    #[must_use]
    pub fn matches(&self, segments: &[String]) -> Option<Vec<(&str, String)>> {
        let mut found = Vec::new();
        let mut rest = segments.iter();
        for part in &self.parts {
            match part {
                Part::Literal(text) => {
                    rest.next().filter(|it| *it == text)?;
                }
                Part::One(name) => {
                    let value = rest.next().filter(|it| !it.is_empty())?;
                    found.push((name.as_str(), value.clone()));
                }
                Part::Rest(name) => {
                    let values: Vec<&str> = rest.by_ref().map(String::as_str).collect();
                    if values.is_empty() {
                        return None;
                    }
                    found.push((name.as_str(), values.join("/")));
                }
            }
        }
        rest.next().is_none().then_some(found)
    }

    /// Whether some servers take a path that is one of `meant` for one of this: where that has a name, it has this one's text in
    /// another case, or with a suffix behind a dot, as routers do that ignore case or take a format from there.
    #[must_use]
    pub fn is_taken_for(&self, meant: &Self, segments: &[String]) -> bool {
        let mut loosely = false;
        for (place, segment) in segments.iter().enumerate() {
            let is_named = !matches!(
                meant.parts.get(place).or(meant.parts.last()),
                Some(Part::Literal(_)) | None
            );
            match self.parts.get(place) {
                Some(Part::Literal(text)) if text == segment => {}
                Some(Part::Literal(text)) if is_named && looks_like(segment, text) => {
                    loosely = true
                }
                Some(Part::One(_)) if !segment.is_empty() => {}
                Some(Part::Rest(_)) => return loosely,
                _ => return false,
            }
        }
        loosely && self.parts.len() == segments.len()
    }

    /// What says more of a path comes first: text before a name, a name before any number of segments.
    #[must_use]
    pub fn by_precision(&self, other: &Self) -> Ordering {
        let ranks = |it: &Self| {
            let rank = |part: &Part| match part {
                Part::Literal(_) => 0_u8,
                Part::One(_) => 1,
                Part::Rest(_) => 2,
            };
            it.parts.iter().map(rank).collect::<Vec<u8>>()
        };
        ranks(self).cmp(&ranks(other))
    }

    /// Whether both mean the same paths.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let same = |(one, other): (&Part, &Part)| match (one, other) {
            (Part::Literal(one), Part::Literal(other)) => one == other,
            (Part::One(_), Part::One(_)) | (Part::Rest(_), Part::Rest(_)) => true,
            _ => false,
        };
        self.parts.len() == other.parts.len() && self.parts.iter().zip(&other.parts).all(same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(template: &str, path: &[&str]) -> Option<Vec<(String, String)>> {
        let template: Template = template.parse().unwrap();
        let segments: Vec<String> = path.iter().map(|it| (*it).to_owned()).collect();
        let found = template.matches(&segments)?;
        Some(found.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    #[test]
    fn a_path_is_of_a_template_or_not() {
        let id = |value: &str| Some(vec![("id".to_owned(), value.to_owned())]);
        assert_eq!(found("/customers/{id}", &["customers", "7"]), id("7"));
        assert_eq!(found("/customers/{id}", &["customers", ""]), None);
        assert_eq!(found("/customers/{id}", &["customers", "7", "orders"]), None);
        assert_eq!(found("/customers/{id}", &["Customers", "7"]), None);
        assert_eq!(found("/files/{id*}", &["files", "a", "b"]), id("a/b"));
        assert_eq!(found("/files/{id*}", &["files"]), None);
        assert_eq!(found("/", &[""]), Some(Vec::new()));
        assert_eq!(found("/a/", &["a", ""]), Some(Vec::new()));
        assert_eq!(found("/a", &["a", ""]), None);
    }

    #[test]
    fn a_path_that_is_taken_for_another_is_known() {
        let taken = |other: &str, meant: &str, path: &[&str]| {
            let (other, meant): (Template, Template) =
                (other.parse().unwrap(), meant.parse().unwrap());
            let segments: Vec<String> = path.iter().map(|it| (*it).to_owned()).collect();
            assert!(meant.matches(&segments).is_some(), "{path:?}");
            other.is_taken_for(&meant, &segments)
        };
        for (other, meant, path) in [
            ("/a/export", "/a/{id}", &["a", "Export"][..]),
            ("/a/export", "/a/{id}", &["a", "export.json"]),
            ("/a/export", "/a/{id}", &["a", "EXPORT.tar.gz"]),
            ("/a/export", "/{all*}", &["A", "export"]),
            ("/a/{id}/export", "/a/{all*}", &["a", "7", "Export"]),
            ("/a/export/{all*}", "/a/{id}/{x}", &["a", "Export", "b"]),
        ] {
            assert!(taken(other, meant, path), "{path:?}");
        }
        for (other, meant, path) in [
            ("/a/export", "/a/{id}", &["a", "exports"][..]),
            ("/a/export", "/a/{id}", &["a", "7"]),
            ("/a/export", "/a/export.json", &["a", "export.json"]),
            ("/a/export", "/a/{id}/b", &["a", "Export", "b"]),
            ("/a/export/b", "/a/{id}", &["a", "Export"]),
            ("/a/{x}", "/a/{id}", &["a", "7"]),
        ] {
            assert!(!taken(other, meant, path), "{path:?}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in [
            "", "a", "/a//b", "/{}", "/{a}/{a}", "/{a*}/b", "/a%2f", "/a/../b", "/{a", "/a?b",
            "/x{a}y",
        ] {
            assert!(text.parse::<Template>().is_err(), "{text}");
        }
    }

    #[test]
    fn text_goes_before_names() {
        let mut templates: Vec<Template> =
            ["/{x*}", "/a/{id}", "/{t}/b", "/a/b"].map(|it| it.parse().unwrap()).into();
        templates.sort_by(Template::by_precision);
        let order: Vec<&str> = templates.iter().map(Template::as_str).collect();
        assert_eq!(order, ["/a/b", "/a/{id}", "/{t}/b", "/{x*}"]);
        assert!("/a/{x}".parse::<Template>().unwrap().is_like(&"/a/{y}".parse().unwrap()));
    }
}
