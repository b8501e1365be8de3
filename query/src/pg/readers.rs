//! Connections of each reader: one of them must not have those of all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// One reader has at most one of so many.
const SHARE: usize = 4;

/// How many connections each reader has.
#[derive(Debug)]
pub(super) struct Readers {
    most: usize,
    /// Has no entry at zero, so it is never longer than there are connections.
    open: Mutex<HashMap<(String, String), usize>>,
}

/// One connection of a reader; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    readers: Arc<Readers>,
    who: (String, String),
}

impl Readers {
    pub(super) fn new(max_connections: usize) -> Arc<Self> {
        Arc::new(Self { most: (max_connections / SHARE).max(1), open: Mutex::default() })
    }

    /// One more connection of this issuer's subject; none where they have as many as they may.
    pub(super) fn enter(self: &Arc<Self>, (issuer, subject): (&str, &str)) -> Option<Counted> {
        let who = (issuer.to_owned(), subject.to_owned());
        let mut open = self.open.lock();
        let of_them = open.entry(who.clone()).or_default();
        if *of_them >= self.most {
            return None;
        }
        *of_them += 1;
        drop(open);
        Some(Counted { readers: Arc::clone(self), who })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.readers.open.lock();
        if let Some(of_them) = open.get_mut(&self.who) {
            *of_them -= 1;
            if *of_them == 0 {
                open.remove(&self.who);
            }
        }
    }
}
