//! PostgreSQL messages out of a stream of bytes, however it is cut.

use gateway_core::pg::frame::{Decoder, FrameError, HEADER_BYTES, Handling, Piece};

use super::wire::message;
use crate::Source;

/// Tags and lengths.
pub const WORDS: &[&[u8]] = &[
    b"Q",
    b"d",
    b"D",
    b"\0\0\0\x04",
    b"\0\0\0\x03",
    b"\0\x10\0\x01",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
];

/// The longest frame of a kind that must be read whole: a little over what is given whole anyway.
const MAX_WHOLE: usize = 2 * 1024 * 1024;

/// Streams, with the width of their cuts in front.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let stream = |cut: u8, frames: &[Vec<u8>]| [&[cut][..], &frames.concat()].concat();
    vec![
        stream(1, &[message(b'Q', b"SELECT 1\0"), message(b'S', b""), message(b'X', b"")]),
        stream(7, &[message(b'd', &[7; 300]), message(b'c', b"")]),
        stream(3, &[b"d\0\x20\0\0data of a frame that goes on".to_vec()]),
        stream(3, &[b"Q\0\x20\0\0text of a frame that is too long".to_vec()]),
    ]
}

/// Any cuts give the same frames, all bytes come out again, and nothing that may stream is held back.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let step = usize::from(source.u8()).max(1);
    let input = source.rest();
    let whole = decode(input, input.len().max(1));
    assert_eq!(decode(input, step), whole, "cut every {step} bytes");
    let given: Vec<u8> = whole.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    assert!(input.starts_with(&given));
    for (tag, bytes) in &whole.0 {
        assert_eq!(bytes.first(), Some(tag));
    }
}

type Frames = (Vec<(u8, Vec<u8>)>, Option<FrameError>);

fn decode(input: &[u8], step: usize) -> Frames {
    let mut decoder = Decoder::new();
    let mut found: Vec<(u8, Vec<u8>)> = Vec::new();
    let mut fed = 0;
    for part in input.chunks(step) {
        decoder.extend(part);
        fed += part.len();
        loop {
            let next = decoder.next_piece(|tag| match tag {
                b'd' | b'D' => Handling::Stream,
                _ => Handling::Whole(MAX_WHOLE),
            });
            match next {
                Ok(Some(piece)) => take(piece, &mut found),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        let out: usize = found.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(out + decoder.buffered_bytes(), fed, "bytes are lost or made up");
        assert!(!decoder.is_inside_message() || decoder.buffered_bytes() == 0, "held back");
    }
    (found, None)
}

fn take(piece: Piece, found: &mut Vec<(u8, Vec<u8>)>) {
    match piece {
        Piece::Whole(frame) => {
            assert_eq!(frame.body().len() + HEADER_BYTES, frame.bytes().len());
            found.push((frame.tag(), frame.bytes().to_vec()));
        }
        Piece::Part { tag, bytes, first, .. } => {
            assert!(!bytes.is_empty());
            if first {
                found.push((tag, Vec::new()));
            }
            let last = found.last_mut().expect("a part begins with its first");
            assert_eq!(last.0, tag);
            last.1.extend_from_slice(&bytes);
        }
    }
}
