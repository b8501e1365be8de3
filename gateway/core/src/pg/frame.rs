//! Bytes to frames, both directions: a tag, a length that counts itself, a body
//! (PostgreSQL documentation, "Message Formats").
//!
//! A frame is given whole up to [`STREAM_ABOVE_BYTES`]. Above it, kinds that the caller lets pass unread come in
//! pieces, so that a value of 1 GiB costs no memory; kinds that must be read are kept whole up to a cap.

use bytes::{Buf as _, Bytes, BytesMut};

/// Longer frames of kinds that pass unread come in pieces.
pub const STREAM_ABOVE_BYTES: usize = 1024 * 1024;

/// Tag and length.
pub const HEADER_BYTES: usize = 5;

/// The most that [`Decoder::next_piece`] gives at once of a streamed frame.
const PIECE_BYTES: usize = 256 * 1024;

/// One whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    tag: u8,
    bytes: Bytes,
}

impl Frame {
    /// The kind of message.
    #[must_use]
    pub const fn tag(&self) -> u8 {
        self.tag
    }

    /// The message as it came, tag and length included.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What follows the length.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

/// What a decoder gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole message.
    Whole(Frame),
    /// A part of a long message, in order: the first part begins with tag and length.
    Part {
        /// The kind of message.
        tag: u8,
        /// The bytes.
        bytes: Bytes,
        /// Whether the message begins here.
        first: bool,
        /// Whether the message ends here.
        last: bool,
    },
}

/// The bytes are no sequence of messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length below four: it counts itself.
    #[error("a message of kind {tag:#04x} claims a length of {length}; four is the least")]
    BadLength {
        /// The kind.
        tag: u8,
        /// What it claims.
        length: i32,
    },
    /// A message that must be read whole is over the bound.
    #[error("a message of kind `{kind}` has {bytes} bytes, the limit is {max}; send less at once, or raise the limit of the target", kind = char::from(*tag))]
    TooLong {
        /// The kind.
        tag: u8,
        /// Its length with its header.
        bytes: usize,
        /// The bound.
        max: usize,
    },
}

/// How a frame longer than [`STREAM_ABOVE_BYTES`] is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// In pieces, of any length.
    Stream,
    /// Whole, up to this many bytes.
    Whole(usize),
}

/// Collects bytes and gives frames. Holds at most one frame that must be whole, and what was put in beyond it.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    streaming: Option<Streaming>,
}

#[derive(Debug)]
struct Streaming {
    tag: u8,
    left: usize,
}

impl Decoder {
    /// An empty decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they came.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// How many bytes wait here.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// What waits here, undecoded.
    #[must_use]
    pub fn into_rest(self) -> BytesMut {
        self.buffer
    }

    /// The kind of the message that comes next, as soon as its first byte is there.
    #[must_use]
    pub fn next_tag(&self) -> Option<u8> {
        if self.is_inside_message() { None } else { self.buffer.first().copied() }
    }

    /// Whether what was given so far ends inside a message that comes in pieces.
    #[must_use]
    pub const fn is_inside_message(&self) -> bool {
        self.streaming.is_some()
    }

    /// The next message or piece; `None` when more bytes are needed. `handling` is asked for frames that are longer
    /// than [`STREAM_ABOVE_BYTES`].
    ///
    /// # Errors
    /// When the bytes are no message, or one is over its bound; the decoder is of no use afterwards.
    pub fn next_piece(
        &mut self,
        handling: impl Fn(u8) -> Handling,
    ) -> Result<Option<Piece>, FrameError> {
        if self.streaming.is_some() {
            return Ok(self.next_part(false));
        }
        let Some((tag, total)) = self.header()? else { return Ok(None) };
        if total > STREAM_ABOVE_BYTES {
            match handling(tag) {
                Handling::Stream => {
                    self.streaming = Some(Streaming { tag, left: total });
                    return Ok(self.next_part(true));
                }
                Handling::Whole(max) if total > max => {
                    return Err(FrameError::TooLong { tag, bytes: total, max });
                }
                Handling::Whole(_) => {}
            }
        }
        if self.buffer.len() < total {
            return Ok(None);
        }
        let bytes = self.buffer.split_to(total).freeze();
        Ok(Some(Piece::Whole(Frame { tag, bytes })))
    }

