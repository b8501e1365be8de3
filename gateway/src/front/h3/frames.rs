//! Cuts a stream of HTTP/3 bytes at the boundaries of its frames, and bounds them. Sans-IO.
//!
//! h3 0.0.8 buffers a frame until it is whole, whatever length it declares, and reads ahead twice for every DATA frame
//! that it hands out. So it is fed piece by piece: one frame header, or one run of payload bytes, never across a
//! boundary. It then holds one piece of DATA at most, and no other frame longer than the limit.

use bytes::{Bytes, BytesMut};

/// DATA (RFC 9114 section 7.2.1).
const DATA: u64 = 0x00;
/// The control stream's type (RFC 9114 section 6.2.1).
const CONTROL_STREAM: u64 = 0x00;
/// WebTransport's bidirectional signal: a "frame" without a length. Never announced here, so never accepted.
const WEBTRANSPORT: u64 = 0x41;
/// The frame types that h3 acts on or refuses by name (RFC 9114 section 7.2 and 11.2.1); it ignores all others.
const KNOWN: [u64; 10] = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0d];

/// One direction of one stream.
#[derive(Debug)]
pub(crate) struct FrameGuard {
    state: State,
    /// The bytes of a stream type or frame header that is not whole yet: 16 at most.
    head: BytesMut,
    max_frame_bytes: u64,
}

#[derive(Debug)]
enum State {
    StreamType,
    /// Not frames: QPACK's streams and unknown ones, which h3 does not buffer.
    Opaque,
    Header,
    Payload {
        left: u64,
        pass: bool,
    },
}

/// The peer declared a frame longer than the limit, or one without a length.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an HTTP/3 frame of type {frame_type:#x} declares {declared_bytes} bytes, the limit is {max_bytes}"
)]
pub(crate) struct FrameTooLarge {
    frame_type: u64,
    declared_bytes: u64,
    max_bytes: u64,
}

impl FrameGuard {
    /// A request stream: frames from the first byte on.
    pub(crate) fn request(max_frame_bytes: u64) -> Self {
        Self { state: State::Header, head: BytesMut::new(), max_frame_bytes }
    }

    /// A unidirectional stream: its type comes first.
    pub(crate) fn unidirectional(max_frame_bytes: u64) -> Self {
        Self { state: State::StreamType, head: BytesMut::new(), max_frame_bytes }
    }

    /// The next piece to hand on; `None` when `input` is used up.
    ///
    /// # Errors
    /// [`FrameTooLarge`] as soon as the length is read: before any byte of the payload is.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, FrameTooLarge> {
        while !input.is_empty() {
            let piece = match self.state {
                State::StreamType => self.stream_type(input),
                State::Opaque => Some(std::mem::take(input)),
                State::Header => self.header(input)?,
                State::Payload { left, pass } => self.payload(input, left, pass),
            };
            if piece.is_some() {
                return Ok(piece);
            }
        }
        Ok(None)
    }

    /// What is left when the stream ends: a header cut short, on which h3 then reports the error.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        (!self.head.is_empty()).then(|| self.head.split().freeze())
    }

    fn stream_type(&mut self, input: &mut Bytes) -> Option<Bytes> {
        self.head.extend_from_slice(&input.split_to(1));
        let (kind, _) = varint(&self.head)?;
        self.state = if kind == CONTROL_STREAM { State::Header } else { State::Opaque };
        Some(self.head.split().freeze())
    }

    fn header(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, FrameTooLarge> {
        self.head.extend_from_slice(&input.split_to(1));
        let Some((frame_type, rest)) = varint(&self.head) else { return Ok(None) };
        let max_bytes = self.max_frame_bytes;
        if frame_type == WEBTRANSPORT {
            return Err(FrameTooLarge { frame_type, declared_bytes: u64::MAX, max_bytes });
        }
        let Some((length, _)) = varint(rest) else { return Ok(None) };
        let head = self.head.split().freeze();
        if frame_type == DATA {
            // h3 takes an empty DATA frame for the end of the body, which RFC 9114 does not say.
            if length == 0 {
                return Ok(None);
            }
        } else if !KNOWN.contains(&frame_type) {
            // RFC 9114 section 9: unknown frames are discarded, here before they cost memory.
            self.state = payload_state(length, false);
            return Ok(None);
        } else if length > max_bytes {
            return Err(FrameTooLarge { frame_type, declared_bytes: length, max_bytes });
        }
        self.state = payload_state(length, true);
        Ok(Some(head))
    }

    fn payload(&mut self, input: &mut Bytes, left: u64, pass: bool) -> Option<Bytes> {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let piece = input.split_to(take);
        self.state = payload_state(left.saturating_sub(take as u64), pass);
        pass.then_some(piece)
    }
}

