//! Webhooks are told of requests, and reviewers answer by them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use tallyport_eventlog::Topic;
use tallyport_eventlog::faults::{Fault, FaultKind, FaultLog};
use tallyport_schemas::{Approval, AuthMethod, Body, Effect, Event, Outcome};

use crate::chat::{Answer, Chat};
use crate::harness::{World, world};
use crate::reviewers::Desk;
use crate::wire::{Wire, error_field, query, tags};

const POLICY: &str = r#"
@id("rest") permit (principal, action, resource) unless { action == Tallyport::Action::"sql:delete" };
@id("deletes") @require_approval("1 of dba; within 1h")
permit (principal, action == Tallyport::Action::"sql:delete", resource);
"#;
const GRANTS: &str = r#"
@id("agents") @require_grant("1 of dba; for 1h; within 10m")
permit (principal, action == Tallyport::Action::"sql:connect", resource);
@id("security") permit (principal, action in Tallyport::Action::"access:any", resource);
"#;

fn hook(chat: &Chat, extra: &'static str) -> Option<crate::harness::Webhooks> {
    let chat = chat.clone();
    Some(Box::new(move |issuer: &str| vec![chat.webhook("chat", issuer, extra)]))
}

fn notified(events: &[Event]) -> Vec<(String, String)> {
    let of = |event: &Event| match &event.body {
        Body::Approval(Approval::Notified { webhook, step, .. }) => {
            Some((webhook.clone(), step.clone()))
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

/// Why answers were none, as decisions have it.
pub fn refused(events: &[Event]) -> Vec<String> {
    let of = |event: &Event| match &event.body {
        Body::Decision(it) if it.actions.iter().any(|action| action.starts_with("approval:")) => {
            assert_eq!(it.effect, Effect::Deny);
            assert!(it.resources.iter().any(|resource| resource.starts_with("approval/")));
            it.reasons.first()?.split_once(": ").map(|(code, _)| code.to_owned())
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

async fn until_notified(world: &World, step: &str) -> Vec<Event> {
    let is_told = |events: &[Event]| notified(events).iter().any(|(_, told)| told == step);
    world.wait_for("a message on record", is_told).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_approved_in_the_chat() {
    let chat = Chat::start().await;
    let world = world!(policy: POLICY, webhooks: hook(&chat, "statements = true"),);
    let text = "DELETE FROM app.things WHERE body = 'chat'";
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query(text)).await;
    wire.until(b'N', 1).await;

    let message = chat.told("pending-0").await;
    assert_eq!(message["type"], "approval.pending");
    let (data, approval) = (&message["data"], &message["data"]["approval"]);
    assert_eq!(approval["command"]["statement"], text);
    assert_eq!(approval["principal"]["subject"], "agent");
    assert_eq!(approval["you"], json!(null));
    let id = approval["approval_id"].as_str().unwrap();
    assert_eq!(data["review_url"], format!("https://gateway.example/console/#/approvals/{id}"));

    let answer = Answer::new(&message, "dana", "approve").with("comment", json!("go on"));
    let (status, stands) = answer.send(&world.gateway).await;
    assert_eq!((status, &stands["missing"]), (200, &json!([])), "{stands}");
    assert_eq!(tags(&wire.until(b'Z', 1).await), "CZ");

    let used = chat.told("used-1").await;
    let said = &used["data"]["approval"]["answers"][0];
    assert_eq!((&said["reviewer"]["subject"], &said["webhook"]), (&json!("dana"), &json!("chat")));
    let events = until_notified(&world, "used-1").await;
    let granted = events.iter().find_map(|event| match &event.body {
        Body::Approval(Approval::Granted { reviewer, webhook, comment, .. }) => {
            Some((reviewer.subject.as_str(), webhook.as_deref(), comment.as_deref()))
        }
        _ => None,
    });
    assert_eq!(granted, Some(("dana", Some("chat"), Some("go on"))));
    let vouched = events.iter().find_map(|event| match &event.body {
        Body::Authentication(it) if it.method == AuthMethod::Webhook => Some((event, it)),
        _ => None,
    });
    let (event, vouched) = vouched.unwrap();
    assert_eq!((vouched.outcome, vouched.token_id.as_ref()), (Outcome::Success, Some(&answer.id)));
    assert_eq!(event.context.principal.as_ref().unwrap().subject, "dana");
    // Every step once, each on record before the next look at it.
    let mut ids: Vec<String> = chat.messages().into_iter().map(|came| came.id).collect();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

/// JSON makes six bytes of each of these, so the message is over 256 KiB where the statement is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_too_large_for_its_statement_approves_none() {
    let chat = Chat::start().await;
    let world = world!(policy: POLICY, webhooks: hook(&chat, "statements = true"),);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    let large = "\u{1}".repeat(50_000);
    wire.send(&query(&format!("DELETE FROM app.things WHERE body = '{large}'"))).await;
    wire.until(b'N', 1).await;
    let message = chat.told("pending-0").await;
    let approval = &message["data"]["approval"];
    let shown = (&approval["digest"], &approval["command"]["statement"]);
    assert_eq!(shown, (&json!(null), &json!(null)));
    let dana = Desk::of(&world, "dana").await;
    let digest = dana.one().await["digest"].clone();
    let answer = Answer::new(&message, "dana", "approve").with("digest", digest);
    let (status, told) = answer.send(&world.gateway).await;
    assert_eq!((status, &told["code"]), (403, &json!("no_statements")));
    assert_eq!(dana.one().await["state"], "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_denied_in_the_chat() {
    let chat = Chat::start().await;
    let world = world!(policy: POLICY, webhooks: hook(&chat, ""),);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("DELETE FROM app.things WHERE body = 'no-chat'")).await;
    wire.until(b'N', 1).await;
    let message = chat.told("pending-0").await;
    let (status, _) = Answer::new(&message, "eli", "deny").send(&world.gateway).await;
    assert_eq!(status, 200);
    assert_eq!(error_field(&wire.until(b'Z', 1).await, b'C'), "42501");
    assert_eq!(chat.told("denied-1").await["type"], "approval.denied");
}

/// Without the statement there is no digest, and without that no approval.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_shown_the_statement_cannot_approve_it() {
    let chat = Chat::start().await;
    let world = world!(policy: POLICY, webhooks: hook(&chat, ""),);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("DELETE FROM app.things WHERE body = 'a-secret-name'")).await;
    wire.until(b'N', 1).await;
    let message = chat.told("pending-0").await;
    let approval = &message["data"]["approval"];
    assert!(!message.to_string().contains("a-secret-name"), "{message}");
    assert_eq!(approval["command"]["tables"][0]["name"], "things");
    assert_eq!(
        (&approval["digest"], &approval["command"]["statement"]),
        (&json!(null), &json!(null))
    );
    let (status, told) = Answer::new(&message, "dana", "approve").send(&world.gateway).await;
    assert_eq!((status, &told["code"]), (400, &json!("invalid_request")));
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    assert_eq!(asked["state"], "pending");
    // Nor with the digest, which a reviewer's own token tells.
    let answer = Answer::new(&message, "dana", "approve").with("digest", asked["digest"].clone());
    let (status, told) = answer.send(&world.gateway).await;
    assert_eq!((status, &told["code"]), (403, &json!("no_statements")));
    assert_eq!(dana.one().await["state"], "pending");
    assert!(!world.statements().await.contains("a-secret-name"));
    // To deny, nobody has to see it.
    let denied = Answer::new(&message, "dana", "deny").send(&world.gateway).await;
    assert_eq!(denied.0, 200, "{denied:?}");
    assert_eq!(refused(&world.events().await), ["no_statements"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_sent_again_as_the_same_message() {
    let chat = Chat::start().await;
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    // A redirect is not followed: what is signed goes to one place.
    let answers = [503, 302, 307, 204];
    chat.on_message(move |_| answers[count.fetch_add(1, Ordering::SeqCst).min(3) as usize]);
    let world = world!(policy: GRANTS, webhooks: hook(&chat, ""),);
    let agent = Desk::of(&world, "agent").await;
    assert_eq!(agent.request(600).await.0, 200);
    until_notified(&world, "pending-0").await;
    let messages = chat.messages();
    assert_eq!(messages.len(), 4, "{messages:#?}");
    assert!(messages.iter().all(|came| came.id == messages[0].id));
    // An access is shown whole.
    assert_eq!(messages[0].body["data"]["approval"]["access"]["seconds"], 600);
    assert!(messages[0].body["data"]["approval"]["digest"].is_string());
}

/// A chat tool can have a message though its 204 never came: it is told that the request is over, however that ended.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_have_heard_hears_of_the_end() {
    for by_answer in [true, false] {
        let chat = Chat::start().await;
        chat.on_message(|_| 503);
        let world = world!(policy: GRANTS, webhooks: hook(&chat, ""),);
        let agent = Desk::of(&world, "agent").await;
        let (_, asked) = agent.request(600).await;
        let message = chat.told("pending-0").await;
        let over = if by_answer {
            assert_eq!(Answer::new(&message, "dana", "deny").send(&world.gateway).await.0, 200);
            "denied-1"
        } else {
            assert_eq!(agent.withdraw(&asked).await.0, 200);
            "withdrawn-0"
        };
        chat.on_message(|_| 204);
        until_notified(&world, over).await;
        assert!(!notified(&world.events().await).iter().any(|it| it.1 == "pending-0"));
    }
}

/// That a message was taken goes on the audit topic, then on the control topic: whether it persisted or not, nobody is left
/// untold, and what is told again is told as the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_not_on_record_is_sent_again() {
    for nth in 1..=2 {
        for persisted in [false, true] {
            let chat = Chat::start().await;
            let world = world!(policy: GRANTS, webhooks: hook(&chat, ""),);
            let (faults, first) = (Arc::clone(&world.faults), AtomicU32::new(0));
            chat.on_message(move |_| {
                if first.fetch_add(1, Ordering::SeqCst) == 0 {
                    fail(&faults, nth, persisted);
                }
                204
            });
            let agent = Desk::of(&world, "agent").await;
            assert_eq!(agent.request(600).await.0, 200);
            let told = |events: &[Event]| notified(events).iter().any(|it| it.1 == "pending-0");
            let deadline = std::time::Instant::now() + crate::harness::SOON;
            while !told(&world.events_of(Topic::Control).await) {
                assert!(std::time::Instant::now() < deadline, "{nth} {persisted}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // Where it did not persist on the control topic, it was told twice.
            let on_control = nth == 2 && persisted;
            let messages = chat.messages();
            assert_eq!(messages.len(), if on_control { 1 } else { 2 }, "{nth} {persisted}");
            assert!(messages.iter().all(|came| came.id == messages[0].id));
        }
    }
}

fn fail(faults: &FaultLog, nth: usize, persisted: bool) {
    for _ in 1..nth {
        faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
    }
    faults.set(Fault::once(FaultKind::Unknown, persisted));
}

/// With nothing but the log: what was told is known, and what was not is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_died_untold_is_made_up_for() {
    let chat = Chat::start().await;
    let world = world!(policy: GRANTS, webhooks: hook(&chat, ""),);
    let agent = Desk::of(&world, "agent").await;
    assert_eq!(agent.request(600).await.0, 200);
    until_notified(&world, "pending-0").await;
    chat.on_message(|_| 503);
    assert_eq!(agent.request(900).await.0, 200);
    while chat.messages().len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world.gateway.shutdown(Duration::ZERO).await;

    chat.on_message(|_| 204);
    let before = chat.messages();
    // Of the same name: what it did not say it says at once.
    let again = world.another("test").await;
    let told = |events: &[Event]| notified(events).len() == 2;
    world.wait_for("the other message", told).await;
    let after = chat.messages();
    let new: Vec<_> = after[before.len()..].iter().map(|came| came.id.clone()).collect();
    assert_eq!(new, [before.last().unwrap().id.clone()], "only what was not told, as it was sent");
    again.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_its_groups_alone() {
    let chat = Chat::start().await;
    let (one, other) = (chat.clone(), Chat::start().await);
    let elsewhere = other.clone();
    let webhooks: crate::harness::Webhooks = Box::new(move |issuer: &str| {
        vec![
            one.webhook("chat", issuer, "groups = ['security']"),
            elsewhere.webhook("desk", issuer, "groups = ['dba', 'security']"),
        ]
    });
    let world = world!(policy: GRANTS, webhooks: Some(webhooks),);
    let agent = Desk::of(&world, "agent").await;
    let (_, asked) = agent.request(600).await;
    let message = other.told("pending-0").await;
    // Nor does it answer what it is not told of.
    let (status, told) = Answer::new(&message, "dana", "approve").send(&world.gateway).await;
    assert_eq!((status, &told["code"]), (404, &json!("unknown_approval")));
    let answer = Answer { webhook: "desk", ..Answer::new(&message, "dana", "approve") };
    assert_eq!(answer.send(&world.gateway).await.0, 200);
    agent.until_state(&asked, "approved").await;
    other.told("approved-1").await;
    assert!(chat.messages().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_on_record_is_told_as_such() {
    for persisted in [false, true] {
        let chat = Chat::start().await;
        let world = world!(policy: GRANTS, webhooks: hook(&chat, ""),);
        let agent = Desk::of(&world, "agent").await;
        let (_, asked) = agent.request(600).await;
        let message = chat.told("pending-0").await;
        until_notified(&world, "pending-0").await;
        // The check of the signature, the answer on the audit topic, then on the control topic.
        fail(&world.faults, 3, persisted);
        let (status, told) = Answer::new(&message, "dana", "approve").send(&world.gateway).await;
        assert_eq!((status, &told["code"]), (503, &json!("log_unavailable")));
        agent.until_state(&asked, if persisted { "approved" } else { "pending" }).await;
    }
}
