//! The secrets of every other section of a configuration file, in use and refused: those of the console, of issuers that are asked,
//! of clients at an issuer, of webhooks, of SAML, of masking, of the object store, of Kafka, of a collector.
//! A double answers in place of webhook, introspection and services: what they were shown is to be seen.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use dev_services::DevService;
use parking_lot::Mutex;
use tallyport_tests::{
    Forward, Role, Site, binary, eventually, free_port, lake_on, psql, said, start_or_say,
};

use crate::collector::Collector;
use crate::told::{Told, curl};

const TEST: &str = "secrets_of_every_section_are_told_nowhere";
const POLICY: &str = r#"
@id("services") permit (principal, action in [Tallyport::Action::"http:connect", Tallyport::Action::"http:request"], resource);
"#;
/// In files of these names.
const FILES: [(&str, &str); 6] = [
    ("console.key", "planted-key-that-seals-all-cookies-0123456789"),
    ("people.secret", "planted-of-the-sign-in"),
    ("asker.secret", "planted-of-who-asks-an-issuer"),
    ("hash.key", "planted-key-of-keyed-hashes-0123456789"),
    ("basic.secret", "planted-password-of-a-service"),
    ("collector.key", "planted-of-the-collector"),
];
/// `whsec_` and base64 of 24 bytes and more.
const WEBHOOK: [&str; 2] = [
    "whsec_cGxhbnRlZC1vZi10aGUtd2ViaG9vay1tZXNzYWdlcw==",
    "whsec_cGxhbnRlZC1vZi10aGUtd2ViaG9vay1hbnN3ZXJzLTE=",
];
/// Not what the issuer knows, nor the brokers; what the store takes as any other; a code, an assertion; of the next collector.
const WRONG: &str = "planted-and-refused-by-the-issuer";
const OF_KAFKA: &str = "planted-and-refused-by-brokers";
const OF_THE_STORE: &str = "planted-key-of-the-store";
const CODE: &str = "planted-code-of-a-sign-in";
const ASSERTION: &str = "planted-assertion-of-nobody";
const NEXT_OF_THE_COLLECTOR: &str = "planted-anew-of-the-collector";

/// Takes requests, says that all is well, and keeps their heads.
struct Heard {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Heard {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || answer(&stream, &kept));
            }
        });
        Self { port, heads }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn has(&self, text: &str) -> bool {
        self.heads.lock().iter().any(|head| head.contains(text))
    }
}

fn answer(mut stream: &TcpStream, kept: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head += &line;
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    kept.lock().push(head);
    let said = "{\"active\":true}";
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{said}", said.len()).ok()
}

struct World {
    site: Site,
    store: DevService,
    collector: Collector,
    heard: Heard,
    telemetry: String,
}

