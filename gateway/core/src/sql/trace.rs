//! What happened so far, as one hash.

use sha2::{Digest as _, Sha256};

/// What happened so far: the SHA-256 of a chain. The same again gives the same, so a unit that is judged anew is bound alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trace([u8; 32]);

impl Trace {
    pub(super) fn extend(&mut self, parts: &[&[u8]]) {
        let mut hash = Sha256::new_with_prefix(self.0);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        self.0 = hash.finalize().into();
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
