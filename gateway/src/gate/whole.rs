//! How many requests one gateway has under way, to all its targets and servers together.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Asker, Shut};
use crate::config::GatewayLimits;

/// Behind every gate: a principal that is within the bounds of each of many servers is not within these.
#[derive(Debug)]
pub(crate) struct Whole {
    max: usize,
    max_of_one: usize,
    open: Mutex<Open>,
}

/// Only who has a request under way is counted, so this is bounded by `max`.
#[derive(Debug, Default)]
struct Open {
    all: usize,
    of: HashMap<Asker, usize>,
}

/// One request's place, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    whole: Arc<Whole>,
    asker: Asker,
}

impl Whole {
    pub(crate) fn new(limits: &GatewayLimits) -> Arc<Self> {
        let (max, max_of_one) = (limits.max_requests, limits.max_requests_per_principal);
        Arc::new(Self { max, max_of_one, open: Mutex::default() })
    }

    /// Takes a place, whole or not at all.
    pub(super) fn take(self: &Arc<Self>, asker: &Asker) -> Result<Place, Shut> {
        let mut open = self.open.lock();
        // The narrower first: whoever has too many is told so, however busy the gateway is.
        if open.of.get(asker).is_some_and(|count| *count >= self.max_of_one) {
            return Err(Shut::GatewayFullOfYours { max: self.max_of_one });
        }
        if open.all >= self.max {
            return Err(Shut::GatewayFull { max: self.max });
        }
        open.all += 1;
        *open.of.entry(asker.clone()).or_default() += 1;
        Ok(Place { whole: Arc::clone(self), asker: asker.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.whole.open.lock();
        open.all = open.all.saturating_sub(1);
        let left = open.of.get_mut(&self.asker).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            open.of.remove(&self.asker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_refuses_by_its_name_and_nothing_is_kept_of_who_left() {
        let limits = GatewayLimits {
            max_requests: 3,
            max_requests_per_principal: 2,
            ..GatewayLimits::default()
        };
        let whole = Whole::new(&limits);
        let asker = |name: &str| ("https://id".to_owned(), name.to_owned());
        let first = whole.take(&asker("ada")).unwrap();
        let second = whole.take(&asker("ada")).unwrap();
        let full = Shut::GatewayFullOfYours { max: 2 };
        assert_eq!(whole.take(&asker("ada")).unwrap_err(), full);
        let third = whole.take(&asker("bob")).unwrap();
        assert_eq!(whole.take(&asker("cyd")).unwrap_err(), Shut::GatewayFull { max: 3 });
        assert_eq!(whole.take(&asker("ada")).unwrap_err(), full, "the narrower is told");
        drop(first);
        assert!(whole.take(&asker("cyd")).is_ok());
        drop((second, third));
        let open = whole.open.lock();
        assert!(open.all == 0 && open.of.is_empty(), "{open:?}");
    }
}
