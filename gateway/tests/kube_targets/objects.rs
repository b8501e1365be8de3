//! kubectl, as it is, through the gateway: objects.

use tallyport_schemas::{Disposition, Effect};

use crate::world::{World, text};

/// The data of the secret `card-key`, and as kubectl shows it.
const SECRET: [&str; 2] = ["throw-away-card-key", "dGhyb3ctYXdheS1jYXJkLWtleQ=="];

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_read_is_and_what_may_not_is_told() {
    let Some(world) = World::start().await else { return };
    let told = text(&world.kubectl("agent", &["get", "pods", "-o", "wide"]).await);
    assert!(told.contains("web-0") && told.contains("2/2"), "{told}");
    let told = text(&world.kubectl("agent", &["describe", "pod", "db-0"]).await);
    assert!(told.contains("kwok-node-0"), "{told}");
    let denied = world.kubectl("agent", &["-n", "tallyport", "get", "pods"]).await;
    assert!(!denied.status.success());
    let told = text(&denied);
    assert!(told.contains("tallyport: no policy permits k8s:list"), "{told}");
    let told = text(&world.kubectl("agent", &["delete", "pod", "db-0"]).await);
    assert!(told.contains("no policy permits k8s:delete on prod/shop//pods/db-0/"), "{told}");
    let told = text(&world.kubectl("other", &["get", "pods"]).await);
    assert!(!told.contains("web-0"), "{told}");
    let denied = world.decisions().await.into_iter().filter(|it| it.effect == Effect::Deny);
    assert!(denied.count() >= 3);
    let still = text(&world.kubectl("agent", &["get", "pod", "db-0"]).await);
    assert!(still.contains("Running"), "{still}");
    let list = world.ended("GET /api/v1/namespaces/shop/pods?limit=500").await;
    assert_eq!(list.tag.as_deref(), Some("HTTP 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_secrets_is_seen_in_no_form() {
    let Some(world) = World::start().await else { return };
    for arguments in [
        &["get", "secret", "card-key", "-o", "yaml"][..],
        &["get", "secrets", "-o", "json"],
        &["get", "secret", "card-key", "-o", "jsonpath={.data.key}"],
        &["get", "secret", "card-key", "-o", "go-template={{.data.key | base64decode}}"],
        &["get", "secrets", "-o", "custom-columns=K:.data.key"],
        &["describe", "secret", "card-key"],
        &["get", "secrets"],
        &["get", "--raw", "/api/v1/namespaces/shop/secrets/card-key"],
        &["get", "--raw", "/api/v1/namespaces/shop/secrets?watch=1&timeoutSeconds=1"],
        &["get", "--raw", "/api/v1/namespaces/shop/secrets?fieldSelector=metadata.name%3Dcard-key"],
    ] {
        let told = text(&world.kubectl("agent", arguments).await);
        assert!(!SECRET.iter().any(|it| told.contains(it)), "{arguments:?}: {told}");
        assert!(
            told.contains("W3JlZGFjdGVkXQ")
                || told.contains("[redacted]")
                || told.contains("card-key"),
            "{arguments:?}: {told}"
        );
    }
    let recorded = world.recorded().await;
    assert!(!SECRET.iter().any(|it| recorded.contains(it)), "a secret is on record");
    assert!(recorded.contains("W3JlZGFjdGVkXQ=="));
    let seen = world.ended("GET /api/v1/namespaces/shop/secrets/card-key").await;
    assert!(seen.masked_values >= 2, "{seen:?}");
    let world = World::saying("secrets = 'clear'").await.unwrap();
    let told = text(&world.kubectl("agent", &["get", "secret", "card-key", "-o", "yaml"]).await);
    assert!(told.contains(SECRET[1]), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_of_secrets_is_written_and_not_recorded() {
    let Some(world) = World::start().await else { return };
    let planted = ["planted-one", "cGxhbnRlZC1vbmU=", "planted-two", "cGxhbnRlZC10d28="];
    let object = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"applied-key"},"stringData":{"key":"planted-one"}}"#;
    let by_step = r#"[{"op":"replace","path":"/data/key","value":"cGxhbnRlZC10d28="}]"#;
    for (arguments, input, held) in [
        (
            &["create", "secret", "generic", "planted-key", "--from-literal=key=planted-one"][..],
            "",
            1,
        ),
        (&["patch", "secret", "planted-key", "--type=json", "-p", by_step], "", 3),
        (
            &["patch", "secret", "planted-key", "-p", r#"{"stringData":{"key":"planted-one"}}"#],
            "",
            1,
        ),
        (
            &[
                "patch",
                "secret",
                "planted-key",
                "--type=merge",
                "-p",
                r#"{"data":{"key":"cGxhbnRlZC10d28="}}"#,
            ],
            "",
            3,
        ),
        (&["delete", "secret", "planted-key"], "", 0),
        (&["apply", "-f", "-"], object, 0),
        (&["apply", "--server-side", "--force-conflicts", "-f", "-"], object, 0),
        (&["delete", "secret", "applied-key"], "", 0),
    ] {
        let told = world.kubectl_with("trusted", arguments, input).await;
        assert!(told.status.success(), "{arguments:?}: {}", text(&told));
        if held > 0 {
            let path = &["get", "secret", "planted-key", "-o", "jsonpath={.data.key}"];
            assert_eq!(world.admin(path, "").await, planted[held], "{arguments:?}");
        }
    }
    let (recorded, commands) = (world.recorded().await, world.commands().await);
    let statements: Vec<_> = commands.iter().filter_map(|it| it.statement.clone()).collect();
    for value in planted {
        assert!(!recorded.contains(value), "{value} is on record");
        assert!(!statements.iter().any(|it| it.contains(value)), "{value} in {statements:?}");
    }
    // That it was written is told all the same, and where.
    let patched = commands.iter().find(|it| it.functions == ["prod/patch secrets"]).unwrap();
    assert!(patched.statement.as_ref().unwrap().contains("\"path\":\"/data/key\""), "{patched:?}");
}

/// A patch that makes an object invalid is answered with the object, as it was or would be.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_quotes_of_a_secret_is_hidden() {
    let Some(world) = World::start().await else { return };
    let invalid = r#"{"metadata":{"labels":{"a":1}}}"#;
    let patch = ["patch", "secret", "card-key", "--type=merge", "-p", invalid];
    let told = world.kubectl("trusted", &patch).await;
    assert!(!told.status.success());
    let told = text(&told);
    assert!(!SECRET.iter().any(|it| told.contains(it)), "{told}");
    let recorded = world.recorded().await;
    assert!(!SECRET.iter().any(|it| recorded.contains(it)), "it is on record");
    let world = World::saying("secrets = 'clear'").await.unwrap();
    let told = text(&world.kubectl("trusted", &patch).await);
    assert!(told.contains(SECRET[1]), "where nothing is hidden it is quoted: {told}");
    // Whether a value is the applied one is told by no conflict.
    let world = World::start().await.unwrap();
    let guess = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"card-key"},"stringData":{"key":"a-guess"}}"#;
    let apply = ["apply", "--server-side", "--field-manager=other", "-f", "-"];
    let told = text(&world.kubectl_with("trusted", &apply, guess).await);
    assert!(told.contains("force=true") && !told.contains("onflict with"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_changed_is_and_the_record_says_to_what() {
    let Some(world) = World::start().await else { return };
    // By protobuf, as this client sends it.
    let told = text(
        &world.kubectl("agent", &["create", "configmap", "of-test", "--from-literal=a=1"]).await,
    );
    assert!(told.contains("configmap/of-test created"), "{told}");
    let applied =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"a":"1"}}"#;
    for word in ["created", "unchanged"] {
        let told = text(&world.kubectl_with("agent", &["apply", "-f", "-"], applied).await);
        assert!(told.contains(&format!("configmap/applied {word}")), "{told}");
    }
    let told = text(
        &world
            .kubectl_with(
                "agent",
                &["apply", "--server-side", "--force-conflicts", "-f", "-"],
                applied,
            )
            .await,
    );
    assert!(told.contains("serverside-applied"), "{told}");
    let told = text(&world.kubectl("agent", &["delete", "configmap", "of-test", "applied"]).await);
    assert!(told.contains("\"of-test\" deleted"), "{told}");
    let told =
        text(&world.kubectl("agent", &["scale", "deployment", "web", "--replicas", "2"]).await);
    // Scaling reads the deployment's scale, and changes it.
    assert!(told.contains("scaled"), "{told}");
    let commands = world.commands().await;
    let scaled =
        commands.iter().find(|it| it.functions == ["prod/patch deployments.apps/scale"]).unwrap();
    assert!(
        scaled.statement.as_ref().unwrap().ends_with("{\"spec\":{\"replicas\":2}}"),
        "{scaled:?}"
    );
    let created = commands.iter().find(|it| it.functions == ["prod/create configmaps"]).unwrap();
    assert_eq!(created.disposition, Disposition::Forwarded);
    assert!(!created.read_only);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_shown_as_they_come_with_what_is_hidden_hidden() {
    let Some(world) = World::saying("detectors = { payment_card = 'mask' }").await else { return };
    let told = text(&world.kubectl("agent", &["logs", "web-0", "-c", "app"]).await);
    assert!(told.contains("listening"), "{told}");
    let log = format!("{}/shop/web-0/app.log", world.cluster.text("containers"));
    let line = "2026-01-01T00:00:00.000000000Z stdout F paid with 4111 1111 1111 1111 today\n";
    let before = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{before}{line}")).unwrap();
    let follow = ["logs", "-f", "--tail=1", "web-0", "-c", "app", "--pod-running-timeout=5s"];
    let port = world.port("agent").await;
    let mut child = tokio::process::Command::new(world.cluster.text("kubectl"))
        .args(["--server", &format!("http://127.0.0.1:{port}"), "-n", "shop"])
        .args(follow)
        .env("KUBECONFIG", "/dev/null")
        .env("HOME", world.folder.path())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    let line = tokio::time::timeout(crate::world::SOON, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        line.starts_with("paid with") && line.ends_with("today") && !line.contains("1111 1111"),
        "{line}"
    );
    child.kill().await.unwrap();
    let ended = world
        .ended("GET /api/v1/namespaces/shop/pods/web-0/log?container=app&follow=true&tailLines=1")
        .await;
    assert_eq!(ended.masked_values, 1);
    std::fs::write(&log, before).unwrap();
}