const fn payload_state(left: u64, pass: bool) -> State {
    if left == 0 { State::Header } else { State::Payload { left, pass } }
}

/// A variable-length integer (RFC 9000 section 16) and what follows it; `None` while it is not whole.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let (number, rest) = bytes.split_at_checked(1usize << (first >> 6))?;
    let value = number
        .iter()
        .skip(1)
        .fold(u64::from(first & 0x3f), |value, byte| (value << 8) | u64::from(*byte));
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1000;

    fn encode(out: &mut Vec<u8>, value: u64) {
        match value {
            0..0x40 => out.push(value as u8),
            0x40..0x4000 => out.extend((value as u16 | 0x4000).to_be_bytes()),
            0x4000..0x4000_0000 => out.extend((value as u32 | 0x8000_0000).to_be_bytes()),
            _ => out.extend((value | 0xc000_0000_0000_0000).to_be_bytes()),
        }
    }

    fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out, kind);
        encode(&mut out, payload.len() as u64);
        out.extend(payload);
        out
    }

    fn feed(guard: &mut FrameGuard, bytes: &[u8], step: usize) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        for part in bytes.chunks(step) {
            let mut input = Bytes::copy_from_slice(part);
            while let Some(piece) = guard.next(&mut input).unwrap() {
                pieces.push(piece);
            }
        }
        pieces
    }

    #[test]
    fn pieces_never_cross_a_boundary_however_the_bytes_arrive() {
        let stream = [frame(1, &[7; 300]), frame(0, &[8; 70]), frame(0, &[9; 5])].concat();
        for step in [1, 2, 3, 7, 64, 10_000] {
            let pieces = feed(&mut FrameGuard::request(LIMIT), &stream, step);
            assert_eq!(pieces.concat(), stream, "step {step}");
            for piece in &pieces {
                let payload = piece.iter().all(|byte| (7..=9).contains(byte));
                assert!(payload || piece.len() <= 3, "step {step}: {piece:?}");
            }
        }
    }

    #[test]
    fn a_declared_length_over_the_limit_is_refused_before_its_payload() {
        let mut head = Vec::new();
        encode(&mut head, 1);
        encode(&mut head, LIMIT + 1);
        let mut guard = FrameGuard::request(LIMIT);
        let refused = guard.next(&mut Bytes::from(head)).unwrap_err();
        assert_eq!(refused.declared_bytes, LIMIT + 1);
        let fits = frame(1, &vec![0; LIMIT as usize]);
        assert_eq!(feed(&mut FrameGuard::request(LIMIT), &fits, 4096).concat(), fits);
    }

    #[test]
    fn data_has_no_limit_and_empty_data_is_no_end() {
        let big = frame(0, &vec![1; 5 * LIMIT as usize]);
        let stream = [frame(0, &[]), big.clone(), frame(0, &[])].concat();
        assert_eq!(feed(&mut FrameGuard::request(LIMIT), &stream, 100).concat(), big);
    }

    #[test]
    fn unknown_frames_vanish_at_any_length() {
        let stream = [frame(0x21, &vec![1; 3 * LIMIT as usize]), frame(1, &[5])].concat();
        assert_eq!(feed(&mut FrameGuard::request(LIMIT), &stream, 50).concat(), frame(1, &[5]));
    }

    #[test]
    fn control_stream_is_framed_and_other_streams_pass() {
        let control = [&[0u8][..], &frame(4, &[])].concat();
        assert_eq!(feed(&mut FrameGuard::unidirectional(LIMIT), &control, 1).concat(), control);
        let mut guard = FrameGuard::unidirectional(LIMIT);
        let mut endless = Vec::from([0u8, 4]);
        encode(&mut endless, LIMIT + 1);
        let mut input = Bytes::from(endless);
        assert!(guard.next(&mut input).unwrap().is_some());
        assert!(guard.next(&mut input).is_err());
        let encoder = [&[2u8][..], &[0xff; 5000]].concat();
        assert_eq!(feed(&mut FrameGuard::unidirectional(LIMIT), &encoder, 999).concat(), encoder);
    }

    #[test]
    fn webtransport_has_no_length_and_is_refused() {
        let mut guard = FrameGuard::request(LIMIT);
        assert!(guard.next(&mut Bytes::from_static(&[0x40, 0x41, 0x00])).is_err());
    }

    #[test]
    fn header_cut_short_comes_out_at_the_end() {
        let mut guard = FrameGuard::request(LIMIT);
        assert_eq!(guard.next(&mut Bytes::from_static(&[0x01])).unwrap(), None);
        assert_eq!(guard.finish(), Some(Bytes::from_static(&[0x01])));
        assert_eq!(guard.finish(), None);
    }
}
