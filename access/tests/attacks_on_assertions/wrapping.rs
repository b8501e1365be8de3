//! Signature wrapping: the eight classes of "On Breaking SAML: Be Whoever You Want to Be" (Somorovsky and others, USENIX
//! Security 2012), as tools number them, and later kin.

use crate::idp::*;

/// A good assertion that somebody has, apart from its signature, and the same with another name in it.
fn parts() -> (String, String, Says) {
    let good = Says::good();
    let signature = Signing::of(&good.id, &good.unsigned()).sign(Idp::rsa());
    let mallory = Says { subject: good.subject.replace("ada", "mallory"), ..good.clone() };
    (signature, good.unsigned(), mallory)
}

fn evil(id: &str) -> Says {
    Says { id: id.to_owned(), ..parts().2 }
}

/// A signature over a whole response.
fn signed_response(inner: &str) -> (String, String) {
    let whole = response(inner);
    (Signing::of("_r1", &whole).sign(Idp::rsa()), whole)
}

#[test]
fn xsw1_the_signed_response_within_the_signature_of_another() {
    let (signature, whole) = signed_response(&Says::good().unsigned());
    let wrapped = signature.replace("</ds:Signature>", &format!("{whole}</ds:Signature>"));
    let document = response(&(wrapped + &evil("_evil").unsigned())).replacen("_r1", "_r2", 1);
    assert_eq!(refused(&document), "saml_not_one_assertion");
}

#[test]
fn xsw2_the_signed_response_before_a_detached_signature() {
    let (signature, whole) = signed_response(&Says::good().unsigned());
    let document =
        response(&(whole + &signature + &evil("_evil").unsigned())).replacen("_r1", "_r2", 1);
    assert_eq!(refused(&document), "saml_not_one_assertion");
}

#[test]
fn xsw3_another_assertion_before_the_signed_one() {
    let document = response(&(evil("_evil").unsigned() + &Says::good().signed(Idp::rsa())));
    assert_eq!(refused(&document), "saml_not_one_assertion");
}

#[test]
fn xsw4_the_signed_assertion_within_another() {
    let signed = Says::good().signed(Idp::rsa());
    let document = response(&Says { statements: signed, ..evil("_evil") }.unsigned());
    assert_eq!(refused(&document), "saml_not_one_assertion");
}

#[test]
fn xsw5_the_signature_in_another_assertion_and_the_signed_one_after_it() {
    let (signature, good, _) = parts();
    let document = response(&(evil("_evil").with(&signature) + &good));
    assert_eq!(refused(&document), "saml_not_one_assertion");
    // Alone it refers to what is not there.
    assert_eq!(refused(&response(&evil("_evil").with(&signature))), "saml_reference");
    // And with the same ID it is not what was signed.
    assert_eq!(refused(&response(&evil("_a1").with(&signature))), "saml_digest");
}

#[test]
fn xsw6_the_signed_assertion_within_the_signature_of_another() {
    let (signature, good, _) = parts();
    let wrapped = signature.replace("</ds:Signature>", &format!("{good}</ds:Signature>"));
    assert_eq!(refused(&response(&evil("_evil").with(&wrapped))), "saml_not_one_assertion");
}

#[test]
fn xsw7_another_assertion_in_extensions() {
    let extensions = format!("<samlp:Extensions>{}</samlp:Extensions>", evil("_a1").unsigned());
    let document = response(&(extensions.clone() + &Says::good().signed(Idp::rsa())));
    assert_eq!(refused(&document), "saml_duplicate_id");
    let document =
        response(&(extensions.replace("_a1", "_evil") + &Says::good().signed(Idp::rsa())));
    assert_eq!(refused(&document), "saml_not_one_assertion");
}

#[test]
fn xsw8_the_signed_assertion_in_an_object_of_the_signature() {
    let (signature, good, _) = parts();
    let object = format!("<ds:Object>{good}</ds:Object></ds:Signature>");
    let wrapped = signature.replace("</ds:Signature>", &object);
    assert_eq!(refused(&evil("_evil").with(&wrapped)), "saml_not_one_assertion");
}

#[test]
fn an_object_in_the_signature_hides_nothing() {
    // No assertion in it, and taken out before the digest: it must not be there at all.
    let (signature, ..) = parts();
    let object = "<ds:Object><x>mallory</x></ds:Object></ds:Signature>";
    let document = Says::good().with(&signature.replace("</ds:Signature>", object));
    assert_eq!(refused(&document), "saml_signature_form");
}

#[test]
fn the_original_under_another_name_is_not_what_is_read() {
    // The signed text is still in the document, as an element of a namespace of its own.
    let (signature, good, _) = parts();
    let hidden = good.replace("saml:Assertion", "saml:Evidence");
    let document = response(&(evil("_a1").with(&signature) + &hidden.replace("_a1", "_b1")));
    assert_eq!(refused(&document), "saml_digest");
}

#[test]
fn a_look_alike_of_another_namespace_counts_as_an_assertion() {
    // CVE-2025-66568: names that one reader resolves and another does not.
    let alike =
        r#"<Assertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion " ID="_evil"></Assertion>"#;
    let document = response(&(alike.to_owned() + &Says::good().signed(Idp::rsa())));
    assert_eq!(refused(&document), "saml_not_one_assertion");
}

#[test]
fn a_prefix_bound_to_another_namespace_is_another_element() {
    // CVE-2025-25291: readers that go by prefixes.
    let moved = Says::good().signed(Idp::rsa()).replace(SAML, "urn:example:assertion");
    assert_eq!(refused(&moved), "saml_not_one_assertion");
    let signature = Signing::of("_a1", &Says::good().unsigned()).sign(Idp::rsa());
    let moved = signature.replace(DS, "urn:example:xmldsig");
    assert_eq!(refused(&Says::good().with(&moved)), "saml_unsigned");
}

#[test]
fn a_signature_elsewhere_is_not_the_assertions() {
    // CVE-2025-25292: the first signature that is found anywhere.
    let (signature, good, _) = parts();
    assert_eq!(refused(&response(&(signature.clone() + &good))), "saml_unsigned");
    let deep = Says {
        statements: format!("<saml:AttributeStatement>{signature}</saml:AttributeStatement>"),
        ..Says::good()
    };
    assert_eq!(refused(&deep.unsigned()), "saml_unsigned");
}

#[test]
fn two_signatures_are_one_too_many() {
    let (signature, ..) = parts();
    assert_eq!(refused(&Says::good().with(&signature.repeat(2))), "saml_signature_form");
}

#[test]
fn an_assertion_deeper_in_a_response_is_none() {
    let document = response(&format!(
        "<samlp:Extensions>{}</samlp:Extensions>",
        Says::good().signed(Idp::rsa())
    ));
    assert_eq!(refused(&document), "saml_not_one_assertion");
    let soap = format!(
        r#"<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">{}</s:Envelope>"#,
        Says::good().signed(Idp::rsa())
    );
    assert_eq!(refused(&soap), "saml_not_one_assertion");
}
