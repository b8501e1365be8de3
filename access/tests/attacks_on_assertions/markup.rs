//! XML that no SAML message has: entities, comments, bombs, names that stand twice.

use crate::idp::*;

#[test]
fn xxe_and_every_dtd_are_refused_before_they_are_parsed() {
    let body = Says::good().signed(Idp::rsa());
    let cases = [
        r#"<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>"#.to_owned(),
        r#"<!DOCTYPE a SYSTEM "https://evil.example/x.dtd">"#.to_owned(),
        r#"<!DOCTYPE a [<!ATTLIST saml:Assertion ID ID #IMPLIED>]>"#.to_owned(),
        // Billion laughs.
        format!(
            "<!DOCTYPE a [<!ENTITY l0 \"ha\">{}]>",
            (1..20)
                .map(|n| format!("<!ENTITY l{n} \"&l{p};&l{p};\">", p = n - 1))
                .collect::<String>()
        ),
    ];
    for dtd in cases {
        assert_eq!(refused(&format!("{dtd}{body}")), "saml_dtd");
        assert_eq!(refused(&format!("<?xml version=\"1.0\"?>\n{dtd}{body}")), "saml_dtd");
    }
    // In lower case it is none, and refused as well.
    assert_eq!(refused(&format!("<!doctype a>{body}")), "saml_markup");
}

#[test]
fn an_undeclared_entity_is_malformed() {
    let says = Says { subject: Says::good().subject.replace("ada", "a&x;da"), ..Says::good() };
    assert_eq!(refused(&says.signed(Idp::rsa())), "saml_malformed");
}

#[test]
fn cve_2017_11428_a_comment_cuts_no_name_short() {
    // Signed for `ada.mallory.example`: exclusive canonicalisation leaves comments out, and the signature stays good.
    let says = Says {
        subject: Says::good().subject.replace("ada", "ada.mallory.example"),
        ..Says::good()
    };
    let document = says.signed(Idp::rsa());
    assert_eq!(taken(&trusting(Idp::rsa()), &document)["name"], "ada.mallory.example");
    let cut = document.replace("ada.mallory", "ada<!-- -->.mallory");
    assert_eq!(refused(&cut), "saml_markup");
}

#[test]
fn cve_2025_29775_a_comment_in_the_digest_changes_no_digest() {
    let document = Says::good().signed(Idp::rsa());
    let commented = document.replace("<ds:DigestValue>", "<ds:DigestValue><!--AAAA-->");
    assert_eq!(refused(&commented), "saml_markup");
}

#[test]
fn cdata_and_processing_instructions_are_refused() {
    let document = Says::good().signed(Idp::rsa());
    let name = r#"persistent">ada"#;
    assert_eq!(refused(&document.replace(name, r#"persistent"><![CDATA[ada]]>"#)), "saml_markup");
    assert_eq!(refused(&document.replace(name, r#"persistent"><?x y?>ada"#)), "saml_markup");
    assert_eq!(refused(&format!("{document}<?x y?>")), "saml_markup");
}

#[test]
fn another_encoding_is_refused() {
    let document = Says::good().signed(Idp::rsa());
    let declared = format!("<?xml version=\"1.0\" encoding=\"UTF-7\"?>{document}");
    assert_eq!(refused(&declared), "saml_encoding");
    let utf16: Vec<u8> = document.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let code = |bytes: &[u8]| {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        trusting(Idp::rsa()).exchange(&encoded, now()).unwrap_err().code()
    };
    // Every tag of it begins with `<` and a zero byte: as UTF-8 it nests without end.
    assert_eq!(code(&utf16), "saml_too_complex");
    assert_eq!(code(&[b'<', 0xff]), "saml_encoding");
    assert_eq!(code(b""), "saml_malformed");
}

#[test]
fn duplicate_ids_are_refused_in_every_spelling() {
    for attribute in ["ID", "Id", "id", "xml:id"] {
        let says = Says {
            statements: format!(r#"<saml:AuthnStatement {attribute}="_a1"></saml:AuthnStatement>"#),
            ..Says::good()
        };
        assert_eq!(refused(&says.signed(Idp::rsa())), "saml_duplicate_id", "{attribute}");
    }
}

#[test]
fn what_is_too_large_is_refused_unread() {
    let large = "A".repeat((256 * 1024_usize).div_ceil(3) * 4 + 1);
    let failure = trusting(Idp::rsa()).exchange(&large, now()).unwrap_err();
    assert_eq!(failure.code(), "saml_too_large");
}

#[test]
fn what_is_too_deep_or_too_wide_is_refused_before_it_is_parsed() {
    let deep = format!("{}{}", "<a>".repeat(25), "</a>".repeat(25));
    assert_eq!(refused(&deep), "saml_too_complex");
    // A tag whose attribute looks like its end is seen by the parser's own bound.
    let sly = format!("{}{}", "<a b='/>'>".repeat(2_000), "</a>".repeat(2_000));
    assert_eq!(refused(&sly), "saml_malformed");
    assert_eq!(refused(&"<a/>".repeat(10_000)), "saml_too_complex");
    let attributes: String = (0..10_000).map(|n| format!(" a{n}=''")).collect();
    assert_eq!(refused(&format!("<a{attributes}/>")), "saml_too_complex");
    // Within the bounds it is only not an assertion.
    assert_eq!(
        refused(&format!("{}{}", "<a>".repeat(24), "</a>".repeat(24))),
        "saml_not_one_assertion"
    );
}

/// Every element that uses a namespace which its parent does not says the whole name of it again in the canonical form, and
/// that is made before it is known who signed.
#[test]
fn a_canonical_form_of_many_times_the_document_is_refused() {
    let document = Says::good().signed(Idp::rsa());
    let with = |bytes: usize, elements: usize| {
        let declared = format!(r#" xmlns:p="urn:{}">"#, "x".repeat(bytes));
        let root = document.replacen('>', &declared, 1);
        let (head, rest) = root.split_once("<ds:SignatureMethod").unwrap();
        format!("{head}{}<ds:SignatureMethod{rest}", "<p:a/>".repeat(elements))
    };
    assert_eq!(refused(&with(100, 10)), "saml_signature_form");
    assert_eq!(refused(&with(509, 10)), "saml_too_complex");
    assert_eq!(refused(&with(508, 1_000)), "saml_signature_form");
    assert_eq!(refused(&with(508, 2_000)), "saml_too_complex");
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let document = Says::good().signed(Idp::rsa());
    let cases = [
        document.replace("</saml:Assertion>", ""),
        format!("{document}{document}"),
        format!("{document}trailing"),
        document.replace(r#"ID="_a1""#, r#"ID="_a1" ID="_a2""#),
        document.replace(r#"ID="_a1""#, r#"ID="_a1" x:y="z""#),
        document.replace("ada", "a\u{0}da"),
        "mallory".to_owned(),
    ];
    for case in cases {
        assert_eq!(refused(&case), "saml_malformed", "{case}");
    }
}

#[test]
fn the_time_it_takes_is_bounded_whatever_comes() {
    // As wide and as long as the bounds let it be: prefixes, attributes, text.
    let inner: String = (0..2_000)
        .map(|n| format!(r#"<saml:a xmlns:p{n}="urn:{n}" p{n}:x="{n}">t</saml:a>"#))
        .collect();
    let says = Says { statements: inner, ..Says::good() };
    let document = says.signed(Idp::rsa());
    let began = std::time::Instant::now();
    assert_eq!(refused(&document), "saml_form");
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}
