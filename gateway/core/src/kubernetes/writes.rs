//! What is not written to an object of which something is hidden: back what was shown in its place, or what is hidden elsewhere.

use serde_json::Value;
use tallyport_access::strict_json;

use crate::http::{Asked, Media, field, media_of};
use crate::target::NotTaken;

/// What stands where something is hidden: as text, and as base64.
const SHOWN: [&[u8]; 2] = [b"[redacted]", b"W3JlZGFjdGVkXQ=="];
/// What a JSON patch (RFC 6902) may do: the others move what is hidden to where it is not, or tell whether it is this.
const MOVES_NOTHING: [&str; 3] = ["add", "replace", "remove"];

/// Why a body is not passed on that readers may take for two things: what is decided about it follows from its type.
pub(super) fn unclear(asked: &Asked) -> Option<NotTaken> {
    let media = field(&asked.fields, "content-type").filter(|_| !asked.body.is_empty())?;
    if Media::read(media).is_some() {
        return None;
    }
    let why =
        "the content-type is no media type (RFC 9110 section 8.3.1); write it as type/subtype";
    let code = "unsupported_media_type";
    Some(NotTaken { status: 415, code, ..NotTaken::unreadable(why) })
}

/// Why a request about such an object is not passed on.
pub(super) fn refused(asked: &Asked) -> Option<NotTaken> {
    if let Some((_, selector)) = asked.query.iter().find(|(name, _)| name == "fieldSelector") {
        let is_plain = |term: &str| term.starts_with("metadata.") || term.starts_with("type");
        if !selector.split(',').all(is_plain) {
            let why =
                "select by metadata: a selector of other fields would tell what is hidden in them";
            return Some(NotTaken { status: 403, ..NotTaken::unreadable(why) });
        }
    }
    if asked.body.is_empty() {
        return None;
    }
    if SHOWN.iter().any(|shown| holds(&asked.body, shown)) {
        let why = "the body holds what stands where something was hidden from you, and would be written in its place; send a patch of \
                   what you change";
        return Some(NotTaken { status: 409, code: "redacted_value", ..NotTaken::unreadable(why) });
    }
    let media = media_of(&asked.fields);
    if media.starts_with("application/apply-patch") && asked.parameter("force") != Some("true") {
        let why = "of this object something is hidden, and a conflict would tell whether it is what you apply: apply with force=true \
                   (kubectl apply --server-side --force-conflicts)";
        return Some(NotTaken { status: 403, ..NotTaken::unreadable(why) });
    }
    if media == "application/json-patch+json" {
        let steps = strict_json(&asked.body);
        let moves_nothing = |step: &Value| {
            step.get("op").and_then(Value::as_str).is_some_and(|op| MOVES_NOTHING.contains(&op))
        };
        if !steps
            .as_ref()
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().all(moves_nothing))
        {
            let why = "of this object something is hidden: a JSON patch of it may add, replace and remove, and neither copy, move nor test";
            return Some(NotTaken { status: 403, ..NotTaken::unreadable(why) });
        }
    }
    None
}

fn holds(body: &[u8], shown: &[u8]) -> bool {
    body.windows(shown.len()).any(|it| it == shown)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn code(target: &str, media: &str, body: &str) -> Option<u16> {
        let fields = vec![("content-type".to_owned(), media.to_owned())];
        let body = Bytes::from(body.to_owned());
        refused(&Asked::read("PATCH", target, fields, body).unwrap()).map(|why| why.status)
    }

    #[test]
    fn what_is_hidden_is_neither_moved_nor_written_over_nor_asked_for() {
        let patch = "application/json-patch+json";
        for (target, media, body, status) in [
            ("/a", patch, r#"[{"op":"add","path":"/metadata/labels/a","value":"b"}]"#, None),
            (
                "/a",
                patch,
                r#"[{"op":"copy","from":"/data/key","path":"/metadata/annotations/a"}]"#,
                Some(403),
            ),
            (
                "/a",
                patch,
                r#"[{"op":"add","path":"/x","value":1},{"op":"move","from":"/data/key","path":"/metadata/annotations/a"}]"#,
                Some(403),
            ),
            ("/a", patch, r#"[{"op":"test","path":"/data/key","value":"a"}]"#, Some(403)),
            ("/a", patch, r#"{"op":"add"}"#, Some(403)),
            ("/a", patch, r#"[{"op":"add","op":"copy"}]"#, Some(403)),
            ("/a", "application/json", r#"{"data":{"key":"W3JlZGFjdGVkXQ=="}}"#, Some(409)),
            ("/a", "application/vnd.kubernetes.protobuf", "k8s\0..[redacted]", Some(409)),
            ("/a", "application/merge-patch+json", r#"{"metadata":{"labels":{"a":"b"}}}"#, None),
            ("/a?fieldManager=a", "application/apply-patch+yaml", "data: {key: YQ==}", Some(403)),
            ("/a?force=false", "application/apply-patch+yaml", "data: {key: YQ==}", Some(403)),
            ("/a?force=true", "application/apply-patch+yaml", "data: {key: YQ==}", None),
            ("/a", "application/apply-patch+cbor", "\u{1}", Some(403)),
            ("/a?fieldSelector=metadata.name%3Da", "", "", None),
            ("/a?fieldSelector=metadata.name%3Da,spec.key%3Dx", "", "", Some(403)),
            ("/a?fieldSelector=spec.key%3Dx", "", "", Some(403)),
        ] {
            assert_eq!(code(target, media, body), status, "{target} {body}");
        }
    }
}
