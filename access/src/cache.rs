//! What is kept because it is dear to find out again.

use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

/// A cache that grows to `entries`. [`LruCache::new`] would take all of its memory at once.
pub(crate) fn at_most<K: Hash + Eq, V>(entries: NonZeroUsize) -> LruCache<K, V> {
    let mut cache = LruCache::unbounded();
    cache.resize(entries);
    cache
}
