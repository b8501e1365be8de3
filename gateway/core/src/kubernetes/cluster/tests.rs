use bytes::Bytes;

use super::*;
use crate::target::StreamPlan;

const WEBSOCKET: [(&str, &str); 3] = [
    ("upgrade", "websocket"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-protocol", "v5.channel.k8s.io, base64.channel.k8s.io,v4.channel.k8s.io"),
];

fn cluster() -> Cluster {
    let hide = ObjectHide {
        kind: "widgets.example.com".into(),
        at: vec!["/spec/key".into()],
        mask: Mask::Redact,
    };
    Cluster::new("prod".to_owned(), None, vec![hide], false)
}

fn read_with(method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Reading {
    let fields =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    cluster().read(Asked::read(method, target, fields, Bytes::from(body.to_owned())).unwrap())
}

fn asks(method: &str, target: &str) -> Vec<(String, String)> {
    let reading = read_with(method, target, &[], "");
    assert!(reading.wanted.is_ok(), "{target}: {:?}", reading.wanted);
    reading.question.asks.iter().map(|(action, on)| (action.to_string(), on.to_string())).collect()
}

#[test]
fn a_request_is_a_verb_on_an_object() {
    for (method, target, action, on) in [
        ("GET", "/api/v1/namespaces/shop/pods", "k8s:list", "prod/shop//pods//"),
        ("GET", "/api/v1/namespaces/shop/pods/web-0", "k8s:get", "prod/shop//pods/web-0/"),
        ("GET", "/api/v1/pods?watch=true", "k8s:watch", "prod///pods//"),
        ("GET", "/api/v1/pods?watch=0", "k8s:list", "prod///pods//"),
        ("POST", "/api/v1/namespaces/shop/pods", "k8s:create", "prod/shop//pods//"),
        ("PUT", "/api/v1/namespaces/shop/configmaps/a", "k8s:update", "prod/shop//configmaps/a/"),
        (
            "PATCH",
            "/apis/apps/v1/namespaces/shop/deployments/web/scale",
            "k8s:patch",
            "prod/shop/apps/deployments/web/scale",
        ),
        ("DELETE", "/api/v1/namespaces/shop/pods/web-0", "k8s:delete", "prod/shop//pods/web-0/"),
        ("DELETE", "/api/v1/namespaces/shop/pods", "k8s:deleteCollection", "prod/shop//pods//"),
        (
            "GET",
            "/api/v1/namespaces/shop/pods/web-0/log?follow=true",
            "k8s:logs",
            "prod/shop//pods/web-0/log",
        ),
        ("GET", "/apis?timeout=32s", "k8s:discover", "prod"),
        (
            "POST",
            "/api/v1/namespaces/shop/serviceaccounts/a/token",
            "k8s:create",
            "prod/shop//serviceaccounts/a/token",
        ),
    ] {
        assert_eq!(asks(method, target), [(action.to_owned(), on.to_owned())], "{method} {target}");
    }
}

#[test]
fn what_runs_in_a_container_is_told_with_its_words() {
    let target = "/api/v1/namespaces/shop/pods/web-0/exec?command=sh&command=-c&command=a+b&container=app&stdin=true&tty=true&stdout=true";
    let reading = read_with("GET", target, &WEBSOCKET, "");
    let plan = StreamPlan {
        stdin: true,
        tty: true,
        raw: false,
        protocols: "v5.channel.k8s.io, v4.channel.k8s.io".into(),
    };
    assert_eq!(reading.manner, Manner::Streams(plan));
    let question = reading.question;
    assert_eq!(question.statement, "exec shop/web-0 -c app -i -t -- [\"sh\",\"-c\",\"a b\"]");
    let actions: Vec<&str> = question.asks.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["k8s:exec", "k8s:tty"]);
    let exec = question.exec.clone().unwrap();
    assert!(exec.stdin && exec.tty && exec.container == "app" && exec.argv == ["sh", "-c", "a b"]);
    assert_eq!(
        cluster().pinned_by(&question).unwrap().path(),
        "/api/v1/namespaces/shop/pods/web-0"
    );
    // Whichever way it is asked, it is the same; the other way is not passed on.
    let spdy = read_with("POST", target, &[("upgrade", "SPDY/3.1")], "");
    assert_eq!(spdy.wanted.unwrap_err().code, "websocket_required");
    let other =
        read_with("GET", "/api/v1/namespaces/shop/pods/web-0/attach?tty=false", &WEBSOCKET, "");
    assert_eq!(other.question.asks[0].0, Action::KubeAttach);
    assert!(cluster().pinned_by(&read_with("GET", "/api/v1/pods", &[], "").question).is_none());
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    let upgrade = WEBSOCKET;
    for (method, target, fields) in [
        ("GET", "/api/v1/pods?watch=TRUE", &[][..]),
        ("GET", "/api/v1/pods?watch=false&watch=true", &[]),
        ("GET", "/api/v1/namespaces/shop/pods/web-0?watch=true", &[]),
        ("GET", "/api/v1/namespaces/shop/pods/web-0/exec?command=sh", &[]),
        ("GET", "/api/v1/namespaces/shop/pods/web-0/exec", &upgrade),
        ("GET", "/api/v1/namespaces/shop/pods/web-0/exec?command=sh&tty=yes", &upgrade),
        (
            "GET",
            "/api/v1/namespaces/shop/pods/web-0/exec?command=sh&container=a&container=b",
            &upgrade,
        ),
        ("GET", "/api/v1/namespaces/shop/pods/web-0/EXEC?command=sh", &upgrade),
        ("GET", "/api/v1/namespaces/shop/pods/web-0/exec?command=sh", &[("upgrade", "websocket")]),
        ("GET", "/api/v1/pods", &[("impersonate-user", "admin")]),
        ("GET", "/api/v1/pods", &[("impersonate-extra-a", "b")]),
        ("PATCH", "/api/v1/namespaces/shop/pods", &[]),
        ("POST", "/version", &[]),
        ("GET", "/api/v1/namespaces/shop/pods/web-0/proxy/a", &[]),
        ("GET", "/metrics", &[]),
    ] {
        let reading = read_with(method, target, fields, "");
        assert!(reading.wanted.is_err(), "{method} {target}");
    }
}

#[test]
fn secrets_are_hidden_wherever_they_stand() {
    let erased = |target: &str, document: Value| {
        let plan = read_with("GET", target, &[], "").plan;
        let mut out = Vec::new();
        let mut eraser = crate::json::Eraser::new(&plan.hides, None);
        eraser.document(document.to_string().as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let secret = serde_json::json!({
        "metadata": {"name": "card-key", "annotations": {annotation: "{\"data\":{\"k\":\"aHVudGVyMg==\"}}", "other": "x"}},
        "data": {"k": "aHVudGVyMg=="}, "stringData": {"k": "aHVudGVyMg=="},
    });
    let one = "/api/v1/namespaces/shop/secrets/card-key";
    let all = "/api/v1/secrets";
    for (target, document) in [
        (one, secret.clone()),
        (all, serde_json::json!({"items": [secret]})),
        (
            all,
            serde_json::json!({"kind": "Table", "rows": [{"cells": ["card-key"], "object": secret}]}),
        ),
        ("/api/v1/secrets?watch=true", serde_json::json!({"type": "ADDED", "object": secret})),
        (
            "/api/v1/secrets?watch=true",
            serde_json::json!({"type": "ADDED", "object": {"rows": [{"object": secret}]}}),
        ),
    ] {
        let seen = erased(target, document);
        assert!(!seen.contains("aHVudGVyMg") && seen.contains("card-key"), "{target}: {seen}");
    }
    let token = serde_json::json!({"status": {"token": "eyJhbGciOi"}});
    assert!(!erased("/api/v1/namespaces/a/serviceaccounts/b/token", token).contains("eyJ"));
    // A table that nobody asked for shows no cell of what `masks` name.
    let table = serde_json::json!({"rows": [{"cells": ["w", "hunter2", {"a": 1}], "object": {}}], "kind": "Table"});
    let widgets = "/apis/example.com/v1/widgets";
    for document in [table.clone(), serde_json::json!({"type": "ADDED", "object": table})] {
        let seen = erased(widgets, document);
        assert!(!seen.contains("hunter2") && seen.matches("[redacted]").count() == 3, "{seen}");
    }
    let managed =
        serde_json::json!({"metadata": {"managedFields": [{"fieldsV1": {"v:\"hunter2\"": {}}}]}});
    assert!(!erased("/apis/example.com/v1/namespaces/a/widgets/w", managed).contains("hunter2"));
    let widget = serde_json::json!({"spec": {"key": "hunter2", "size": 1}});
    assert_eq!(
        erased("/apis/example.com/v1/namespaces/a/widgets/w", widget),
        "{\"spec\":{\"key\":\"[redacted]\",\"size\":1}}"
    );
}

/// The API server quotes the object whose change it refuses, with what the writer may not see of it.
#[test]
fn what_a_refusal_of_a_write_quotes_is_hidden() {
    let secret = "/api/v1/namespaces/shop/secrets/card-key";
    let quoted = "\"patch\": Invalid value: {\"data\":{\"k\":\"aHVudGVyMg==\"}}";
    let status = serde_json::json!({
        "kind": "Status", "message": quoted, "reason": "Invalid", "code": 422,
        "details": {"name": "card-key", "causes": [{"message": quoted, "field": "patch"}]},
    });
    let seen = |method: &str, target: &str| {
        let plan = read_with(method, target, &[], "{}").plan;
        let mut out = Vec::new();
        let mut eraser = crate::json::Eraser::new(&plan.hides, None);
        eraser.document(status.to_string().as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    for (method, target) in [
        ("PATCH", secret),
        ("PUT", secret),
        ("POST", "/api/v1/namespaces/shop/secrets"),
        ("PATCH", "/apis/example.com/v1/namespaces/a/widgets/w"),
    ] {
        let seen = seen(method, target);
        assert!(!seen.contains("aHVudGVyMg"), "{method} {target}: {seen}");
        for stays in ["Invalid\"", "422", "card-key", "\"patch\""] {
            assert!(seen.contains(stays), "{stays}: {seen}");
        }
    }
    // To read quotes nothing that is not asked for, and people want to know what there is not.
    assert!(seen("GET", secret).contains("Invalid value"));
    assert!(seen("PATCH", "/api/v1/namespaces/shop/configmaps/a").contains("Invalid value"));
}

#[test]
fn only_what_can_be_read_is_asked_for_and_bodies_are_told() {
    let body = "{\"spec\": {\"replicas\": 2}}";
    let fields = [
        ("accept", "application/vnd.kubernetes.protobuf,application/json"),
        ("content-type", "application/merge-patch+json"),
        ("authorization", "Bearer x"),
    ];
    let reading =
        read_with("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web", &fields, body);
    assert_eq!(
        reading.question.statement,
        "PATCH /apis/apps/v1/namespaces/shop/deployments/web\n\
         content-type: application/merge-patch+json\n\n{\"spec\":{\"replicas\":2}}"
    );
    // The same body is another change by another kind of patch, and no change that was agreed to.
    let other = [("content-type", "application/strategic-merge-patch+json")];
    let target = "/apis/apps/v1/namespaces/shop/deployments/web";
    let strategic = read_with("PATCH", target, &other, body).question.statement;
    assert_ne!(strategic, reading.question.statement);
    let two = [("content-type", "application/json, application/json-patch+json")];
    assert_eq!(read_with("PATCH", target, &two, body).wanted.unwrap_err().status, 415);
    let wanted = format!("{:?}", reading.wanted.unwrap());
    assert!(
        wanted.contains("merge-patch+json")
            && !wanted.contains("protobuf")
            && !wanted.contains("Bearer"),
        "{wanted}"
    );
    let media = [("content-type", "application/vnd.kubernetes.protobuf")];
    let opaque = read_with("POST", "/api/v1/namespaces/shop/configmaps", &media, "k8s\0\u{1}");
    assert!(opaque.question.statement.contains("configmaps\n"), "{}", opaque.question.statement);
    let (media, body) = cluster().refusal(403, "denied_by_policy", "no");
    assert_eq!(media, "application/json");
    assert!(body.contains("\"reason\":\"Forbidden\"") && body.contains("tallyport: no"), "{body}");
}

#[test]
fn what_is_hidden_of_an_object_is_not_got_at_by_writing_or_selecting() {
    let patch = [("content-type", "application/json-patch+json")];
    let copy = r#"[{"op":"copy","from":"/data/key","path":"/metadata/annotations/a"}]"#;
    let secret = "/api/v1/namespaces/shop/secrets/card-key";
    assert_eq!(read_with("PATCH", secret, &patch, copy).wanted.unwrap_err().status, 403);
    let settings = "/api/v1/namespaces/shop/configmaps/settings";
    assert!(read_with("PATCH", settings, &patch, copy).wanted.is_ok(), "nothing of it is hidden");
    let widgets = "/apis/example.com/v1/widgets";
    let selected = format!("{widgets}?fieldSelector=spec.key%3Dhunter2");
    assert!(read_with("GET", &selected, &[], "").wanted.is_err());
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let asked =
        |target: &str| format!("{:?}", read_with("GET", target, &table, "").wanted.unwrap());
    assert!(!asked(widgets).contains("as=Table"), "a column of it may show it");
    assert!(asked("/api/v1/secrets").contains("as=Table"));
    for spelt in ["as =Table", "as= Table", "as=\"Table\""] {
        let wish = format!("application/json;{spelt};v=v1;g=meta.k8s.io,application/json");
        let reading = read_with("GET", widgets, &[("accept", &wish)], "");
        let sent = format!("{:?}", reading.wanted.unwrap());
        assert!(!sent.contains("Table"), "{sent}");
    }
}

/// Lines of a watch and the text of a log are read as that whatever the cluster says that they are, or says nothing.
#[test]
fn how_an_answer_is_read_follows_from_what_was_asked() {
    for (target, lines, text) in [
        ("/api/v1/pods?watch=true", true, false),
        ("/api/v1/pods", false, false),
        ("/api/v1/namespaces/shop/pods/web-0/log", false, true),
        ("/api/v1/namespaces/shop/pods/web-0/log?follow=true", false, true),
    ] {
        let plan = read_with("GET", target, &[], "").plan;
        assert_eq!((plan.lines, plan.text, plan.opaque), (lines, text, false), "{target}");
    }
}

/// What goes through a port cannot be looked into.
#[test]
fn no_port_is_forwarded_where_detectors_look() {
    let rules = tallyport_detect::Rules::parse([("secrets", "deny")]).unwrap();
    let screen = Screen::new(rules, tallyport_detect::Cards::Hidden).unwrap();
    let target = "/api/v1/namespaces/shop/pods/web-0/portforward?ports=80";
    let upgrade = [WEBSOCKET[0], WEBSOCKET[1], ("sec-websocket-protocol", "v4.channel.k8s.io")];
    let fields = upgrade.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let asked = Asked::read("GET", target, fields.to_vec(), Bytes::new()).unwrap();
    for (screen, status) in [(Some(screen), Some(403)), (None, None)] {
        let cluster = Cluster::new("prod".to_owned(), screen, Vec::new(), false);
        let reading = cluster.read(asked.clone());
        assert_eq!(reading.wanted.err().map(|why| why.status), status);
    }
}

/// In the tunnel of SPDY ports are named inside: what was agreed to would be another.
#[test]
fn a_port_that_is_named_is_the_one_that_is_reached() {
    let both = "SPDY/3.1+portforward.k8s.io,v4.channel.k8s.io";
    let asked = |query: &str, wished: &str| {
        let target = format!("/api/v1/namespaces/shop/pods/web-0/portforward{query}");
        let fields = [WEBSOCKET[0], WEBSOCKET[1], ("sec-websocket-protocol", wished)];
        let reading = read_with("GET", &target, &fields, "");
        let spoken = match reading.manner {
            Manner::Streams(plan) => plan.protocols,
            other => panic!("{other:?}"),
        };
        (spoken, reading.question.statement, reading.wanted.is_ok())
    };
    let (spoken, statement, passes) = asked("?ports=80", both);
    assert_eq!((spoken.as_str(), passes), ("v4.channel.k8s.io", true));
    assert!(statement.ends_with("--port 80"), "{statement}");
    assert!(!asked("?ports=80", "SPDY/3.1+portforward.k8s.io").2);
    let (spoken, statement, passes) = asked("", both);
    assert!(spoken.contains("SPDY") && passes);
    assert!(statement.ends_with("--port (any)"), "{statement}");
}
