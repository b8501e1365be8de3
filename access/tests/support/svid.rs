//! A trust domain of a test: authorities, workloads' certificates and tokens, good and bad.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tallyport_access::{Authenticator, ClientCertificate, TrustDomainConfig};

use super::jwt::{AUDIENCE, Key};

pub const DOMAIN: &str = "prod.example.com";
pub const BILLING: &str = "spiffe://prod.example.com/ns/agents/sa/billing";

pub const WORKLOADS: &str = "[[workloads]]\npath = '/ns/agents/*'\nkind = 'agent'\ngroups = ['agents', 'readers']\n\
                         owner = 'team-a'\nmodel = 'm-1'\n[[workloads]]\npath = '/ns/ops/sa/backup'\n";

/// Whoever may sign certificates.
pub struct Authority {
    pub certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(uri: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority_params(uri);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// An authority that this one lets sign.
    pub fn below(&self, uri: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = authority_params(uri);
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A workload's certificate, as the standard wants it but for `edit`.
    pub fn workload(
        &self,
        uri: &str,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().clone()
    }
}

fn authority_params(uri: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Years away, on both sides.
pub fn valid(params: &mut CertificateParams, from: i32, to: i32) {
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
}

pub fn critical_extension(params: &mut CertificateParams) {
    let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![5, 0]);
    unknown.set_criticality(true);
    params.custom_extensions.push(unknown);
}

/// Subject alternative names of these bytes, 127 at most.
pub fn names_as_written(names: &[u8]) -> CustomExtension {
    let content = [&[0x30, names.len() as u8], names].concat();
    CustomExtension::from_oid_content(&[2, 5, 29, 17], content)
}

/// The bundle in the SPIFFE format.
pub fn bundle(authorities: &[&Authority], keys: &[&Key]) -> Value {
    let x509 = authorities.iter().map(
        |it| json!({ "use": "x509-svid", "kty": "EC", "x5c": [STANDARD.encode(&it.certificate)] }),
    );
    let jwt = keys.iter().map(|key| {
        let mut jwk = key.jwk();
        jwk["use"] = json!("jwt-svid");
        jwk
    });
    json!({ "keys": x509.chain(jwt).collect::<Vec<_>>(), "spiffe_sequence": 1, "spiffe_refresh_hint": 60 })
}

/// A service that trusts a domain by its bundle's file.
pub struct Trusting {
    pub authenticator: Authenticator,
    pub file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Trusting {
    pub fn new(bundle: &str, workloads: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle.json");
        std::fs::write(&file, bundle).unwrap();
        let tokens =
            if bundle.contains("jwt-svid") { format!("'{AUDIENCE}'") } else { String::new() };
        let text = format!(
            "name = '{DOMAIN}'\nbundle_file = '{}'\naudiences = [{tokens}]\ngroup_prefix = 'prod:'\n{workloads}",
            file.display()
        );
        let config: TrustDomainConfig = toml::from_str(&text).unwrap();
        let authenticator = Authenticator::trusting(Vec::new(), vec![config], None).unwrap();
        Self { authenticator, file, _folder: folder }
    }

    pub fn certificate(&self, chain: &[CertificateDer<'static>]) -> &'static str {
        let certificate = ClientCertificate::of(chain).unwrap();
        match self.authenticator.verify_certificate(&certificate) {
            Ok(_) => "ok",
            Err(failure) => failure.code(),
        }
    }

    /// Why a certificate is refused, in words.
    pub fn why_not(&self, certificate: CertificateDer<'static>) -> String {
        let certificate = ClientCertificate::of(&[certificate]).unwrap();
        self.authenticator.verify_certificate(&certificate).unwrap_err().to_string()
    }

    pub async fn token(&self, token: &str) -> &'static str {
        match self.authenticator.verify(token).await {
            Ok(_) => "ok",
            Err(failure) => failure.code(),
        }
    }
}
