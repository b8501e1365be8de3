//! The keys of an identity provider: those of configured certificates, and never one that a message brings along.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use sha2::{Digest as _, Sha256};
use x509_parser::pem::Pem;
use x509_parser::public_key::PublicKey;

use super::failure::Refused;

/// What the library verifies with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const MAX_CERTIFICATES: usize = 8;

/// RFC 6931 sections 2.3 and 2.3.6. SHA-1 and HMAC have no name here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignatureMethod {
    RsaSha256,
    RsaSha384,
    RsaSha512,
    EcdsaSha256,
    EcdsaSha384,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Rsa,
    P256,
    P384,
}

/// A public key of an identity provider, with the fingerprint of its certificate.
pub(super) struct IdpKey {
    shape: Shape,
    key: Vec<u8>,
    /// SHA-256 of the certificate, in hex.
    pub(super) fingerprint: String,
}

impl SignatureMethod {
    pub(super) fn parse(uri: &str) -> Result<Self, Refused> {
        Ok(match uri {
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => Self::RsaSha256,
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => Self::RsaSha384,
            "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => Self::RsaSha512,
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => Self::EcdsaSha256,
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => Self::EcdsaSha384,
            _ => return Err(Refused::Algorithm),
        })
    }

    /// The algorithm with a key of this kind; a curve goes with the hash of its own size.
    fn with(self, shape: Shape) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (self, shape) {
            (Self::RsaSha256, Shape::Rsa) => &RSA_PKCS1_2048_8192_SHA256,
            (Self::RsaSha384, Shape::Rsa) => &RSA_PKCS1_2048_8192_SHA384,
            (Self::RsaSha512, Shape::Rsa) => &RSA_PKCS1_2048_8192_SHA512,
            (Self::EcdsaSha256, Shape::P256) => &ECDSA_P256_SHA256_FIXED,
            (Self::EcdsaSha384, Shape::P384) => &ECDSA_P384_SHA384_FIXED,
            _ => return None,
        })
    }
}

impl IdpKey {
    /// The keys of all certificates of a PEM file. What is wrong says what to write.
    pub(super) fn of_pem(pem: &[u8]) -> Result<Vec<Self>, String> {
        let mut keys = Vec::new();
        for block in Pem::iter_from_buffer(pem) {
            let block = block.map_err(|_| "it is no PEM file".to_owned())?;
            if block.label != "CERTIFICATE" {
                return Err(format!(
                    "it holds a {}; only certificates belong in it",
                    block.label.to_lowercase()
                ));
            }
            keys.push(Self::of_certificate(&block.contents)?);
        }
        match keys.len() {
            0 => Err("it holds no PEM certificate".to_owned()),
            1..=MAX_CERTIFICATES => Ok(keys),
            _ => Err(format!("it holds more than {MAX_CERTIFICATES} certificates")),
        }
    }

    fn of_certificate(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der)
            .map_err(|_| "it holds no X.509 certificate".to_owned())?;
        let info = certificate.public_key();
        let key = info.subject_public_key.data.to_vec();
        let curve = info.algorithm.parameters.as_ref().and_then(|it| it.as_oid().ok());
        let curve = curve.map(|curve| curve.to_id_string());
        let shape = match (info.parsed(), curve.as_deref()) {
            (Ok(PublicKey::RSA(rsa)), _) if RSA_BITS.contains(&rsa.key_size()) => Shape::Rsa,
            (Ok(PublicKey::RSA(rsa)), _) => {
                return Err(format!(
                    "its RSA key has {} bits; have the identity provider sign with {} or more",
                    rsa.key_size(),
                    RSA_BITS.start()
                ));
            }
            (Ok(PublicKey::EC(_)), Some(P256)) => Shape::P256,
            (Ok(PublicKey::EC(_)), Some(P384)) => Shape::P384,
            _ => return Err("its key is not RSA, P-256 or P-384".to_owned()),
        };
        Ok(Self { shape, key, fingerprint: hex::encode(Sha256::digest(der)) })
    }

    pub(super) fn verifies(
        &self,
        method: SignatureMethod,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        method.with(self.shape).is_some_and(|algorithm| {
            UnparsedPublicKey::new(algorithm, &self.key).verify(message, signature).is_ok()
        })
    }
}

impl fmt::Debug for IdpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdpKey")
            .field("shape", &self.shape)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}
