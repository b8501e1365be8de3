//! A gateway before a real cluster, and a local port that leads to it as `tallyport connect` does.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dev_services::DevService;
use serde_json::Value;
use tallyport_access::Authenticator;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::faults::FaultLog;
use tallyport_eventlog::{Appender, AppenderOptions, Log, Position, Topic};
use tallyport_gateway::config::{GatewayConfig, GatewayLimits, RawAnyTarget};
use tallyport_gateway::front::{Front, FrontConfig, RunningFront};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_gateway::{BearerToken, ConnectRequest, Gateway, TunnelService as _, api};
use tallyport_schemas::{
    Body, Command, Decision, Event, Front as CameBy, PrincipalKind, ProducerId, Response,
    ResponseSummary, TraceId, ocsf,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// Anything that should happen soon happens within this.
pub const SOON: Duration = Duration::from_secs(30);

const POLICY: &str = r#"
@id("connect") permit (principal in Tallyport::Group::"agents", action in [Tallyport::Action::"k8s:connect", Tallyport::Action::"k8s:discover"], resource)
  when { resource == Tallyport::Target::"prod" };
@id("reads") permit (principal in Tallyport::Group::"agents", action in [Tallyport::Action::"k8s:read", Tallyport::Action::"k8s:logs"], resource)
  when { resource in Tallyport::KubeNamespace::"prod/shop" || resource in Tallyport::KubeNamespace::"prod/bulk" };
@id("settings") permit (principal in Tallyport::Group::"agents", action in Tallyport::Action::"k8s:write", resource)
  when { resource in Tallyport::KubeNamespace::"prod/shop" && resource.resource == "configmaps" };
@id("secrets") permit (principal in Tallyport::Group::"trusted", action in Tallyport::Action::"k8s:write", resource)
  when { resource in Tallyport::KubeNamespace::"prod/shop" && resource.resource == "secrets" };
@id("scale") permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"k8s:patch", resource)
  when { resource in Tallyport::KubeNamespace::"prod/shop" && resource.resource == "deployments" && resource.subresource == "scale" };
@id("looks") permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"k8s:exec", resource)
  when { resource in Tallyport::KubeNamespace::"prod/shop" && resource.name == "web-0" && context has exec && context.exec.container == "app"
    && context.exec.program != "reboot" && context.exec.program != "migrate" };
@id("migrate") @require_approval("1 of dba; within 1h")
permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"k8s:exec", resource)
  when { resource in Tallyport::KubeNamespace::"prod/shop" && context has exec && context.exec.argv like "[\"migrate\",*" };
@id("ways") permit (principal in Tallyport::Group::"agents", action in [Tallyport::Action::"k8s:tty", Tallyport::Action::"k8s:attach", Tallyport::Action::"k8s:portForward"], resource);
@id("trusted") @interactive("allow")
permit (principal in Tallyport::Group::"trusted", action in [Tallyport::Action::"k8s:tty", Tallyport::Action::"k8s:attach", Tallyport::Action::"k8s:portForward"], resource);
@id("ends") permit (principal in Tallyport::Group::"dba", action in Tallyport::Action::"access:any", resource);
"#;

/// A terminal around a program, which types its first argument to it.
const TYPED: &str = r#"
import os, pty, sys
child, terminal = pty.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
typed = False
while True:
    try:
        said = os.read(terminal, 4096)
    except OSError:
        break
    if not said:
        break
    sys.stdout.buffer.write(said)
    if not typed:
        typed = True
        os.write(terminal, sys.argv[1].encode())
sys.stdout.buffer.flush()
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// The cluster, where its parts can be had here; another of each test.
pub fn cluster() -> Option<&'static DevService> {
    static CLUSTER: OnceLock<Option<DevService>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| match DevService::start("kube", &[]) {
            Ok(cluster) => Some(cluster),
            Err(error) => {
                eprintln!("NOT RUN: kube_targets: {error}");
                None
            }
        })
        .as_ref()
}

pub struct World {
    pub gateway: Gateway,
    pub cluster: &'static DevService,
    pub front: RunningFront,
    pub ca: DevCa,
    pub folder: tempfile::TempDir,
    pub faults: Arc<FaultLog>,
    issuer: DevIssuer,
    log: Arc<MemoryLog>,
}

