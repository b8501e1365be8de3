//! Which partition a record goes to. Pure, no IO.
//!
//! As the Java clients choose (murmur2 of the key), so that other tools find a session's partition; but among the partitions
//! that the topic had when the log was opened. One that was added since is read by nobody until the services start again, so
//! nothing may go there.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;

/// The partition of a key, of so many.
pub(super) fn partition_of(key: &[u8], partitions: u32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive % partitions.max(1)).unwrap_or_default()
}

/// Austin Appleby's `MurmurHash2`, with the seed of Kafka's `Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (words, rest) = data.as_chunks::<4>();
    let mut hash = words.iter().fold(SEED ^ length, |hash, word| {
        let word = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        let word = (word ^ (word >> 24)).wrapping_mul(MULTIPLIER);
        hash.wrapping_mul(MULTIPLIER) ^ word
    });
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| (last << 8) | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pairs of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_as_the_java_clients_do() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn every_partition_there_is_and_no_other() {
        let of = |number: u32| partition_of(&number.to_le_bytes(), 6);
        let found: std::collections::BTreeSet<_> = (0..1000).map(of).collect();
        assert_eq!(found, (0..6).collect());
        assert_eq!(partition_of(b"", 1), 0);
        assert_eq!(partition_of(b"k", 0), 0);
    }
}
