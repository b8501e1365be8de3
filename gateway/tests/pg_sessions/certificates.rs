//! Clients that show a certificate, on both fronts: workloads by their X.509-SVIDs, and tokens that are bound to one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use serde_json::{Value, json};
use tallyport_access::TrustDomainConfig;
use tallyport_gateway::api;
use tallyport_gateway::connect::{ConnectConfig, ConnectError, Connector, NoToken, TokenProvider};
use tallyport_gateway::front::{Front, FrontConfig, RunningFront};
use tallyport_gateway::tls::{CertificateFiles, DevCa, ServerIdentity};
use tallyport_schemas::{AuthMethod, Authentication, Body, Event, Outcome, Session, TokenBinding};
use tokio_postgres::NoTls;

use crate::harness::{World, world};
use crate::reviewers::Desk;

const BILLING: &str = "spiffe://prod.example/ns/agents/sa/billing";
const AGENTS: &str = r#"
@id("agents") permit (principal in Tallyport::Group::"agents", action, resource)
when { principal.tokenBinding == "mtls" };
"#;

/// A trust domain's authority and what it signed, in files.
struct Domain {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Domain {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI("spiffe://prod.example".try_into().unwrap())];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = params.self_signed(&key).unwrap();
        let bundle = json!({ "keys": [{ "use": "x509-svid", "kty": "EC", "x5c": [STANDARD.encode(authority.der())] }] });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bundle.json"), bundle.to_string()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn config(&self) -> TrustDomainConfig {
        let text = format!(
            "name = 'prod.example'\nbundle_file = '{}'\n[[workloads]]\npath = '/ns/agents/*'\nkind = 'agent'\ngroups = ['agents']",
            self.folder.path().join("bundle.json").display()
        );
        toml::from_str(&text).unwrap()
    }

    /// The SVID of a workload that lives for so long, as files.
    fn svid(&self, name: &str, uri: &str, lives: Duration) -> CertificateFiles {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.not_after = (std::time::SystemTime::now() + lives).into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let place = |end: &str| -> PathBuf { self.folder.path().join(format!("{name}.{end}")) };
        std::fs::write(place("pem"), certificate.pem()).unwrap();
        std::fs::write(place("key"), key.serialize_pem()).unwrap();
        CertificateFiles::new(place("pem"), place("key")).unwrap()
    }
}

/// The fronts of a world.
struct Fronts {
    running: RunningFront,
    ca: DevCa,
    _folder: tempfile::TempDir,
}

impl Fronts {
    async fn start(world: &World, asks: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::create_or_load(&folder.path().join("tls")).unwrap();
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
        let identity = if asks { identity.asking_clients() } else { identity };
        let config = FrontConfig::new("127.0.0.1:0".parse().unwrap(), identity);
        let service = Arc::new(world.gateway.clone());
        let running = Front::start(config, service, api::router(&world.gateway)).await.unwrap();
        Self { running, ca, _folder: folder }
    }

    fn connector(&self, tcp_only: bool, certificate: Option<CertificateFiles>) -> Connector {
        self.connector_with(tcp_only, certificate, Arc::new(NoToken))
    }

    fn connector_with(
        &self,
        tcp_only: bool,
        certificate: Option<CertificateFiles>,
        token: Arc<dyn TokenProvider>,
    ) -> Connector {
        let mut config = ConnectConfig::new(self.running.quic_addr.to_string(), token);
        (config.ca, config.certificate, config.tcp_only) =
            (Some(self.ca.ca_path()), certificate, tcp_only);
        Connector::new(config).unwrap()
    }
}

