//! An identity provider that signs whatever a test wants signed. It writes XML that is in canonical form already, so that
//! it needs no canonicalisation: what is hashed here is the text that stands here.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tallyport_access::SecretToken;
use tallyport_access::saml::{Exchanged, IdpConfig, SamlConfig, SamlExchange};

pub const ENTITY: &str = "https://idp.example.com/metadata";
pub const AUDIENCE: &str = "https://gateway.example.com/saml";
pub const RECIPIENT: &str = "https://gateway.example.com/saml/token";
pub const ISSUER: &str = "https://gateway.example.com";
pub const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
pub const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
pub const EXC: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
pub const MORE: &str = "http://www.w3.org/2001/04/xmldsig-more#";
pub const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// 2026-11-27T12:00:00Z.
pub fn now() -> Timestamp {
    "2026-11-27T12:00:00Z".parse().unwrap()
}

pub fn at(seconds: i64) -> String {
    now().checked_add(SignedDuration::from_secs(seconds)).unwrap().to_string()
}

pub enum Key {
    Rsa(signature::RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
}

pub struct Idp {
    pub key: Key,
    pub certificate: String,
}

impl Idp {
    pub fn rsa() -> &'static Self {
        static IDP: OnceLock<Idp> = OnceLock::new();
        IDP.get_or_init(|| Self::with_rsa(KeySize::Rsa2048))
    }

    pub fn other() -> &'static Self {
        static IDP: OnceLock<Idp> = OnceLock::new();
        IDP.get_or_init(|| Self::with_rsa(KeySize::Rsa2048))
    }

    fn with_rsa(size: KeySize) -> Self {
        let der = KeyPair::generate(size).unwrap().as_der().unwrap();
        let key = signature::RsaKeyPair::from_pkcs8(der.as_ref()).unwrap();
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(
            &der.as_ref().to_vec().into(),
            &rcgen::PKCS_RSA_SHA256,
        );
        Self { key: Key::Rsa(key), certificate: certificate(&pair.unwrap()) }
    }

    pub fn ec(curve: u16) -> Self {
        let (sign, of) = if curve == 256 {
            (&ECDSA_P256_SHA256_FIXED_SIGNING, &rcgen::PKCS_ECDSA_P256_SHA256)
        } else {
            (&ECDSA_P384_SHA384_FIXED_SIGNING, &rcgen::PKCS_ECDSA_P384_SHA384)
        };
        let der = EcdsaKeyPair::generate_pkcs8(sign, &SystemRandom::new()).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(sign, der.as_ref()).unwrap();
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der.as_ref().to_vec().into(), of);
        let key = if curve == 256 { Key::P256(key) } else { Key::P384(key) };
        Self { key, certificate: certificate(&pair.unwrap()) }
    }

    fn sign(&self, method: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key) => {
                let padding: &dyn signature::RsaEncoding = match method {
                    "rsa-sha384" => &RSA_PKCS1_SHA384,
                    "rsa-sha512" => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut bytes = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message, &mut bytes).unwrap();
                bytes
            }
            Key::P256(key) | Key::P384(key) => key.sign(&random, message).unwrap().as_ref().into(),
        }
    }
}

fn certificate(pair: &rcgen::KeyPair) -> String {
    rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(pair).unwrap().pem()
}

/// What an assertion says; every text can be changed.
#[derive(Clone)]
pub struct Says {
    pub id: String,
    pub head: String,
    pub issuer: String,
    pub subject: String,
    pub conditions: String,
    pub statements: String,
}

pub fn bearer(attributes: &str) -> String {
    format!(
        r#"<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData {attributes}></saml:SubjectConfirmationData></saml:SubjectConfirmation>"#
    )
}

pub fn name_id(name: &str) -> String {
    format!(
        r#"<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{name}</saml:NameID>"#
    )
}

