//! A trust domain's keys, as its file has them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::Value;

use crate::identity::key_set::KeySet;

const MAX_FILE_BYTES: u64 = 1024 * 1024;
const MAX_AUTHORITIES: usize = 64;
/// How often it is looked whether the file changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a domain's workloads are checked against.
#[derive(Debug)]
pub(super) struct Bundle {
    /// For X.509-SVIDs; absent where there is none.
    pub(super) authorities: Option<Arc<RootCertStore>>,
    /// For JWT-SVIDs; absent where there is none.
    pub(super) keys: Option<Arc<KeySet>>,
}

/// A file is no bundle.
#[derive(Debug, thiserror::Error)]
pub(super) enum BundleError {
    #[error("{} cannot be read: {source}", file.display())]
    Read { file: PathBuf, source: std::io::Error },
    #[error("{} is larger than {MAX_FILE_BYTES} bytes", .0.display())]
    TooLarge(PathBuf),
    #[error(
        "{} is neither a SPIFFE bundle (`spire-server bundle show -format spiffe`) nor PEM certificates: {what}",
        file.display()
    )]
    Form { file: PathBuf, what: &'static str },
}

/// The bundle of a file, read anew when that changes.
#[derive(Debug)]
pub(super) struct BundleFile {
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bundle: Arc<Bundle>,
    stamp: Option<Stamp>,
    looked: Instant,
}

/// A file that was written anew has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl BundleFile {
    /// A bundle of no file, which stays as it is.
    #[cfg(feature = "fuzz")]
    pub(super) fn fixed(content: &[u8]) -> Result<Self, &'static str> {
        let bundle = Arc::new(Bundle::parse(content)?);
        let state = State { bundle, stamp: None, looked: Instant::now() };
        Ok(Self { file: PathBuf::new(), state: Mutex::new(state) })
    }

    pub(super) fn load(file: &Path) -> Result<Self, BundleError> {
        let (bundle, stamp) = read(file)?;
        let state = State { bundle: Arc::new(bundle), stamp, looked: Instant::now() };
        Ok(Self { file: file.to_owned(), state: Mutex::new(state) })
    }

    /// The bundle as the file has it. What cannot be read changes nothing, and is said once.
    pub(super) fn current(&self) -> Arc<Bundle> {
        let mut state = self.state.lock();
        if state.looked.elapsed() < LOOK_EVERY {
            return Arc::clone(&state.bundle);
        }
        state.looked = Instant::now();
        let stamp = std::fs::metadata(&self.file).ok().and_then(|meta| Stamp::of(&meta));
        if stamp == state.stamp {
            return Arc::clone(&state.bundle);
        }
        match read(&self.file) {
            Ok((bundle, stamp)) => {
                tracing::info!(file = %self.file.display(), "the trust domain's bundle was read anew");
                (state.bundle, state.stamp) = (Arc::new(bundle), stamp);
            }
            Err(error) => {
                tracing::error!(%error, "the trust domain's bundle is not taken; the one before it serves on");
                state.stamp = stamp;
            }
        }
        Arc::clone(&state.bundle)
    }
}

impl Stamp {
    fn of(meta: &std::fs::Metadata) -> Option<Self> {
        Some(Self { modified: meta.modified().ok()?, bytes: meta.len() })
    }
}

fn read(file: &Path) -> Result<(Bundle, Option<Stamp>), BundleError> {
    let failed = |source| BundleError::Read { file: file.to_owned(), source };
    let meta = std::fs::metadata(file).map_err(failed)?;
    if meta.len() > MAX_FILE_BYTES {
        return Err(BundleError::TooLarge(file.to_owned()));
    }
    let content = std::fs::read(file).map_err(failed)?;
    let bundle = Bundle::parse(&content);
    let bundle = bundle.map_err(|what| BundleError::Form { file: file.to_owned(), what })?;
    Ok((bundle, Stamp::of(&meta)))
}

#[derive(Deserialize)]
struct RawBundle {
    keys: Vec<Value>,
}

impl Bundle {
    /// SPIFFE Trust Domain and Bundle section 4: entries of another use are passed over.
    fn parse(content: &[u8]) -> Result<Self, &'static str> {
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
