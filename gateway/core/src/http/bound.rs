//! What a request says in its fields: shown to reviewers, and a part of what an approval is bound to.

use super::Fields;

/// Fields that change in which form an answer comes, and nothing of what is done.
const OF_ANSWERS: [&str; 2] = ["accept", "accept-language"];
/// What says how a body is read: of one and the same, a merge patch makes another thing than a strategic one.
const MEDIA: &str = "content-type";

/// A line each of the fields that are passed, with a line break before it, in the order of their names. A body has its media
/// type there, if only that it has none, and an empty line before itself, so that it is not taken for fields. Nothing where a
/// request has neither.
pub(crate) fn bound(passed: &Fields, has_body: bool) -> String {
    let says = |name: &str| !OF_ANSWERS.contains(&name) && (has_body || name != MEDIA);
    let mut said: Vec<(&str, &str)> = passed
        .iter()
        .map(|(name, value)| (name.as_str(), value.trim()))
        .filter(|(name, _)| says(name))
        .collect();
    if has_body && !said.iter().any(|(name, _)| *name == MEDIA) {
        said.push((MEDIA, ""));
    }
    // Of one that stands there more than once, the order stays.
    said.sort_by_key(|(name, _)| *name);
    let mut text: String = said.iter().map(|(name, value)| format!("\n{name}: {value}")).collect();
    if has_body {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_what_is_done_is_said_and_nothing_else_is() {
        let fields = |pairs: &[(&str, &str)]| -> Fields {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let of_answers = [("accept", "a/b"), ("accept-language", "de"), ("content-type", "a/b")];
        assert_eq!(bound(&fields(&of_answers), false), "");
        assert_eq!(bound(&fields(&of_answers), true), "\ncontent-type: a/b\n");
        assert_eq!(bound(&Fields::new(), true), "\ncontent-type: \n");
        let all = [("x-b", "2"), ("if-match", " \"a\""), ("x-b", "1"), ("content-type", "a/b;c=d")];
        assert_eq!(
            bound(&fields(&all), true),
            "\ncontent-type: a/b;c=d\nif-match: \"a\"\nx-b: 2\nx-b: 1\n"
        );
        assert_eq!(bound(&fields(&all), false), "\nif-match: \"a\"\nx-b: 2\nx-b: 1");
    }
}
