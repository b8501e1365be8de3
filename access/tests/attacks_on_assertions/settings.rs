//! What the configuration takes, and what it makes of attributes.

use serde_json::json;
use tallyport_access::saml::{SamlConfig, SamlExchange};

use crate::idp::*;

fn attributes(list: &[(&str, &[&str])]) -> Says {
    let value = |it: &&str| format!("<saml:AttributeValue>{it}</saml:AttributeValue>");
    let one = |(name, values): &(&str, &[&str])| {
        let values: String = values.iter().map(value).collect();
        format!(r#"<saml:Attribute Name="{name}">{values}</saml:Attribute>"#)
    };
    let all: String = list.iter().map(one).collect();
    Says {
        statements: format!("<saml:AttributeStatement>{all}</saml:AttributeStatement>"),
        ..Says::good()
    }
}

fn with_name(format: &str, name: &str) -> Says {
    let name = format!(r#"<saml:NameID Format="{format}">{name}</saml:NameID>"#);
    Says {
        subject: format!("<saml:Subject>{name}{}</saml:Subject>", good_bearer()),
        ..Says::good()
    }
}

const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";

#[test]
fn saml_core_8_3_8_a_transient_name_is_nobodys() {
    let document = with_name(TRANSIENT, "_x1").signed(Idp::rsa());
    assert_eq!(refused(&document), "saml_name_id");
    let by_attribute = configured(Idp::rsa(), "[attributes]\nsubject = \"uid\"\n");
    let exchange = exchange_of(vec![by_attribute]);
    assert_eq!(refused_by(&exchange, &document), "saml_missing_attribute");
    let says =
        Says { subject: with_name(TRANSIENT, "_x1").subject, ..attributes(&[("uid", &["u-1"])]) };
    assert_eq!(taken(&exchange, &says.signed(Idp::rsa()))["sub"], format!("{ENTITY}#u-1"));
    let persistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
    for name in ["", "a\nb", &"x".repeat(250)] {
        assert_eq!(refused(&with_name(persistent, name).signed(Idp::rsa())), "saml_name_id");
    }
    let nested = with_name(persistent, "ada<saml:x></saml:x>").signed(Idp::rsa());
    assert_eq!(refused(&nested), "saml_name_id");
}

#[test]
fn a_name_that_is_an_address_is_theirs_and_an_attribute_wins() {
    let email = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
    let address = |exchange: &SamlExchange, says: &Says| {
        taken(exchange, &says.signed(Idp::rsa())).get("email").cloned()
    };
    let plain = || exchange_of(vec![configured(Idp::rsa(), "")]);
    assert_eq!(address(&plain(), &with_name(email, "a@b.example")), Some(json!("a@b.example")));
    assert_eq!(address(&plain(), &Says::good()), None);
    let mapped = configured(Idp::rsa(), "[attributes]\nemail = \"mail\"\n");
    let mapped = exchange_of(vec![mapped]);
    let subject = with_name(email, "a@b.example").subject;
    let says = Says { subject, ..attributes(&[("mail", &["c@d.example"])]) };
    assert_eq!(address(&mapped, &says), Some(json!("c@d.example")));
}

#[test]
fn attributes_become_claims_and_nothing_else_does() {
    let config = "group_prefix = \"idp:\"\n[attributes]\ndisplay_name = \"cn\"\nemail = \"mail\"\ngroups = \"memberOf\"\n\
                  owner = { attribute = \"manager\", required = true }\nother = { \"a/b\" = \"ou\" }\n\
                  [attributes.kind]\nattribute = \"type\"\nvalues = { robot = \"agent\" }\n";
    let exchange = exchange_of(vec![configured(Idp::rsa(), config)]);
    let whole: [(&str, &[&str]); 7] = [
        ("cn", &["Ada L."]),
        ("mail", &["ada@example.com"]),
        ("memberOf", &["b", "a", "b"]),
        ("memberOf", &["c d"]),
        ("manager", &["grace"]),
        ("type", &["robot"]),
        ("ou", &["research"]),
    ];
    let claims = taken(&exchange, &attributes(&whole).signed(Idp::rsa()));
    assert_eq!((&claims["name"], &claims["email"]), (&json!("Ada L."), &json!("ada@example.com")));
    assert_eq!(claims["groups"], json!(["idp:a", "idp:b", "idp:c d"]));
    assert_eq!((&claims["owner"], &claims["kind"]), (&json!("grace"), &json!("agent")));
    assert_eq!(claims["attributes"], json!({ "a/b": "research" }));
    let but = |name: &str, values: &[&str]| {
        let list: Vec<_> =
            whole.iter().map(|it| if it.0 == name { (name, values) } else { *it }).collect();
        refused_by(&exchange, &attributes(&list).signed(Idp::rsa()))
    };
    assert_eq!(but("manager", &[]), "saml_missing_attribute");
    assert_eq!(but("manager", &["a", "b"]), "saml_invalid_attribute");
    assert_eq!(but("type", &["admin"]), "saml_invalid_attribute");
    assert_eq!(but("cn", &[""]), "saml_invalid_attribute");
    assert_eq!(but("cn", &["a\nb"]), "saml_invalid_attribute");
    assert_eq!(but("memberOf", &["<saml:x></saml:x>"]), "saml_invalid_attribute");
}

#[test]
fn what_is_wrong_in_the_configuration_is_named_with_its_fix() {
    let one = || configured(Idp::rsa(), "");
    let problem = |change: &dyn Fn(&mut SamlConfig)| {
        let mut config = SamlConfig {
            issuer: ISSUER.to_owned(),
            token_key: token_key(),
            token_seconds: 600,
            idps: vec![one()],
        };
        change(&mut config);
        SamlExchange::new(&config).map(|_| ()).unwrap_err().to_string()
    };
    let cases: &[(&str, Change<'_>)] = &[
        ("gateway.saml.issuer", &|it| it.issuer = "http://gateway.example.com".into()),
        ("gateway.saml.issuer", &|it| it.issuer = "https://gateway.example.com/".into()),
        ("gateway.saml.issuer", &|it| it.issuer = "https://gateway.example.com/x".into()),
        ("gateway.saml.token_key", &|it| it.token_key = "nothing".into_token()),
        ("gateway.saml.token_seconds: 60 to 3600", &|it| it.token_seconds = 3601),
        ("gateway.saml.idp: name 1 to", &|it| it.idps.clear()),
        ("it stands twice", &|it| it.idps.push(it.idps[0].clone())),
        (".entity_id", &|it| it.idps[0].entity_id = "https://idp#x".into()),
        (".audience", &|it| it.idps[0].audience.clear()),
        (".recipient", &|it| it.idps[0].recipient = "/saml/token".into()),
        (".clock_skew_seconds: at most 120", &|it| it.idps[0].clock_skew_seconds = 121),
        (".max_age_seconds: 10 to 3600", &|it| it.idps[0].max_age_seconds = 9),
        (".certificate_files: name", &|it| it.idps[0].certificate_files.clear()),
        ("`/no/such/file`", &|it| it.idps[0].certificate_files = vec!["/no/such/file".into()]),
        (".attributes", &|it| it.idps[0].attributes.subject = Some(String::new())),
    ];
    for (expected, change) in cases {
        let problem = problem(*change);
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn certificates_are_certificates_of_strong_keys() {
    let refused = |pem: &str| {
        let mut idp = configured(Idp::rsa(), "");
        std::fs::write(&idp.certificate_files[0], pem).unwrap();
        let path = idp.certificate_files.remove(0);
        idp.certificate_files.push(path);
        let config = SamlConfig {
            issuer: ISSUER.to_owned(),
            token_key: token_key(),
            token_seconds: 600,
            idps: vec![idp],
        };
        SamlExchange::new(&config).map(|_| ()).unwrap_err().to_string()
    };
    assert!(refused("").contains("no PEM certificate"));
    assert!(refused(token_key().expose()).contains("only certificates"));
    let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let ed25519 = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&ed25519).unwrap();
    assert!(refused(&ed25519.pem()).contains("not RSA, P-256 or P-384"));
    assert!(refused(include_str!("rsa-1024.pem")).contains("its RSA key has 1024 bits"));
}

#[test]
fn several_certificates_let_a_key_be_changed() {
    let both = format!("{}{}", Idp::other().certificate, Idp::rsa().certificate);
    let idp = configured(Idp::rsa(), "");
    std::fs::write(&idp.certificate_files[0], both).unwrap();
    let exchange = exchange_of(vec![idp]);
    for (id, by) in [("_a1", Idp::rsa()), ("_a2", Idp::other())] {
        let says = Says { id: id.to_owned(), ..Says::good() };
        assert_eq!(taken(&exchange, &says.signed(by))["name"], "ada");
    }
}

#[test]
fn a_certificate_file_that_is_written_anew_counts() {
    let idp = configured(Idp::rsa(), "");
    let file = idp.certificate_files[0].clone();
    let exchange = exchange_of(vec![idp]);
    let says = |id: &str, by: &Idp| Says { id: id.to_owned(), ..Says::good() }.signed(by);
    let write = |pem: &str| {
        std::fs::write(&file, pem).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1100));
    };
    assert_eq!(taken(&exchange, &says("_b1", Idp::rsa()))["name"], "ada");
    write(&Idp::other().certificate);
    assert_eq!(refused_by(&exchange, &says("_b2", Idp::rsa())), "saml_bad_signature");
    assert_eq!(taken(&exchange, &says("_b3", Idp::other()))["name"], "ada");
    write("nothing");
    assert_eq!(taken(&exchange, &says("_b4", Idp::other()))["name"], "ada");
}

#[test]
fn an_unknown_key_of_the_configuration_is_an_error() {
    let text = "entity_id = \"a\"\ncertificate_files = []\naudience = \"b\"\nrecipient = \"c\"\nverify = false\n";
    assert!(toml::from_str::<tallyport_access::saml::IdpConfig>(text).is_err());
}

type Change<'a> = &'a dyn Fn(&mut SamlConfig);

trait IntoToken {
    fn into_token(self) -> tallyport_access::SecretToken;
}

impl IntoToken for &str {
    fn into_token(self) -> tallyport_access::SecretToken {
        tallyport_access::SecretToken::new(self)
    }
}
