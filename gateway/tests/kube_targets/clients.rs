//! The clients of other languages, as they are.

use std::process::Stdio;

use dev_services::DevService;

use crate::world::{SOON, World, text};

const PYTHON: &str = r#"
import sys
from kubernetes import client, watch
from kubernetes.stream import stream
configuration = client.Configuration()
configuration.host = sys.argv[1]
api = client.CoreV1Api(client.ApiClient(configuration))
print("pods", sorted(pod.metadata.name for pod in api.list_namespaced_pod("shop").items))
print("secret", api.read_namespaced_secret("card-key", "shop").data["key"])
for event in watch.Watch().stream(api.list_namespaced_config_map, "shop", timeout_seconds=1):
    print("seen", event["object"].metadata.name)
api = client.CoreV1Api(client.ApiClient(configuration))
print("out", stream(api.connect_get_namespaced_pod_exec, "web-0", "shop", container="app", command=["echo", "hi"], stderr=True, stdin=False, stdout=True, tty=False).strip())
try:
    stream(api.connect_get_namespaced_pod_exec, "web-0", "shop", container="app", command=["sh"], stderr=True, stdin=True, stdout=True, tty=True)
    print("a terminal")
except client.ApiException as error:
    print("denied", error.status, "k8s:tty is denied to agents" in str(error))
"#;

const NODE: &str = r#"
const k8s = require('@kubernetes/client-node');
const { PassThrough } = require('stream');
const config = new k8s.KubeConfig();
config.loadFromOptions({
  clusters: [{ name: 'c', server: process.argv[1], skipTLSVerify: true }], users: [{ name: 'u' }],
  contexts: [{ name: 'x', cluster: 'c', user: 'u' }], currentContext: 'x',
});
(async () => {
  const api = config.makeApiClient(k8s.CoreV1Api);
  const pods = await api.listNamespacedPod({ namespace: 'shop' });
  console.log('pods', pods.items.map((pod) => pod.metadata.name).includes('web-0'));
  const secret = await api.readNamespacedSecret({ name: 'card-key', namespace: 'shop' });
  console.log('secret', secret.data.key);
  const input = new PassThrough(), output = new PassThrough();
  const said = [];
  output.on('data', (data) => said.push(data.toString()));
  await new Promise((resolve) => new k8s.Exec(config).exec('shop', 'web-0', 'app', ['cat'], output, process.stderr, input, false, (status) => {
    console.log('status', status.status, said.join('').trim());
    resolve();
  }).then(() => { input.write('hi from node\n'); input.end(); }));
  process.exit(0);
})().catch((error) => { console.log('failed', error); process.exit(1); });
"#;

pub fn clients() -> Option<DevService> {
    match DevService::start("kube-clients", &[]) {
        Ok(clients) => Some(clients),
        Err(error) => {
            eprintln!("NOT RUN: kube_targets::clients: {error}");
            None
        }
    }
}

async fn say(command: &mut tokio::process::Command) -> String {
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    text(&tokio::time::timeout(SOON, run).await.unwrap().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_clients_read_watch_and_run() {
    let Some(world) = World::start().await else { return };
    let Some(clients) = tokio::task::spawn_blocking(clients).await.unwrap() else { return };
    let server = format!("http://127.0.0.1:{}", world.port("agent").await);
    let told =
        say(tokio::process::Command::new(clients.text("python")).args(["-c", PYTHON, &server]))
            .await;
    for want in ["'web-0'", "secret W3JlZGFjdGVkXQ==", "seen settings", "out hi", "denied 0 True"] {
        assert!(told.contains(want), "{want}: {told}");
    }
    let mut node = tokio::process::Command::new("node");
    node.args(["-e", NODE, &server]).current_dir(clients.text("node"));
    let told = say(&mut node).await;
    for want in ["pods true", "secret W3JlZGFjdGVkXQ==", "status Success hi from node"] {
        assert!(told.contains(want), "{want}: {told}");
    }
}
