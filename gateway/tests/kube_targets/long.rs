//! What goes on for long: watches, terminals, and lists larger than one would hold in memory.

use std::time::Duration;

use gateway_core::replay::asciicast;
use serde_json::{Value, json};
use tallyport_schemas::{Phase, ResponseStatus};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::world::{SOON, World, text};

/// More than a gateway would gather of an answer: 22 secrets and as many settings, each of the largest that clusters take.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_megabytes_passes_with_what_is_hidden_hidden() {
    let Some(world) = World::saying("detectors = { payment_card = 'mask' }").await else { return };
    world.admin(&["create", "namespace", "bulk"], "").await;
    let role = ["create", "role", "reads", "-n", "bulk", "--verb=get,list"];
    world.admin(&[&role[..], &["--resource=secrets,configmaps"]].concat(), "").await;
    let bind = ["create", "rolebinding", "reads", "-n", "bulk", "--role=reads"];
    world.admin(&[&bind[..], &["--serviceaccount=tallyport:gateway"]].concat(), "").await;
    let filler = "planted and more of it. ".repeat(40_000);
    let mut objects = Vec::new();
    for place in 0..22 {
        let of = |kind: &str, member: &str, text: &str| {
            json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": format!("big-{place}"), "namespace": "bulk" },
                    member: { "text": text } })
        };
        let card = format!("paid with 4111 1111 1111 1111 {filler}");
        objects.push(of("Secret", "stringData", &filler).to_string());
        objects.push(of("ConfigMap", "data", &card).to_string());
    }
    world.admin(&["create", "-n", "bulk", "-f", "-"], &objects.join("\n")).await;
    for (kind, least) in [("secrets", 0), ("configmaps", 20 << 20)] {
        let path = format!("/api/v1/namespaces/bulk/{kind}");
        let told = world.kubectl("agent", &["get", "--raw", &path]).await;
        assert!(told.status.success(), "{kind}: {}", String::from_utf8_lossy(&told.stderr));
        assert!(told.stdout.len() > least, "{kind}: {} bytes", told.stdout.len());
        let list: Value = serde_json::from_slice(&told.stdout).unwrap();
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.iter().filter(|it| it["data"]["text"].is_string()).count(), 22);
        let words = String::from_utf8(told.stdout).unwrap();
        assert!(!words.contains("1111 1111") && !words.contains("cGxhbnRlZC"), "{kind}");
        let ended = world.ended(&format!("GET {path}")).await;
        assert_eq!((ended.status, ended.masked_values >= 22), (ResponseStatus::Ok, true), "{kind}");
        assert!(ended.bytes as usize >= words.len(), "all of it is on record");
    }
    world.admin(&["delete", "namespace", "bulk", "--wait=false"], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_is_followed_for_as_long_as_somebody_looks() {
    let Some(world) = World::start().await else { return };
    let port = world.port("agent").await;
    let mut child = tokio::process::Command::new(world.cluster.text("kubectl"))
        .args(["--server", &format!("http://127.0.0.1:{port}"), "-n", "shop"])
        .args(["get", "configmaps", "--watch-only", "-o", "name"])
        .env("KUBECONFIG", "/dev/null")
        .env("HOME", world.folder.path())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_asked = async {
        let is_watch = |it: &tallyport_schemas::Command| {
            it.statement.as_deref().is_some_and(|it| it.contains("watch=true"))
        };
        while !world.commands().await.iter().any(is_watch) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, is_asked).await.unwrap();
    // Longer between two than the target's own patience, which is a second.
    for place in 0..3 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let name = format!("watched-{place}");
        world.admin(&["create", "configmap", &name], "").await;
        let seen = async {
            while lines.next_line().await.unwrap().unwrap() != format!("configmap/{name}") {}
        };
        tokio::time::timeout(SOON, seen).await.unwrap();
        assert!(world.recorded().await.contains(&name), "what was seen is on record by then");
    }
    child.kill().await.unwrap();
    world.admin(&["delete", "configmap", "watched-0", "watched-1", "watched-2"], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_has_a_terminal_and_it_plays_as_it_was() {
    let Some(world) = World::start().await else { return };
    let run = ["exec", "-it", "web-0", "-c", "app", "--", "sh", "-c"];
    let script = "stty size; printf 'who? '; read name; echo hello $name";
    let denied = world.typed("agent", &[&run[..], &[script]].concat(), "ada\r").await;
    assert!(denied.contains("k8s:tty is denied to agents"), "{denied}");
    let told = world.typed("trusted", &[&run[..], &[script]].concat(), "ada\r").await;
    assert!(told.contains("hello ada"), "{told}");
    let statement = format!("exec shop/web-0 -c app -i -t -- {}", json!(["sh", "-c", script]));
    let ended = world.ended(&statement).await;
    assert_eq!(ended.tag.as_deref(), Some("exit 0"));
    // The session of it, as `tallyport sessions replay --asciicast` reads it.
    let events = world.events().await;
    let session = events.iter().find_map(|event| match &event.body {
        tallyport_schemas::Body::Command(it) if it.command_id == ended.command_id => {
            event.context.session_id
        }
        _ => None,
    });
    let of_it: Vec<_> = events.into_iter().filter(|it| it.context.session_id == session).collect();
    let cast = asciicast(&of_it).unwrap().unwrap();
    let lines: Vec<Value> = cast.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["version"], 2);
    let of = |code: &str| -> String {
        let pieces = lines[1..].iter().filter(|it| it[1] == code);
        pieces.map(|it| it[2].as_str().unwrap()).collect()
    };
    assert!(of("o").contains("who? ") && of("o").contains("hello ada"), "{cast}");
    assert_eq!(of("i"), "ada\r");
    let Some(player) = tokio::task::spawn_blocking(crate::clients::clients).await.unwrap() else {
        return;
    };
    let path = world.folder.path().join("it.cast");
    std::fs::write(&path, &cast).unwrap();
    let mut command = tokio::process::Command::new(player.text("asciinema"));
    let played = command.arg("cat").arg(&path).env("HOME", world.folder.path()).output();
    let played = text(&tokio::time::timeout(SOON, played).await.unwrap().unwrap());
    assert!(played.contains("hello ada"), "{played}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_attaches_and_what_passes_is_on_record() {
    let Some(world) = World::start().await else { return };
    let log = format!("{}/shop/web-0/sidecar.log", world.cluster.text("containers"));
    let before = std::fs::read_to_string(&log).unwrap_or_default();
    let told = world
        .kubectl_with("trusted", &["attach", "-i", "web-0", "-c", "sidecar"], "typed by hand\n")
        .await;
    assert!(text(&told).contains("typed by hand"), "{}", text(&told));
    let ended = world.ended("attach shop/web-0 -c sidecar -i").await;
    let commands = world.commands().await;
    let typed = commands.iter().filter(|it| it.phase == Phase::Input);
    assert!(typed.into_iter().all(|it| it.command_id == ended.command_id));
    assert!(world.recorded().await.contains("\u{1}typed by hand"));
    std::fs::write(&log, before).unwrap();
}
