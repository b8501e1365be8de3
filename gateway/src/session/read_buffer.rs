//! What one direction of a session reads into: small while little comes, as an idle session has it.

use bytes::BytesMut;

const FIRST_BYTES: usize = 4 * 1024;
const MOST_BYTES: usize = 64 * 1024;

/// Doubles when a read filled it, up to [`MOST_BYTES`].
#[derive(Debug)]
pub(super) struct ReadBuffer(BytesMut);

impl ReadBuffer {
    pub(super) fn new() -> Self {
        Self(BytesMut::with_capacity(FIRST_BYTES))
    }

    /// Emptied, for the next read.
    pub(super) fn emptied(&mut self) -> &mut BytesMut {
        let room = self.0.capacity();
        if self.0.len() == room && room < MOST_BYTES {
            self.0 = BytesMut::with_capacity(room.saturating_mul(2).min(MOST_BYTES));
        }
        self.0.clear();
        &mut self.0
    }

    /// What the last read brought.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `bytes` as a stream would that has more than fits.
    fn fill(buffer: &mut ReadBuffer, bytes: usize) -> usize {
        let room = buffer.emptied();
        let read = bytes.min(room.capacity());
        room.extend_from_slice(&vec![1; read]);
        read
    }

    #[test]
    fn it_grows_while_reads_fill_it_and_stays_small_otherwise() {
        let mut small = ReadBuffer::new();
        for _ in 0..100 {
            assert_eq!(fill(&mut small, 100), 100);
        }
        assert_eq!(small.0.capacity(), FIRST_BYTES);
        let mut large = ReadBuffer::new();
        let reads: Vec<usize> = (0..7).map(|_| fill(&mut large, 1 << 20)).collect();
        assert_eq!(reads, [4, 8, 16, 32, 64, 64, 64].map(|kib| kib * 1024));
        assert_eq!(large.bytes().len(), MOST_BYTES);
    }
}
