//! E-mail addresses (RFC 5321), around their `@`.

use std::ops::Range;

use super::edges::is_escape;
use super::{Found, Window, byte};
use crate::kind::Kind;
use crate::mark;

/// RFC 5321, 4.5.3.1.1.
const MAX_LOCAL_BYTES: usize = 64;

/// RFC 5321, 4.5.3.1.2.
const MAX_DOMAIN_BYTES: usize = 255;

/// What ends like a domain and is a file or a unit of systemd.
const NO_DOMAINS: &[&[u8]] = &[
    b"png", b"jpg", b"jpeg", b"gif", b"webp", b"svg", b"avif", b"ico", b"css", b"js", b"ts",
    b"mjs", b"json", b"html", b"service", b"socket", b"timer", b"target", b"mount", b"slice",
    b"scope",
];

pub(super) fn find(anchors: Range<usize>, found: &mut Found<'_>) {
    let Some(block) = found.view.get(anchors.clone()) else { return };
    for at in memchr::memchr_iter(b'@', block) {
        found.at(anchors.start + at, |window, found| verify(window, 1, found));
    }
}

/// An address whose `@`, written in so many bytes, is the anchor.
pub(super) fn verify(window: Window<'_>, at_bytes: usize, found: &mut Found<'_>) {
    let bytes = window.bytes;
    let Some(start) = local(bytes, window.anchor) else { return };
    let from = window.anchor + at_bytes;
    let Some(end) = domain(bytes, from) else { return };
    let local = bytes.get(start..window.anchor).unwrap_or_default();
    // `git@host:path` is an address of a repository, `ssh://ann@host` that of a machine.
    let before = bytes.get(..start).unwrap_or_default();
    if local == b"git" && matches!(byte(bytes, end), b':' | b'/') || before.ends_with(b"://") {
        return;
    }
    found.push(Kind::Email, start..end);
}

/// Where the local part begins. A longer one is no address, but its end is hidden all the same: what would be one when
/// something before it is masked must be one now. Behind a mark there is none: it would have been found with what was there.
fn local(bytes: &[u8], at: usize) -> Option<usize> {
    let floor = at.saturating_sub(MAX_LOCAL_BYTES);
    let before = bytes.get(floor..at)?;
    let length = before.iter().rev().take_while(|byte| is_local(**byte)).count();
    let mut start = at - length;
    if mark::ending(bytes, start).is_some() {
        return None;
    }
    while start < at
        && (matches!(byte(bytes, start), b'.' | b'-' | b'\'' | b'%') || is_escape(bytes, start))
    {
        start += 1;
    }
    (start < at).then_some(start)
}

const fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
        // UTF-8 beyond ASCII (RFC 6531).
        || byte >= 0x80
}

/// Where the longest domain ends that has a dot and ends with letters.
fn domain(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..bytes.len().min(from + MAX_DOMAIN_BYTES))?;
    let length = rest.iter().take_while(|byte| is_domain(**byte)).count();
    // What went on there may have made it none.
    if mark::starting(bytes, from + length).is_some() {
        return None;
    }
    let (mut at, mut end) = (from, None);
    for (place, label) in rest.get(..length)?.split(|byte| *byte == b'.').enumerate() {
        // `ann@example.org-` ends before the dash.
        let letters = label.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let (top, cut) = match label.get(letters) {
            Some(b'-') if !label.starts_with(b"xn--") => (label.get(..letters)?, true),
            _ => (label, false),
        };
        if place > 0
            && is_top(top)
            && (!cut || !is_label(label) || !has_more(rest, at - from + label.len()))
        {
            end = Some(at + top.len());
        }
        if !is_label(label) {
            break;
        }
        at += label.len() + 1;
    }
    end
}

/// Whether the domain goes on behind the label that ends at `at`.
fn has_more(rest: &[u8], at: usize) -> bool {
    byte(rest, at) == b'.' && byte(rest, at + 1).is_ascii_alphanumeric()
}

const fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}

fn is_label(label: &[u8]) -> bool {
    (1..=63).contains(&label.len())
        && label.first().is_some_and(u8::is_ascii_alphanumeric)
        && label.last().is_some_and(u8::is_ascii_alphanumeric)
}

fn is_top(top: &[u8]) -> bool {
    let lower = top.to_ascii_lowercase();
    if NO_DOMAINS.contains(&lower.as_slice()) {
        return false;
    }
    lower.starts_with(b"xn--") && is_label(top)
        || (2..=24).contains(&top.len()) && top.iter().all(u8::is_ascii_alphabetic)
}
