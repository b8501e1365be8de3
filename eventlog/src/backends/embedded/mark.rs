//! The mark of what was acknowledged, beside the database.
//!
//! SQLite drops a damaged tail of its write-ahead log without a word: that is right after a crash, where the tail was
//! never acknowledged, and wrong where the disk lost what it had confirmed. The mark tells the two apart. It is written
//! after the commit and before the answer, and never synced on its own: it may be older than the database, which
//! hides a loss but never invents one.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use crate::backends::PerTopic;

/// Next offsets (8 bytes each, little endian) and their CRC-32.
const MARK_BYTES: usize = 20;

#[derive(Debug)]
pub(super) struct Mark {
    file: File,
}

impl Mark {
    pub(super) const fn new(file: File) -> Self {
        Self { file }
    }

    /// The next offsets as last marked; zero where the mark is absent or torn.
    pub(super) fn read(&self) -> PerTopic<u64> {
        let mut bytes = [0; MARK_BYTES];
        if self.file.read_exact_at(&mut bytes, 0).is_err() {
            return PerTopic::default();
        }
        decode(&bytes).unwrap_or_default()
    }

    /// Marks `next`. A failure is no reason to refuse what is durable: the mark only shows losses.
    pub(super) fn write(&self, next: PerTopic<u64>) {
        if let Err(error) = self.file.write_all_at(&encode(next), 0) {
            tracing::warn!(%error, "the mark of acknowledged offsets cannot be written; a lost tail would go unnoticed");
        }
    }
}

fn encode(next: PerTopic<u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(MARK_BYTES);
    bytes.extend_from_slice(&next.audit.to_le_bytes());
    bytes.extend_from_slice(&next.control.to_le_bytes());
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; MARK_BYTES]) -> Option<PerTopic<u64>> {
    let (audit, rest) = bytes.split_first_chunk::<8>()?;
    let (control, crc) = rest.split_first_chunk::<8>()?;
    let next =
        PerTopic { audit: u64::from_le_bytes(*audit), control: u64::from_le_bytes(*control) };
    (crc == crc32fast::hash(bytes.get(..16)?).to_le_bytes()).then_some(next)
}
