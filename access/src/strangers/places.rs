//! Places for connections, in total and of each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::counted;

/// The count of one listener or more.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_per_ip: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    /// Has no entry at zero, so it is never longer than `total`.
    per_ip: HashMap<IpAddr, usize>,
}

/// One connection; it counts until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    ip: IpAddr,
}

/// Which count is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// That of all.
    All,
    /// That of the address.
    Address,
}

impl Places {
    /// So many in all, and of one address (IPv6: one /64).
    #[must_use]
    pub fn new(most: usize, most_per_ip: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_ip, counts: Mutex::default() })
    }

    /// A place for a connection from there.
    ///
    /// # Errors
    /// Which count is full.
    pub fn take(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Full> {
        let ip = counted(ip);
        let mut counts = self.counts.lock();
        if counts.total >= self.most {
            return Err(Full::All);
        }
        let of_ip = counts.per_ip.get(&ip).copied().unwrap_or_default();
        if of_ip >= self.most_per_ip {
            return Err(Full::Address);
        }
        counts.per_ip.insert(ip, of_ip + 1);
        counts.total += 1;
        Ok(Place { places: Arc::clone(self), ip })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.counts.lock().total
    }

    /// How many are taken by this address.
    #[must_use]
    pub fn taken_by(&self, ip: IpAddr) -> usize {
        self.counts.lock().per_ip.get(&counted(ip)).copied().unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.places.counts.lock();
        counts.total = counts.total.saturating_sub(1);
        if let Entry::Occupied(mut entry) = counts.per_ip.entry(self.ip) {
            if *entry.get() <= 1 {
                entry.remove();
            } else {
                *entry.get_mut() -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_counts_fill_and_empty() {
        let places = Places::new(3, 2);
        let first = places.take(ip("192.0.2.1")).unwrap();
        let _second = places.take(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(places.take(ip("192.0.2.1")).unwrap_err(), Full::Address);
        let _third = places.take(ip("192.0.2.2")).unwrap();
        assert_eq!(places.take(ip("192.0.2.3")).unwrap_err(), Full::All);
        drop(first);
        assert_eq!(places.taken_by(ip("192.0.2.1")), 1);
        let _again = places.take(ip("192.0.2.1")).unwrap();
        assert_eq!(places.taken(), 3);
    }

    #[test]
    fn one_host_cannot_walk_through_its_64() {
        let places = Places::new(10, 1);
        let _held = places.take(ip("2001:db8::1")).unwrap();
        assert_eq!(places.take(ip("2001:db8::2")).unwrap_err(), Full::Address);
        assert!(places.take(ip("2001:db8:0:1::1")).is_ok());
        assert_eq!(places.counts.lock().per_ip.len(), 1);
    }
}
