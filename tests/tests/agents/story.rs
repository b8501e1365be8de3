//! One story, told by those who were there and by the audit.

use std::process::{Command, Output};

use dev_services::{DevService, repo_root};
use serde_json::Value;
use tallyport_tests::{Forward, Stack, eventually, psql, said, start_or_say};

use crate::billing::Billing;

const POLICY: &str = r#"
@id("support-uses-billing") permit (principal in Tallyport::Group::"support-agents", action == Tallyport::Action::"http:connect", resource == Tallyport::Target::"billing");
@id("support-reads-accounts") permit (principal in Tallyport::Group::"support-agents", action == Tallyport::Action::"http:request", resource == Tallyport::Route::"billing/account");
@id("refunds-are-agreed-to") @require_approval("1 of order-approvers; within 15m")
permit (principal in Tallyport::Group::"support-agents", action == Tallyport::Action::"http:request", resource == Tallyport::Route::"billing/refund");
@id("support-looks-at-the-shop") permit (principal in Tallyport::Group::"support-agents",
  action in [Tallyport::Action::"k8s:connect", Tallyport::Action::"k8s:discover"], resource == Tallyport::Target::"prod");
@id("support-reads-logs") permit (principal in Tallyport::Group::"support-agents",
  action in [Tallyport::Action::"k8s:get", Tallyport::Action::"k8s:list", Tallyport::Action::"k8s:logs"], resource in Tallyport::KubeNamespace::"prod/shop");
"#;

const PYTHON: &str = r#"
import sys
from kubernetes import client, config
config.load_kube_config(sys.argv[1])
api = client.CoreV1Api()
print("logs", "listening" in api.read_namespaced_pod_log("web-0", "shop", container="app") and "listening")
try:
    api.delete_namespaced_pod("web-0", "shop")
except client.ApiException as error:
    print("denied", str(error.status == 403 and "no policy permits k8s:delete" in str(error)).lower())
"#;

const NODE: &str = r#"
const k8s = require('@kubernetes/client-node');
const config = new k8s.KubeConfig();
config.loadFromFile(process.argv[1]);
(async () => {
  const api = config.makeApiClient(k8s.CoreV1Api);
  const log = await api.readNamespacedPodLog({ name: 'web-0', namespace: 'shop', container: 'app' });
  console.log('logs', log.includes('listening') && 'listening');
  await api.deleteNamespacedPod({ name: 'web-0', namespace: 'shop' }).catch((error) =>
    console.log('denied', error.code === 403 && String(error).includes('no policy permits k8s:delete')));
})();
"#;

/// A card that the shop knows, and the service tells.
const CARD: &str = "4111111111111111";

struct World {
    stack: Stack,
    folder: tempfile::TempDir,
    cluster: DevService,
}

fn world(cluster: DevService, billing: &Billing) -> World {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::copy(repo_root().join("deploy/examples/policy.cedar"), policies.join("shop.cedar"))
        .unwrap();
    std::fs::write(policies.join("story.cedar"), POLICY).unwrap();
    let targets = format!(
        r#"
[[targets]]
kind = "http"
name = "billing"
url = "http://127.0.0.1:{}"
token = {{ value = "of-the-gateway" }}
patience_seconds = 1
[[targets.routes]]
name = "account"
method = "GET"
path = "/accounts/{{id}}"
masks = [{{ at = ["/card"], mask = "partial:last4" }}]
[[targets.routes]]
name = "refund"
method = "POST"
path = "/accounts/{{id}}/refunds"
body = ["/amount", "/reason"]

[[targets]]
kind = "kubernetes"
name = "prod"
url = "{}"
ca = "{}"
token = {{ value = "{}" }}
"#,
        billing.port,
        cluster.text("server"),
        cluster.text("ca"),
        cluster.text("gateway_token")
    );
    let file = folder.path().join("targets.toml");
    std::fs::write(&file, targets).unwrap();
    let stack = Stack::start(&[
        "--targets",
        file.to_str().unwrap(),
        "--policy",
        policies.to_str().unwrap(),
    ]);
    World { stack, folder, cluster }
}

