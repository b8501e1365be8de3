//! A mark on what a client carries for somebody else: it counts only from whom it was given to, and for what.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng as _;

const KEY_BYTES: usize = 32;
/// `until.tag.text`: the text may have dots.
const DOT: char = '.';

/// The key of the marks. Gateways with one certificate have the same, so that a client may go from one to another. Clones have
/// the same, also when it is renewed.
#[derive(Clone)]
pub struct Seal(Arc<ArcSwap<Keys>>);

struct Keys {
    now: hmac::Key,
    /// What it marked counts until the next.
    before: Option<hmac::Key>,
}

impl Seal {
    /// With this key.
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(Keys { now: key, before: None })))
    }

    /// From now on with this key; what the one before it marked still counts.
    pub(crate) fn renew(&self, key: hmac::Key) {
        let before = Some(self.0.load().now.clone());
        self.0.store(Arc::new(Keys { now: key, before }));
    }

    /// `text`, marked as given in `context` until this second of Unix time.
    pub(crate) fn put(&self, context: &[u8], until: i64, text: &str) -> String {
        let tag = hmac::sign(&self.0.load().now, &signed(context, until, text));
        format!("{until}{DOT}{}{DOT}{text}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// The text, where it was marked in the same context and its time is not over.
    pub(crate) fn taken_off<'a>(
        &self,
        context: &[u8],
        now: i64,
        marked: &'a str,
    ) -> Option<&'a str> {
        let (until, rest) = marked.split_once(DOT)?;
        let (tag, text) = rest.split_once(DOT)?;
        let until: i64 = until.parse().ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let (keys, signed) = (self.0.load(), signed(context, until, text));
        let is_ours = |key: &hmac::Key| hmac::verify(key, &signed, &tag).is_ok();
        let is_ours = is_ours(&keys.now) || keys.before.as_ref().is_some_and(is_ours);
        (is_ours && now < until).then_some(text)
    }
}

/// The length keeps context and text apart.
fn signed(context: &[u8], until: i64, text: &str) -> Vec<u8> {
    let length = (context.len() as u64).to_be_bytes();
    [&length, context, &until.to_be_bytes(), text.as_bytes()].concat()
}

/// A key that nobody else has: what it marked counts in this process.
impl Default for Seal {
    fn default() -> Self {
        Self::new(hmac::Key::new(hmac::HMAC_SHA256, &rand::rng().random::<[u8; KEY_BYTES]>()))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "v1.\u{e9}+/==";

    #[test]
    fn what_comes_back_as_it_was_given_is_what_was_given() {
        let seal = Seal::default();
        let marked = seal.put(b"context", 100, TEXT);
        assert_eq!(seal.taken_off(b"context", 99, &marked), Some(TEXT));
        assert_eq!(seal.clone().taken_off(b"context", 0, &seal.put(b"context", 1, "")), Some(""));
    }

    #[test]
    fn what_the_key_before_marked_counts_and_not_what_one_before_that_did() {
        let (seal, another) = (Seal::default(), || Seal::default().0.load().now.clone());
        let (elsewhere, marked) = (seal.clone(), seal.put(b"context", 100, TEXT));
        seal.renew(another());
        let renewed = elsewhere.put(b"context", 100, TEXT);
        assert_eq!(elsewhere.taken_off(b"context", 0, &marked), Some(TEXT));
        assert_eq!(seal.taken_off(b"context", 0, &renewed), Some(TEXT));
        seal.renew(another());
        assert_eq!(seal.taken_off(b"context", 0, &marked), None);
        assert_eq!(seal.taken_off(b"context", 0, &renewed), Some(TEXT));
    }

    #[test]
    fn nothing_else_counts() {
        let seal = Seal::default();
        let marked = seal.put(b"context", 100, TEXT);
        assert_eq!(seal.taken_off(b"another", 0, &marked), None, "for somebody else");
        assert_eq!(seal.taken_off(b"context", 100, &marked), None, "too old");
        assert_eq!(Seal::default().taken_off(b"context", 0, &marked), None, "of somebody else");
        let later = marked.replacen("100", "999", 1);
        let other = marked.replace("v1", "v2");
        let (_, untagged) = marked.split_once('.').unwrap();
        for bad in [&later, &other, &format!("{marked}x"), untagged, TEXT, "", "100..", "100.AA.v1"]
        {
            assert_eq!(seal.taken_off(b"context", 0, bad), None, "{bad}");
        }
        let moved = seal.put(b"cont", 100, "ext");
        assert_eq!(seal.taken_off(b"contex", 0, &moved), None);
    }
}
