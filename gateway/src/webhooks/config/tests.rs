use super::*;

const GOOD: &str = r#"
name = "chat"
url = "https://bridge.example.com/in"
secret = { value = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }
[answers]
secret = { value = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0" }
[[answers.reviewers]]
id = "@ann:chat.example.com"
issuer = "https://id.example.com"
subject = "ann"
display_name = "Ann"
email = "ann@example.com"
groups = ["dba"]
"#;

fn check(texts: &[&str]) -> Result<Vec<Webhook>, String> {
    let raw: Result<Vec<RawWebhook>, _> = texts.iter().map(|text| toml::from_str(text)).collect();
    let raw = raw.map_err(|error| error.to_string())?;
    let issuers = ["https://id.example.com"];
    RawWebhook::check_all(&raw, Path::new("/"), &issuers, None).map_err(|error| error.to_string())
}

#[test]
fn a_good_one_is_taken() {
    let webhooks = check(&[GOOD]).unwrap();
    let answers = webhooks[0].answers.as_ref().unwrap();
    let ann = &answers.reviewers["@ann:chat.example.com"];
    assert_eq!(ann.email.as_deref(), Some("ann@example.com"));
    let ann = &ann.principal;
    assert_eq!((ann.subject.as_str(), ann.kind), ("ann", PrincipalKind::Human));
    assert!(!webhooks[0].statements, "statements stay here unless somebody says otherwise");
    let local = GOOD.replace("https://bridge.example.com", "http://127.0.0.1:9");
    assert!(check(&[&local]).is_ok());
}

#[test]
fn what_cannot_be_meant_is_refused_by_the_name_of_its_key() {
    for (find, put, key, says) in [
        ("name = \"chat\"", "name = \"Chat Room\"", "gateway.webhooks.Chat Room.name", "a-z"),
        ("https://bridge", "http://bridge", "chat.url", "https"),
        ("https://bridge", "https://me:you@bridge", "chat.url", "without user"),
        ("whsec_Mf", "Mf", "chat.secret", "whsec_"),
        ("whsec_c2VjcmV0", "whsec_", "answers.secret", "24 to 64"),
        (
            "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "answers.secret",
            "use two",
        ),
        ("{ value = \"whsec_Mf", "{ file = \"/nowhere\" } #", "chat.secret", "/nowhere"),
        (
            "id.example.com",
            "di.example.com",
            "reviewers.@ann:chat.example.com",
            "none of [[issuers]]",
        ),
        ("groups = [\"dba\"]", "groups = []", "reviewers.@ann", "groups"),
        ("subject = \"ann\"", "subject = \" \"", "reviewers.@ann", "subject"),
        ("[answers]", "groups = []\n[answers]", "chat.groups", "leave the key out"),
        ("[answers]", "ca_file = \"/etc/hostname\"\n[answers]", "chat.ca_file", "no certificate"),
        ("[answers]", "ca_file = \"/nowhere\"\n[answers]", "chat.ca_file", "/nowhere"),
        ("name", "nome", "nome", "unknown field"),
    ] {
        let text = GOOD.replacen(find, put, 1);
        let error = check(&[&text]).unwrap_err();
        assert!(error.contains(key) && error.contains(says), "{put}: {error}");
        assert!(!error.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{error}");
    }
    let again =
        format!("{GOOD}{}", GOOD.split_once("[[").map(|(_, it)| format!("[[{it}")).unwrap());
    assert!(check(&[&again]).unwrap_err().contains("the id is used twice"));
    assert!(
        check(&[GOOD, GOOD]).unwrap_err().contains("gateway.webhooks.chat.name: it is used twice")
    );
    let nobody = GOOD.split_once("[[").unwrap().0.replace("[answers]", "[answers]\nreviewers = []");
    assert!(check(&[&nobody]).unwrap_err().contains("at least one reviewer"));
    let many: Vec<String> =
        (0..17).map(|n| GOOD.replace("\"chat\"", &format!("\"c{n}\""))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(check(&many).unwrap_err().contains("at most 16"));
}
