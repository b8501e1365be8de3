//! Good signatures under assertions that are not for us, not for now, or not of a form that is understood.

use jiff::SignedDuration;

use crate::idp::*;

fn code(says: &Says) -> &'static str {
    refused(&says.signed(Idp::rsa()))
}

fn with_conditions(conditions: String) -> Says {
    Says { conditions, ..Says::good() }
}

fn with_subject(inner: &str) -> Says {
    Says { subject: format!("<saml:Subject>{inner}</saml:Subject>"), ..Says::good() }
}

fn issued(seconds: i64) -> Says {
    Says { head: format!(r#"IssueInstant="{}" Version="2.0""#, at(seconds)), ..Says::good() }
}

fn is_taken(says: &Says) -> bool {
    trusting(Idp::rsa()).exchange(&encode(&says.signed(Idp::rsa())), now()).is_ok()
}

#[test]
fn saml_core_2_5_1_4_the_audience_is_ours() {
    let other = audience("https://other.example.com");
    let ours = audience(AUDIENCE);
    assert_eq!(code(&with_conditions(conditions(-60, 300, &other))), "saml_wrong_audience");
    assert_eq!(code(&with_conditions(conditions(-60, 300, ""))), "saml_wrong_audience");
    let slash = audience(&format!("{AUDIENCE}/"));
    assert_eq!(code(&with_conditions(conditions(-60, 300, &slash))), "saml_wrong_audience");
    // Restrictions hold together, audiences of one are alternatives.
    let both = format!("{ours}{other}");
    assert_eq!(code(&with_conditions(conditions(-60, 300, &both))), "saml_wrong_audience");
    let either = ours.replace("<saml:Audience>", "<saml:Audience>x</saml:Audience><saml:Audience>");
    assert!(is_taken(&with_conditions(conditions(-60, 300, &either))));
}

#[test]
fn saml_core_2_5_1_no_conditions_or_unknown_ones() {
    assert_eq!(code(&with_conditions(String::new())), "saml_form");
    let twice = conditions(-60, 300, &audience(AUDIENCE)).repeat(2);
    assert_eq!(code(&with_conditions(twice)), "saml_form");
    for unknown in [
        "<saml:ProxyRestriction Count=\"0\"></saml:ProxyRestriction>",
        "<saml:Condition></saml:Condition>",
        r#"<x:OneTimeUse xmlns:x="urn:x"></x:OneTimeUse>"#,
    ] {
        let inner = format!("{}{unknown}", audience(AUDIENCE));
        assert_eq!(code(&with_conditions(conditions(-60, 300, &inner))), "saml_condition");
    }
}

#[test]
fn saml_core_2_5_1_2_the_window_of_the_conditions_on_both_sides() {
    let window = |from, until| with_conditions(conditions(from, until, &audience(AUDIENCE)));
    assert!(is_taken(&window(30, 300)), "within the skew");
    assert_eq!(code(&window(31, 300)), "saml_not_yet_valid");
    assert!(is_taken(&window(-60, 1)));
    assert_eq!(code(&window(-60, 0)), "saml_expired");
}

#[test]
fn the_age_of_an_assertion_on_both_sides() {
    assert!(is_taken(&issued(30)));
    assert_eq!(code(&issued(31)), "saml_not_yet_valid");
    assert!(is_taken(&issued(-329)));
    assert_eq!(code(&issued(-330)), "saml_too_old");
    let never = Says { head: r#"Version="2.0""#.to_owned(), ..Says::good() };
    assert_eq!(code(&never), "saml_form");
    let far = Says {
        head: r#"IssueInstant="9999-12-30T00:00:00Z" Version="2.0""#.to_owned(),
        ..Says::good()
    };
    assert_eq!(code(&far), "saml_not_yet_valid");
}

#[test]
fn saml_core_1_3_3_times_are_in_utc() {
    for time in
        ["2026-11-27T12:00:00", "2026-11-27T12:00:00+00:00", "2026-11-27 12:00:00Z", "now", "Z"]
    {
        let says = Says { head: format!(r#"IssueInstant="{time}" Version="2.0""#), ..Says::good() };
        assert_eq!(code(&says), "saml_form", "{time}");
    }
    let fraction = Says {
        head: r#"IssueInstant="2026-11-27T11:59:59.123456Z" Version="2.0""#.to_owned(),
        ..Says::good()
    };
    assert!(is_taken(&fraction));
}

#[test]
fn the_session_of_the_provider_ends_the_token() {
    let until = |seconds: i64| Says {
        statements: format!(
            r#"<saml:AuthnStatement AuthnInstant="{}" SessionNotOnOrAfter="{}"></saml:AuthnStatement>"#,
            at(-60),
            at(seconds)
        ),
        ..Says::good()
    };
    let claims = taken(&trusting(Idp::rsa()), &until(90).signed(Idp::rsa()));
    assert_eq!(claims["exp"].as_i64().unwrap(), now().as_second() + 90);
    assert_eq!(code(&until(0)), "saml_expired");
}

#[test]
fn saml_profiles_4_1_4_2_the_bearers_confirmation() {
    let subject = |confirmation: &str| with_subject(&(name_id("ada") + confirmation));
    let until = |seconds| at(seconds);
    let to = |recipient: &str| {
        bearer(&format!(r#"NotOnOrAfter="{}" Recipient="{recipient}""#, until(120)))
    };
    assert_eq!(code(&subject(&to("https://other.example.com/acs"))), "saml_wrong_recipient");
    assert_eq!(code(&subject(&to(&format!("{RECIPIENT}/")))), "saml_wrong_recipient");
    let nowhere = bearer(&format!(r#"NotOnOrAfter="{}""#, until(120)));
    assert_eq!(code(&subject(&nowhere)), "saml_wrong_recipient");
    let forever = bearer(&format!(r#"Recipient="{RECIPIENT}""#));
    assert_eq!(code(&subject(&forever)), "saml_form");
    let over =
        |seconds| bearer(&format!(r#"NotOnOrAfter="{}" Recipient="{RECIPIENT}""#, until(seconds)));
    assert_eq!(code(&subject(&over(-30))), "saml_expired");
    assert!(is_taken(&subject(&over(-29))));
    let waits = bearer(&format!(
        r#"NotBefore="{}" NotOnOrAfter="{}" Recipient="{RECIPIENT}""#,
        until(-60),
        until(120)
    ));
    assert_eq!(code(&subject(&waits)), "saml_not_bearer");
    assert_eq!(code(&subject("")), "saml_not_bearer");
    // One that is good is enough.
    assert!(is_taken(&subject(&(to("https://other.example.com/acs") + &good_bearer()))));
}

#[test]
fn saml_profiles_3_1_holder_of_key_and_sender_vouches_are_refused() {
    for method in ["holder-of-key", "sender-vouches"] {
        let other = good_bearer().replace("cm:bearer", &format!("cm:{method}"));
        assert_eq!(code(&with_subject(&(name_id("ada") + &other))), "saml_not_bearer");
    }
}

#[test]
fn saml_core_2_3_3_issuer_and_version() {
    let by = |issuer: &str| Says { issuer: issuer.to_owned(), ..Says::good() };
    assert_eq!(code(&by("<saml:Issuer>https://evil.example</saml:Issuer>")), "saml_unknown_idp");
    assert_eq!(code(&by("")), "saml_form");
    let twice = format!("<saml:Issuer>{ENTITY}</saml:Issuer>").repeat(2);
    assert_eq!(code(&by(&twice)), "saml_form");
    let person = format!(
        r#"<saml:Issuer Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">{ENTITY}</saml:Issuer>"#
    );
    assert_eq!(code(&by(&person)), "saml_form");
    let old = Says { head: format!(r#"IssueInstant="{}" Version="1.1""#, at(-5)), ..Says::good() };
    assert_eq!(code(&old), "saml_form");
    let anonymous = Says { id: String::new(), ..Says::good() };
    assert_eq!(code(&anonymous), "saml_form");
}

#[test]
fn a_provider_signs_for_itself_alone() {
    // Two providers are trusted; one signs in the name of the other.
    let other = "https://other.example.com/metadata";
    let mut second = configured(Idp::other(), "");
    second.entity_id = other.to_owned();
    let exchange = exchange_of(vec![configured(Idp::rsa(), ""), second]);
    assert_eq!(refused_by(&exchange, &Says::good().signed(Idp::other())), "saml_bad_signature");
    // And one NameID of two providers is two principals.
    let issuer = format!("<saml:Issuer>{other}</saml:Issuer>");
    let theirs = Says { issuer, ..Says::good() }.signed(Idp::other());
    let ours = Says::good().signed(Idp::rsa());
    let subjects = [ours, theirs].map(|document| taken(&exchange, &document)["sub"].clone());
    assert_eq!(subjects, [format!("{ENTITY}#ada"), format!("{other}#ada")]);
}

#[test]
fn encrypted_parts_are_refused_as_such() {
    let encrypted =
        format!(r#"<saml:EncryptedAssertion xmlns:saml="{SAML}"></saml:EncryptedAssertion>"#);
    assert_eq!(refused(&response(&encrypted)), "saml_encrypted");
    let id = format!("<saml:EncryptedID></saml:EncryptedID>{}", good_bearer());
    assert_eq!(code(&with_subject(&id)), "saml_encrypted");
    let attribute = Says {
        statements: "<saml:AttributeStatement><saml:EncryptedAttribute></saml:EncryptedAttribute></saml:AttributeStatement>".to_owned(),
        ..Says::good()
    };
    assert_eq!(code(&attribute), "saml_encrypted");
}

#[test]
fn parts_that_are_not_known_are_refused() {
    for statement in [
        "<saml:Advice></saml:Advice>",
        "<saml:AuthzDecisionStatement></saml:AuthzDecisionStatement>",
        r#"<x:y xmlns:x="urn:x"></x:y>"#,
        "stray",
    ] {
        let says = Says { statements: statement.to_owned(), ..Says::good() };
        assert_eq!(code(&says), "saml_form", "{statement}");
    }
    let based = format!("<saml:BaseID></saml:BaseID>{}", good_bearer());
    assert_eq!(code(&with_subject(&based)), "saml_form");
    assert_eq!(code(&with_subject(&good_bearer())), "saml_form");
}

#[test]
fn saml_profiles_4_1_4_5_an_assertion_is_used_once() {
    let exchange = trusting(Idp::rsa());
    let document = encode(&Says::good().signed(Idp::rsa()));
    let first = exchange.exchange(&document, now()).unwrap();
    let replayed = exchange.exchange(&document, now()).unwrap_err();
    assert_eq!(replayed.code(), "saml_replayed");
    assert_eq!(replayed.claimed_issuer(), Some(ENTITY));
    // The same one in a response, or written in another way, is the same one.
    let wrapped = response(&Says::good().signed(Idp::rsa()));
    assert_eq!(refused_by(&exchange, &wrapped), "saml_replayed");
    // OneTimeUse (SAML core section 2.5.1.5) is what every assertion is here.
    let inner = format!("{}<saml:OneTimeUse></saml:OneTimeUse>", audience(AUDIENCE));
    let once = Says { id: "_a2".to_owned(), ..with_conditions(conditions(-60, 300, &inner)) };
    assert_eq!(taken(&exchange, &once.signed(Idp::rsa()))["name"], "ada");
    assert_eq!(refused_by(&exchange, &once.signed(Idp::rsa())), "saml_replayed");
    // Until it lapses, and then it is too old.
    for seconds in [1, 100, 299] {
        let later = now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
        let code = exchange.exchange(&document, later).unwrap_err().code();
        assert!(["saml_replayed", "saml_expired"].contains(&code), "{code}");
    }
    // At another gateway it is taken once more, and seen to be the same one.
    let elsewhere = trusting(Idp::rsa()).exchange(&document, now()).unwrap();
    assert_eq!(first.token_id, elsewhere.token_id);
}
