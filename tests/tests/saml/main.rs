//! The whole way, with nothing of ours but the binary: pysaml2 signs a person's assertion, curl exchanges it at `tallyport
//! up`, `tallyport connect --token-file` opens a port with the token, psql runs a statement, and the audit says who it was.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use std::process::Command;

use dev_services::DevService;
use serde_json::Value;
use tallyport_gateway::tls::DevCa;
use tallyport_tests::{Forward, binary, eventually, free_port, psql, rows, said, start_or_say};

const TEST: &str = "a_person_signs_in_by_saml_and_reads_a_database_on_record";

fn curl(arguments: &[&str]) -> String {
    let output =
        Command::new("curl").args(["-s", "--noproxy", "*"]).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn config(folder: &std::path::Path, idp: &DevService, ports: [u16; 3]) -> String {
    let [gateway, query, postgres] = ports;
    let key = ["genpkey", "-algorithm", "ED25519", "-out", "token.key"];
    assert!(
        Command::new("openssl").args(key).current_dir(folder).output().unwrap().status.success()
    );
    std::fs::write(
        folder.join("policy.cedar"),
        "@id(\"all\") permit (principal, action, resource);",
    )
    .unwrap();
    DevCa::create_or_load(&folder.join("tls")).unwrap();
    let lake = folder.join("lake");
    std::fs::create_dir(&lake).unwrap();
    let text = format!(
        "node = 'saml'\n[log]\nurl = 'embedded:{log}'\n[[issuers]]\nissuer = 'https://id.example.com'\naudiences = ['x']\n\
         [policy]\npath = 'policy.cedar'\n[lake]\nurl = 'file://{lake}'\n[recorder]\ncommit_max_age_ms = 200\n\
         [query]\nhttp = '127.0.0.1:{query}'\n[[targets]]\nname = 'db'\nkind = 'postgresql'\n\
         address = '127.0.0.1:{postgres}'\ndatabase = 'postgres'\nuser = 'postgres'\nsslmode = 'disable'\n\
         [gateway]\nlisten = '127.0.0.1:{gateway}'\ncert = 'tls/server.pem'\nkey = 'tls/server.key'\n\
         [gateway.saml]\nissuer = 'https://localhost:{gateway}'\ntoken_key = {{ file = 'token.key' }}\n\
         [[gateway.saml.idp]]\nentity_id = '{entity}'\ncertificate_files = ['{certificate}']\naudience = '{audience}'\n\
         recipient = '{recipient}'\n[gateway.saml.idp.attributes]\ngroups = 'groups'\n",
        log = folder.join("log").display(),
        lake = lake.display(),
        entity = idp.text("entity_id"),
        certificate = idp.text("certificate"),
        audience = idp.text("audience"),
        recipient = idp.text("recipient"),
    );
    let path = folder.join("tallyport.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_person_signs_in_by_saml_and_reads_a_database_on_record() {
    let Some(postgres) = start_or_say(TEST, "postgres", &[]) else { return };
    let (port, query) = (free_port(), free_port());
    let url = format!("https://localhost:{port}");
    let endpoint = format!("{url}/saml/token");
    let Some(idp) = start_or_say(TEST, "saml-idp", &[&format!("{url}/saml"), &endpoint]) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), &idp, [port, query, postgres.port("port")]);
    let _up = DevService::start("tallyport", &["up", "--config", &path]).unwrap();

    let asked = format!("{}?name=ada&groups=staff", idp.text("response_url"));
    let assertion = curl(&[&asked]);
    let ca = folder.path().join("tls/ca.pem").display().to_string();
    let grant = "grant_type=urn:ietf:params:oauth:grant-type:saml2-bearer";
    let answer =
        curl(&["--cacert", &ca, "-d", grant, "-d", &format!("assertion={assertion}"), &endpoint]);
    let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{answer}"));
    let token = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let file = folder.path().join("token");
    std::fs::write(&file, token).unwrap();
    let file = file.display().to_string();

    let gateway = format!("localhost:{port}");
    let access = ["--gateway", &gateway, "--ca", &ca, "--token-file", &file];
    let forward = Forward::start(&[&["db"][..], &access[..]].concat());
    let read =
        psql(forward.port(), "ada", "postgres").args(["-Atc", "SELECT 6 * 7"]).output().unwrap();
    assert_eq!(said(&read).trim(), "42");

    // The query service of the same process takes the token as well, and knows both events.
    let ask = |sql: &str| {
        let at = format!("http://127.0.0.1:{query}");
        let asked = Command::new(binary())
            .args(["sql", sql, "--json", "--query-url", &at, "--token-file", &file])
            .env_remove("TALLYPORT_READY_FILE")
            .output()
            .unwrap();
        rows(&asked)
    };
    let who = format!("{}#id-of-ada", idp.text("entity_id"));
    let found = eventually(|| {
        let exchanged =
            ask("SELECT principal_subject AS who FROM authentications WHERE method = 'saml'");
        let ran =
            ask("SELECT principal_subject AS who FROM commands WHERE statement LIKE '%6 * 7%'");
        [exchanged, ran].iter().all(|rows| rows.first().is_some_and(|row| row["who"] == who))
    });
    assert!(found, "{:?}", ask("SELECT * FROM authentications"));

    // Another key, of another kind: it is published before it signs, and what the first one signed counts on.
    let key = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out token.key";
    let made = Command::new("openssl").args(key.split(' ')).current_dir(folder.path()).output();
    assert!(made.unwrap().status.success());
    let published = || {
        let jwks = curl(&["--cacert", &ca, &format!("{url}/saml/jwks.json")]);
        let jwks: Value = serde_json::from_str(&jwks).unwrap_or_else(|_| panic!("{jwks}"));
        let keys = jwks["keys"].as_array().unwrap();
        keys.iter().map(|key| key["alg"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(eventually(|| published() == ["EdDSA", "ES256"]), "{:?}", published());
    assert_eq!(ask("SELECT 40 + 2 AS n")[0]["n"], 42);
}
