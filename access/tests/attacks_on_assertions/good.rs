//! Positive controls: the harness signs what is taken, in every way that is taken.

use serde_json::json;
use tallyport_access::{Authenticator, IssuerConfig};

use crate::idp::*;

#[test]
fn a_good_assertion_is_taken() {
    let claims = taken(&trusting(Idp::rsa()), &Says::good().signed(Idp::rsa()));
    assert_eq!(claims["sub"], format!("{ENTITY}#ada"));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!(ISSUER)));
    assert_eq!((&claims["idp"], &claims["kind"]), (&json!(ENTITY), &json!("human")));
    assert_eq!((&claims["name"], &claims["groups"]), (&json!("ada"), &json!(["staff"])));
    // 600 s are configured; the assertion vouches for 300.
    assert_eq!(claims["exp"].as_i64().unwrap(), now().as_second() + 300);
}

#[test]
fn the_only_assertion_of_a_response_is_taken_also_where_the_response_is_signed_as_well() {
    let assertion = Says::good().signed(Idp::rsa());
    let exchange = trusting(Idp::rsa());
    assert_eq!(taken(&exchange, &response(&assertion))["name"], "ada");
    let signature = Signing::of("_r1", "whatever it covers").sign(Idp::rsa());
    let twice = response(&(signature + &assertion));
    assert_eq!(taken(&trusting(Idp::rsa()), &twice)["name"], "ada");
}

#[test]
fn every_algorithm_of_the_list_is_taken() {
    let rsa = Idp::rsa();
    let (p256, p384) = (Idp::ec(256), Idp::ec(384));
    let cases = [
        (rsa, "rsa-sha256"),
        (rsa, "rsa-sha384"),
        (rsa, "rsa-sha512"),
        (&p256, "ecdsa-sha256"),
        (&p384, "ecdsa-sha384"),
    ];
    for (idp, method) in cases {
        let says = Says::good();
        for digest in [sha256, sha384, sha512] {
            let (algorithm, value) = digest(&says.unsigned());
            let signing = Signing {
                method: method.to_owned(),
                references: vec![reference("#_a1", &transforms(), (algorithm, &value))],
                ..Signing::of(&says.id, "")
            };
            assert_eq!(taken(&trusting(idp), &says.with(&signing.sign(idp)))["name"], "ada");
        }
    }
}

#[test]
fn inclusive_namespaces_change_what_is_signed_and_are_taken() {
    let says = Says { head: format!(r#"IssueInstant="{}" Version="2.0""#, at(-5)), ..Says::good() };
    // With the prefixes `xs` and `xsi` listed, their declarations are part of the canonical form although nothing uses them.
    let declared = |text: String| {
        text.replacen(
            &format!(r#"xmlns:saml="{SAML}""#),
            &format!(r#"xmlns:saml="{SAML}" xmlns:xs="http://www.w3.org/2001/XMLSchema""#),
            1,
        )
    };
    let inclusive = format!(
        r#"<ec:InclusiveNamespaces xmlns:ec="{EXC}" PrefixList="xs"></ec:InclusiveNamespaces>"#
    );
    let digest = sha256(&declared(says.unsigned()));
    let list = transform(ENVELOPED, "") + &transform(EXC, &inclusive);
    let signing = Signing {
        references: vec![reference("#_a1", &list, (digest.0, &digest.1))],
        ..Signing::of(&says.id, "")
    };
    let document = declared(says.with(&signing.sign(Idp::rsa())));
    assert_eq!(taken(&trusting(Idp::rsa()), &document)["name"], "ada");
    // The same without the list is another canonical form.
    let plain = Signing {
        references: vec![reference("#_a1", &transforms(), (digest.0, &digest.1))],
        ..Signing::of(&says.id, "")
    };
    assert_eq!(refused(&declared(says.with(&plain.sign(Idp::rsa())))), "saml_digest");
}

#[test]
fn a_document_that_is_not_canonical_is_taken_for_what_was_signed() {
    let canonical = Says::good().signed(Idp::rsa());
    let written = canonical
        .replace("></saml:SubjectConfirmationData>", "/>")
        .replace(r#"ID="_a1""#, "Version='2.0'\n  ID='_a1'")
        .replacen(r#" Version="2.0""#, "", 1)
        .replace("></ds:CanonicalizationMethod>", " />");
    let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{written}\n");
    assert_eq!(taken(&trusting(Idp::rsa()), &document)["name"], "ada");
}

#[test]
fn padding_is_taken_and_other_alphabets_are_not() {
    let exchange = trusting(Idp::rsa());
    let encoded = encode(&Says::good().signed(Idp::rsa()));
    let padded = format!("{encoded}{}", "=".repeat((4 - encoded.len() % 4) % 4));
    assert!(exchange.exchange(&padded, now()).is_ok());
    for wrong in ["PHNhbWw+", "PHNh bWw", "PHNhbWx", "\u{e4}"] {
        assert_eq!(exchange.exchange(wrong, now()).unwrap_err().code(), "saml_encoding");
    }
    assert_eq!(exchange.exchange("_____w", now()).unwrap_err().code(), "saml_encoding");
}

#[tokio::test]
async fn the_token_is_one_that_the_authenticator_takes_by_its_own_key_alone() {
    // It asks the real clock.
    let real = jiff::Timestamp::now();
    let exchange = trusting(Idp::rsa());
    let signed = Says::good().signed_at(real, Idp::rsa());
    let exchanged = exchange.exchange(&encode(&signed), real).unwrap();
    let elsewhere = IssuerConfig::new("https://id.example.com", vec!["a".to_owned()]);
    let authenticator =
        Authenticator::trusting(vec![elsewhere.clone()], Vec::new(), Some(&exchange)).unwrap();
    let identity = authenticator.verify(exchanged.token.expose()).await.unwrap();
    assert_eq!(identity.principal.issuer, ISSUER);
    assert_eq!(identity.principal.subject, format!("{ENTITY}#ada"));
    assert_eq!(identity.principal.display_name, "ada");
    assert_eq!(identity.principal.groups, ["staff"]);
    assert_eq!(identity.agent.other["idp"], ENTITY);
    assert_eq!(identity.token_id.as_deref(), Some(exchanged.token_id.as_str()));
    // Another gateway's key of the same name is another key.
    let other = signing(another_token_key(), vec![configured(Idp::rsa(), "")]);
    let other = Authenticator::trusting(vec![elsewhere], Vec::new(), Some(&other)).unwrap();
    let refused = other.verify(exchanged.token.expose()).await.unwrap_err();
    assert_eq!(refused.code(), "unknown_key");
}