pub fn good_bearer() -> String {
    bearer(&format!(r#"NotOnOrAfter="{}" Recipient="{RECIPIENT}""#, at(120)))
}

pub fn audience(of: &str) -> String {
    format!(
        "<saml:AudienceRestriction><saml:Audience>{of}</saml:Audience></saml:AudienceRestriction>"
    )
}

pub fn conditions(from: i64, until: i64, inner: &str) -> String {
    format!(
        r#"<saml:Conditions NotBefore="{}" NotOnOrAfter="{}">{inner}</saml:Conditions>"#,
        at(from),
        at(until)
    )
}

impl Says {
    /// That it is Ada, for us, for five minutes.
    pub fn good() -> Self {
        Self {
            id: "_a1".to_owned(),
            head: format!(r#"IssueInstant="{}" Version="2.0""#, at(-5)),
            issuer: format!("<saml:Issuer>{ENTITY}</saml:Issuer>"),
            subject: format!("<saml:Subject>{}{}</saml:Subject>", name_id("ada"), good_bearer()),
            conditions: conditions(-60, 300, &audience(AUDIENCE)),
            statements: r#"<saml:AttributeStatement><saml:Attribute Name="groups"><saml:AttributeValue>staff</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>"#.to_owned(),
        }
    }

    /// The canonical text, with what is to stand after the issuer.
    pub fn with(&self, signature: &str) -> String {
        let Self { id, head, issuer, subject, conditions, statements } = self;
        format!(
            r#"<saml:Assertion xmlns:saml="{SAML}" ID="{id}" {head}>{issuer}{signature}{subject}{conditions}{statements}</saml:Assertion>"#
        )
    }

    pub fn unsigned(&self) -> String {
        self.with("")
    }

    pub fn signed(&self, by: &Idp) -> String {
        self.with(&Signing::of(&self.id, &self.unsigned()).sign(by))
    }
}

impl Says {
    /// The same as if it were `now` at another time.
    pub fn signed_at(&self, time: Timestamp, by: &Idp) -> String {
        let mut text = self.unsigned();
        for seconds in [-60, -5, 120, 300] {
            let shifted = time.checked_add(SignedDuration::from_secs(seconds)).unwrap();
            text = text.replace(&at(seconds), &shifted.to_string());
        }
        let signature = Signing::of(&self.id, &text).sign(by);
        text.replacen("</saml:Issuer>", &format!("</saml:Issuer>{signature}"), 1)
    }
}

/// How something is signed; every text can be changed.
pub struct Signing {
    pub canonicalization: String,
    pub method: String,
    pub references: Vec<String>,
    pub key_info: String,
    pub objects: String,
}

pub fn transform(algorithm: &str, inner: &str) -> String {
    format!(r#"<ds:Transform Algorithm="{algorithm}">{inner}</ds:Transform>"#)
}

pub fn transforms() -> String {
    transform(ENVELOPED, "") + &transform(EXC, "")
}

pub fn reference(uri: &str, transforms: &str, digest: (&str, &[u8])) -> String {
    let (method, value) = (digest.0, STANDARD.encode(digest.1));
    format!(
        r#"<ds:Reference URI="{uri}"><ds:Transforms>{transforms}</ds:Transforms><ds:DigestMethod Algorithm="{method}"></ds:DigestMethod><ds:DigestValue>{value}</ds:DigestValue></ds:Reference>"#
    )
}

pub fn sha256(text: &str) -> (&'static str, Vec<u8>) {
    ("http://www.w3.org/2001/04/xmlenc#sha256", Sha256::digest(text).to_vec())
}

pub fn sha384(text: &str) -> (&'static str, Vec<u8>) {
    ("http://www.w3.org/2001/04/xmldsig-more#sha384", Sha384::digest(text).to_vec())
}

pub fn sha512(text: &str) -> (&'static str, Vec<u8>) {
    ("http://www.w3.org/2001/04/xmlenc#sha512", Sha512::digest(text).to_vec())
}

impl Signing {
    pub fn of(id: &str, canonical: &str) -> Self {
        let (method, value) = sha256(canonical);
        Self {
            canonicalization: format!(
                r#"<ds:CanonicalizationMethod Algorithm="{EXC}"></ds:CanonicalizationMethod>"#
            ),
            method: "rsa-sha256".to_owned(),
            references: vec![reference(&format!("#{id}"), &transforms(), (method, &value))],
            key_info: String::new(),
            objects: String::new(),
        }
    }

    pub fn signed_info(&self) -> String {
        let (canonicalization, method) = (&self.canonicalization, &self.method);
        let method = if method.contains(':') { method.clone() } else { format!("{MORE}{method}") };
        format!(
            r#"<ds:SignedInfo xmlns:ds="{DS}">{canonicalization}<ds:SignatureMethod Algorithm="{method}"></ds:SignatureMethod>{}</ds:SignedInfo>"#,
            self.references.concat()
        )
    }

    pub fn sign(&self, by: &Idp) -> String {
        self.valued(&by.sign(&self.method, self.signed_info().as_bytes()))
    }

    pub fn valued(&self, value: &[u8]) -> String {
        format!(
            r#"<ds:Signature xmlns:ds="{DS}">{}<ds:SignatureValue>{}</ds:SignatureValue>{}{}</ds:Signature>"#,
            self.signed_info(),
            STANDARD.encode(value),
            self.key_info,
            self.objects
        )
    }
}

pub fn response(inner: &str) -> String {
    format!(
        r#"<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r1" IssueInstant="{}" Version="2.0"><saml:Issuer xmlns:saml="{SAML}">{ENTITY}</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>{inner}</samlp:Response>"#,
        at(-5)
    )
}

pub fn encode(document: &str) -> String {
    URL_SAFE_NO_PAD.encode(document)
}

/// The same for all exchanges, as it is for all gateways.
pub fn token_key() -> SecretToken {
    static KEY: OnceLock<SecretToken> = OnceLock::new();
    KEY.get_or_init(another_token_key).clone()
}

/// A P-256 key in PKCS#8 (PEM).
pub fn another_token_key() -> SecretToken {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let text = STANDARD.encode(der.unwrap().as_ref());
    SecretToken::new(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
}

pub fn configured(idp: &Idp, more: &str) -> IdpConfig {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &idp.certificate).unwrap();
    let (_file, path) = file.keep().unwrap();
    let text = format!(
        "entity_id = \"{ENTITY}\"\ncertificate_files = [{:?}]\naudience = \"{AUDIENCE}\"\nrecipient = \"{RECIPIENT}\"\n{more}",
        path
    );
    toml::from_str(&text).unwrap()
}

pub fn exchange_of(idps: Vec<IdpConfig>) -> SamlExchange {
    signing(token_key(), idps)
}

pub fn signing(token_key: SecretToken, idps: Vec<IdpConfig>) -> SamlExchange {
    let config = SamlConfig { issuer: ISSUER.to_owned(), token_key, token_seconds: 600, idps };
    SamlExchange::new(&config).unwrap()
}

/// A new exchange that trusts `idp`.
pub fn trusting(idp: &Idp) -> SamlExchange {
    exchange_of(vec![configured(idp, "[attributes]\ngroups = \"groups\"\n")])
}

/// The code of the refusal; it must repeat nothing of what came.
pub fn refused(document: &str) -> &'static str {
    refused_by(&trusting(Idp::rsa()), document)
}

pub fn refused_by(exchange: &SamlExchange, document: &str) -> &'static str {
    match exchange.exchange(&encode(document), now()) {
        Ok(exchanged) => panic!("it was taken: {:?}", claims(&exchanged)),
        Err(failure) => {
            let told = failure.to_string();
            assert!(!told.contains("ada") && !told.contains("mallory"), "{told}");
            failure.code()
        }
    }
}

/// What the token says.
pub fn claims(exchanged: &Exchanged) -> serde_json::Value {
    let part = exchanged.token.expose().split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

pub fn taken(exchange: &SamlExchange, document: &str) -> serde_json::Value {
    claims(&exchange.exchange(&encode(document), now()).unwrap())
}
