use super::*;

fn parse(text: &str) -> Result<Masking, MaskingError> {
    Masking::parse_with(text, "masking.toml", |source| match source {
        SecretSource::Env(name) if name == "KEY" => Ok(b"0123456789abcdef\n".to_vec()),
        SecretSource::Env(name) if name == "SHORT" => Ok(b"short".to_vec()),
        other => Err(format!("{other:?} is not there")),
    })
}

const GOOD: &str = r#"
hash_key = { env = "KEY" }
[columns]
"app.customers.ssn" = "pii.ssn"
'app."My.Table"."SSN"' = "pii"
[labels."pii.ssn"]
mask = "partial:last4"
[labels.pii]
mask = "hash"
"#;

#[test]
fn a_configuration_is_checked_and_kept() {
    let masking = parse(GOOD).unwrap();
    let columns: Vec<_> =
        masking.columns().map(|(column, label)| (column.display(), label.to_owned())).collect();
    assert_eq!(
        columns,
        [
            ("app.My.Table.SSN".to_owned(), "pii".to_owned()),
            ("app.customers.ssn".to_owned(), "pii.ssn".to_owned())
        ]
    );
    assert_eq!(masking.default_mask("pii.ssn").to_string(), "partial:last4");
    assert_eq!(masking.default_mask("pii.email").to_string(), "hash");
    assert_eq!(masking.default_mask("pci").to_string(), "redact");
    assert_eq!(masking.version().len(), 64);
    let shown = format!("{masking:?}");
    assert!(!shown.contains("0123456789abcdef") && shown.contains("redacted"), "{shown}");
}

#[test]
fn what_is_not_understood_is_an_error_that_names_the_key() {
    let cases = [
        ("[columns]\n\"customers.ssn\" = \"pii\"", "customers.ssn"),
        ("[columns]\n\"app.Customers.ssn\" = \"pii\"", "app.Customers.ssn"),
        ("[columns]\n\"app.customers.ssn.x\" = \"pii\"", "app.customers.ssn.x"),
        ("[columns]\n\"app.customers.ssn\" = \"p i\"", "p i"),
        ("[columns]\n\"app.customers.ssn\" = \"pii..ssn\"", "pii..ssn"),
        ("[labels.pii]\nmask = \"none\"", "none"),
        ("[labels.pii]\nmask = \"hash\"", "hash_key"),
        ("[labels.pii]\nmasks = \"hash\"", "masks"),
        ("hash_key = { env = \"NONE\" }", "NONE"),
        ("hash_key = { env = \"SHORT\" }", "shorter"),
        ("hash_key = \"secret\"", "hash_key"),
        ("colums = 1", "colums"),
    ];
    for (text, named) in cases {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with("masking.toml: ") && error.contains(named), "{text}: {error}");
        assert!(!error.contains("short\n"), "an error never quotes a secret: {error}");
    }
}

#[test]
fn what_loses_its_label_is_named() {
    let with = |columns: &str| parse(&format!("[columns]\n{columns}")).unwrap();
    let before = with("\"app.customers.ssn\" = \"pii\"\n\"app.customers.email\" = \"pii\"");
    let typo = with("\"app.customers.ssnn\" = \"pii\"\n\"app.customers.email\" = \"pii.email\"");
    assert_eq!(before.unlabelled_in(&typo), ["app.customers.ssn"]);
    assert!(before.unlabelled_in(&before).is_empty());
}
