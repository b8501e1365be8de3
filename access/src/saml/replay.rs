//! Which assertions were exchanged already (SAML profiles section 4.1.4.5).

use std::collections::HashMap;

use jiff::Timestamp;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::failure::Refused;

/// The most that are remembered. Only what a configured provider signed takes a place.
const MAX_REMEMBERED: usize = 65_536;

/// Remembers each assertion until it would be refused for its age.
#[derive(Debug)]
pub(super) struct Replays {
    used: Mutex<HashMap<[u8; 32], Timestamp>>,
    max: usize,
}

impl Default for Replays {
    fn default() -> Self {
        Self { used: Mutex::default(), max: MAX_REMEMBERED }
    }
}

/// Names an assertion: an ID is unique to its issuer alone.
pub(super) fn name_of(issuer: &str, id: &str) -> [u8; 32] {
    Sha256::new().chain_update(issuer).chain_update([0]).chain_update(id).finalize().into()
}

impl Replays {
    /// Uses an assertion up: of two at the same time one is refused.
    pub(super) fn use_up(
        &self,
        name: [u8; 32],
        lapses: Timestamp,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let mut used = self.used.lock();
        if used.get(&name).is_some_and(|until| *until > now) {
            return Err(Refused::Replayed);
        }
        if used.len() >= self.max {
            used.retain(|_, until| *until > now);
            if used.len() >= self.max {
                return Err(Refused::Full);
            }
        }
        used.insert(name, lapses);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_refuses_until_something_lapses() {
        let replays = Replays { max: 2, ..Replays::default() };
        let at = |second| Timestamp::from_second(second).unwrap();
        let names = ["a", "b", "c"].map(|id| name_of("idp", id));
        assert_eq!(replays.use_up(names[0], at(10), at(0)), Ok(()));
        assert_eq!(replays.use_up(names[0], at(10), at(9)), Err(Refused::Replayed));
        assert_eq!(replays.use_up(names[1], at(20), at(0)), Ok(()));
        assert_eq!(replays.use_up(names[2], at(20), at(9)), Err(Refused::Full));
        assert_eq!(replays.use_up(names[1], at(20), at(9)), Err(Refused::Replayed));
        assert_eq!(replays.use_up(names[2], at(20), at(10)), Ok(()));
    }

    #[test]
    fn an_id_is_its_issuers() {
        assert_ne!(name_of("a", "bc"), name_of("ab", "c"));
    }
}
