//! Tokens that the gateway gets for a server behind it: asked of the configured issuer alone, never the agent's, and not told by the
//! server to anybody.

use std::sync::Arc;

use axum::http::StatusCode;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tallyport_access::dev_issuer::{AUDIENCE, DevClient, DevIssuer};

use crate::client::Way;
use crate::double::{Double, Seen, answer, raw};
use crate::servers::{find, pins};
use crate::world::World;

fn bearer(seen: &Seen) -> Option<String> {
    let shown = seen.headers.get("authorization")?.to_str().ok()?;
    shown.strip_prefix("Bearer ").map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_shown_a_token_of_the_issuer_which_it_cannot_tell_on() {
    let double = Double::start().await;
    let client = DevClient::new("gateway");
    let issuer = DevIssuer::start("127.0.0.1:0".parse().unwrap(), vec![client]).await.unwrap();
    let secret = issuer.clients()[0].secret.expose().to_owned();
    let refused: Arc<Mutex<Vec<String>>> = Arc::default();
    let refuses = Arc::clone(&refused);
    double.does(move |seen| {
        let Some(token) = bearer(seen).filter(|it| it.matches('.').count() == 2) else {
            return Some(raw(StatusCode::UNAUTHORIZED, "text/plain", "who are you?"));
        };
        if refuses.lock().contains(&token) {
            return Some(raw(StatusCode::UNAUTHORIZED, "text/plain", "not any more"));
        }
        // It says again what it was shown.
        (seen.said() == "tools/call").then(|| {
            let text = format!("you are {token}");
            let content = json!([{ "type": "text", "text": text }]);
            answer(&seen.json(), json!({ "content": content, "resultType": "complete", token: 1 }))
        })
    });
    let world = World::saying(&format!(
        "[[servers]]\nname = 'crm'\nurl = '{}'\noauth2 = {{ issuer = '{}', client_id = 'gateway', client_secret = {{ value = '{secret}' }}, audience = '{AUDIENCE}' }}",
        double.url, issuer.issuer_url
    ))
    .await;
    world.wait_for("pins", |events| pins(events) >= 2).await;
    let agents = world.token("agent", None).await;
    let call = async || find(json!({ "id": 7 })).token(&agents).send(&world, Way::H2).await;
    let told = call().await;
    let shown = double.seen("tools/call").iter().filter_map(bearer).next_back().unwrap();
    assert_ne!(shown, agents);
    let claims = claims_of(&shown);
    assert_eq!((&claims["sub"], &claims["iss"]), (&json!("gateway"), &json!(issuer.issuer_url)));
    let said = told.json()["result"].to_string();
    assert!(said.contains("you are [redacted]") && !said.contains(&shown), "{said}");
    // One token serves many requests.
    assert_eq!(call().await.status, 200);
    let all: Vec<String> = double.all().iter().filter_map(bearer).collect();
    assert!(all.len() > 2 && all.iter().all(|it| *it == shown), "{}", all.len());
    // It is refused: the next one is another.
    refused.lock().push(shown.clone());
    assert!(call().await.json()["result"]["isError"].as_bool().unwrap_or(true));
    assert_eq!(call().await.json()["result"]["content"][0]["text"], "you are [redacted]");
    let next = double.seen("tools/call").iter().filter_map(bearer).next_back().unwrap();
    assert_ne!(next, shown);
    let events = serde_json::to_string(&world.events().await).unwrap();
    for token in [&shown, &next, &secret] {
        assert!(!events.contains(token.as_str()), "no event has it");
    }
}

/// The issuer gives none: the server is asked nothing, and the agent is told that it cannot be used now, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_asked() {
    let double = Double::start().await;
    let client = DevClient::new("gateway");
    let issuer = DevIssuer::start("127.0.0.1:0".parse().unwrap(), vec![client]).await.unwrap();
    let world = World::saying(&format!(
        "[[servers]]\nname = 'crm'\nurl = '{}'\noauth2 = {{ issuer = '{}', client_id = 'gateway', client_secret = {{ value = 'wrong' }} }}",
        double.url, issuer.issuer_url
    ))
    .await;
    let agents = world.token("agent", None).await;
    let told = find(json!({ "id": 7 })).token(&agents).send(&world, Way::H2).await;
    let said = told.json().to_string();
    assert!(said.contains("cannot be used now"), "{said}");
    assert!(!said.contains("invalid_client") && !said.contains(&issuer.issuer_url), "{said}");
    assert!(double.all().is_empty(), "{:?}", double.all());
}

fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).unwrap();
    let part = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&part).unwrap()
}

/// Of `Token abc` it is `abc` that lets somebody in, and of a cookie its value.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_scheme_is_not_told_on_either() {
    let double = Double::start().await;
    double.does(|seen| {
        let shown = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
        (seen.said() == "tools/call").then(|| {
            let (key, session) = (shown("x-key"), shown("x-session"));
            let key = key.strip_prefix("Token ").unwrap();
            let session = session.split(['=', ';']).nth(1).unwrap();
            let spelt = key.replace('/', "%2F");
            let content = json!([{ "type": "text", "text": format!("{key} {session} {spelt}") }]);
            answer(&seen.json(), json!({ "content": content, "resultType": "complete" }))
        })
    });
    let headers =
        "{ x-key = { value = 'Token abc/defgh' }, x-session = { value = 'id=zyxwvuts9; a=b' } }";
    let config = format!("[[servers]]\nname = 'crm'\nurl = '{}'\nheaders = {headers}", double.url);
    let world = World::saying(&config).await;
    world.wait_for("pins", |events| pins(events) >= 2).await;
    let token = world.token("agent", None).await;
    let told = find(json!({ "id": 7 })).token(&token).send(&world, Way::H2).await.json();
    let text = &told["result"]["content"][0]["text"];
    assert_eq!(text, "[redacted] [redacted] [redacted]", "{told}");
    for event in world.events().await {
        let recorded = serde_json::to_string(&event.body).unwrap();
        assert!(!recorded.contains("defgh") && !recorded.contains("zyxwvuts9"), "{recorded}");
    }
}
