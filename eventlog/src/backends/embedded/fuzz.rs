//! A door for the fuzz targets: blocks as they are stored.

use super::block::{Block, Packer};
use crate::Entry;

/// A block, right or wrong.
#[derive(Debug)]
pub struct Stored(Block);

impl Stored {
    /// A block of these columns.
    #[must_use]
    pub fn new(
        offsets: std::ops::Range<u64>,
        raw_bytes: u32,
        appended_at_ms: i64,
        data: Vec<u8>,
    ) -> Self {
        Self(Block { first: offsets.start, next: offsets.end, raw_bytes, data, appended_at_ms })
    }

    /// Packs entries that follow on each other.
    ///
    /// # Errors
    /// When a record is too large.
    pub fn pack(entries: &[Entry]) -> std::io::Result<Self> {
        Packer::new()?.pack(entries).map(Self)
    }

    /// Its records.
    ///
    /// # Errors
    /// When it does not add up.
    pub fn unpack(&self) -> std::io::Result<Vec<Entry>> {
        self.0.unpack()
    }

    /// Its checksum.
    #[must_use]
    pub fn crc32(&self) -> u32 {
        self.0.crc32()
    }

    /// The bytes it unpacks to, and its stored bytes.
    #[must_use]
    pub fn sizes(&self) -> (u32, usize) {
        (self.0.raw_bytes, self.0.data.len())
    }
}