fn code(refused: Result<impl Sized, ConnectError>) -> String {
    match refused {
        Err(ConnectError::Refused { code, .. }) => code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}

fn checks(events: &[Event]) -> Vec<&Authentication> {
    let of = |event: &'_ Event| matches!(event.body, Body::Authentication(_));
    let all = events.iter().filter(|event| of(event));
    all.filter_map(|event| match &event.body {
        Body::Authentication(it) => Some(it),
        _ => None,
    })
    .collect()
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_comes_in_by_its_certificate_alone() {
    let domain = Domain::new();
    let world = world!(policy: AGENTS, trust_domains: vec![domain.config()],);
    let fronts = Fronts::start(&world, true).await;
    for tcp_only in [false, true] {
        let svid = domain.svid("billing", BILLING, HOUR);
        let connector = fronts.connector(tcp_only, Some(svid));
        let tunnel = connector.open("db").await.unwrap();
        let mut config = tokio_postgres::Config::new();
        config.user("whoever").dbname("postgres");
        let (client, connection) = config.connect_raw(tunnel, NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        let row = client.query_one("SELECT count(*) FROM app.customers", &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 3);
        drop(client);
        driver.await.unwrap().unwrap();
    }
    let events = world.events().await;
    let checks = checks(&events);
    assert_eq!(checks.len(), 2);
    for check in checks {
        assert_eq!((check.outcome, check.method), (Outcome::Success, AuthMethod::X509Svid));
        assert_eq!(check.binding, Some(TokenBinding::Mtls));
        assert_eq!(check.issuer.as_deref(), Some("spiffe://prod.example"));
        assert_eq!(check.key_id.as_ref().map(String::len), Some(43));
    }
    let opened = |event: &&Event| matches!(&event.body, Body::Session(Session::Opened { .. }));
    let subjects = events.iter().filter(opened).filter_map(|it| it.context.principal.as_ref());
    assert_eq!(subjects.map(|it| it.subject.as_str()).collect::<Vec<_>>(), [BILLING, BILLING]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_of_no_trust_domain_is_refused_on_record() {
    let (domain, stranger) = (Domain::new(), Domain::new());
    let world = world!(policy: AGENTS, trust_domains: vec![domain.config()],);
    let fronts = Fronts::start(&world, true).await;
    let svid = |of: &Domain, uri: &str| Some(of.svid("x", uri, HOUR));
    for tcp_only in [false, true] {
        let refused = async |files| code(fronts.connector(tcp_only, files).open("db").await);
        assert_eq!(refused(svid(&stranger, BILLING)).await, "invalid_token");
        assert_eq!(refused(svid(&domain, "spiffe://prod.example/ns/ops/x")).await, "invalid_token");
        assert_eq!(refused(svid(&domain, "spiffe://other.example/x")).await, "invalid_token");
        assert_eq!(refused(None).await, "invalid_token");
    }
    let events = world.events().await;
    let failed: Vec<_> =
        checks(&events).iter().map(|it| (it.method, it.failure.clone().unwrap())).collect();
    let svid = AuthMethod::X509Svid;
    let once = [
        (svid, "svid"),
        (svid, "unknown_workload"),
        (svid, "unknown_trust_domain"),
        (AuthMethod::None, "no_token"),
    ];
    let once = once.map(|(method, code)| (method, code.to_owned()));
    assert_eq!(failed, [once.clone(), once].concat());
    let unknown = checks(&events);
    let unknown = unknown.iter().find(|it| it.failure.as_deref() == Some("unknown_workload"));
    let unknown = unknown.unwrap();
    let message = unknown.message.as_deref().unwrap();
    assert!(message.ends_with("(it was spiffe://prod.example/ns/ops/x)"), "{message}");
    assert_eq!(unknown.issuer.as_deref(), Some("spiffe://prod.example"));
}

/// A subject without its domain is nobody's: an order for it would end nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_workload_is_revoked_by_its_whole_id() {
    const ENDS: &str =
        r#"@id("dba") permit (principal in Tallyport::Group::"dba", action, resource);"#;
    let domain = Domain::new();
    let world = world!(policy: ENDS, trust_domains: vec![domain.config()],);
    let dana = Desk::of(&world, "dana").await;
    let named = |subject: &str| json!({"kind": "principal", "issuer": "spiffe://prod.example", "subject": subject});
    for subject in
        ["/ns/agents/sa/billing", "spiffe://prod.example", "spiffe://prod.example.evil/x"]
    {
        let (status, told) = dana.revoke(named(subject)).await;
        assert_eq!((status, &told["code"]), (404, &json!("unknown_issuer")), "{subject}");
        let way = "name spiffe://prod.example#spiffe://prod.example/PATH";
        assert!(told["message"].as_str().unwrap().contains(way), "{told}");
    }
    assert_eq!(dana.revoke(named(BILLING)).await.0, 200);
}

/// Where nobody asks for it, no certificate is sent: it cannot let anybody in.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_ask_is_shown_nothing() {
    let domain = Domain::new();
    let world = world!(policy: AGENTS, trust_domains: vec![domain.config()],);
    let fronts = Fronts::start(&world, false).await;
    for tcp_only in [false, true] {
        let svid = domain.svid("billing", BILLING, HOUR);
        assert_eq!(code(fronts.connector(tcp_only, Some(svid)).open("db").await), "invalid_token");
    }
    let failed = checks(&world.events().await)
        .iter()
        .map(|it| it.failure.clone().unwrap())
        .collect::<Vec<_>>();
    assert_eq!(failed, ["no_token", "no_token"]);
}

/// A token counts for what it is, whatever certificate comes along.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_more_than_a_certificate() {
    let domain = Domain::new();
    let world = world!(trust_domains: vec![domain.config()],);
    let fronts = Fronts::start(&world, true).await;
    let token = world.token("agent", None).await;
    for (token, taken) in [(token, true), ("nonsense".to_owned(), false)] {
        let token = tallyport_gateway::BearerToken::new(token);
        let source = Arc::new(tallyport_gateway::connect::StaticToken::new(token));
        let svid = domain.svid("billing", BILLING, HOUR);
        let opened = fronts.connector_with(true, Some(svid), source).open("db").await;
        assert_eq!(opened.is_ok(), taken);
    }
    let events = world.events().await;
    let checks = checks(&events);
    assert_eq!((checks[0].method, checks[0].binding), (AuthMethod::Oidc, None));
    assert_eq!(checks[1].failure.as_deref(), Some("malformed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_the_certificate() {
    let domain = Domain::new();
    let world = world!(policy: AGENTS, trust_domains: vec![domain.config()],);
    let fronts = Fronts::start(&world, true).await;
    let svid = domain.svid("short", BILLING, Duration::from_secs(4));
    let tunnel = fronts.connector(false, Some(svid)).open("db").await.unwrap();
    let (client, connection) = tokio_postgres::Config::new()
        .user("u")
        .dbname("postgres")
        .connect_raw(tunnel, NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let slow = client.simple_query("SELECT pg_sleep(60)").await.unwrap_err();
    assert!(slow.code().is_some_and(|code| code.code() == "57P01"), "{slow:?}");
    let expired = |event: &Event| matches!(&event.body, Body::Session(Session::Expired { .. }));
    world.wait_for("the end", |events| events.iter().any(expired)).await;
}

/// The API takes workloads as it takes tokens; what a certificate allows is policy's, as ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_knows_workloads() {
    let domain = Domain::new();
    let world = world!(policy: AGENTS, trust_domains: vec![domain.config()],);
    let fronts = Fronts::start(&world, true).await;
    let svid = domain.svid("billing", BILLING, HOUR);
    let pem = [&svid.certificate, &svid.key].map(|file| std::fs::read(file).unwrap()).concat();
    let ca = std::fs::read(fronts.ca.ca_path()).unwrap();
    let client = reqwest::Client::builder()
        .add_root_certificate(reqwest::Certificate::from_pem(&ca).unwrap())
        .identity(reqwest::Identity::from_pem(&pem).unwrap())
        .resolve("localhost", fronts.running.tcp_addr)
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/v1/whoami", fronts.running.tcp_addr.port());
    let answer: Value = client.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["principal"]["subject"], BILLING, "{answer}");
    assert_eq!(answer["principal"]["kind"], "agent");
    // A page of another site, or of this one, in a browser that has the certificate.
    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let request = client.get(&url).header(name, value);
        let refused = request.send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 401, "{name}");
    }
}

/// A file that was written anew is shown from the next tunnel on; what runs goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_under_a_running_client() {
    let domain = Domain::new();
    let world = world!(policy: AGENTS, trust_domains: vec![domain.config()],);
    let fronts = Fronts::start(&world, true).await;
    for tcp_only in [false, true] {
        let svid = domain.svid("billing", BILLING, Duration::from_secs(2));
        let connector = fronts.connector(tcp_only, Some(svid));
        assert!(connector.open("db").await.is_ok());
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(code(connector.open("db").await), "invalid_token", "its time is over");
        domain.svid("billing", BILLING, HOUR);
        assert!(connector.open("db").await.is_ok());
    }
}
