//! Caches that take memory as they fill: there are several in every session, and most sessions are idle.

use std::hash::Hash;
use std::num::NonZeroUsize;

use lru::LruCache;

/// A cache of at most `entries`. [`LruCache::new`] would take the memory of all of them at once.
pub(crate) fn at_most<K: Hash + Eq, V>(entries: NonZeroUsize) -> LruCache<K, V> {
    let mut cache = LruCache::unbounded();
    cache.resize(entries);
    cache
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_so_many_and_no_more() {
        let mut cache = at_most(NonZeroUsize::MIN.saturating_add(2));
        for number in 0..10 {
            cache.put(number, ());
        }
        assert_eq!(cache.iter().map(|(number, ())| *number).collect::<Vec<_>>(), [9, 8, 7]);
    }
}
