//! The tokens that were issued and still count.

use std::collections::HashMap;

use jiff::Timestamp;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// Past this many, those that expired are forgotten at every new one.
const TIDY_AFTER: usize = 1_024;

/// By the SHA-256 of the token: when it expires, in seconds.
#[derive(Debug, Default)]
pub(super) struct LiveTokens(Mutex<HashMap<[u8; 32], i64>>);

impl LiveTokens {
    pub(super) fn add(&self, token: &str, expires: i64) {
        let (mut live, now) = (self.0.lock(), Timestamp::now().as_second());
        if live.len() >= TIDY_AFTER {
            live.retain(|_, expires| *expires > now);
        }
        live.insert(key(token), expires);
    }

    pub(super) fn has(&self, token: &str) -> bool {
        let now = Timestamp::now().as_second();
        self.0.lock().get(&key(token)).is_some_and(|expires| *expires > now)
    }

    pub(super) fn remove(&self, token: &str) {
        self.0.lock().remove(&key(token));
    }
}

fn key(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
