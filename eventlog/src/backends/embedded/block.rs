//! Records as they are stored: a block holds those of one commit, compressed together. Pure data, no IO.
//!
//! Events of one moment repeat each other (who, where, by which policy), so together they compress to a tenth and
//! less: that is what the disk has to write, twice, before anybody's answer may pass.

use std::io::{Error, ErrorKind};

use bytes::{Buf as _, Bytes};

use crate::{Entry, Position, Record};

/// Bytes of records after which a block is not filled further: about what a reader unpacks at once.
pub(super) const MAX_BLOCK_BYTES: usize = 1024 * 1024;
/// The most that a block unpacks to: full but for one byte, and then the largest record.
const MAX_RAW_BYTES: usize =
    MAX_BLOCK_BYTES + Record::MAX_KEY_BYTES + Record::MAX_VALUE_BYTES + FRAME_BYTES;
/// Length of the key and length of the value, 4 bytes each, little endian.
const FRAME_BYTES: usize = 8;
/// The repetition of whole objects is found at any level; this one takes two thirds of the time of level 1 and gives a
/// sixteenth where that gives a twentieth.
const LEVEL: i32 = -2;

/// Packs blocks; keeps its buffers.
pub(super) struct Packer {
    compressor: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
}

/// A block as it is stored.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) first: u64,
    /// The offset after its last record.
    pub(super) next: u64,
    pub(super) raw_bytes: u32,
    pub(super) data: Vec<u8>,
    pub(super) appended_at_ms: i64,
}

impl Packer {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(LEVEL)?, raw: Vec::new() })
    }

    /// Packs `entries`, which follow on each other and were appended at one moment.
    pub(super) fn pack(&mut self, entries: &[Entry]) -> std::io::Result<Block> {
        self.raw.clear();
        for entry in entries {
            self.raw.extend_from_slice(&length(&entry.key)?);
            self.raw.extend_from_slice(&length(&entry.value)?);
            self.raw.extend_from_slice(&entry.key);
            self.raw.extend_from_slice(&entry.value);
        }
        let raw_bytes = u32::from_le_bytes(length(&self.raw)?);
        let data = self.compressor.compress(&self.raw)?;
        // One large record must not be kept in memory for good.
        self.raw.clear();
        self.raw.shrink_to(MAX_BLOCK_BYTES);
        let first = entries.first();
        let (first, appended_at_ms) =
            first.map_or((0, 0), |entry| (entry.position.offset, entry.appended_at_ms));
        let next = first + entries.len() as u64;
        Ok(Block { first, next, raw_bytes, data, appended_at_ms })
    }
}

impl Block {
    /// Covers everything of the block, so that no part of it can change unnoticed.
    pub(super) fn crc32(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.first.to_le_bytes());
        hasher.update(&self.next.to_le_bytes());
        hasher.update(&self.raw_bytes.to_le_bytes());
        hasher.update(&self.appended_at_ms.to_le_bytes());
        hasher.update(&self.data);
        hasher.finalize()
    }

    /// Its records, in order.
    pub(super) fn unpack(&self) -> std::io::Result<Vec<Entry>> {
        let bad = |reason: &'static str| Error::new(ErrorKind::InvalidData, reason);
        let capacity = usize::try_from(self.raw_bytes).unwrap_or(usize::MAX);
        if capacity > MAX_RAW_BYTES {
            return Err(bad("it claims to be larger than any block"));
        }
        // It fails where the data would unpack to more than was stored as its size.
        let mut raw = Bytes::from(zstd::bulk::decompress(&self.data, capacity)?);
        if raw.len() != capacity {
            return Err(bad("its size is another"));
        }
        let mut entries = Vec::new();
        for offset in self.first..self.next {
            if raw.len() < FRAME_BYTES {
                return Err(bad("it ends early"));
            }
            let (key, value) = (raw.get_u32_le() as usize, raw.get_u32_le() as usize);
            if raw.len() < key.saturating_add(value) {
                return Err(bad("a record of it ends early"));
            }
            entries.push(Entry {
                position: Position { partition: 0, offset },
                key: raw.split_to(key),
                value: raw.split_to(value),
                appended_at_ms: self.appended_at_ms,
            });
        }
        if raw.is_empty() { Ok(entries) } else { Err(bad("it holds more than its records")) }
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

fn length(bytes: &[u8]) -> std::io::Result<[u8; 4]> {
    let length = u32::try_from(bytes.len());
    let length =
        length.map_err(|_| Error::new(ErrorKind::InvalidInput, "a record is too large"))?;
    Ok(length.to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(values: &[&[u8]]) -> (Vec<Entry>, Block) {
        let entry = |(offset, value): (u64, &&[u8])| Entry {
            position: Position { partition: 0, offset },
            key: format!("key {offset}").into(),
            value: Bytes::copy_from_slice(value),
            appended_at_ms: 42,
        };
        let entries: Vec<Entry> = (7..).zip(values).map(entry).collect();
        let block = Packer::new().unwrap().pack(&entries).unwrap();
        (entries, block)
    }

    #[test]
    fn records_come_back_byte_for_byte() {
        let (entries, block) = pack(&[b"one", b"", &vec![0xff; Record::MAX_VALUE_BYTES]]);
        assert_eq!((block.first, block.next), (7, 10));
        assert_eq!(block.unpack().unwrap(), entries);
    }

    #[test]
    fn a_block_that_does_not_add_up_is_refused() {
        let good = || pack(&[b"one", b"two"]).1;
        assert!(good().unpack().is_ok());
        assert!(Block { next: 10, ..good() }.unpack().is_err(), "a record too few");
        assert!(Block { next: 8, ..good() }.unpack().is_err(), "a record too many");
        let raw_bytes = good().raw_bytes;
        assert!(Block { raw_bytes: raw_bytes - 1, ..good() }.unpack().is_err(), "larger than said");
        assert!(
            Block { raw_bytes: raw_bytes + 1, ..good() }.unpack().is_err(),
            "smaller than said"
        );
        assert!(Block { raw_bytes: u32::MAX, ..good() }.unpack().is_err(), "larger than any");
        let data = zstd::bulk::compress(&[0xff; 40], LEVEL).unwrap();
        assert!(Block { data, raw_bytes: 40, ..good() }.unpack().is_err(), "lengths out of bounds");
    }

    #[test]
    fn the_checksum_covers_all_of_it() {
        let good = || pack(&[b"one"]).1;
        let crc32 = good().crc32();
        assert_eq!(good().crc32(), crc32);
        assert_ne!(Block { first: 6, ..good() }.crc32(), crc32);
        assert_ne!(Block { next: 9, ..good() }.crc32(), crc32);
        assert_ne!(Block { raw_bytes: 1, ..good() }.crc32(), crc32);
        assert_ne!(Block { appended_at_ms: 43, ..good() }.crc32(), crc32);
        assert_ne!(Block { data: Vec::new(), ..good() }.crc32(), crc32);
    }
}
