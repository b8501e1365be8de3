//! What stands in front of h3: HTTP/3 frames, cut and bounded.

use bytes::Bytes;
use tallyport_gateway::fuzz::{Frames, TooLarge};

use crate::Source;

/// Frame types and variable-length integers.
pub const WORDS: &[&[u8]] = &[
    b"\0\0",
    b"\x01\x05",
    b"\x04\0",
    b"\x07\x01\0",
    b"\x40\x41",
    b"\x21\x40\x80",
    b"\x01\xbf\xff\xff\xff",
    b"\x01\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x01\x7f\xff",
    b"\xc0\0\0\0\0\0\0\x01",
];

/// The longest frame other than DATA.
const LIMIT: u64 = 1000;
/// A frame header is a type and a length of at most eight bytes each.
const HEAD_BYTES: usize = 16;

/// Streams, with the kind of stream and the width of cuts in front.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let request = b"\x01\x05HEADR\x00\x03abc\x00\x00\x21\x02xx\x00\x41\x00";
    let long = [&b"\x00\x03\x01\x41\x2c"[..], &[7; 300], b"\x00\x05", &[9; 5]].concat();
    vec![
        [&b"\0\x01"[..], request].concat(),
        [&b"\0\x03"[..], &long].concat(),
        b"\x01\x01\x00\x04\x02\x06\x00\x0d\x01\x05".to_vec(),
        b"\x01\x02\x02\xff\xff\xff".to_vec(),
        b"\0\x01\x40\x41\x00".to_vec(),
        b"\0\x01\x01\x47\xd1".to_vec(),
    ]
}

/// Any cuts give the same bytes; what comes out is a subsequence of what went in, passes unchanged a second time, and
/// holds no frame over the limit.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let unidirectional = source.u8() % 2 == 1;
    let step = usize::from(source.u8()).max(1);
    let input = source.rest();
    let whole = feed(unidirectional, input, input.len().max(1));
    assert_eq!(feed(unidirectional, input, step), whole, "cut every {step} bytes");
    let (given, ended) = &whole;
    assert!(is_subsequence(given, input));
    if ended.is_none() {
        assert_eq!(&feed(unidirectional, given, 1), &whole, "what was let through is let through");
    }
}

fn feed(unidirectional: bool, input: &[u8], step: usize) -> (Vec<u8>, Option<TooLarge>) {
    let mut guard =
        if unidirectional { Frames::unidirectional(LIMIT) } else { Frames::request(LIMIT) };
    let mut given = Vec::new();
    for part in input.chunks(step) {
        let mut part = Bytes::copy_from_slice(part);
        loop {
            match guard.next(&mut part) {
                Ok(Some(piece)) => {
                    assert!(!piece.is_empty());
                    given.extend_from_slice(&piece);
                }
                Ok(None) => break,
                Err(error) => return (given, Some(error)),
            }
        }
        assert!(part.is_empty(), "bytes are left behind");
    }
    if let Some(rest) = guard.finish() {
        assert!(rest.len() < HEAD_BYTES, "more than a header is held");
        given.extend_from_slice(&rest);
    }
    (given, None)
}

fn is_subsequence(part: &[u8], of: &[u8]) -> bool {
    let mut all = of.iter();
    part.iter().all(|byte| all.any(|other| other == byte))
}
