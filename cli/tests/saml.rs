//! `[gateway.saml]` is checked before anything starts: what is wrong is named with the file, the key and the fix.
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::Command;

use tallyport_gateway::tls::DevCa;

const ISSUER: &str = "[[issuers]]\nissuer = \"https://idp.example\"\naudiences = [\"a\"]\n";

/// The exit code and what was said of a file with this section.
fn check(folder: &Path, saml: &str) -> (Option<i32>, String) {
    check_with(folder, ISSUER, saml)
}

fn check_with(folder: &Path, issuers: &str, saml: &str) -> (Option<i32>, String) {
    let text = format!(
        "node = \"n\"\n[log]\nurl = \"embedded:log\"\n{issuers}\
         [policy]\npath = \"policy.cedar\"\n[gateway]\nlisten = \"127.0.0.1:0\"\ncert = \"tls/server.pem\"\n\
         key = \"tls/server.key\"\n{saml}"
    );
    let path = folder.join("t.toml");
    std::fs::write(&path, text).expect("writable");
    let output = Command::new(env!("CARGO_BIN_EXE_tallyport"))
        .args(["config", "check"])
        .arg(&path)
        .output()
        .expect("the binary runs");
    let told = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&told).into_owned())
}

const GOOD: &str = "[gateway.saml]\nissuer = \"https://g.example\"\ntoken_key = { file = \"tls/server.key\" }\n\
                [[gateway.saml.idp]]\nentity_id = \"https://saml.example/metadata\"\n\
                certificate_files = [\"tls/server.pem\"]\naudience = \"https://g.example/saml\"\n\
                recipient = \"https://g.example/saml/token\"\n[gateway.saml.idp.attributes]\ngroups = \"groups\"\n";
const HOOK: &str = "[[gateway.webhooks]]\nname = \"chat\"\nurl = \"http://127.0.0.1:1/in\"\n\
                    secret = { value = \"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\" }\n[gateway.webhooks.answers]\n\
                    secret = { value = \"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\" }\n\
                    [[gateway.webhooks.answers.reviewers]]\nid = \"@dora\"\nissuer = \"https://g.example\"\n\
                    subject = \"https://saml.example/metadata#dora\"\ndisplay_name = \"Dora\"\ngroups = [\"dba\"]\n";

#[test]
fn what_cannot_work_is_said_before_anything_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    // Its certificate stands for a provider's, its key for the one of tokens: both are of P-256.
    DevCa::create_or_load(&folder.path().join("tls")).expect("a certificate");
    let policy = "@id(\"all\") permit (principal, action, resource);";
    std::fs::write(folder.path().join("policy.cedar"), policy).expect("writable");
    let good = GOOD;
    let (code, told) = check(folder.path(), good);
    assert_eq!(code, Some(0), "{told}");
    // Nobody else need be trusted, also for people who answer by a webhook.
    let (code, told) = check_with(folder.path(), "", good);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = check_with(folder.path(), "", &format!("{good}{HOOK}"));
    assert_eq!(code, Some(0), "{told}");
    let stranger = HOOK.replace("https://g.example", "https://other.example");
    let (code, told) = check_with(folder.path(), "", &format!("{good}{stranger}"));
    assert!(code == Some(2) && told.contains("none of [[issuers]]"), "{told}");
    let (code, told) = check_with(folder.path(), "", "");
    assert!(code == Some(2) && told.contains("or [gateway.saml]"), "{told}");
    for (from, to, saying) in [
        ("https://g.example\"", "https://g.example/\"", "gateway.saml.issuer: write the https URL"),
        ("tls/server.key\"", "tls/none.key\"", "gateway.saml.token_key: "),
        ("tls/server.key\"", "tls/server.pem\"", "gateway.saml.token_key: it is no private key"),
        ("tls/server.pem\"]", "tls/server.key\"]", "only certificates belong in it"),
        ("audience = \"https://g.example/saml\"\n", "", "audience"),
        (
            "[gateway.saml.idp.attributes]\n",
            "[gateway.saml.idp.attributes]\nsubjekt = \"x\"\n",
            "subjekt",
        ),
        (
            "token_key = ",
            "token_seconds = 7200\ntoken_key = ",
            "gateway.saml.token_seconds: 60 to 3600",
        ),
    ] {
        assert!(good.contains(from));
        let (code, told) = check(folder.path(), &good.replacen(from, to, 1));
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(saying) && told.contains("t.toml"), "{saying}: {told}");
    }
}

#[test]
fn the_key_may_be_what_a_command_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("policy.cedar"), "").expect("writable");
    DevCa::create_or_load(&folder.path().join("tls")).expect("a certificate");
    let key = folder.path().join("tls/server.key").display().to_string();
    let by = |program: &str| {
        let command = format!("token_key = {{ command = [\"{program}\", \"{key}\"] }}");
        check(folder.path(), &GOOD.replace("token_key = { file = \"tls/server.key\" }", &command))
    };
    let (code, told) = by("/bin/cat");
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = by("/bin/false");
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("gateway.saml.token_key") && told.contains("/bin/false"), "{told}");
}
