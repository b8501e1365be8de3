//! Both eras, as their clients speak.

use serde_json::{Value, json};

use crate::client::{WAYS, is_ok};
use crate::message::{MODERN, Message, legacy, modern};
use crate::world::World;

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn of(revision: &str, method: &str, params: Value) -> Message {
    legacy(method, params).and("mcp-protocol-version", revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_modern_client_discovers_and_calls() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    for way in WAYS {
        let answer = modern("server/discover", json!({})).token(&token).send(&world, way).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        assert_eq!(answer.header("cache-control"), "no-store");
        let mut told = answer.json();
        let instructions = told["result"].as_object_mut().unwrap().remove("instructions");
        assert!(instructions.is_some_and(|it| it.as_str().unwrap().contains("whoami")));
        let info = json!({ "io.modelcontextprotocol/serverInfo": { "name": "tallyport", "version": VERSION } });
        let result = json!({
            "resultType": "complete", "supportedVersions": [MODERN],
            "capabilities": { "tools": {}, "prompts": {}, "resources": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } },
            "ttlMs": 0, "cacheScope": "private", "_meta": info,
        });
        assert_eq!(told, json!({ "jsonrpc": "2.0", "id": 1, "result": result }));

        for (method, member) in [
            ("tools/list", "tools"),
            ("prompts/list", "prompts"),
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
        ] {
            let answer = modern(method, json!({})).token(&token).send(&world, way).await;
            let result = &answer.json()["result"];
            assert!(result[member].is_array(), "{method}: {result}");
            assert_eq!(result[member].as_array().unwrap().is_empty(), method != "tools/list");
            assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(0), &json!("private")));
        }
        let noted = modern("notifications/cancelled", json!({ "requestId": 1 }));
        let noted = Message { body: without_id(&noted.body), ..noted }.token(&token);
        let answer = noted.clone().send(&world, way).await;
        assert_eq!((answer.status, answer.body.len()), (202, 0));
        let answer = noted.without("mcp-method").send(&world, way).await;
        assert_eq!((answer.status, answer.code()), (400, -32020));
    }
}

fn without_id(body: &Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove("id");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_client_initializes_and_calls() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    for way in WAYS {
        for (asked, agreed) in [
            ("2025-06-18", "2025-06-18"),
            ("2025-11-25", "2025-11-25"),
            ("2024-11-05", "2025-11-25"),
            ("x", "2025-11-25"),
        ] {
            let params = json!({ "protocolVersion": asked, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
            let answer = legacy("initialize", params).token(&token).send(&world, way).await;
            assert_eq!((answer.status, answer.header("mcp-session-id")), (200, ""));
            let result = &answer.json()["result"];
            assert_eq!(result["protocolVersion"], agreed);
            assert_eq!(result["serverInfo"], json!({ "name": "tallyport", "version": VERSION }));
            let capabilities =
                json!({ "tools": {}, "prompts": {}, "resources": {}, "logging": {} });
            assert_eq!(result["capabilities"], capabilities);
            assert!(result.get("resultType").is_none() && result.get("_meta").is_none());
        }
        let initialized = of("2025-11-25", "notifications/initialized", json!({}));
        let initialized = Message { body: without_id(&initialized.body), ..initialized };
        let answer = initialized.token(&token).send(&world, way).await;
        assert_eq!((answer.status, answer.body.len()), (202, 0));

        let revision = "2025-11-25";
        let answer = of(revision, "ping", json!({})).token(&token).send(&world, way).await;
        assert_eq!(answer.json(), json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
        for (level, code) in [("info", 0), ("loud", -32602)] {
            let message = of(revision, "logging/setLevel", json!({ "level": level })).token(&token);
            assert_eq!(message.send(&world, way).await.code(), code);
        }
        for revision in ["2025-03-26", "2025-06-18", "2025-11-25"] {
            let answer =
                of(revision, "tools/list", json!({})).token(&token).send(&world, way).await;
            let result = &answer.json()["result"];
            assert_eq!(result["tools"][0]["name"], "whoami", "{revision}");
            assert!(result.get("ttlMs").is_none() && result.get("resultType").is_none());
        }
        let call = of(revision, "tools/call", json!({ "name": "whoami" })).token(&token);
        let result = &call.send(&world, way).await.json()["result"];
        assert_eq!((&result["isError"], result.get("resultType")), (&json!(false), None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_no_era_is_refused() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    for way in WAYS {
        for revision in ["2024-11-05", "latest", ""] {
            let answer =
                of(revision, "tools/list", json!({})).token(&token).send(&world, way).await;
            assert_eq!((answer.status, answer.code()), (400, -32600), "{revision}");
        }
        let twice = of("2025-11-25", "ping", json!({})).and("mcp-protocol-version", "2025-06-18");
        assert_eq!(twice.token(&token).send(&world, way).await.status, 400);
        // There are no sessions: one that is named is over.
        let lost = of("2025-11-25", "ping", json!({})).and("mcp-session-id", "abc").token(&token);
        let answer = lost.send(&world, way).await;
        assert_eq!((answer.status, answer.json()["id"].clone()), (404, json!(1)));
        let first = legacy("ping", json!({})).token(&token).send(&world, way).await;
        assert!(is_ok(&first), "nothing has to come first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_list_every_time() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    let mut lists = Vec::new();
    for way in WAYS {
        let answer = modern("tools/list", json!({})).token(&token).send(&world, way).await;
        lists.push(answer.json()["result"]["tools"].to_string());
    }
    assert!(lists.windows(2).all(|pair| pair[0] == pair[1]), "{lists:?}");
    let tools: Value = serde_json::from_str(&lists[0]).unwrap();
    for tool in tools.as_array().unwrap() {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(
            tool["description"].is_string() && tool["annotations"]["readOnlyHint"].is_boolean()
        );
    }
}