impl World {
    fn start() -> Option<Self> {
        let store = start_or_say(TEST, "s3", &[])?;
        let site = Site::start(TEST)?;
        let telemetry = format!("127.0.0.1:{}", free_port());
        let world =
            Self { site, store, collector: Collector::start(), heard: Heard::start(), telemetry };
        for (name, secret) in FILES {
            world.write(name, secret);
        }
        world.write("webhook.secret", WEBHOOK[0]);
        world.write("answers.secret", WEBHOOK[1]);
        let policy = std::fs::read_to_string(world.site.path("policy.cedar")).unwrap();
        world.write("policy.cedar", &(policy + POLICY));
        let masking = std::fs::read_to_string(world.site.path("masking.toml")).unwrap();
        world.write(
            "masking.toml",
            &format!(
                "hash_key = {{ file = '{}' }}\n{masking}",
                world.site.path("hash.key").display()
            ),
        );
        for arguments in [
            "genpkey -algorithm ED25519 -out saml.key",
            "req -x509 -newkey rsa:2048 -nodes -keyout idp.key -out idp.pem -subj /CN=idp -days 2",
        ] {
            let mut openssl = Command::new("openssl");
            let made = openssl.args(arguments.split(' ')).current_dir(world.site.path(""));
            assert!(made.output().unwrap().status.success(), "{arguments}");
        }
        Some(world)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.site.path(name), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        let Self { site, store, collector, heard, telemetry } = self;
        let lake = lake_on(store, "planted", None);
        let log = format!("embedded:{}", site.path("log").display());
        let all = ["gateway", "console", "recorder", "query"];
        let config = site.config("planted.toml", &log, &lake, &all);
        let text = std::fs::read_to_string(&config).unwrap();
        let (issuer, audience) = site.issuer();
        let (heard, origin) = (heard.url(), site.origin());
        let asked = format!(
            "[issuers.introspection]\nurl = '{heard}/introspect'\nclient_id = 'gateway'\n\
             client_secret = {{ file = 'asker.secret' }}\n[policy]\n"
        );
        let client = "client_id = \"tallyport-people\"\n";
        let client = (client, format!("{client}client_secret = {{ file = 'people.secret' }}\n"));
        let text = text
            .replace("[policy]\n", &asked)
            .replace("[console]\n", "[console]\nkey = { file = 'console.key' }\n")
            .replace(client.0, &client.1);
        let service = |name: &str, shown: &str| {
            format!(
                "[[targets]]\nkind = 'http'\nname = '{name}'\nurl = '{heard}/{name}'\n{shown}\n\
                 [[targets.routes]]\nname = 'all'\nmethod = 'GET'\npath = '/a'\n"
            )
        };
        let client = |secret: &str| {
            format!(
                "oauth2 = {{ issuer = '{issuer}', client_id = 'ops-agent', client_secret = {secret}, audience = '{audience}' }}"
            )
        };
        let more = format!(
            "{}{}{}[telemetry]\nlisten = '{telemetry}'\notlp_endpoint = '{}'\nsample_ratio = 1.0\n\
             otlp_headers = {{ x-api-key = {{ file = 'collector.key' }} }}\n\
             [[gateway.webhooks]]\nname = 'chat'\nurl = '{heard}/webhook'\nsecret = {{ file = 'webhook.secret' }}\n\
             [gateway.webhooks.answers]\nsecret = {{ file = 'answers.secret' }}\n\
             [[gateway.webhooks.answers.reviewers]]\nid = 'ann'\nissuer = '{issuer}'\nsubject = 'ann'\n\
             display_name = 'Ann'\ngroups = ['order-approvers']\n\
             [gateway.saml]\nissuer = '{origin}'\ntoken_key = {{ file = 'saml.key' }}\n\
             [[gateway.saml.idp]]\nentity_id = 'https://idp.example.com'\ncertificate_files = ['idp.pem']\n\
             audience = '{origin}/saml'\nrecipient = '{origin}/saml/token'\n",
            service("known", &client("{ file = 'ops-agent' }")),
            service("refused", &client(&format!("{{ value = '{WRONG}' }}"))),
            service("basic", "basic = { user = 'gateway', password = { file = 'basic.secret' } }"),
            collector.endpoint(),
        );
        std::fs::write(&config, text + &more).unwrap();
        config
    }

    fn forward(&self, target: &str, client: &str) -> Forward {
        let (gateway, ca) =
            (format!("127.0.0.1:{}", self.site.gateway_port()), self.site.path("tls/ca.pem"));
        let access = self.site.access(client);
        let access = access.iter().map(String::as_str);
        let first = [target, "--gateway", &gateway, "--ca", ca.to_str().unwrap()];
        Forward::start(&first.into_iter().chain(access).collect::<Vec<_>>())
    }

