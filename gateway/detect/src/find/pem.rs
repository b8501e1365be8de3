//! Private keys in PEM: RFC 7468 and RFC 1421, OpenSSH's own, the armor of OpenPGP (RFC 9580, 6.2).

use super::{Found, LOOK_AHEAD, LOOK_BEHIND, Window};
use crate::kind::{Kind, Kinds};
use crate::settle::Candidate;
use crate::tail::{Tail, is_pem};

/// What every block begins with.
pub(super) const BEGIN: &str = "-----BEGIN ";

/// Bytes of `RSA PRIVATE KEY` and the like, at most.
const MAX_LABEL_BYTES: usize = 48;

/// Bytes behind the first line, headers and all, in which the key itself must begin.
const MAX_HEADERS_BYTES: usize = 512;

/// Base64 in a row that is key and no header.
const MIN_KEY_BYTES: usize = 40;

/// How a service account's file names its key.
const GCP_NAME: &[u8] = b"private_key\"";

pub(super) fn verify(window: Window<'_>, kinds: Kinds, found: &mut Found<'_>) {
    let Verdict::Key { first_line_end } = judge(window) else { return };
    let start = window.anchor;
    let before = window.bytes.get(start.saturating_sub(24)..start).unwrap_or_default();
    let named = before.windows(GCP_NAME.len()).any(|name| name == GCP_NAME);
    let kind = match (named, kinds.contains(Kind::GcpServiceAccountKey)) {
        (true, true) => Kind::GcpServiceAccountKey,
        _ => Kind::PrivateKey,
    };
    if kinds.contains(kind) {
        found.out.push(Candidate { kind, start, end: first_line_end, tail: Some(Tail::pem()) });
    }
}

/// The first place in the last bytes of a view where a key may have begun, but its text ends before that is certain.
pub(super) fn undecided(view: &[u8]) -> Option<usize> {
    let from = view.len().saturating_sub(LOOK_AHEAD);
    let mut places = memchr::memmem::find_iter(view.get(from..)?, BEGIN).map(|at| from + at);
    places.find(|at| {
        let start = at.saturating_sub(LOOK_BEHIND);
        let window = view.get(start..).map(|bytes| Window { bytes, anchor: at - start });
        window.is_some_and(|window| matches!(judge(window), Verdict::Undecided))
    })
}

enum Verdict {
    No,
    Key {
        first_line_end: usize,
    },
    /// It may become a key when more comes.
    Undecided,
}

fn judge(window: Window<'_>) -> Verdict {
    let Some(rest) = window.bytes.get(window.anchor + BEGIN.len()..) else {
        return Verdict::Undecided;
    };
    let is_label =
        |byte: &&u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || **byte == b' ';
    let length = rest.iter().take(MAX_LABEL_BYTES).take_while(is_label).count();
    let (label, behind) = rest.split_at(length);
    let closing = behind.iter().take(5).take_while(|byte| **byte == b'-').count();
    if closing < 5 {
        let cut = behind.len() == closing && length < MAX_LABEL_BYTES;
        return if cut { Verdict::Undecided } else { Verdict::No };
    }
    if !label.ends_with(b"PRIVATE KEY") && !label.ends_with(b"PRIVATE KEY BLOCK") {
        return Verdict::No;
    }
    let body = behind.get(closing..).unwrap_or_default();
    match has_key(body) {
        Some(true) => {
            let first_line_end = window.anchor + BEGIN.len() + length + closing;
            Verdict::Key { first_line_end }
        }
        Some(false) => Verdict::No,
        None => Verdict::Undecided,
    }
}

/// Whether the key itself follows; `None` when the text ends before that is certain.
fn has_key(body: &[u8]) -> Option<bool> {
    let mut run = 0;
    for byte in body.iter().take(MAX_HEADERS_BYTES) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') {
            run += 1;
            if run >= MIN_KEY_BYTES {
                return Some(true);
            }
        } else if is_pem(*byte) {
            run = 0;
        } else {
            return Some(false);
        }
    }
    (body.len() >= MAX_HEADERS_BYTES).then_some(false)
}