impl World {
    pub async fn start() -> Option<Self> {
        Self::saying("").await
    }

    /// With more keys of the target.
    pub async fn saying(more: &str) -> Option<Self> {
        let cluster = tokio::task::spawn_blocking(cluster).await.unwrap()?;
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let issuer = DevIssuer::start(local, clients()).await.unwrap();
        let authenticator = Authenticator::new(vec![issuer.issuer_config()]).unwrap();
        let log = Arc::new(MemoryLog::new());
        let producer = ProducerId::parse("test/gateway").unwrap();
        let faults = Arc::new(FaultLog::new(Arc::clone(&log) as Arc<dyn Log>));
        let for_appender = Arc::clone(&faults) as Arc<dyn Log>;
        let options =
            AppenderOptions { max_wait: Duration::from_secs(1), ..AppenderOptions::default() };
        let appender = Appender::start(for_appender, producer, "gateway", options).await.unwrap();
        let mut limits = GatewayLimits::default();
        // A double stands for the cluster, and behaves as none does.
        if more.contains("url = ") {
            limits.stalled_reader_timeout = Duration::from_secs(1);
        }
        let place = if more.contains("url = ") {
            String::new()
        } else {
            let [server, ca, token] =
                ["server", "ca", "gateway_token"].map(|it| cluster.text(it).to_owned());
            format!("url = '{server}'\nca = '{ca}'\ntoken = {{ value = '{token}' }}")
        };
        let text =
            format!("kind = 'kubernetes'\nname = 'prod'\npatience_seconds = 1\n{place}\n{more}\n");
        let target: RawAnyTarget = toml::from_str(&text).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::create_or_load(&folder.path().join("tls")).unwrap();
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
        let config = GatewayConfig {
            targets: vec![target.check(Path::new("/")).unwrap()],
            names: identity.names().to_vec(),
            limits,
            ..GatewayConfig::default()
        };
        let policy = PolicyStore::from_text(POLICY, "test.cedar").unwrap();
        let gateway =
            Gateway::start(config, authenticator, policy, MaskingStore::none(), appender).unwrap();
        let service = Arc::new(gateway.clone());
        let front = Front::start(FrontConfig::new(local, identity), service, api::router(&gateway))
            .await
            .unwrap();
        Some(Self { gateway, cluster, front, ca, folder, faults, issuer, log })
    }

