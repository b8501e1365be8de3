//! What functions make counts against the memory that queries share, for as long as it is there.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::Array;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// Who the log names when memory runs out.
const CONSUMER: &str = "functions";

/// The memory that queries share. All of one service are the same.
#[derive(Clone)]
pub(crate) struct Account(Arc<dyn MemoryPool>);

/// A part of it, for as long as the bytes that it is for.
struct Held(MemoryReservation);

impl Account {
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self(Arc::clone(pool))
    }

    /// Takes what `array` holds from the memory that is left, until nobody has the array any more.
    pub(super) fn pays_for(&self, array: &dyn Array) -> Result<()> {
        let all = self.hold();
        all.try_grow(array.get_buffer_memory_size())?;
        drop(all);
        array.claim(self);
        Ok(())
    }

    fn hold(&self) -> MemoryReservation {
        MemoryConsumer::new(CONSUMER).register(&self.0)
    }
}

impl arrow_buffer::MemoryPool for Account {
    fn reserve(&self, size: usize) -> Box<dyn arrow_buffer::MemoryReservation> {
        let held = self.hold();
        held.grow(size);
        Box::new(Held(held))
    }

    fn available(&self) -> isize {
        let left = self.capacity().saturating_sub(arrow_buffer::MemoryPool::used(self));
        isize::try_from(left).unwrap_or(isize::MAX)
    }

    fn used(&self) -> usize {
        self.0.reserved()
    }

    fn capacity(&self) -> usize {
        match self.0.memory_limit() {
            MemoryLimit::Finite(bytes) => bytes,
            MemoryLimit::Infinite | MemoryLimit::Unknown => usize::MAX,
        }
    }
}

impl arrow_buffer::MemoryReservation for Held {
    fn size(&self) -> usize {
        self.0.size()
    }

    fn resize(&mut self, size: usize) {
        self.0.resize(size);
    }
}

impl PartialEq for Account {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Account {}

impl Hash for Account {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("used", &self.0.reserved()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.0.size()).finish()
    }
}
