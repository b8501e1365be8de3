//! The marks that stand in place of what was found: `[iban]`, or `[payment_card 1111]` where the last four are kept.
//!
//! The detectors know their own marks and let nothing begin, end or take its context across one. That is what makes
//! masked text stay as it is when it is scanned again.

use crate::find::byte;
use crate::kind::Kind;

/// Bytes of the longest mark, at most: asserted below.
pub(crate) const MAX_MARK_BYTES: usize = 40;

pub(crate) fn write(kind: Kind, last_four: Option<[u8; 4]>, out: &mut Vec<u8>) {
    out.push(b'[');
    out.extend_from_slice(kind.name().as_bytes());
    if let Some(digits) = last_four {
        out.push(b' ');
        out.extend_from_slice(&digits);
    }
    out.push(b']');
}

/// Where the mark ends that begins at `at`.
pub(crate) fn starting(bytes: &[u8], at: usize) -> Option<usize> {
    if byte(bytes, at) != b'[' {
        return None;
    }
    let inside = bytes.get(at + 1..bytes.len().min(at + MAX_MARK_BYTES))?;
    let length = memchr::memchr(b']', inside)?;
    is_mark(inside.get(..length)?).then_some(at + length + 2)
}

/// Where the mark begins that ends at `end`, which is behind its bracket.
pub(crate) fn ending(bytes: &[u8], end: usize) -> Option<usize> {
    let last = end.checked_sub(1)?;
    if byte(bytes, last) != b']' {
        return None;
    }
    let from = end.saturating_sub(MAX_MARK_BYTES);
    let open = from + memchr::memrchr(b'[', bytes.get(from..last)?)?;
    is_mark(bytes.get(open + 1..last)?).then_some(open)
}

fn is_mark(inside: &[u8]) -> bool {
    let name = match inside.split_last_chunk::<5>() {
        Some((name, [b' ', digits @ ..])) if digits.iter().all(u8::is_ascii_digit) => name,
        _ => inside,
    };
    Kind::ALL.iter().any(|kind| kind.name().as_bytes() == name)
}

const _: () = {
    let mut rest = Kind::ALL;
    while let Some((kind, others)) = rest.split_first() {
        assert!(kind.name().len() + "[ 1234]".len() <= MAX_MARK_BYTES);
        rest = others;
    }
};
