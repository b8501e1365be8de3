//! The keys of what this service signs itself, as they follow each other.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::Value;

use super::failure::Reason;
use super::key_set::{KeySet, KeySetError};
use crate::saml::TokenKeys;

/// The public halves, parsed when they change.
pub(super) struct OwnKeys {
    keys: Arc<TokenKeys>,
    parsed: ArcSwap<Parsed>,
}

struct Parsed {
    of: Arc<Vec<Value>>,
    set: Arc<KeySet>,
}

impl OwnKeys {
    pub(super) fn new(keys: &Arc<TokenKeys>, now: Timestamp) -> Result<Self, KeySetError> {
        let parsed = Parsed::new(keys.published(now))?;
        Ok(Self { keys: Arc::clone(keys), parsed: ArcSwap::from_pointee(parsed) })
    }

    /// Those that count.
    pub(super) fn at(&self, now: Timestamp) -> Result<Arc<KeySet>, Reason> {
        let of = self.keys.published(now);
        let parsed = self.parsed.load();
        if Arc::ptr_eq(&parsed.of, &of) {
            return Ok(Arc::clone(&parsed.set));
        }
        // Made of keys that were parsed before, so this does not fail.
        let fresh = Parsed::new(of).map_err(|_| Reason::IssuerUnavailable)?;
        let set = Arc::clone(&fresh.set);
        self.parsed.store(Arc::new(fresh));
        Ok(set)
    }
}

impl Parsed {
    fn new(of: Arc<Vec<Value>>) -> Result<Self, KeySetError> {
        let set = Arc::new(KeySet::of(of.to_vec())?);
        Ok(Self { of, set })
    }
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnKeys").field("keys", &self.keys).finish_non_exhaustive()
    }
}