impl World {
    /// A local port of a target, as the agent.
    fn connect(&self, target: &str, more: &[&str]) -> Forward {
        let ready = self.stack.ready_file().to_str().unwrap();
        Forward::start(&[&[target, "--as", "support-agent", "--ready-file", ready], more].concat())
    }

    fn kubectl(&self, config: &str, arguments: &[&str]) -> Output {
        Command::new(self.cluster.text("kubectl"))
            .args(["--kubeconfig", config])
            .args(arguments)
            .env("HOME", self.folder.path())
            .output()
            .unwrap()
    }
}

fn curl(port: u16, method: &str, path: &str, body: Option<&str>) -> String {
    let mut command = Command::new("curl");
    command.args(["-s", "--noproxy", "*", "-X", method, &format!("http://127.0.0.1:{port}{path}")]);
    if let Some(body) = body {
        command.args(["-H", "content-type: application/json", "-d", body]);
    }
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn an_agent_is_let_look_is_stopped_is_agreed_with_and_is_refused_and_all_of_it_is_told() {
    let test =
        "an_agent_is_let_look_is_stopped_is_agreed_with_and_is_refused_and_all_of_it_is_told";
    let Some(cluster) = start_or_say(test, "kube", &[]) else { return };
    let Some(_postgres) = start_or_say(test, "postgres", &[]) else { return };
    let billing = Billing::start();
    let world = world(cluster, &billing);
    let mut heard = String::new();

    // The customer's last orders, and the account; no card.
    let shop = world.connect("sample", &[]);
    let orders = "SELECT c.name, c.card, o.item, o.total FROM app.customers c JOIN app.orders o ON o.customer_id = c.id \
                  WHERE c.id = 1 ORDER BY o.created_at DESC LIMIT 3";
    let told =
        psql(shop.port(), "support-agent", "sample").args(["-At", "-c", orders]).output().unwrap();
    heard += &said(&told);
    assert!(heard.contains("Ada Example|[redacted]|"), "{heard}");
    let billed = world.connect("billing", &[]);
    let account = curl(billed.port(), "GET", "/accounts/1", None);
    assert!(account.contains("\"card\": \"****1111\"") && account.contains("12.5"), "{account}");
    heard += &account;

    // A refund is stopped, agreed to by a person, and goes once.
    heard += &refunded(&world.stack, billed.port());

    // A pod's logs; and no program in it.
    let config = world.folder.path().join("kubeconfig");
    let config = config.to_str().unwrap();
    let _cluster = world.connect("prod", &["--kubeconfig", config, "--namespace", "shop"]);
    let logs = said(&world.kubectl(config, &["logs", "web-0", "-c", "app"]));
    assert!(logs.contains("listening"), "{logs}");
    let exec = world.kubectl(config, &["exec", "web-0", "-c", "app", "--", "cat", "/etc/passwd"]);
    assert!(
        !exec.status.success() && said(&exec).contains("no policy permits k8s:exec"),
        "{}",
        said(&exec)
    );
    heard += &logs;
    heard += &said(&exec);
    // Clients of other languages, with the file that `connect` wrote.
    if let Some(clients) = start_or_say(test, "kube-clients", &[]) {
        let python = Command::new(clients.text("python")).args(["-c", PYTHON, config]).output();
        let mut node = Command::new("node");
        node.args(["-e", NODE, config]).current_dir(clients.text("node"));
        for told in [python, node.output()] {
            let told = said(&told.unwrap());
            assert!(told.contains("logs listening") && told.contains("denied true"), "{told}");
            heard += &told;
        }
    }
    assert!(!heard.contains(CARD), "{heard}");
    assert_eq!(
        billing.refunds(),
        ["/accounts/1/refunds {\"amount\": 7, \"reason\": \"broken lamp\"}"]
    );

    audited(&world.stack);
}

/// What the agent is told once a person agreed.
fn refunded(stack: &Stack, port: u16) -> String {
    let refund = || {
        curl(
            port,
            "POST",
            "/accounts/1/refunds",
            Some("{\"amount\": 7, \"reason\": \"broken lamp\"}"),
        )
    };
    let waits: Value = serde_json::from_str(&refund()).unwrap();
    assert_eq!(waits["code"], "waits_for_approval", "{waits}");
    let id = waits["message"]
        .as_str()
        .unwrap()
        .split("asked as ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    let shown = stack.run(&["approvals", "show", id, "--json", "--as", "approver"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let statement = shown["command"]["statement"].as_str().unwrap();
    assert_eq!(
        statement,
        "POST /accounts/1/refunds\ncontent-type: application/json\n\n\
         {\"amount\":7,\"reason\":\"broken lamp\"}"
    );
    let digest = shown["digest"].as_str().unwrap();
    let approve =
        ["approvals", "approve", id, "--digest", digest, "--comment", "OPS-9", "--as", "approver"];
    let approved = stack.run(&approve);
    assert!(approved.status.success(), "{}", said(&approved));
    let refunded = refund();
    assert_eq!(refunded, "{\"refunded\": 7}");
    refunded
}

/// What the audit tells, in order: who, on whose behalf, what, and who let them.
fn audited(stack: &Stack) {
    let ask = [
        "ask",
        "principal-activity",
        "-p",
        "principal=support-agent",
        "--since",
        "1h",
        "--json",
        "--as",
        "analyst",
    ];
    let steps = [
        ("sample", "FROM app.customers"),
        ("billing", "GET /accounts/1"),
        ("billing", "requested"),
        ("billing", "granted"),
        ("billing", "used"),
        ("billing", "POST /accounts/1/refunds"),
        ("prod", "/pods/web-0/log"),
        ("prod", "exec shop/web-0 -c app -- [\"cat\",\"/etc/passwd\"]"),
    ];
    let (mut rows, mut heard): (Vec<Value>, _) = (Vec::new(), String::new());
    let is_step = |row: &Value, (target, what): (&str, &str)| {
        let of = |key: &str| row[key].as_str().unwrap_or_default().contains(what);
        (row["target"] == target || row["family"] == "approval")
            && (of("statement") || of("activity"))
    };
    let whole = eventually(|| {
        let answer = stack.run(&ask);
        heard = said(&answer);
        rows = serde_json::from_slice(&answer.stdout).unwrap_or_default();
        // Each step stands behind the one before.
        let mut rest = rows.iter();
        steps.iter().all(|step| rest.any(|row| is_step(row, *step)))
    });
    let shown: Vec<String> = rows
        .iter()
        .map(|row| {
            format!("{} {} {} {}", row["family"], row["activity"], row["target"], row["statement"])
        })
        .collect();
    assert!(whole, "{heard}\n{}", shown.join("\n"));
    let refused = rows.iter().find(|row| is_step(row, steps[7]) && row["outcome"] == "refused");
    assert!(refused.is_some(), "{}", shown.join("\n"));
    let all = serde_json::to_string(&rows).unwrap();
    assert!(!all.contains(CARD), "a card is in the audit");
    let made =
        ["ask", "requests", "-p", "contains=POST /accounts/1/refunds", "--json", "--as", "analyst"];
    let made: Vec<Value> = serde_json::from_slice(&stack.run(&made).stdout).unwrap();
    let made: Vec<_> = made.iter().filter(|row| row["disposition"] == "forwarded").collect();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0]["on_behalf_of"], "ada@example.com");
    assert_eq!(
        (&made[0]["tag"], &made[0]["approved_by"]),
        (&"HTTP 200".into(), &"Order approver".into())
    );
    let of_agent: Vec<_> = rows.iter().filter(|row| row["family"] == "command").collect();
    assert!(of_agent.len() > 4, "{all}");
    for row in of_agent {
        assert_eq!(row["on_behalf_of"], "ada@example.com", "{row}");
    }
}
