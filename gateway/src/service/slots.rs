//! How many sessions there may be: in all, of one principal, on one target.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tallyport_schemas::Principal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::tunnel::Refusal;

/// Places for sessions. A place is taken whole or not at all, and free again once its [`Slot`] is dropped.
#[derive(Debug)]
pub(crate) struct Slots {
    max: usize,
    max_per_principal: usize,
    all: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

/// Only who has a session is counted, so this is bounded by `max`.
#[derive(Debug, Default)]
struct Taken {
    principals: HashMap<Who, usize>,
    targets: HashMap<String, usize>,
}

type Who = (String, String);

/// One session's place.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    who: Who,
    target: String,
    _place: OwnedSemaphorePermit,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Gateway { max: usize },
    Principal { max: usize },
    Target { max: usize },
}

impl Slots {
    pub(super) fn new(max: usize, max_per_principal: usize) -> Arc<Self> {
        let all = Arc::new(Semaphore::new(max));
        Arc::new(Self { max, max_per_principal, all, taken: Mutex::default() })
    }

    /// Takes a place for one more session of `principal` on `target`, which takes `max_on_target`.
    pub(super) fn take(
        self: &Arc<Self>,
        principal: &Principal,
        target: &str,
        max_on_target: Option<usize>,
    ) -> Result<Slot, Full> {
        let who = (principal.issuer.clone(), principal.subject.clone());
        // The narrowest first: whoever has too many is told so, however full the gateway is.
        let mut taken = self.taken.lock();
        if taken.principals.get(&who).is_some_and(|open| *open >= self.max_per_principal) {
            return Err(Full::Principal { max: self.max_per_principal });
        }
        if let Some(max) = max_on_target
            && taken.targets.get(target).is_some_and(|open| *open >= max)
        {
            return Err(Full::Target { max });
        }
        let place = Arc::clone(&self.all).try_acquire_owned();
        let place = place.map_err(|_| Full::Gateway { max: self.max })?;
        *taken.principals.entry(who.clone()).or_default() += 1;
        *taken.targets.entry(target.to_owned()).or_default() += 1;
        Ok(Slot { slots: Arc::clone(self), who, target: target.to_owned(), _place: place })
    }

    /// Waits until every place is free.
    pub(super) async fn all_free(&self) {
        let all = u32::try_from(self.max).unwrap_or(u32::MAX);
        let _places = self.all.acquire_many(all).await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock();
        let Taken { principals, targets } = &mut *taken;
        leave(principals.entry(std::mem::take(&mut self.who)));
        leave(targets.entry(std::mem::take(&mut self.target)));
    }
}

fn leave<K>(entry: Entry<'_, K, usize>) {
    if let Entry::Occupied(mut count) = entry {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

impl Full {
    /// How events name it.
    pub(super) const fn cause(self) -> &'static str {
        match self {
            Self::Gateway { .. } => "session_limit",
            Self::Principal { .. } => "principal_session_limit",
            Self::Target { .. } => "target_session_limit",
        }
    }

    /// What events say of it.
    pub(super) fn message(self) -> String {
        match self {
            Self::Gateway { max } => format!("the gateway has {max} sessions, the limit"),
            Self::Principal { max } => format!("the principal has {max} sessions, the limit"),
            Self::Target { max } => format!("the target has {max} sessions, the limit"),
        }
    }

    /// What the agent is told.
    pub(super) fn refusal(self) -> Refusal {
        let (status, what) = match self {
            // RFC 6585 section 4: it is the asker who has too many.
            Self::Principal { .. } => (429, "close some of your sessions, or try again later"),
            Self::Gateway { .. } | Self::Target { .. } => (503, "try again later"),
        };
        let message = format!("{}; {what}", self.message());
        Refusal::new(status, self.cause(), message)
    }
}

#[cfg(test)]
mod tests {
    use tallyport_schemas::PrincipalKind;

    use super::*;

    fn principal(subject: &str) -> Principal {
        Principal {
            issuer: "https://issuer.example".to_owned(),
            subject: subject.to_owned(),
            display_name: subject.to_owned(),
            kind: PrincipalKind::Agent,
            groups: Vec::new(),
            owner: None,
        }
    }

    #[test]
    fn each_limit_refuses_by_its_name_and_a_place_that_is_left_is_free() {
        let slots = Slots::new(4, 2);
        let (ada, bob, cyd) = (principal("ada"), principal("bob"), principal("cyd"));
        let first = slots.take(&ada, "db", None).unwrap();
        let _second = slots.take(&ada, "db", None).unwrap();
        assert_eq!(slots.take(&ada, "other", None).unwrap_err(), Full::Principal { max: 2 });
        assert_eq!(slots.take(&bob, "db", Some(2)).unwrap_err(), Full::Target { max: 2 });
        let _third = slots.take(&bob, "other", Some(2)).unwrap();
        let _fourth = slots.take(&bob, "db", None).unwrap();
        assert_eq!(slots.take(&cyd, "new", None).unwrap_err(), Full::Gateway { max: 4 });
        drop(first);
        let _fifth = slots.take(&ada, "db", None).unwrap();
    }

    #[tokio::test]
    async fn nothing_is_kept_of_who_has_left() {
        let slots = Slots::new(2, 2);
        let slot = slots.take(&principal("ada"), "db", None).unwrap();
        // A refusal leaves no trace either.
        assert!(slots.take(&principal("bob"), "db", Some(1)).is_err());
        drop(slot);
        {
            let taken = slots.taken.lock();
            assert!(taken.principals.is_empty() && taken.targets.is_empty());
        }
        slots.all_free().await;
    }
}
