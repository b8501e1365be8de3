//! What a signature may be, and what it may cover.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac_of::hmac_sha256;

use crate::idp::*;

/// A good assertion, signed in another way.
fn signed_with(change: impl FnOnce(&mut Signing)) -> String {
    let says = Says::good();
    let mut signing = Signing::of(&says.id, &says.unsigned());
    change(&mut signing);
    says.with(&signing.sign(Idp::rsa()))
}

/// The reference of a good assertion with other transforms.
fn with_transforms(transforms: &str) -> String {
    let digest = sha256(&Says::good().unsigned());
    signed_with(|it| it.references = vec![reference("#_a1", transforms, (digest.0, &digest.1))])
}

#[test]
fn unsigned_and_stripped() {
    assert_eq!(refused(&Says::good().unsigned()), "saml_unsigned");
    assert_eq!(refused(&response(&Says::good().unsigned())), "saml_unsigned");
    // CVE-2016-5697 and its kin: an empty signature is none.
    let empty = Says::good().with(&format!(r#"<ds:Signature xmlns:ds="{DS}"></ds:Signature>"#));
    assert_eq!(refused(&empty), "saml_signature_form");
}

#[test]
fn a_signed_response_makes_no_signed_assertion() {
    let whole = response(&Says::good().unsigned());
    let signature = Signing::of("_r1", &whole).sign(Idp::rsa());
    assert_eq!(refused(&response(&(signature + &Says::good().unsigned()))), "saml_unsigned");
}

#[test]
fn whatever_was_changed_after_signing_is_seen() {
    let document = Says::good().signed(Idp::rsa());
    for (from, to) in [
        ("persistent\">ada", "persistent\">mallory"),
        ("staff", "admin"),
        (AUDIENCE, "https://gateway.example.com/samm"),
        ("_a1\" Iss", "_a1\" x=\"y\" Iss"),
    ] {
        let changed = document.replacen(from, to, 1);
        assert_ne!(changed, document);
        assert_eq!(refused(&changed), "saml_digest", "{from}");
    }
    // In SignedInfo it is the signature itself that breaks.
    let digest = STANDARD.encode(sha256(&Says::good().unsigned()).1);
    let other = STANDARD.encode(sha256("mallory").1);
    assert_eq!(refused(&document.replace(&digest, &other)), "saml_bad_signature");
}

#[test]
fn a_digest_that_follows_the_change_has_no_signature() {
    // The attacker makes all of it anew, but for the value that only the provider can make.
    let good = Says::good().signed(Idp::rsa());
    let value = good.split("<ds:SignatureValue>").nth(1).unwrap().split('<').next().unwrap();
    let value = STANDARD.decode(value).unwrap();
    let evil = Says { subject: Says::good().subject.replace("ada", "mallory"), ..Says::good() };
    let signing = Signing::of(&evil.id, &evil.unsigned());
    assert_eq!(refused(&evil.with(&signing.valued(&value))), "saml_bad_signature");
    assert_eq!(refused(&evil.with(&signing.valued(&[]))), "saml_bad_signature");
}

#[test]
fn a_foreign_key_is_not_believed_for_being_in_the_message() {
    let says = Says::good();
    let mut signing = Signing::of(&says.id, &says.unsigned());
    let pem = &Idp::other().certificate;
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    signing.key_info = format!(
        "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{der}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    );
    assert_eq!(refused(&says.with(&signing.sign(Idp::other()))), "saml_bad_signature");
    // Beside a signature of the provider itself it changes nothing.
    let document = says.with(&signing.sign(Idp::rsa()));
    assert_eq!(taken(&trusting(Idp::rsa()), &document)["name"], "ada");
}

#[test]
fn sha_1_hmac_and_other_algorithms_are_refused() {
    for method in [
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        "http://www.w3.org/2000/09/xmldsig#dsa-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-md5",
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1",
        "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
        "urn:none",
        "",
    ] {
        let document = signed_with(|it| {
            it.method = if method.is_empty() { ":".to_owned() } else { method.to_owned() };
        });
        assert_eq!(refused(&document), "saml_algorithm", "{method}");
    }
    let sha1 = "http://www.w3.org/2000/09/xmldsig#sha1";
    let document =
        signed_with(|it| it.references = vec![reference("#_a1", &transforms(), (sha1, &[0; 20]))]);
    assert_eq!(refused(&document), "saml_algorithm");
}

#[test]
fn cve_2020_hmac_with_the_public_key_is_no_signature() {
    // GHSA-c27r-x354-4m68: a library that lets the message choose takes the certificate for a shared secret.
    let says = Says::good();
    let mut signing = Signing::of(&says.id, &says.unsigned());
    signing.method = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256".to_owned();
    let mac = hmac_sha256(Idp::rsa().certificate.as_bytes(), signing.signed_info().as_bytes());
    assert_eq!(refused(&says.with(&signing.valued(&mac))), "saml_algorithm");
}

#[test]
fn an_algorithm_goes_with_its_kind_of_key_alone() {
    let document = signed_with(|it| it.method = "ecdsa-sha256".to_owned());
    assert_eq!(refused(&document), "saml_bad_signature");
}

#[test]
fn xmldsig_4_4_3_the_reference_is_to_the_assertion_itself() {
    let digest = sha256(&Says::good().unsigned());
    for uri in ["", "#", "#_r1", "_a1", "#xpointer(id('_a1'))", "https://evil.example/", "#_A1"] {
        let references = vec![reference(uri, &transforms(), (digest.0, &digest.1))];
        let document = signed_with(|it| it.references = references);
        assert_eq!(refused(&document), "saml_reference", "{uri}");
    }
}

#[test]
fn saml_core_5_4_2_one_reference_and_no_more() {
    let document = signed_with(|it| it.references.push(it.references[0].clone()));
    assert_eq!(refused(&document), "saml_signature_form");
    // CVE-2026-33487 and its kin: the second one is good.
    let other = sha256("mallory");
    let document = signed_with(|it| {
        it.references.insert(0, reference("#_evil", &transforms(), (other.0, &other.1)));
    });
    assert_eq!(refused(&document), "saml_signature_form");
    assert_eq!(refused(&signed_with(|it| it.references.clear())), "saml_signature_form");
    // Nor anything else beside it.
    let document = signed_with(|it| it.references.push("<ds:Extra></ds:Extra>".to_owned()));
    assert_eq!(refused(&document), "saml_signature_form");
}

#[test]
fn saml_core_5_4_4_no_transforms_but_the_two() {
    let (enveloped, exclusive) = (transform(ENVELOPED, ""), transform(EXC, ""));
    let xpath = transform(
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "<ds:XPath>not(ancestor-or-self::saml:Subject)</ds:XPath>",
    );
    let xslt = transform(
        "http://www.w3.org/TR/1999/REC-xslt-19991116",
        r#"<xsl:stylesheet xmlns:xsl="http://www.w3.org/1999/XSL/Transform" version="1.0"></xsl:stylesheet>"#,
    );
    let inclusive = transform("http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "");
    let base64 = transform("http://www.w3.org/2000/09/xmldsig#base64", "");
    for list in [
        String::new(),
        enveloped.clone(),
        exclusive.clone(),
        format!("{exclusive}{enveloped}"),
        format!("{enveloped}{inclusive}"),
        format!("{enveloped}{enveloped}"),
        format!("{enveloped}{xpath}{exclusive}"),
        format!("{enveloped}{exclusive}{xpath}"),
        format!("{xpath}{exclusive}"),
        format!("{enveloped}{xslt}"),
        format!("{enveloped}{base64}"),
        transform(ENVELOPED, "<x></x>") + &exclusive,
        enveloped.clone() + &transform(EXC, "<x></x>"),
    ] {
        assert_eq!(refused(&with_transforms(&list)), "saml_transform", "{list}");
    }
}

#[test]
fn saml_core_5_4_3_signed_info_is_in_exclusive_canonical_form() {
    for algorithm in ["http://www.w3.org/TR/2001/REC-xml-c14n-20010315", "", "urn:x"] {
        let document = signed_with(|it| {
            it.canonicalization = format!(
                r#"<ds:CanonicalizationMethod Algorithm="{algorithm}"></ds:CanonicalizationMethod>"#
            );
        });
        assert_eq!(refused(&document), "saml_transform", "{algorithm}");
    }
}

#[test]
fn parameters_of_algorithms_and_manifests_are_refused() {
    // CVE-2009-0217: a length of which so little is left that it can be guessed.
    let document = signed_with(|_| ()).replace(
        "></ds:SignatureMethod>",
        "><ds:HMACOutputLength>1</ds:HMACOutputLength></ds:SignatureMethod>",
    );
    assert_eq!(refused(&document), "saml_signature_form");
    let manifest = signed_with(|it| {
        it.objects = "<ds:Object><ds:Manifest></ds:Manifest></ds:Object>".to_owned()
    });
    assert_eq!(refused(&manifest), "saml_signature_form");
}

/// RFC 2104, for the one test that needs it.
mod hmac_of {
    use sha2::{Digest as _, Sha256};

    pub fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut block = [0_u8; 64];
        let key = if key.len() > 64 { Sha256::digest(key).to_vec() } else { key.to_vec() };
        block[..key.len()].copy_from_slice(&key);
        let padded = |with: u8| block.map(|byte| byte ^ with);
        let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
        Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
    }
}
