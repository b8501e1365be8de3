//! What the certificate of a server says of itself.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::TlsError;

/// The first certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// The hosts that it is for: DNS names, also with `*.`, and addresses.
    pub(super) names: Vec<String>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Leaf {
    pub(super) fn read(path: &Path, leaf: &CertificateDer<'_>) -> Result<Self, TlsError> {
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|source| TlsError::NotX509 {
            path: path.to_owned(),
            reason: source.to_string(),
        })?;
        let validity = parsed.validity();
        Ok(Self {
            names: names(&parsed),
            not_before: at(validity.not_before.timestamp()),
            not_after: at(validity.not_after.timestamp()),
        })
    }

    /// Its last moment, as it is written for people.
    pub(super) fn end(&self) -> String {
        written(self.not_after)
    }

    /// The time is an argument, so that a test can stand anywhere in a certificate's life.
    pub(super) fn check(&self, path: &Path, now: SystemTime) -> Result<(), TlsError> {
        let path = || path.to_owned();
        // Its last second is still its own (RFC 5280 section 4.1.2.5).
        if now >= self.not_after + Duration::from_secs(1) {
            return Err(TlsError::Expired { path: path(), not_after: written(self.not_after) });
        }
        if now < self.not_before {
            return Err(TlsError::NotYetValid {
                path: path(),
                not_before: written(self.not_before),
            });
        }
        Ok(())
    }
}

fn written(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| "a time out of reach".to_owned(), |time| time.to_string())
}

fn at(seconds: i64) -> SystemTime {
    let from_epoch = Duration::from_secs(seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let time =
        if seconds < 0 { epoch.checked_sub(from_epoch) } else { epoch.checked_add(from_epoch) };
    time.unwrap_or(epoch)
}

/// RFC 5280 section 4.2.1.6.
fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes {
            [a, b, c, d] => Some(Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            bytes => Some(Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}