    pub async fn token(&self, client: &str) -> String {
        let known = self.issuer.clients().iter().find(|known| known.id == client).unwrap();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", known.secret.expose()),
        ];
        let answer = reqwest::Client::new().post(&self.issuer.token_url).form(&form).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// A local port whose connections are sessions of this client.
    pub async fn port(&self, client: &str) -> u16 {
        let token = self.token(client).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let gateway = self.gateway.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (gateway, token) = (gateway.clone(), token.clone());
                tokio::spawn(async move {
                    let opened = gateway
                        .open(ConnectRequest {
                            target: "prod".to_owned(),
                            token: Some(BearerToken::new(token)),
                            proof: None,
                            certificate: None,
                            peer: "192.0.2.7:4711".parse().unwrap(),
                            front: CameBy::Quic,
                            trace_id: TraceId::new(),
                        })
                        .await;
                    match opened {
                        Ok(tunnel) => tunnel.run(Box::new(near)).await,
                        Err(refusal) => {
                            let body = format!(
                                "{{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"{}\",\"code\":403}}",
                                refusal.message
                            );
                            let answer = format!(
                                "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                                body.len()
                            );
                            let _gone = near.write_all(answer.as_bytes()).await;
                            let _gone = near.shutdown().await;
                        }
                    }
                });
            }
        });
        port
    }

    /// kubectl as this client.
    pub async fn kubectl(&self, client: &str, arguments: &[&str]) -> Output {
        self.kubectl_with(client, arguments, "").await
    }

    pub async fn kubectl_with(&self, client: &str, arguments: &[&str], input: &str) -> Output {
        let port = self.port(client).await;
        let mut command = tokio::process::Command::new(self.cluster.text("kubectl"));
        command.args(["--server", &format!("http://127.0.0.1:{port}"), "-n", "shop"]);
        command.args(arguments);
        command.env("KUBECONFIG", "/dev/null").env("HOME", self.folder.path());
        fed(&mut command, input).await
    }

    /// kubectl as somebody at a terminal has it, who types these lines once it said something.
    pub async fn typed(&self, client: &str, arguments: &[&str], lines: &str) -> String {
        let port = self.port(client).await;
        let mut command = tokio::process::Command::new("python3");
        command.args(["-c", TYPED, lines, self.cluster.text("kubectl"), "--server"]);
        command.args([&format!("http://127.0.0.1:{port}"), "-n", "shop"]).args(arguments);
        command.env("KUBECONFIG", "/dev/null").env("HOME", self.folder.path());
        text(&fed(&mut command, "").await)
    }

    /// kubectl of whoever may do all, past the gateway; gives what it says.
    pub async fn admin(&self, arguments: &[&str], input: &str) -> String {
        let mut command = tokio::process::Command::new(self.cluster.text("kubectl"));
        command.args(["--kubeconfig", self.cluster.text("kubeconfig"), "-n", "shop"]);
        command.args(arguments);
        let output = fed(&mut command, input).await;
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        text(&output)
    }

    pub async fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut from = Position { partition: 0, offset: 0 };
        loop {
            let entries = self.log.read(Topic::Audit, from, 1 << 22, Duration::ZERO).await.unwrap();
            let Some(last) = entries.last() else { return events };
            from.offset = last.position.offset + 1;
            events.extend(entries.iter().map(|entry| ocsf::decode(&entry.value).unwrap()));
        }
    }

    pub async fn commands(&self) -> Vec<Command> {
        let events = self.events().await.into_iter();
        let commands = events.filter_map(|event| match event.body {
            Body::Command(command) => Some(*command),
            _ => None,
        });
        commands.collect()
    }

    pub async fn decisions(&self) -> Vec<Decision> {
        let events = self.events().await.into_iter();
        let decisions = events.filter_map(|event| match event.body {
            Body::Decision(decision) => Some(decision),
            _ => None,
        });
        decisions.collect()
    }

    /// How the answer to the command of this statement ended, once it has.
    pub async fn ended(&self, statement: &str) -> ResponseSummary {
        let deadline = Instant::now() + SOON;
        loop {
            let commands = self.commands().await;
            let is_it = |it: &&Command| it.statement.as_deref() == Some(statement);
            let id = commands.iter().rev().find(is_it).map(|it| it.command_id);
            let events = self.events().await;
            let found = events.iter().find_map(|event| match &event.body {
                Body::Response(response) => match &**response {
                    Response::Completed(it) if Some(it.command_id) == id => Some(it.clone()),
                    _ => None,
                },
                _ => None,
            });
            if let Some(found) = found {
                return found;
            }
            let all: Vec<_> = commands.iter().filter_map(|it| it.statement.clone()).collect();
            assert!(Instant::now() < deadline, "{statement} did not end: {all:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All that was recorded of what passed, as text.
    pub async fn recorded(&self) -> String {
        let mut all = String::new();
        for event in self.events().await {
            let content = match &event.body {
                Body::Response(response) => match &**response {
                    Response::Chunk { content, .. } | Response::Unsolicited { content, .. } => {
                        content.clone()
                    }
                    Response::Completed(summary) => summary.content.clone(),
                },
                Body::Command(command) => command.content.clone(),
                _ => None,
            };
            if let Some(content) = content {
                all.push_str(&String::from_utf8_lossy(&content.replay().unwrap()));
                all.push('\n');
            }
        }
        all
    }
}

/// Runs it with this as its input.
async fn fed(command: &mut tokio::process::Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    tokio::time::timeout(SOON, child.wait_with_output()).await.unwrap().unwrap()
}

pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn clients() -> Vec<DevClient> {
    let of = |id: &str, groups: &[&str]| DevClient {
        groups: groups.iter().map(|it| (*it).to_owned()).collect(),
        ..DevClient::new(id)
    };
    let human =
        |id: &str, groups: &[&str]| DevClient { kind: PrincipalKind::Human, ..of(id, groups) };
    vec![
        of("agent", &["agents"]),
        of("trusted", &["agents", "trusted"]),
        of("other", &[]),
        human("dana", &["dba"]),
        human("pat", &["agents"]),
    ]
}
