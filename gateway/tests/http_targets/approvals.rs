//! A request that somebody else must agree to goes once, with what was agreed to, or not at all.

use hyper::Request;
use serde_json::{Value, json};
use tallyport_schemas::{Approval, Body};

use crate::world::{World, whole};

const REFUND: &str = "{\"amount\": 20}";

/// The approval that a request waits for.
fn waits(told: &str) -> String {
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!(told["code"], "waits_for_approval", "{told}");
    let message = told["message"].as_str().unwrap();
    let id = message.split("asked as ").nth(1).unwrap().split(',').next().unwrap();
    id.to_owned()
}

async fn answer(world: &World, client: &str, id: &str, verb: &str) -> u16 {
    let token = world.token(client, None).await;
    let root = reqwest::Certificate::from_pem(&std::fs::read(world.ca.ca_path()).unwrap()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let url = format!("https://localhost:{}/v1/approvals/{id}", world.front.tcp_addr.port());
    let seen = http.get(&url).bearer_auth(&token).send().await.unwrap();
    let seen: Value = seen.json().await.unwrap();
    let mut body = json!({ "comment": "OPS-7" });
    if verb == "approve" {
        body["digest"] = seen["digest"].clone();
    }
    let answered = http.post(format!("{url}/{verb}")).bearer_auth(&token).json(&body).send().await;
    answered.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_agreed_to_goes_once_and_nothing_else_does() {
    let world = World::start().await;
    let mut client = world.client().await;
    let (status, told) = client.post("/customers/7/refunds", REFUND).await;
    assert_eq!(status, 403, "{told}");
    let id = waits(&told);
    let (_, told) = client.post("/customers/7/refunds", REFUND).await;
    assert_eq!(waits(&told), id, "it is asked for once");
    let (_, told) = client.post("/customers/8/refunds", REFUND).await;
    assert_ne!(waits(&told), id, "for another customer it is another");
    assert!(world.upstream.sent().is_empty());
    assert_eq!(answer(&world, "agent", &id, "approve").await, 403, "who asks may not");
    assert_eq!(answer(&world, "dana", &id, "approve").await, 200);
    let (_, told) = client.post("/customers/7/refunds", "{\"amount\": 21}").await;
    assert_ne!(waits(&told), id, "nor with another amount");
    for (name, value) in
        [("content-type", "application/merge-patch+json"), ("idempotency-key", "another")]
    {
        let mut request = Request::post("/customers/7/refunds").body(REFUND.into()).unwrap();
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        request.headers_mut().insert(name, value.parse().unwrap());
        let (_, told) = whole(client.send(request).await).await;
        assert_ne!(waits(&told), id, "nor with another {name}");
    }
    assert!(world.upstream.sent().is_empty());

    // As JSON it is the same; what the service gets is what is sent.
    let (status, told) = client.post("/customers/7/refunds", "{\"amount\":20 }").await;
    assert_eq!((status, told.as_str()), (200, "{\"done\":true}"));
    assert_eq!(world.upstream.sent().len(), 1);
    let used = world.wait_for("use", |events| {
        events.iter().any(|it| matches!(&it.body, Body::Approval(Approval::Used { .. })))
    });
    drop(used);
    let decision = world.decisions().await.pop().unwrap();
    assert_eq!(decision.reasons, [format!("approved: {id}")]);
    let (_, told) = client.post("/customers/7/refunds", REFUND).await;
    assert_ne!(waits(&told), id, "an approval is for one request");
    assert_eq!(world.upstream.sent().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reviewer_may_not_see_is_bound_to_all_the_same() {
    let routes = "[[routes]]\nname = 'refund'\nmethod = 'POST'\npath = '/refunds'\nbody = ['/amount', '/account']\n\
                  masks = [{ at = ['/account'], mask = 'redact' }]\n";
    let world = World::told("", routes).await;
    let mut client = world.client().await;
    let refund = |account: &str| format!("{{\"amount\":20,\"account\":\"{account}\"}}");
    let (_, told) = client.post("/refunds", &refund("DE-of-the-customer")).await;
    let id = waits(&told);
    assert_eq!(answer(&world, "dana", &id, "approve").await, 200);
    let (_, told) = client.post("/refunds", &refund("DE-of-somebody")).await;
    assert_ne!(waits(&told), id, "the account was changed after it was agreed to");
    assert!(world.upstream.sent().is_empty());
    assert_eq!(client.post("/refunds", &refund("DE-of-the-customer")).await.0, 200);
    assert!(world.upstream.sent()[0].body.contains("DE-of-the-customer"));
    let all = serde_json::to_string(&world.events().await).unwrap();
    assert!(all.contains("[redacted]") && !all.contains("DE-of"), "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_goes_on_when_it_is_approved() {
    let world = World::saying("patience_seconds = 20").await;
    let mut client = world.client().await;
    let asked = async {
        let is_asked = |it: &tallyport_schemas::Event| match &it.body {
            Body::Decision(decision) => decision.effect == tallyport_schemas::Effect::Pause,
            _ => false,
        };
        world.wait_for("pause", |events| events.iter().any(is_asked)).await;
        let token = world.token("dana", None).await;
        let deadline = std::time::Instant::now() + crate::world::SOON;
        let id = loop {
            let id = first_pending(&world, &token).await;
            if let Some(id) = id {
                break id;
            }
            assert!(std::time::Instant::now() < deadline);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        answer(&world, "dana", &id, "approve").await
    };
    let (told, answered) = tokio::join!(client.post("/customers/7/refunds", REFUND), asked);
    assert_eq!((told.0, answered), (200, 200), "{}", told.1);
    assert_eq!(world.upstream.sent().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_not_used_up_by_a_request_that_has_no_room() {
    let world = World::saying("limits = { max_requests_per_principal = 1 }").await;
    let (mut held, mut client) = (world.client().await, world.client().await);
    let (_, told) = client.post("/customers/7/refunds", REFUND).await;
    assert_eq!(answer(&world, "dana", &waits(&told), "approve").await, 200);
    let slow = tokio::spawn(async move { held.get("/slow").await });
    world.wait_for("the first", |_| !world.upstream.sent().is_empty()).await;
    let (status, told) = client.post("/customers/7/refunds", REFUND).await;
    assert_eq!(status, 429, "{told}");
    let decision = world.decisions().await.pop().unwrap();
    assert_eq!(decision.policy_ids, ["tallyport:limit"]);
    slow.abort();
    let _cut = slow.await;
    let goes = async {
        loop {
            let (status, told) = client.post("/customers/7/refunds", REFUND).await;
            assert!(status == 200 || status == 429, "{told}");
            if status == 200 {
                break;
            }
        }
    };
    tokio::time::timeout(crate::world::SOON, goes).await.expect("its place is free");
    let is_use =
        |it: &&tallyport_schemas::Event| matches!(&it.body, Body::Approval(Approval::Used { .. }));
    assert_eq!(world.events().await.iter().filter(is_use).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_does_not_go() {
    let world = World::start().await;
    let mut client = world.client().await;
    let (_, told) = client.post("/customers/7/refunds", REFUND).await;
    assert_eq!(answer(&world, "dana", &waits(&told), "deny").await, 200);
    let (status, told) = client.post("/customers/7/refunds", REFUND).await;
    // A denial ends that request; the next one asks anew.
    assert_eq!(status, 403);
    assert!(told.contains("waits_for_approval") || told.contains("denied by"), "{told}");
    assert!(world.upstream.sent().is_empty());
}

async fn first_pending(world: &World, token: &str) -> Option<String> {
    let root = reqwest::Certificate::from_pem(&std::fs::read(world.ca.ca_path()).unwrap()).unwrap();
    let http = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let url = format!("https://localhost:{}/v1/approvals", world.front.tcp_addr.port());
    let listed: Value =
        http.get(url).bearer_auth(token).send().await.unwrap().json().await.unwrap();
    listed["approvals"][0]["approval_id"].as_str().map(str::to_owned)
}
