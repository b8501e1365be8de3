//! A body as it goes on record and to reviewers: what is hidden in answers is hidden in it, too (I6).

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tallyport_access::strict_json;

use super::{Asked, media_of};
use crate::json::{Eraser, Hide, Shade};
use crate::masking::Mask;
use crate::mcp::canonical;

/// The longest body that is no JSON and is told in a statement.
const MAX_TEXT_BYTES: usize = 16 * 1024;
/// Where a JSON patch (RFC 6902) has its values.
const PATCHED: &str = "/*/value";

/// A body, as it is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// What is recorded in its place; nothing where nothing of it may be.
    pub recorded: Bytes,
    /// What the statement says of it, with a line break before it; nothing where there is none.
    pub text: String,
    /// SHA-256 of it, where not all of it may be seen.
    pub unseen_sha256: Option<String>,
}

impl Written {
    /// The body of a request to something whose answers hide this; `form` is what a form was read as, in JSON.
    pub(crate) fn of(asked: &Asked, form: Option<&str>, hides: &[Hide]) -> Self {
        let body = &asked.body;
        if body.is_empty() {
            return Self { recorded: Bytes::new(), text: String::new(), unseen_sha256: None };
        }
        let shown = erased(body, &media_of(&asked.fields), hides);
        let digest = || hex::encode(Sha256::digest(body));
        let unseen_sha256 = (shown.as_ref() != Some(body)).then(digest);
        let recorded = shown.unwrap_or_default();
        let as_form = || {
            let shown = erased(&Bytes::from(form?.to_owned()), "application/json", hides)?;
            String::from_utf8(shown.into()).ok()
        };
        let as_json = || strict_json(&recorded).and_then(|value: Value| canonical(&value).ok());
        let as_text = || {
            let text = std::str::from_utf8(&recorded).ok();
            text.filter(|it| !it.is_empty() && it.len() <= MAX_TEXT_BYTES).map(str::to_owned)
        };
        let text = as_form().or_else(as_json).or_else(as_text).unwrap_or_else(|| {
            let told = format!("-- {} bytes of {}", body.len(), media_of(&asked.fields));
            // What may be seen is told by its digest at least; from that of what may not, it could be guessed.
            if unseen_sha256.is_some() { told } else { format!("{told}, SHA-256 {}", digest()) }
        });
        Self { recorded, text: format!("\n{text}"), unseen_sha256 }
    }
}

/// With what must not be seen hidden; none where nothing can look into it.
fn erased(body: &Bytes, media: &str, hides: &[Hide]) -> Option<Bytes> {
    if hides.is_empty() {
        return Some(body.clone());
    }
    let patch: Vec<Hide> = PATCHED
        .parse()
        .map(|place| Hide { place, shade: Shade::Mask(Mask::Redact) })
        .into_iter()
        .collect();
    let rules = if media == "application/json-patch+json" { &patch } else { hides };
    let mut out = Vec::with_capacity(body.len());
    Eraser::new(rules, None).document(body, &mut out).ok()?;
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(media: &str, body: &str, places: &[&str]) -> Written {
        read_as(media, body, None, places)
    }

    fn read_as(media: &str, body: &str, form: Option<&str>, places: &[&str]) -> Written {
        let hide =
            |place: &&str| Hide { place: place.parse().unwrap(), shade: Shade::Mask(Mask::Redact) };
        let hides: Vec<Hide> = places.iter().map(hide).collect();
        let fields = vec![("content-type".to_owned(), media.to_owned())];
        let body = Bytes::from(body.to_owned());
        Written::of(&Asked::read("PUT", "/x", fields, body).unwrap(), form, &hides)
    }

    #[test]
    fn nothing_that_is_hidden_is_recorded_of_what_is_written() {
        let secret = "aHVudGVyMg==";
        for (media, body) in [
            ("application/json", format!("{{\"data\":{{\"k\":\"{secret}\"}}}}")),
            (
                "application/json-patch+json",
                format!("[{{\"op\":\"replace\",\"path\":\"/data/k\",\"value\":\"{secret}\"}}]"),
            ),
            ("application/apply-patch+yaml", format!("data: {{k: {secret}}}")),
            ("application/vnd.kubernetes.protobuf", format!("k8s\0{secret}")),
            ("application/json", format!("{{\"data\":{{\"k\":\"{secret}\"}}")),
        ] {
            let it = written(media, &body, &["/data/*"]);
            assert!(!format!("{it:?}").contains(secret), "{media}: {it:?}");
            assert!(it.text.starts_with("\n"), "{media}: {it:?}");
            // Nothing on record tells one value from another; what an approval is bound to does.
            let other = written(media, &body.replace(secret, "c3dvcmRmaXM="), &["/data/*"]);
            assert_eq!((&it.text, &it.recorded), (&other.text, &other.recorded), "{media}");
            assert!(it.unseen_sha256.is_some() && it.unseen_sha256 != other.unseen_sha256);
        }
    }

    #[test]
    fn what_hides_nothing_is_told_as_it_is() {
        let it = written("application/json", "{ \"b\": 1, \"a\": 2 }", &[]);
        assert_eq!(
            (it.recorded.as_ref(), it.text.as_str()),
            (&b"{ \"b\": 1, \"a\": 2 }"[..], "\n{\"a\":2,\"b\":1}")
        );
        assert_eq!(written("text/plain", "hello", &[]).text, "\nhello");
        assert_eq!(written("text/plain", "", &["/a"]).text, "");
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        assert!(
            written("text/plain", &long, &[])
                .text
                .starts_with("\n-- 16385 bytes of text/plain, SHA-256 ")
        );
        // With something hidden elsewhere, and not here.
        let it = written("application/json", "{\"a\":1}", &["/data/*"]);
        assert_eq!((it.text.as_str(), it.unseen_sha256), ("\n{\"a\":1}", None));
    }

    #[test]
    fn a_form_is_told_as_what_it_was_read_as() {
        let (media, body, form) =
            ("application/x-www-form-urlencoded", "a=1&k=s3", "{\"a\":\"1\",\"k\":\"s3\"}");
        let it = read_as(media, body, Some(form), &[]);
        assert_eq!((it.recorded, it.text), (Bytes::from(body), format!("\n{form}")));
        let it = read_as(media, body, Some(form), &["/k"]);
        assert_eq!(it.text, "\n{\"a\":\"1\",\"k\":\"[redacted]\"}");
        assert!(it.recorded.is_empty() && it.unseen_sha256.is_some(), "{it:?}");
    }
}
