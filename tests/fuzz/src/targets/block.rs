//! The embedded log's blocks, as a disk may give them back.

use std::ops::Range;

use tallyport_eventlog::backends::embedded::fuzz::Stored;
use tallyport_eventlog::{Entry, Position};

use crate::Source;

/// Lengths, and the head of a zstd frame.
pub const WORDS: &[&[u8]] = &[
    b"\0\0\0\0",
    b"\x01\0\0\0",
    b"\x05\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x28\xb5\x2f\xfd",
    b"\x28\xb5\x2f\xfd\x20\0\x01\0\0",
    b"key",
    b"{\"unmapped\":{}}",
];

/// More than a block may unpack to.
const TOO_MUCH: usize = 8 * 1024 * 1024;

/// Records to pack (`P`), records as they lie in a block (`R`), a block as it is stored (`S`).
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let records = b"\x03\0\0\0\x05\0\0\0keyvalue\0\0\0\0\0\0\0\0";
    let stored = zstd::bulk::compress(records, 1).expect("it compresses");
    vec![
        b"P\0\x03key\0\x05value\0\0\0\0\0\x01k\0\x02ab".to_vec(),
        [&b"R\0\x07\0\x02\0"[..], records].concat(),
        [&b"S\0\x07\0\x02\0\0\0\x18"[..], &stored].concat(),
    ]
}

/// What is packed comes back byte for byte; what unpacks has dense offsets, is no larger than a block, and packs to the
/// same records again.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    match source.u8() {
        b'P' => pack(source),
        b'R' => {
            let offsets = offsets(&mut source);
            let off_by = u32::from(source.u8());
            let raw = source.rest();
            let data = zstd::bulk::compress(raw, 1).expect("it compresses");
            let raw_bytes = u32::try_from(raw.len()).unwrap_or(u32::MAX).wrapping_add(off_by);
            check(&Stored::new(offsets.clone(), raw_bytes, 42, data), &offsets);
        }
        _ => {
            let offsets = offsets(&mut source);
            let raw_bytes = (u32::from(source.u16()) << 16) | u32::from(source.u16());
            check(&Stored::new(offsets.clone(), raw_bytes, 42, source.rest().to_vec()), &offsets);
        }
    }
}

fn offsets(source: &mut Source<'_>) -> Range<u64> {
    let (first, count) = (u64::from(source.u16()), u64::from(source.u16()));
    first..first + count
}

fn pack(mut source: Source<'_>) {
    let mut entries = Vec::new();
    while !source.is_empty() {
        entries.push(Entry {
            position: Position { partition: 0, offset: 7 + entries.len() as u64 },
            key: source.counted().to_vec().into(),
            value: source.counted().to_vec().into(),
            appended_at_ms: 42,
        });
    }
    let block = Stored::pack(&entries).expect("records of this size fit");
    assert_eq!(block.unpack().expect("it was just packed"), entries);
    assert_eq!(Stored::pack(&entries).expect("again").crc32(), block.crc32());
}

fn check(block: &Stored, offsets: &Range<u64>) {
    let Ok(entries) = block.unpack() else { return };
    let found: Vec<u64> = entries.iter().map(|entry| entry.position.offset).collect();
    assert_eq!(found, offsets.clone().collect::<Vec<u64>>());
    let bytes: usize = entries.iter().map(|entry| 8 + entry.key.len() + entry.value.len()).sum();
    assert_eq!(bytes, block.sizes().0 as usize);
    assert!(bytes < TOO_MUCH);
    let again = Stored::pack(&entries).expect("what was unpacked can be packed");
    assert_eq!(again.unpack().expect("it was just packed"), entries);
}
