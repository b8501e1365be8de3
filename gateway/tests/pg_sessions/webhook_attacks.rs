//! Answers that are forged, stale, of somebody who may not, or of something else: none counts, and each is on record.

use serde_json::{Value, json};
use tallyport_schemas::{AuthMethod, Body, Event, Outcome};

use crate::chat::{ANSWERS, Answer, Chat, MESSAGES, send, sign};
use crate::harness::{World, world};
use crate::reviewers::Desk;

const POLICY: &str = r#"
@id("agents") @require_grant("2 of dba; for 1h; within 10m")
permit (principal, action == Tallyport::Action::"sql:connect", resource);
@id("security") permit (principal, action in Tallyport::Action::"access:any", resource);
"#;

/// The codes of all answers that were not vouched for.
fn refused(events: &[Event]) -> Vec<String> {
    let of = |event: &Event| match &event.body {
        Body::Authentication(it)
            if it.method == AuthMethod::Webhook && it.outcome == Outcome::Failure =>
        {
            it.failure.clone()
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

struct Scene {
    world: World,
    agent: Desk,
    asked: Value,
    message: Value,
}

impl Scene {
    fn answer(&self, who: &str) -> Answer {
        Answer::new(&self.message, who, "approve")
    }

    /// None of them counted.
    async fn nobody_agreed(&self) {
        let (_, now) = self.agent.show(&self.asked).await;
        assert_eq!((&now["state"], &now["answers"]), (&json!("pending"), &json!([])));
    }
}

macro_rules! scene {
    () => {{
        let chat = Chat::start().await;
        let hooks: crate::harness::Webhooks = Box::new({
            let chat = chat.clone();
            move |issuer: &str| {
                let silent = Webhook { answers: None, ..chat.webhook("silent", issuer, "groups = ['none']") };
                let mut broken = chat.webhook("broken", issuer, "groups = ['none']");
                broken.answers.as_mut().unwrap().secret =
                    toml::from_str::<Secret>("of = { command = ['/bin/false'] }").unwrap().of;
                vec![chat.webhook("chat", issuer, ""), silent, broken]
            }
        });
        let world = world!(policy: POLICY, webhooks: Some(hooks),);
        let agent = Desk::of(&world, "agent").await;
        let (_, asked) = agent.request(600).await;
        let message = chat.told("pending-0").await;
        Scene { world, agent, asked, message }
    }};
}
use tallyport_gateway::config::Credential;
use tallyport_gateway::webhooks::Webhook;

#[derive(serde::Deserialize)]
struct Secret {
    of: Credential,
}

/// Whoever cannot have signed an answer has no program run, and learns nothing of how that goes.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_looked_for_only_where_something_is_signed() {
    let scene = scene!();
    let gateway = &scene.world.gateway;
    let (status, told) = crate::chat::send(gateway, "broken", &[], "{}".to_owned()).await;
    assert_eq!((status, &told["code"]), (401, &json!("no_signature")), "{told}");
    let broken = Answer { webhook: "broken", ..scene.answer("dana") };
    let stale = Answer { at: broken.at - 360, ..broken.clone() };
    let (status, told) = stale.send(gateway).await;
    assert_eq!((status, &told["code"]), (401, &json!("stale_signature")), "{told}");
    let (status, told) = broken.send(gateway).await;
    assert_eq!((status, &told["code"]), (503, &json!("secret_unavailable")), "{told}");
}

/// Standard Webhooks 1.0, "Verifying signatures" and "Replay attacks".
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_for_answers_counts_for_nothing() {
    let scene = scene!();
    let gateway = &scene.world.gateway;
    let good = scene.answer("dana");
    let cases = [
        (
            "signed with the key of the messages",
            Answer { key: MESSAGES, ..good.clone() },
            "bad_signature",
        ),
        ("signed with nothing", Answer { key: b"", ..good.clone() }, "bad_signature"),
        ("six minutes old", Answer { at: good.at - 360, ..good.clone() }, "stale_signature"),
        ("six minutes ahead", Answer { at: good.at + 360, ..good.clone() }, "stale_signature"),
        ("of no webhook", Answer { webhook: "nobody", ..good.clone() }, "bad_signature"),
        ("of one that only hears", Answer { webhook: "silent", ..good.clone() }, "bad_signature"),
        ("of a traversed one", Answer { webhook: "..%2fchat", ..good.clone() }, "bad_signature"),
        (
            "changed on its way",
            Answer {
                instead: Some(
                    good.clone().with("reviewer", json!("@eli:chat.example")).body.to_string(),
                ),
                ..good.clone()
            },
            "bad_signature",
        ),
    ];
    let mut wanted = Vec::new();
    for (what, answer, code) in cases {
        let (status, told) = answer.send(gateway).await;
        assert_eq!((status, &told["code"]), (401, &json!(code)), "{what}");
        wanted.push(code.to_owned());
    }
    let body = good.body.to_string();
    let (id, at) = (good.id.as_str(), good.at.to_string());
    let signature = sign(ANSWERS, id, &at, body.as_bytes());
    let fields =
        [("webhook-id", id), ("webhook-timestamp", at.as_str()), ("webhook-signature", &signature)];
    for left_out in 0..fields.len() {
        let mut fields = fields.to_vec();
        fields.remove(left_out);
        let (status, told) = send(gateway, "chat", &fields, body.clone()).await;
        assert_eq!((status, &told["code"]), (401, &json!("no_signature")));
        wanted.push("no_signature".to_owned());
    }
    // Who cannot sign does not learn which webhooks there are.
    for fields in [
        &fields[..0],
        &[("webhook-id", "x"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,x")],
    ] {
        let known = send(gateway, "chat", fields, body.clone()).await;
        for other in ["silent", "nobody"] {
            assert_eq!(send(gateway, other, fields, body.clone()).await, known);
        }
        wanted.extend(std::iter::repeat_n(known.1["code"].as_str().unwrap().to_owned(), 3));
    }
    // A bearer token is no signature.
    let token = format!("Bearer {}", scene.world.token("dana", None).await);
    let (status, _) = send(gateway, "chat", &[("authorization", &token)], body.clone()).await;
    assert_eq!(status, 401);
    wanted.push("no_signature".to_owned());
    scene.nobody_agreed().await;
    let events = scene.world.events().await;
    assert_eq!(refused(&events), wanted);
    names_what_was_attacked(&events);
    // The same with nothing forged.
    assert_eq!(send(gateway, "chat", &fields, body).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_answer_may_not_by_a_webhook_either() {
    let scene = scene!();
    let gateway = &scene.world.gateway;
    let good = scene.answer("dana");
    let cases = [
        (
            "nobody the webhook vouches for",
            good.clone().with("reviewer", json!("@mallory:chat.example")),
            403,
            "unknown_reviewer",
        ),
        (
            "of another spelling",
            good.clone().with("reviewer", json!("@DANA:chat.example")),
            403,
            "unknown_reviewer",
        ),
        ("whoever asked", scene.answer("agent"), 403, "not_a_reviewer"),
        // Of a group that need not agree: the request is not there for them.
        ("of another group", scene.answer("sam"), 404, "unknown_approval"),
        ("without a digest", good.clone().with("digest", Value::Null), 400, "invalid_request"),
        (
            "of another digest",
            good.clone().with("digest", json!("0".repeat(64))),
            409,
            "other_digest",
        ),
        (
            "of no request",
            good.clone().with("approval_id", json!("0190f5fe-7c00-7a00-8000-000000000000")),
            404,
            "unknown_approval",
        ),
        ("no answer", good.clone().with("answer", json!("maybe")), 400, "malformed"),
        (
            "with more than there is",
            good.clone().with("principal", json!("dana")),
            400,
            "malformed",
        ),
        (
            "with a comment that acts on a terminal",
            good.clone().with("comment", json!("\u{1b}[2J")),
            400,
            "invalid_request",
        ),
    ];
    for (what, answer, status, code) in cases {
        let (got, told) = answer.send(gateway).await;
        assert_eq!((got, &told["code"]), (status, &json!(code)), "{what}");
    }
    // Which of two reviewers was meant goes on record: neither.
    let twice = good.body.to_string().replacen('{', "{\"reviewer\":\"@eli:chat.example\",", 1);
    let signature = sign(ANSWERS, &good.id, &good.at.to_string(), twice.as_bytes());
    let at = good.at.to_string();
    let fields = [
        ("webhook-id", good.id.as_str()),
        ("webhook-timestamp", &at),
        ("webhook-signature", &signature),
    ];
    let (status, told) = send(gateway, "chat", &fields, twice).await;
    assert_eq!((status, &told["code"]), (400, &json!("malformed")));
    scene.nobody_agreed().await;
    let events = scene.world.events().await;
    assert_eq!(
        refused(&events),
        ["unknown_reviewer", "unknown_reviewer", "malformed", "malformed", "malformed"]
    );
    says_who_may_not(&events, &good.id);
}

/// Which webhook was attacked is on record, and nothing that anybody wrote who cannot sign.
fn names_what_was_attacked(events: &[Event]) {
    let told = |event: &Event| match &event.body {
        Body::Authentication(it) if it.failure.as_deref() == Some("bad_signature") => {
            it.message.clone()
        }
        _ => None,
    };
    let told: Vec<String> = events.iter().filter_map(told).collect();
    for name in ["chat", "silent"] {
        assert!(told.iter().any(|it| it.ends_with(&format!("(webhook {name})"))), "{told:?}");
    }
    assert!(!told.iter().any(|it| it.contains("nobody)") || it.contains("chat.example")));
}

/// Of whoever was signed for: with the reviewer's name for them, the webhook, and the answer's id.
fn says_who_may_not(events: &[Event], answer_id: &String) {
    let strangers = events.iter().filter_map(|event| match &event.body {
        Body::Authentication(it) if it.failure.as_deref() == Some("unknown_reviewer") => Some(it),
        _ => None,
    });
    assert_eq!(strangers.clone().count(), 2);
    for (it, who) in strangers.zip(["@mallory:chat.example", "@DANA:chat.example"]) {
        let message = it.message.as_deref().unwrap();
        assert!(message.ends_with(&format!("(webhook chat, reviewer {who:?})")), "{message}");
        assert_eq!(it.token_id.as_ref(), Some(answer_id));
    }
    // Who was vouched for and whose answer was none.
    assert_eq!(
        crate::webhooks::refused(events),
        ["not_a_reviewer", "unknown_approval", "other_digest", "unknown_approval"]
    );
}

/// A captured answer, and one person by two ways.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_counts_twice() {
    let scene = scene!();
    let gateway = &scene.world.gateway;
    let answer = scene.answer("dana");
    assert_eq!(answer.send(gateway).await.0, 200);
    let (status, told) = answer.send(gateway).await;
    assert_eq!((status, &told["code"]), (409, &json!("answered_already")));
    let second = scene.world.another("second").await;
    let there = Desk::of(&scene.world, "eli").await.at(&second);
    there.one().await;
    let (status, told) = answer.send(&second).await;
    assert_eq!((status, &told["code"]), (409, &json!("answered_already")));
    // With a token of their own they are the same person.
    let dana = Desk::of(&scene.world, "dana").await;
    let (status, told) = dana.approve(&scene.asked, None).await;
    assert_eq!((status, &told["code"]), (409, &json!("answered_already")));
    let eli = Desk::of(&scene.world, "eli").await;
    assert_eq!(eli.approve(&scene.asked, None).await.0, 200);
    scene.agent.until_state(&scene.asked, "approved").await;
}

/// Who was revoked is not known then.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_while_the_control_log_cannot_be_read() {
    let scene = scene!();
    let gateway = &scene.world.gateway;
    scene.world.lose_the_control_log().await;
    let (status, told) = scene.answer("dana").send(gateway).await;
    assert_eq!((status, &told["code"]), (503, &json!("control_unavailable")));
    scene.world.faults.clear();
    assert_eq!(scene.answer("dana").send(gateway).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_access_was_ended_answers_no_more() {
    let scene = scene!();
    let gateway = &scene.world.gateway;
    let sam = Desk::of(&scene.world, "sam").await;
    let dana = Desk::of(&scene.world, "dana").await.get("/v1/whoami").await.1;
    let principal = &dana["principal"];
    let revoked = json!({"kind": "principal", "issuer": principal["issuer"], "subject": "dana"});
    let (status, revocation) = sam.revoke(revoked).await;
    assert_eq!(status, 200);
    let (status, told) = scene.answer("dana").send(gateway).await;
    assert_eq!((status, &told["code"]), (403, &json!("revoked")));
    scene.nobody_agreed().await;
    let events = scene.world.events().await;
    let failed = events.iter().find(|event| matches!(&event.body, Body::Authentication(it) if it.failure.as_deref() == Some("revoked")));
    assert_eq!(failed.unwrap().context.principal.as_ref().unwrap().subject, "dana");
    assert_eq!(sam.lift(&revocation).await.0, 200);
    assert_eq!(scene.answer("dana").send(gateway).await.0, 200);
}
