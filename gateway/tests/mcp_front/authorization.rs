//! Tokens: how a client learns which to get, and what it is told of those that do not do.

use http::Method;
use serde_json::{Value, json};
use tallyport_schemas::{Authentication, Body, Effect, Outcome};

use crate::client::{Answer, WAYS, Way};
use crate::message::{Message, bare, legacy, modern};
use crate::world::World;

const SCOPES: &str = "public_url = 'https://gw.example.com'\nscopes = { connect = 'tallyport', write = 'tallyport:write' }";

fn list() -> Message {
    modern("tools/list", json!({}))
}

fn challenges(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("www-authenticate").iter().map(|it| it.to_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_says_where_tokens_are_had() {
    let world = World::saying(SCOPES).await;
    let plain = World::start().await;
    let algorithms =
        ["ES256", "ES384", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
    for way in WAYS {
        for path in
            ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"]
        {
            let answer = bare(Method::GET, path).send(&world, way).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
            assert_eq!(answer.header("cache-control"), "public, max-age=300");
            let expected = json!({
                "resource": "https://gw.example.com/mcp",
                "resource_name": "Tallyport",
                "authorization_servers": [world.issuer.issuer_url],
                "bearer_methods_supported": ["header"],
                "dpop_signing_alg_values_supported": algorithms,
                "scopes_supported": ["tallyport", "tallyport:write"],
            });
            assert_eq!(answer.json(), expected);
            let answer = bare(Method::GET, path).send(&plain, way).await;
            let resource = format!("https://localhost:{}/mcp", plain.front.tcp_addr.port());
            assert_eq!(answer.json()["resource"], resource, "that which was asked for");
            assert_eq!(answer.json().get("scopes_supported"), None);
            assert_eq!(bare(Method::POST, path).send(&world, way).await.status, 405);
        }
    }
    assert!(world.checks().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_told_how_to_come_in() {
    let world = World::saying(SCOPES).await;
    let plain = World::start().await;
    let how = "resource_metadata=\"https://gw.example.com/.well-known/oauth-protected-resource/mcp\", scope=\"tallyport\"";
    let algorithms = "algs=\"ES256 ES384 EdDSA RS256 RS384 RS512 PS256 PS384 PS512\"";
    for way in WAYS {
        let answer = list().send(&world, way).await;
        assert_eq!(answer.status, 401);
        let dpop = format!("DPoP realm=\"tallyport\", {algorithms}");
        assert_eq!(
            challenges(&answer),
            [format!("Bearer realm=\"tallyport\", {how}"), dpop.clone()]
        );
        assert_eq!(answer.header("cache-control"), "no-store");

        let answer = list().token("stolen").send(&world, way).await;
        assert_eq!(answer.status, 401);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        let bearer = format!(
            "Bearer realm=\"tallyport\", {how}, error=\"invalid_token\", error_description=\"{message}\""
        );
        assert_eq!(challenges(&answer), [bearer, dpop]);

        let answer = list().send(&plain, way).await;
        let port = plain.front.tcp_addr.port();
        let metadata = format!("https://localhost:{port}/.well-known/oauth-protected-resource/mcp");
        let bearer = format!("Bearer realm=\"tallyport\", resource_metadata=\"{metadata}\"");
        assert_eq!(challenges(&answer)[0], bearer);
    }
    // Elsewhere nothing is said of it.
    let answer = bare(Method::GET, "/v1/whoami").send(&world, Way::H1).await;
    assert_eq!(challenges(&answer)[0], "Bearer realm=\"tallyport\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_too_few_scopes_is_asked_for_more_and_that_is_a_decision() {
    let world = World::saying(SCOPES).await;
    let bearer = "Bearer realm=\"tallyport\", error=\"insufficient_scope\", \
                  resource_metadata=\"https://gw.example.com/.well-known/oauth-protected-resource/mcp\", scope=\"tallyport\", \
                  error_description=\"tallyport needs the scope tallyport\"";
    for (count, way) in WAYS.into_iter().enumerate() {
        for (client, status) in
            [("scoped", 200), ("writer", 200), ("agent", 403), ("mistaken", 403)]
        {
            let token = world.token(client, None).await;
            let answer = list().token(&token).send(&world, way).await;
            assert_eq!(answer.status, status, "{client}: {answer:?}");
            if status == 403 {
                assert_eq!(challenges(&answer), [bearer]);
                assert!(answer.json().get("id").is_none() && answer.code() == -32600);
            }
        }
        let denied = world.decisions().await;
        assert_eq!(denied.len(), 2 * (count + 1));
        let last = denied.last().unwrap();
        assert_eq!(
            (last.effect, last.policy_ids.as_slice()),
            (Effect::Deny, &["tallyport:scope".to_owned()][..])
        );
        assert_eq!(
            (last.actions[0].as_str(), last.resources[0].as_str()),
            ("mcp:connect", "tallyport")
        );
        assert_eq!(last.reasons, ["tallyport needs the scope tallyport"]);
    }
    // A call is one of a tool.
    let token = world.token("agent", None).await;
    let call = modern("tools/call", json!({ "name": "whoami" })).token(&token);
    assert_eq!(call.send(&world, Way::H2).await.status, 403);
    let last = world.decisions().await.pop().unwrap();
    assert_eq!((last.actions[0].as_str(), last.resources[0].as_str()), ("mcp:call", "whoami"));
    // Where policy decides alone, no scope is asked.
    let plain = World::start().await;
    let token = plain.token("agent", None).await;
    assert_eq!(list().token(&token).send(&plain, Way::H2).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_others_of_the_past_and_of_the_turned_away_do_not_do() {
    let world = World::start().await;
    let good = world.token("agent", None).await;
    let brief = world.token("other", Some(1)).await;
    let forged = format!("{}x", &good[..good.len() - 2]);
    let (_, rest) = good.split_once('.').unwrap();
    for token in ["", "x", &forged, rest] {
        let message = if token.is_empty() {
            list().and("authorization", "Bearer ")
        } else {
            list().token(token)
        };
        assert_eq!(message.send(&world, Way::H1).await.status, 401);
    }
    assert_eq!(list().token(&good).send(&world, Way::H1).await.status, 200);

    let dana = world.token("dana", None).await;
    let order = json!({
        "revoked": { "kind": "principal", "issuer": world.issuer.issuer_url, "subject": "agent" },
        "reason": "its key leaked",
    });
    let revoked = bare(Method::POST, "/v1/revocations").token(&dana).raw(order.to_string());
    assert_eq!(revoked.send(&world, Way::H1).await.status, 200);
    for way in WAYS {
        for message in
            [list(), modern("tools/call", json!({ "name": "whoami" })), legacy("ping", json!({}))]
        {
            let answer = message.token(&good).send(&world, way).await;
            assert_eq!(answer.status, 401, "{way:?}: {answer:?}");
            assert!(challenges(&answer)[0].contains("error=\"invalid_token\""));
        }
    }
    // The skew that is allowed for this issuer, and a second.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(list().token(&brief).send(&world, Way::H3).await.status, 401);
    assert_eq!(world.checks().await.last(), Some(&Outcome::Failure));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoami_tells_what_the_door_would_open_to() {
    let world = World::start().await;
    let token = world.token("scoped", None).await;
    for way in WAYS {
        let call = modern("tools/call", json!({ "name": "whoami", "arguments": {} }));
        let answer = call.token(&token).send(&world, way).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
        let result = &answer.json()["result"];
        assert_eq!(
            (&result["isError"], &result["resultType"]),
            (&json!(false), &json!("complete"))
        );
        let told = &result["structuredContent"];
        assert_eq!(told["principal"]["subject"], "scoped");
        assert_eq!(told["principal"]["groups"], json!(["agents"]));
        assert_eq!(told["scopes"], json!(["openid", "tallyport"]));
        assert_eq!(
            told["targets"],
            json!([
                { "name": "granted", "kind": "postgresql", "access": "grant_needed" },
                { "name": "open", "kind": "postgresql", "access": "open" },
            ]),
            "and not that there is another"
        );
        let text: Value =
            serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(&text, told);
    }
    assert_eq!(world.decisions().await, [], "to be told is not to go in");
}

/// RFC 8707: a token that an agent was given for another service is none here, however good it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_another_audience_is_none_here() {
    let world = World::of_audience("https://another.example/mcp").await;
    let token = world.token("agent", None).await;
    for (count, way) in WAYS.into_iter().enumerate() {
        let answer = list().token(&token).send(&world, way).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(challenges(&answer)[0].contains("error=\"invalid_token\""), "{answer:?}");
        let events = world.events().await;
        let failures: Vec<_> = events
            .iter()
            .filter_map(|it| match &it.body {
                Body::Authentication(Authentication { failure, .. }) => Some(failure.as_deref()),
                _ => None,
            })
            .collect();
        assert_eq!(failures, vec![Some("wrong_audience"); count + 1]);
    }
}
