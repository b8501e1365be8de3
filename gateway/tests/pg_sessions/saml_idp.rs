//! Assertions of an identity provider that is not ours (pysaml2, xmlsec1), exchanged at a real front over HTTPS, and the
//! token at a service that knows the gateway only by its address.

use std::sync::Arc;

use dev_services::{DevService, StartError};
use serde_json::Value;
use tallyport_access::saml::{IdpConfig, SamlConfig, SamlExchange};
use tallyport_access::{Authenticator, IssuerConfig, Profile, SecretToken};
use tallyport_gateway::TunnelService;
use tallyport_gateway::api;
use tallyport_gateway::front::{Front, FrontConfig, RunningFront};
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_schemas::Outcome;

use crate::harness::World;
use crate::saml::{GRANT, exchanges};

struct Site {
    idp: DevService,
    world: World,
    front: RunningFront,
    client: reqwest::Client,
    url: String,
    ca: DevCa,
    _dir: tempfile::TempDir,
}

impl Site {
    async fn start() -> Option<Self> {
        // The issuer's URL has the port in it, and stands in the configuration before anything listens.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let url = format!("https://localhost:{port}");
        let (audience, recipient) = (format!("{url}/saml"), format!("{url}/saml/token"));
        let idp = match DevService::start("saml-idp", &[&audience, &recipient]) {
            Ok(service) => service,
            Err(error @ StartError::NotInstallable { .. }) => {
                eprintln!("NOT RUN: {}: {error}", module_path!());
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let text = format!(
            "entity_id = {:?}\ncertificate_files = [{:?}]\naudience = {audience:?}\nrecipient = {recipient:?}\n\
             [attributes]\ngroups = 'groups'\ndisplay_name = 'urn:mace:dir:attribute-def:cn'\n",
            idp.text("entity_id"),
            idp.text("certificate"),
        );
        let trusted: IdpConfig = toml::from_str(&text).unwrap();
        let config = SamlConfig {
            issuer: url.clone(),
            token_key: token_key(),
            token_seconds: 600,
            idps: vec![trusted],
        };
        let exchange = Arc::new(SamlExchange::new(&config).unwrap());
        let world = start_world(exchange).await?;
        let dir = tempfile::tempdir().unwrap();
        let ca = DevCa::create_or_load(&dir.path().join("tls")).unwrap();
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
        drop(free);
        let config = FrontConfig::new(([127, 0, 0, 1], port).into(), identity);
        let service: Arc<dyn TunnelService> = Arc::new(world.gateway.clone());
        let front = Front::start(config, service, api::router(&world.gateway)).await.unwrap();
        let pem = std::fs::read(ca.ca_path()).unwrap();
        let root = reqwest::Certificate::from_pem(&pem).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
        Some(Self { idp, world, front, client, url, ca, _dir: dir })
    }

    /// What the provider would post after somebody signed in.
    async fn response(&self, query: &str) -> String {
        let url = format!("{}?{query}", self.idp.text("response_url"));
        let plain = reqwest::Client::builder().no_proxy().build().unwrap();
        plain.get(url).send().await.unwrap().text().await.unwrap()
    }

    async fn exchange(&self, assertion: &str) -> (u16, Value) {
        let form = [("grant_type", GRANT), ("assertion", assertion)];
        let sent = self.client.post(format!("{}/saml/token", self.url)).form(&form).send().await;
        let answer = sent.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

async fn start_world(exchange: Arc<SamlExchange>) -> Option<World> {
    let options = crate::harness::Options { saml: Some(exchange), ..Default::default() };
    let world = World::start(options).await;
    if world.is_none() {
        eprintln!("NOT RUN: {}: PostgreSQL cannot be installed", module_path!());
    }
    world
}

fn token_key() -> SecretToken {
    use base64::Engine as _;
    let document =
        aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new());
    let text = base64::engine::general_purpose::STANDARD.encode(document.unwrap().as_ref());
    SecretToken::new(format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_pysaml2_comes_in_by_https_and_a_query_service_knows_them() {
    let Some(site) = Site::start().await else { return };
    let response = site.response("name=ada&groups=staff&groups=admins").await;
    let (status, answer) = site.exchange(&response).await;
    assert_eq!(status, 200, "{answer}");
    let token = answer["access_token"].as_str().unwrap();

    let whoami = site.client.get(format!("{}/v1/whoami", site.url)).bearer_auth(token);
    let whoami: Value = whoami.send().await.unwrap().json().await.unwrap();
    let subject = format!("{}#id-of-ada", site.idp.text("entity_id"));
    assert_eq!(whoami["principal"]["subject"], subject);
    assert_eq!(whoami["principal"]["display_name"], "Ada of pysaml2");
    assert_eq!(whoami["principal"]["groups"], serde_json::json!(["admins", "staff"]));
    assert!(site.world.open(token, "db").await.is_ok());

    // As any issuer of RFC 9068: found by discovery over TLS, checked by its published key.
    let mut known =
        IssuerConfig::of_profile(Profile::Rfc9068, site.url.clone(), vec![site.url.clone()]);
    known.ca_file = Some(site.ca.ca_path());
    let elsewhere = Authenticator::new(vec![known]).unwrap();
    let identity = elsewhere.verify(token).await.unwrap();
    assert_eq!(identity.principal.subject, subject);

    let (status, again) = site.exchange(&response).await;
    assert_eq!((status, again["error"].as_str()), (400, Some("invalid_grant")), "{again}");
    let events = site.world.events().await;
    let told: Vec<_> = exchanges(&events)
        .iter()
        .map(|(it, who)| (it.outcome, it.failure.as_deref(), who.map(str::to_owned)))
        .collect();
    let expected =
        [(Outcome::Success, None, Some(subject)), (Outcome::Failure, Some("saml_replayed"), None)];
    assert_eq!(told, expected);
    site.front.shutdown(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_the_provider_must_sign_is_told_in_words() {
    let Some(site) = Site::start().await else { return };
    let both = site.response("name=bob&sign=both").await;
    assert_eq!(site.exchange(&both).await.0, 200);
    for (query, code) in
        [("name=bob&sign=response", "saml_unsigned: "), ("name=bob&transient=1", "saml_name_id: ")]
    {
        let (status, answer) = site.exchange(&site.response(query).await).await;
        assert_eq!(status, 400);
        let told = answer["error_description"].as_str().unwrap();
        assert!(told.starts_with(code), "{told}");
    }
    site.front.shutdown(std::time::Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_tries() {
    let Some(site) = Site::start().await else { return };
    // curl keeps to one connection as long as it is let.
    let connections = async |path: &str, form: Option<&str>| {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-s", "--noproxy", "*", "-o", "/dev/null", "-w", "%{num_connects} "]);
        curl.arg("--cacert").arg(site.ca.ca_path());
        curl.args(form.into_iter().flat_map(|form| ["-d", form]));
        curl.args(std::iter::repeat_n(format!("{}{path}", site.url), 12));
        // A transfer has its own output; the format is for all.
        curl.args(std::iter::repeat_n(["-o", "/dev/null"], 11).flatten());
        let told = String::from_utf8(curl.output().await.unwrap().stdout).unwrap();
        told.split_whitespace().map(|it| it.parse::<u32>().unwrap()).sum::<u32>()
    };
    assert_eq!(connections("/healthz", None).await, 1);
    let bad = format!("grant_type={GRANT}&assertion=bm90aGluZw");
    assert_eq!(connections("/saml/token", Some(&bad)).await, 2, "it was closed after eight");
    site.front.shutdown(std::time::Duration::from_secs(5)).await;
}
