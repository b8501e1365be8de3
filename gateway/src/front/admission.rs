//! Places for connections, in total and per address, as they are measured.

use std::net::IpAddr;
use std::sync::Arc;

use metrics::Gauge;
use tallyport_access::strangers::{Full, Place, Places};
use tallyport_schemas::Front;

use crate::meters;

/// The places of one gateway.
#[derive(Debug)]
pub(super) struct Admission {
    places: Arc<Places>,
    quic: Gauge,
    tcp: Gauge,
}

/// One counted connection; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    _place: Place,
    of_front: Gauge,
}

impl Admission {
    pub(super) fn new(most: usize, most_per_ip: usize) -> Self {
        let (quic, tcp) = (meters::connections(Front::Quic), meters::connections(Front::Tcp));
        Self { places: Places::new(most, most_per_ip), quic, tcp }
    }

    pub(super) fn admit(&self, ip: IpAddr, front: Front) -> Result<Admitted, Full> {
        let place = self.places.take(ip)?;
        let of_front = if front == Front::Quic { self.quic.clone() } else { self.tcp.clone() };
        of_front.increment(1.0);
        Ok(Admitted { _place: place, of_front })
    }

    pub(super) fn total(&self) -> usize {
        self.places.taken()
    }

    pub(super) fn of_ip(&self, ip: IpAddr) -> usize {
        self.places.taken_by(ip)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.of_front.decrement(1.0);
    }
}
