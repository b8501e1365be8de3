//! A trust domain's keys, as its file has them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::Value;

use crate::followed::Kind;
use crate::identity::key_set::KeySet;

const MAX_FILE_BYTES: u64 = 1024 * 1024;
const MAX_AUTHORITIES: usize = 64;

/// What a domain's workloads are checked against.
#[derive(Debug)]
pub(super) struct Bundle {
    /// For X.509-SVIDs; absent where there is none.
    pub(super) authorities: Option<Arc<RootCertStore>>,
    /// For JWT-SVIDs; absent where there is none.
    pub(super) keys: Option<Arc<KeySet>>,
}

#[derive(Deserialize)]
struct RawBundle {
    keys: Vec<Value>,
}

impl Bundle {
    /// As it is in a file.
    pub(super) const FILE: Kind<Self> = Kind {
        name: "the trust domain's bundle",
        max_bytes: MAX_FILE_BYTES,
        parse: |content| {
            Self::parse(content).map_err(|what| {
                format!(
                    "it is neither a SPIFFE bundle (`spire-server bundle show -format spiffe`) nor PEM certificates: {what}"
                )
            })
        },
    };

    /// SPIFFE Trust Domain and Bundle section 4: entries of another use are passed over.
    pub(super) fn parse(content: &[u8]) -> Result<Self, &'static str> {
        if content.trim_ascii_start().starts_with(b"-----BEGIN") {
            let certificates = CertificateDer::pem_slice_iter(content)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|_| "its PEM is broken")?;
            let authorities = authorities(certificates)?.ok_or("it has no certificate")?;
            return Ok(Self { authorities: Some(authorities), keys: None });
        }
        let raw: RawBundle =
            serde_json::from_slice(content).map_err(|_| "it is no JSON with `keys`")?;
        let of_use = |wanted: &'static str| {
            raw.keys
                .iter()
                .filter(move |key| key.get("use").and_then(Value::as_str) == Some(wanted))
        };
        let certificates = of_use("x509-svid").map(certificate).collect::<Option<Vec<_>>>();
        let certificates =
            certificates.ok_or("an x509-svid key has not exactly one certificate in x5c")?;
        let signing: Vec<Value> = of_use("jwt-svid").cloned().map(without_use).collect();
        let keys = match signing.is_empty() {
            true => None,
            false => Some(KeySet::of(signing).map_err(|_| "no jwt-svid key can be used")?),
        };
        let authorities = authorities(certificates)?;
        if authorities.is_none() && keys.is_none() {
            return Err("it has neither x509-svid nor jwt-svid keys");
        }
        Ok(Self { authorities, keys: keys.map(Arc::new) })
    }
}

/// Section 4.2.1: exactly one, in base64.
fn certificate(key: &Value) -> Option<CertificateDer<'static>> {
    let [only] = key.get("x5c")?.as_array()?.as_slice() else { return None };
    Some(CertificateDer::from(STANDARD.decode(only.as_str()?).ok()?))
}

fn authorities(
    certificates: Vec<CertificateDer<'static>>,
) -> Result<Option<Arc<RootCertStore>>, &'static str> {
    if certificates.is_empty() {
        return Ok(None);
    }
    if certificates.len() > MAX_AUTHORITIES {
        return Err("it has more than 64 certificates");
    }
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|_| "one of its certificates cannot be used")?;
    }
    Ok(Some(Arc::new(roots)))
}

/// The key set of issuers knows `sig`.
fn without_use(mut key: Value) -> Value {
    if let Some(members) = key.as_object_mut() {
        members.remove("use");
    }
    key
}
