//! Room for what is sent by whoever is not known yet. A webhook's answer and an assertion are read before they can be checked, so
//! what is read is bounded: in all, and of one connection that nobody was authentic on.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// In all, in KiB.
const KIB_IN_ALL: u32 = 256 << 10;

/// Of all strangers.
#[derive(Clone, Debug)]
pub(crate) struct StrangersRoom(Arc<Semaphore>);

/// Of one connection: so many bodies at once.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionsRoom(Arc<Semaphore>);

/// What one body takes until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    _in_all: OwnedSemaphorePermit,
    _of_connection: Option<OwnedSemaphorePermit>,
}

impl Default for StrangersRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(KIB_IN_ALL as usize)))
    }
}

impl ConnectionsRoom {
    pub(super) fn new(bodies: u32) -> Self {
        Self(Arc::new(Semaphore::new(bodies as usize)))
    }
}

impl StrangersRoom {
    /// Room for a body of at most `bytes`; none where it is taken. `connection` only while nobody was authentic on it. Nobody
    /// waits: what a body that waits has sent takes memory, too.
    pub(crate) fn take(&self, bytes: usize, connection: Option<&ConnectionsRoom>) -> Option<Taken> {
        let kib = u32::try_from(bytes.div_ceil(1024)).ok()?;
        let connection = connection.map(|room| Arc::clone(&room.0).try_acquire_owned());
        Some(Taken {
            _of_connection: connection.transpose().ok()?,
            _in_all: Arc::clone(&self.0).try_acquire_many_owned(kib).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_a_stranger_has_so_many_bodies_and_no_more() {
        let (all, one, other) =
            (StrangersRoom::default(), ConnectionsRoom::new(2), ConnectionsRoom::new(2));
        let held: Vec<Taken> = (0..2).map(|_| all.take(1024, Some(&one)).unwrap()).collect();
        assert!(all.take(1024, Some(&one)).is_none());
        assert!(all.take(1024, Some(&other)).is_some());
        assert!(all.take(1024, None).is_some());
        drop(held);
        assert!(all.take(1024, Some(&one)).is_some());
    }

    #[test]
    fn all_of_them_have_so_many_bytes_and_no_more() {
        let all = StrangersRoom::default();
        let mib: Vec<Taken> = std::iter::from_fn(|| all.take(1 << 20, None)).collect();
        assert_eq!(mib.len(), 256);
        assert!(all.take(1, None).is_none());
        drop(mib);
        assert!(all.take(1, None).is_some());
        assert!(all.take(usize::MAX, None).is_none());
    }
}
