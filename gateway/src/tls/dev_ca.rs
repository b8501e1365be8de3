//! A certificate authority for development: one machine, loopback names only.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::TlsError;
use super::leaf::Leaf;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CA_LIFE: Duration = Duration::from_secs(365 * DAY.as_secs());
const SERVER_LIFE: Duration = Duration::from_secs(90 * DAY.as_secs());
/// What is about to expire is issued anew at start, so that a run of some days never outlives its certificate.
const RENEW_AHEAD: Duration = Duration::from_secs(30 * DAY.as_secs());
/// A clock that was set back a little does not make a fresh certificate "not yet valid".
const BACKDATE: Duration = DAY;
const SERVER_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The files of a development CA and of the server certificate that it signed.
#[derive(Clone, Debug)]
pub struct DevCa {
    dir: PathBuf,
}

impl DevCa {
    /// Uses the CA in `dir`, or makes one; issues the server certificate when it is missing or soon over.
    ///
    /// The directory is made with mode 0700, the files with 0600. A crash between two files leaves a set that the
    /// next call replaces: each file is put in place whole, the key before its certificate.
    ///
    /// # Errors
    /// [`TlsError`] when a file cannot be written.
    pub fn create_or_load(dir: &Path) -> Result<Self, TlsError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| TlsError::Unwritable { path: dir.to_owned(), source })?;
        let ca = Self { dir: dir.to_owned() };
        let (key, fresh) = ca.authority_key()?;
        if fresh || !ca.server_is_good() {
            ca.issue_server(key)?;
        }
        Ok(ca)
    }

    /// The CA's certificate: what clients must trust.
    #[must_use]
    pub fn ca_path(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// The server's certificate chain, for [`super::ServerIdentity::load`].
    #[must_use]
    pub fn cert_path(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    /// The server's key.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        self.dir.join("server.key")
    }

    fn ca_key_path(&self) -> PathBuf {
        self.dir.join("ca.key")
    }

    /// The CA's key, and whether the CA is new.
    fn authority_key(&self) -> Result<(KeyPair, bool), TlsError> {
        if in_force(&self.ca_path()) {
            let kept = fs::read_to_string(self.ca_key_path()).ok();
            if let Some(key) = kept.and_then(|pem| KeyPair::from_pem(&pem).ok()) {
                return Ok((key, false));
            }
        }
        let key = KeyPair::generate()?;
        let certificate = authority_params()?.self_signed(&key)?;
        write_private(&self.ca_key_path(), &key.serialize_pem())?;
        write_private(&self.ca_path(), &certificate.pem())?;
        Ok((key, true))
    }

    fn server_is_good(&self) -> bool {
        in_force(&self.cert_path())
            && super::ServerIdentity::load(&self.cert_path(), &self.key_path()).is_ok()
    }

    fn issue_server(&self, authority: KeyPair) -> Result<(), TlsError> {
        let mut params = CertificateParams::new(SERVER_NAMES.map(str::to_owned).to_vec())?;
        params.distinguished_name.push(DnType::CommonName, "tallyport development server");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_life(&mut params, SERVER_LIFE);
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority_params()?, authority);
        let certificate = params.signed_by(&key, &issuer)?;
        write_private(&self.key_path(), &key.serialize_pem())?;
        write_private(&self.cert_path(), &certificate.pem())
    }
}

/// Name and use of the CA; the same at every start, since a loaded key signs under them.
fn authority_params() -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "tallyport development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, CA_LIFE);
    Ok(params)
}

fn set_life(params: &mut CertificateParams, life: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + life).into();
}

/// Whether the first certificate of the file is valid now and will be for a while.
fn in_force(path: &Path) -> bool {
    let certificate = CertificateDer::from_pem_file(path).ok();
    let leaf = certificate.and_then(|certificate| Leaf::read(path, &certificate).ok());
    leaf.is_some_and(|leaf| {
        let now = SystemTime::now();
        [now, now + RENEW_AHEAD].iter().all(|then| leaf.check(path, *then).is_ok())
    })
}

/// Writes beside and renames: a reader sees the old file or the new one, never a part.
fn write_private(path: &Path, text: &str) -> Result<(), TlsError> {
    let failed = |source| TlsError::Unwritable { path: path.to_owned(), source };
    let beside = path.with_extension("new");
    // A file that a crash left may have another mode.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}
