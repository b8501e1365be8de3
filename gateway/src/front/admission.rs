//! Counts connections, in total and per address, and says when it is full.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use metrics::Gauge;
use parking_lot::Mutex;
use tallyport_schemas::Front;

use super::counted;
use crate::meters;

/// The count of one gateway.
#[derive(Debug)]
pub(super) struct Admission {
    max_total: usize,
    max_per_ip: usize,
    counts: Mutex<Counts>,
    quic: Gauge,
    tcp: Gauge,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    /// Has no entry at zero, so it is never longer than `total`.
    per_ip: HashMap<IpAddr, usize>,
}

/// One counted connection; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    ip: IpAddr,
    of_front: Gauge,
}

/// Which count is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Gateway,
    Address,
}

impl Admission {
    pub(super) fn new(max_total: usize, max_per_ip: usize) -> Self {
        let (quic, tcp) = (meters::connections(Front::Quic), meters::connections(Front::Tcp));
        Self { max_total, max_per_ip, counts: Mutex::default(), quic, tcp }
    }

    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, front: Front) -> Result<Admitted, Full> {
        let ip = counted(ip);
        let mut counts = self.counts.lock();
        if counts.total >= self.max_total {
            return Err(Full::Gateway);
        }
        let of_ip = counts.per_ip.get(&ip).copied().unwrap_or_default();
        if of_ip >= self.max_per_ip {
            return Err(Full::Address);
        }
        counts.per_ip.insert(ip, of_ip + 1);
        counts.total += 1;
        let of_front = if front == Front::Quic { self.quic.clone() } else { self.tcp.clone() };
        of_front.increment(1.0);
        Ok(Admitted { admission: self.clone(), ip, of_front })
    }

    pub(super) fn total(&self) -> usize {
        self.counts.lock().total
    }

    pub(super) fn of_ip(&self, ip: IpAddr) -> usize {
        self.counts.lock().per_ip.get(&counted(ip)).copied().unwrap_or_default()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.of_front.decrement(1.0);
        let mut counts = self.admission.counts.lock();
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
        let admission = Arc::new(Admission::new(3, 2));
        let first = admission.admit(ip("192.0.2.1"), Front::Tcp).unwrap();
        let _second = admission.admit(ip("::ffff:192.0.2.1"), Front::Tcp).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.1"), Front::Tcp).unwrap_err(), Full::Address);
        let _third = admission.admit(ip("192.0.2.2"), Front::Tcp).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.3"), Front::Tcp).unwrap_err(), Full::Gateway);
        drop(first);
        assert_eq!(admission.of_ip(ip("192.0.2.1")), 1);
        let _again = admission.admit(ip("192.0.2.1"), Front::Tcp).unwrap();
        assert_eq!(admission.total(), 3);
    }

    #[test]
    fn one_host_cannot_walk_through_its_64() {
        let admission = Arc::new(Admission::new(10, 1));
        let _held = admission.admit(ip("2001:db8::1"), Front::Tcp).unwrap();
        assert_eq!(admission.admit(ip("2001:db8::2"), Front::Tcp).unwrap_err(), Full::Address);
        assert!(admission.admit(ip("2001:db8:0:1::1"), Front::Tcp).is_ok());
        assert_eq!(admission.counts.lock().per_ip.len(), 1);
    }
}