    /// Tag and whole length of the frame that begins here.
    fn header(&self) -> Result<Option<(u8, usize)>, FrameError> {
        let Some(mut header) = self.buffer.get(..HEADER_BYTES) else { return Ok(None) };
        let tag = header.get_u8();
        let length = header.get_i32();
        match usize::try_from(length) {
            Ok(counted) if counted >= 4 => Ok(Some((tag, counted + 1))),
            _ => Err(FrameError::BadLength { tag, length }),
        }
    }

    fn next_part(&mut self, first: bool) -> Option<Piece> {
        let streaming = self.streaming.as_mut()?;
        let length = streaming.left.min(self.buffer.len()).min(PIECE_BYTES);
        if length == 0 {
            return None;
        }
        streaming.left -= length;
        let (tag, last) = (streaming.tag, streaming.left == 0);
        if last {
            self.streaming = None;
        }
        let bytes = self.buffer.split_to(length).freeze();
        Some(Piece::Part { tag, bytes, first, last })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// All pieces of `input`, fed in parts that end at `cuts`; neighbouring parts of one message are joined.
    fn decode(input: &[u8], cuts: &[usize]) -> Result<Vec<(u8, Vec<u8>)>, FrameError> {
        let mut decoder = Decoder::new();
        let mut found: Vec<(u8, Vec<u8>)> = Vec::new();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
        cuts.push(input.len());
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            decoder.extend(&input[from..cut]);
            from = cut;
            while let Some(piece) = decoder.next_piece(|tag| match tag {
                b'd' => Handling::Stream,
                _ => Handling::Whole(2 * STREAM_ABOVE_BYTES),
            })? {
                match piece {
                    Piece::Whole(frame) => found.push((frame.tag(), frame.bytes().to_vec())),
                    Piece::Part { tag, bytes, first, .. } => {
                        if first {
                            found.push((tag, Vec::new()));
                        }
                        found.last_mut().unwrap().1.extend_from_slice(&bytes);
                    }
                }
            }
        }
        Ok(found)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            bodies in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..20),
            cuts in proptest::collection::vec(any::<usize>(), 0..40),
        ) {
            let input: Vec<u8> = bodies.iter().flat_map(|(tag, body)| frame(*tag, body)).collect();
            let whole = decode(&input, &[]).unwrap();
            prop_assert_eq!(&decode(&input, &cuts).unwrap(), &whole);
            prop_assert_eq!(whole.len(), bodies.len());
            prop_assert_eq!(whole.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>(), input);
        }

        #[test]
        fn garbage_never_panics_and_never_differs_by_split(
            input in proptest::collection::vec(any::<u8>(), 0..400),
            cuts in proptest::collection::vec(any::<usize>(), 0..10),
        ) {
            prop_assert_eq!(decode(&input, &[]).is_err(), decode(&input, &cuts).is_err());
        }
    }

    #[test]
    fn a_long_frame_of_a_passing_kind_comes_in_pieces() {
        let input = frame(b'd', &vec![7; 3 * STREAM_ABOVE_BYTES]);
        let mut decoder = Decoder::new();
        let mut given = Vec::new();
        for part in input.chunks(70_000) {
            decoder.extend(part);
            while let Some(piece) = decoder.next_piece(|_| Handling::Stream).unwrap() {
                let Piece::Part { bytes, .. } = piece else { panic!("given whole") };
                given.extend_from_slice(&bytes);
            }
            assert!(decoder.buffered_bytes() < 70_000, "nothing is held back");
        }
        assert_eq!(given, input);
        assert!(!decoder.is_inside_message());
    }

    #[test]
    fn a_long_frame_that_must_be_read_is_refused_by_its_header_alone() {
        let mut decoder = Decoder::new();
        decoder.extend(&frame(b'Q', b"xxxx")[..1]);
        decoder.extend(&(64 * 1024 * 1024_i32).to_be_bytes());
        let refused = decoder.next_piece(|_| Handling::Whole(16 * 1024 * 1024));
        assert!(matches!(refused, Err(FrameError::TooLong { tag: b'Q', .. })), "{refused:?}");
    }

    #[test]
    fn a_length_below_four_is_refused() {
        for length in [i32::MIN, -1, 0, 3] {
            let mut decoder = Decoder::new();
            decoder.extend(b"Q");
            decoder.extend(&length.to_be_bytes());
            assert_eq!(
                decoder.next_piece(|_| Handling::Stream),
                Err(FrameError::BadLength { tag: b'Q', length })
            );
        }
    }
}
