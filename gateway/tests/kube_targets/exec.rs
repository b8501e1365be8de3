//! What runs in containers: recorded in both directions, decided by its words, agreed to for one pod.

use serde_json::{Value, json};
use tallyport_schemas::{Phase, ResponseStatus};

use crate::world::{SOON, World, text};

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_recorded_both_ways() {
    let Some(world) = World::start().await else { return };
    let told =
        world.kubectl("agent", &["exec", "web-0", "-c", "app", "--", "echo", "hi there"]).await;
    assert_eq!((text(&told).as_str(), told.status.code()), ("hi there\n", Some(0)));
    let failed = world
        .kubectl(
            "agent",
            &["exec", "web-0", "-c", "app", "--", "sh", "-c", "echo out; echo err >&2; exit 3"],
        )
        .await;
    assert_eq!(failed.status.code(), Some(3), "{}", text(&failed));
    assert_eq!(String::from_utf8_lossy(&failed.stdout), "out\n");
    assert!(String::from_utf8_lossy(&failed.stderr).starts_with("err\n"));
    let echoed = world
        .kubectl_with(
            "agent",
            &["exec", "-i", "web-0", "-c", "app", "--", "cat"],
            "line one\nline two\n",
        )
        .await;
    assert_eq!(text(&echoed), "line one\nline two\n");

    let ended = world
        .ended("exec shop/web-0 -c app -- [\"sh\",\"-c\",\"echo out; echo err >&2; exit 3\"]")
        .await;
    assert_eq!((ended.status, ended.tag.as_deref()), (ResponseStatus::Ok, Some("exit 3")));
    let cat = world.ended("exec shop/web-0 -c app -i -- [\"cat\"]").await;
    assert_eq!(cat.tag.as_deref(), Some("exit 0"));
    let commands = world.commands().await;
    let inputs: Vec<_> = commands.iter().filter(|it| it.phase == Phase::Input).collect();
    let typed: Vec<u8> =
        inputs.iter().flat_map(|it| it.content.as_ref().unwrap().replay().unwrap()).collect();
    assert_eq!(typed, b"\0line one\nline two\n\xff\0");
    assert!(inputs.iter().all(|it| it.command_id == cat.command_id));
    let recorded = world.recorded().await;
    assert!(recorded.contains("\u{1}out\n") && recorded.contains("\u{2}err\n"), "{recorded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_decides_by_pod_container_and_words() {
    let Some(world) = World::start().await else { return };
    for (arguments, why) in [
        (&["exec", "db-0", "--", "id"][..], "prod/shop//pods/db-0/exec"),
        (&["exec", "web-0", "-c", "sidecar", "--", "id"], "no policy permits k8s:exec"),
        (&["exec", "web-0", "-c", "app", "--", "reboot"], "no policy permits k8s:exec"),
        (&["attach", "web-0", "-c", "app"], "k8s:attach is denied to agents"),
    ] {
        let denied = world.kubectl("agent", arguments).await;
        assert_eq!(denied.status.code(), Some(1), "{arguments:?}");
        assert!(text(&denied).contains(why), "{arguments:?}: {}", text(&denied));
    }
    // The cluster heard of none.
    let heard = std::fs::read_to_string(world.cluster.text("audit_log")).unwrap();
    assert!(
        !heard.contains("reboot") && !heard.contains("web-0/attach?container=app\""),
        "it heard"
    );
    let old = [("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")];
    let port = world.port("agent").await;
    let spdy = tokio::process::Command::new(world.cluster.text("kubectl"))
        .args([
            "--server",
            &format!("http://127.0.0.1:{port}"),
            "-n",
            "shop",
            "exec",
            "web-0",
            "-c",
            "app",
            "--",
            "echo",
            "old",
        ])
        .env("KUBECONFIG", "/dev/null")
        .env("HOME", world.folder.path())
        .envs(old)
        .output();
    let told = text(&tokio::time::timeout(SOON, spdy).await.unwrap().unwrap());
    assert!(told.contains("open it as a WebSocket"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_through_needs_a_policy_that_says_so() {
    let Some(world) = World::start().await else { return };
    let forward = |client: &'static str| {
        let world = &world;
        async move {
            let port = world.port(client).await;
            let mut child = tokio::process::Command::new(world.cluster.text("kubectl"))
                .args([
                    "--server",
                    &format!("http://127.0.0.1:{port}"),
                    "-n",
                    "shop",
                    "port-forward",
                    "web-0",
                    ":7",
                ])
                .env("KUBECONFIG", "/dev/null")
                .env("HOME", world.folder.path())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(
                child.stdout.take().unwrap(),
            ));
            let first = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap();
            // It ends once nobody reads what it says.
            (child, first, lines)
        }
    };
    let (child, first, _) = forward("agent").await;
    assert_eq!(first, None);
    let told = text(&tokio::time::timeout(SOON, child.wait_with_output()).await.unwrap().unwrap());
    assert!(told.contains("k8s:portForward is denied to agents"), "{told}");
    let (mut child, first, _lines) = forward("trusted").await;
    let first = first.unwrap();
    let port: u16 =
        first.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    let mut io = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut io, b"ping").await.unwrap();
    let mut back = [0_u8; 4];
    let read = tokio::io::AsyncReadExt::read_exact(&mut io, &mut back);
    if let Err(error) = tokio::time::timeout(SOON, read).await.unwrap() {
        let _killed = child.start_kill();
        panic!("{error}: {}", text(&child.wait_with_output().await.unwrap()));
    }
    assert_eq!(&back, b"ping");
    assert!(world.recorded().await.contains("ping"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_looked_into() {
    let Some(world) =
        World::saying("detectors = { payment_card = 'mask', secrets = 'deny' }").await
    else {
        return;
    };
    let told = world
        .kubectl(
            "agent",
            &[
                "exec",
                "web-0",
                "-c",
                "app",
                "--",
                "sh",
                "-c",
                "printf 'pay 41111111'; sleep 0.02; echo 11111111 now",
            ],
        )
        .await;
    assert!(
        told.status.success() && !text(&told).contains("1111 ") && text(&told).starts_with("pay "),
        "{}",
        text(&told)
    );
    let kept = world
        .kubectl("agent", &["exec", "web-0", "-c", "app", "--", "echo", "AKIAQ3EGRZV2XKTYN5WB"])
        .await;
    assert!(!kept.status.success() && !text(&kept).contains("AKIA"), "{}", text(&kept));
    assert!(text(&kept).contains("what may not be seen"), "{}", text(&kept));
    let recorded = world.recorded().await;
    let printed = recorded.lines().filter(|it| it.contains("AKIA")).count();
    // The words of the command are its own; what it printed is not there.
    assert!(recorded.matches("\u{1}AKIA").count() == 0 && printed <= 1, "{recorded}");
}

/// The approval that a command waits for.
fn waits(told: &str) -> String {
    assert!(told.contains("policy demands that somebody else agrees"), "{told}");
    told.split("asked as ").nth(1).unwrap().split(',').next().unwrap().to_owned()
}

async fn approve(world: &World, id: &str) -> u16 {
    let token = world.token("dana").await;
    let root = reqwest::Certificate::from_pem(&std::fs::read(world.ca.ca_path()).unwrap()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let url = format!("https://localhost:{}/v1/approvals/{id}", world.front.tcp_addr.port());
    let seen: Value =
        http.get(&url).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    let body = json!({ "comment": "OPS-7", "digest": seen["digest"] });
    let answered = http.post(format!("{url}/approve")).bearer_auth(&token).json(&body).send().await;
    answered.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_for_one_pod_one_container_and_these_words() {
    let Some(world) = World::start().await else { return };
    let pod = |name: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","namespace":"shop"}},"spec":{{"nodeName":"kwok-node-0","containers":[{{"name":"app","image":"x"}}]}}}}"#
        )
    };
    world.admin(&["create", "-f", "-"], &pod("job-0")).await;
    world.admin(&["wait", "--for=condition=Ready", "pod/job-0", "--timeout=20s"], "").await;
    let run = ["exec", "job-0", "-c", "app", "--", "migrate", "up"];
    let told = text(&world.kubectl("agent", &run).await);
    let id = waits(&told);
    assert_eq!(waits(&text(&world.kubectl("agent", &run).await)), id, "it is asked for once");
    let other = waits(&text(
        &world.kubectl("agent", &["exec", "job-0", "-c", "app", "--", "migrate", "down"]).await,
    ));
    assert_ne!(other, id);
    assert_eq!(approve(&world, &id).await, 200);
    // The pod of that name is another one now.
    world.admin(&["delete", "pod", "job-0", "--grace-period=0", "--force"], "").await;
    world.admin(&["create", "-f", "-"], &pod("job-0")).await;
    world.admin(&["wait", "--for=condition=Ready", "pod/job-0", "--timeout=20s"], "").await;
    let anew = waits(&text(&world.kubectl("agent", &run).await));
    assert_ne!(anew, id, "an approval outlived its pod");
    assert_eq!(approve(&world, &anew).await, 200);
    let ran = world.kubectl("agent", &run).await;
    // There is no such program there; it was tried.
    assert_eq!(ran.status.code(), Some(127), "{}", text(&ran));
    let asked = text(&world.kubectl("agent", &run).await);
    assert_ne!(waits(&asked), anew, "an approval is for one run");
    let decisions = world.decisions().await;
    assert!(decisions.iter().any(|it| it.policy_ids == ["tallyport:pin"]));
    assert!(decisions.iter().any(|it| it.reasons == [format!("approved: {anew}")]));
    world.admin(&["delete", "pod", "job-0", "--grace-period=0", "--force"], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_ends_what_runs_and_says_so() {
    let Some(world) = World::start().await else { return };
    let run = world.kubectl("agent", &["exec", "web-0", "-c", "app", "--", "sleep", "30"]);
    let end = async {
        let deadline = std::time::Instant::now() + SOON;
        loop {
            let commands = world.commands().await;
            if commands
                .iter()
                .any(|it| it.statement.as_deref().is_some_and(|it| it.contains("sleep")))
            {
                break;
            }
            assert!(std::time::Instant::now() < deadline);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        for session in world.gateway.sessions() {
            assert!(world.gateway.end_session(session.session_id, "dana", "enough"));
        }
    };
    let (told, ()) = tokio::join!(run, end);
    assert!(!told.status.success(), "it was taken for success");
    assert!(text(&told).contains("session ended"), "{}", text(&told));
    let ended = world.ended("exec shop/web-0 -c app -- [\"sleep\",\"30\"]").await;
    assert_eq!(ended.status, ResponseStatus::Interrupted);
}