    /// Statements of a masked column and of one that waits, requests to services, and who comes with something that is no good.
    fn use_it(&self, role: &Role) {
        let hashed = psql(self.forward("sample", "analyst").port(), "anyone", "postgres")
            .args(["-Atc", "SELECT email FROM app.customers ORDER BY 1 LIMIT 1"])
            .output();
        let hashed = said(&hashed.unwrap());
        assert!(!hashed.contains('@') && hashed.trim().len() >= 32, "{hashed}: {}", role.log());
        for (name, is) in [("known", "active"), ("basic", "active"), ("refused", "unavailable")] {
            let service = self.forward(name, "support-agent");
            let got = curl(&[&format!("http://127.0.0.1:{}/a", service.port())]);
            assert!(got.contains(is), "{name}: {got}: {}", role.log());
        }
        let waits = self.forward("sample", "ops-agent");
        let mut waiting = psql(waits.port(), "anyone", "postgres")
            .args(["-c", "DELETE FROM app.orders WHERE id = 1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = eventually(|| self.heard.has("POST /webhook"));
        waiting.kill().unwrap();
        let _ended = waiting.wait();
        assert!(told, "the webhook is told of who waits: {}", role.log());
        self.strangers();
    }

    fn strangers(&self) {
        let origin = self.site.origin();
        let at = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let forged = curl(&[
            "-H",
            "webhook-id: msg_1",
            "-H",
            &format!("webhook-timestamp: {at}"),
            "-H",
            "webhook-signature: v1,cGxhbnRlZC1hbmQtbm90LXNpZ25lZA==",
            "--json",
            "{}",
            &format!("{origin}/v1/webhooks/chat/answers"),
        ]);
        assert!(forged.contains("code"), "{forged}");
        let grant = "grant_type=urn:ietf:params:oauth:grant-type:saml2-bearer";
        let assertion = format!("assertion={ASSERTION}");
        let exchanged = curl(&["-d", grant, "-d", &assertion, &format!("{origin}/saml/token")]);
        assert!(exchanged.contains("error"), "{exchanged}");
        let jar = self.site.path("jar");
        let jar = jar.to_str().unwrap();
        let on = ["-c", jar, "-o", "/dev/null", "-w", "%{redirect_url}"];
        let begin = format!("{origin}/console/sign-in?provider=sso");
        let to = curl(&[&on[..], &[&begin]].concat());
        let to = reqwest::Url::parse(&to).unwrap_or_else(|_| panic!("{to}"));
        let state = to.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let (issuer, _) = self.site.issuer();
        let back = format!("{origin}/console/callback/sso?code={CODE}&state={state}&iss={issuer}");
        let on = ["-b", jar, "-o", "/dev/null", "-w", "%{redirect_url}"];
        let landed = curl(&[&on[..], &[&back]].concat());
        assert!(landed.contains("provider"), "the issuer did not take the code: {landed}");
    }

    /// A role that brokers refuse, by what it says before it ends.
    fn refused_by_brokers(&self, kafka: &DevService) -> String {
        self.write("kafka.secret", OF_KAFKA);
        let text = std::fs::read_to_string(self.site.path("planted.toml")).unwrap();
        let log = format!("url = \"embedded:{}\"", self.site.path("log").display());
        let brokers = format!(
            "url = \"kafka://{}?security.protocol=sasl_plaintext&sasl.mechanism=SCRAM-SHA-256\"\n\
             user = {{ value = 'nobody' }}\npassword = {{ file = 'kafka.secret' }}",
            kafka.text("sasl_bootstrap")
        );
        assert!(text.contains(&log));
        let path = self.site.path("kafka.toml");
        std::fs::write(&path, text.replace(&log, &brokers)).unwrap();
        let ran = Command::new("timeout")
            .arg("60")
            .arg(binary())
            .args(["recorder", "-vvv", "--config", path.to_str().unwrap()])
            .env("AWS_ACCESS_KEY_ID", "planted")
            .env("AWS_SECRET_ACCESS_KEY", OF_THE_STORE)
            .output()
            .unwrap();
        said(&ran)
    }
}

#[test]
fn secrets_of_every_section_are_told_nowhere() {
    let Some(kafka) = start_or_say(TEST, "kafka", &["--sasl"]) else { return };
    let Some(world) = World::start() else { return };
    let key = format!("AWS_SECRET_ACCESS_KEY={OF_THE_STORE}");
    let store = ["-vvv", "--env", &key, "--env", "AWS_ACCESS_KEY_ID=planted"];
    let role = Role::start_with("up", &world.config(), &store);
    world.use_it(&role);
    let shown = |key: &str| world.collector.got().keys.contains(key);
    assert!(eventually(|| shown(FILES[5].1)), "{}", role.log());
    world.write("collector.key", NEXT_OF_THE_COLLECTOR);
    assert!(eventually(|| shown(NEXT_OF_THE_COLLECTOR)), "it is read with each export");
    let masked = "SELECT count(*) AS n FROM commands WHERE statement LIKE '%FROM app.customers%'";
    assert!(eventually(|| world.site.sql(masked)[0]["n"] == 1));

    let mut told = Told::of(&world.site, &world.telemetry);
    told.has("the log", role.end());
    told.has("OTLP", String::from_utf8_lossy(&world.collector.got().bytes));
    told.files(&world.site.path("log"));
    let log = format!("embedded:{}", world.site.path("log").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert!(runtime.block_on(told.events(&log)) > 20);
    let refused = world.refused_by_brokers(&kafka);
    assert!(refused.contains("uthentication"), "brokers refused it: {refused}");
    told.has("the log of Kafka's", refused);
    // What is looked for was there to be found.
    assert!(told.says("the log", "a sign-in failed") && told.says("OTLP", "authentication"));
    assert!(world.heard.has("GET /basic/a") && world.heard.has("POST /introspect"));
    let of_the_issuer = std::fs::read_to_string(world.site.path("ops-agent")).unwrap();
    let token = world.heard.heads.lock().iter().find_map(|head| {
        let bearer = head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "));
        bearer.filter(|_| head.starts_with("GET /known/a")).map(str::to_owned)
    });
    let key_of = |name: &str| {
        let pem = std::fs::read_to_string(world.site.path(name)).unwrap();
        pem.lines().nth(1).unwrap().to_owned()
    };
    let keys = ["saml.key", "tls/server.key", "tls/ca.key"].map(key_of);
    let all = FILES.iter().map(|(_, secret)| *secret).chain(WEBHOOK).chain([
        WRONG,
        OF_KAFKA,
        OF_THE_STORE,
        CODE,
        ASSERTION,
        NEXT_OF_THE_COLLECTOR,
        &of_the_issuer,
        token.as_deref().expect("the service was shown a token"),
    ]);
    for secret in all.chain(keys.iter().map(String::as_str)) {
        told.is_silent_about(secret);
    }
}
