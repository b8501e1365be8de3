//! Access for a time: asked for, agreed to, and over when it is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_eventlog::{Appender, AppenderOptions, Log};
use tallyport_gateway::Gateway;
use tallyport_schemas::{
    Approval, ApprovalId, Body, Command, Decision, Draft, Effect, Event, ProducerId, Session,
};

use crate::harness::{SOON, World, commands, world};
use crate::reviewers::Desk;
use crate::wire::{Wire, error_field, query, startup, tags};

type Tunnel = Wire<tokio::io::DuplexStream>;

/// `db` is open under a grant alone, to agents and the dba; `others` need nobody's consent.
const POLICY: &str = r#"
@id("agents") @require_grant("1 of dba; for 1h; within 10m")
permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"sql:connect", resource);
@id("dba") @require_grant("1 of dba, 1 of security")
permit (principal in Tallyport::Group::"dba", action == Tallyport::Action::"sql:connect", resource);
@id("others") @require_grant("nobody; for 10m")
permit (principal in Tallyport::Group::"others", action == Tallyport::Action::"sql:connect", resource);
@id("statements") permit (principal, action in Tallyport::Action::"sql:any", resource)
  unless { action == Tallyport::Action::"sql:connect" };
@id("security") permit (principal in Tallyport::Group::"security",
  action in [Tallyport::Action::"sql:connect", Tallyport::Action::"access:revoke"], resource);
"#;

async fn start(world: &World, gateway: &Gateway, who: &str) -> Tunnel {
    let token = world.token(who, None).await;
    Wire::start(World::tunnel_at(gateway, &token).await, &[("user", "u")]).await.0
}

async fn is_let_in(world: &World, gateway: &Gateway, who: &str) -> bool {
    let token = world.token(who, None).await;
    match World::open_at(gateway, &token, "db").await {
        Ok(_) => true,
        Err(refusal) => {
            assert_eq!((refusal.status, refusal.code), (403, "grant_required"));
            assert!(refusal.message.contains("tallyport request db --for 30m"), "{refusal:?}");
            false
        }
    }
}

/// A grant of an agent, agreed to by Dana.
async fn granted(world: &World) -> Value {
    let (status, asked) = Desk::of(world, "agent").await.request(600).await;
    assert_eq!((status, asked["state"].as_str()), (200, Some("pending")), "{asked}");
    let (status, granted) = Desk::of(world, "dana").await.approve(&asked, None).await;
    assert_eq!((status, granted["state"].as_str()), (200, Some("approved")), "{granted}");
    granted
}

fn granted_in(events: &[Event]) -> Vec<String> {
    let of = |event: &Event| match &event.body {
        Body::Session(Session::Granted { grant_id, .. }) => Some(grant_id.to_string()),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_grant_nobody_comes_in_and_the_credential_is_not_even_read() {
    let folder = tempfile::tempdir().unwrap();
    let read = folder.path().join("read");
    let target = format!(
        "user = 'postgres'\nsslmode = 'disable'\npassword = {{ command = ['sh', '-c', 'echo x >> {} && echo secret'] }}\n",
        read.display()
    );
    let world = world!(policy: POLICY, target: Box::leak(target.into_boxed_str()),);
    assert!(!is_let_in(&world, &world.gateway, "agent").await);
    assert!(!read.exists(), "the credential was read");
    let denied = |event: &Event| match &event.body {
        Body::Decision(decision @ Decision { effect: Effect::Deny, .. }) => {
            Some(decision.reasons.join(";"))
        }
        _ => None,
    };
    let reasons: Vec<_> = world.events().await.iter().filter_map(denied).collect();
    assert_eq!(reasons, ["sql:connect on db needs a grant of 1 of dba"]);

    let grant = granted(&world).await;
    let mut wire = start(&world, &world.gateway, "agent").await;
    assert!(read.exists(), "the test could not have seen it");
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
    let events = world.events().await;
    assert_eq!(granted_in(&events), [grant["approval_id"].as_str().unwrap()]);
    let ran = |it: &&&Command| it.statement.as_deref() == Some("SELECT 1");
    assert_eq!(commands(&events).iter().filter(ran).count(), 1);
    // Ends with the grant: sooner than the token.
    let expires = world.gateway.sessions()[0].expires_at.to_string();
    let stands_until = grant["stands_until"].as_str().unwrap();
    assert_eq!(expires, stands_until);
}

/// The first packet may come long after the answer: what let them in is looked at again before the target is.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_their_way_in_when_the_grant_ends_has_the_credential_read_for_them_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let read = folder.path().join("read");
    let target = format!(
        "user = 'postgres'\nsslmode = 'disable'\npassword = {{ command = ['sh', '-c', 'echo x >> {} && echo secret'] }}\n",
        read.display()
    );
    let world = world!(policy: POLICY, target: Box::leak(target.into_boxed_str()),);
    let grant = granted(&world).await;
    let mut wire = Wire::new(world.tunnel().await);
    assert_eq!(Desk::of(&world, "agent").await.withdraw(&grant).await.0, 200);
    wire.send(&startup(&[("user", "u")])).await;
    let told = wire.rest().await;
    assert_eq!((tags(&told).as_str(), error_field(&told, b'C').as_str()), ("E", "57P01"));
    assert!(!read.exists(), "the credential was read");
    let is_end = |event: &&Event| matches!(event.body, Body::Session(Session::Revoked { .. }));
    assert_eq!(world.events().await.iter().filter(is_end).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_its_requesters_alone() {
    let world = world!(policy: POLICY,);
    granted(&world).await;
    assert!(is_let_in(&world, &world.gateway, "agent").await);
    assert!(!is_let_in(&world, &world.gateway, "dana").await, "who agreed got nothing");
    assert!(!is_let_in(&world, &world.gateway, "other").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_must_agree_asking_is_enough() {
    let world = world!(policy: POLICY,);
    assert!(!is_let_in(&world, &world.gateway, "other").await);
    let (status, asked) = Desk::of(&world, "other").await.request(60).await;
    assert_eq!((status, asked["state"].as_str()), (200, Some("approved")), "{asked}");
    assert_eq!(asked["access"], json!({"seconds": 60, "reason": "OPS-7"}));
    assert!(is_let_in(&world, &world.gateway, "other").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_does_not_agree_and_a_no_is_one() {
    let world = world!(policy: POLICY,);
    let (dana, eli) = (Desk::of(&world, "dana").await, Desk::of(&world, "eli").await);
    let (_, asked) = dana.request(600).await;
    let (status, answer) = dana.approve(&asked, None).await;
    assert_eq!((status, answer["code"].as_str()), (403, Some("not_a_reviewer")));
    assert_eq!(eli.approve(&asked, None).await.1["state"], "pending", "security is missing");
    assert!(!is_let_in(&world, &world.gateway, "dana").await);
    let sam = Desk::of(&world, "sam").await;
    assert_eq!(sam.deny(&asked, Some("not today")).await.1["state"], "denied");
    assert!(!is_let_in(&world, &world.gateway, "dana").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_wish_is_told_what_to_ask_for() {
    let world = world!(policy: POLICY,);
    let desk = Desk::of(&world, "agent").await;
    let wish = |target: &str, seconds: Value, reason: &str| {
        json!({"target": target, "seconds": seconds, "reason": reason}).to_string()
    };
    for (body, status, code) in [
        (String::new(), 400, "invalid_request"),
        (wish("db", json!(600), ""), 400, "invalid_request"),
        (wish("db", json!(59), "why"), 400, "invalid_request"),
        (wish("db", json!(3601), "why"), 400, "invalid_request"),
        (wish("db", json!(-600), "why"), 400, "invalid_request"),
        (wish("db", json!("600"), "why"), 400, "invalid_request"),
        (wish("db", json!(600), "\u{1b}[2J"), 400, "invalid_request"),
        (wish("a\nb", json!(600), "why"), 400, "invalid_request"),
        (wish("payroll", json!(600), "why"), 403, "denied_by_policy"),
    ] {
        let (seen, answer) = desk.send("POST", "/v1/grants", body.clone()).await;
        assert_eq!((seen, answer["code"].as_str()), (status, Some(code)), "{body}: {answer}");
    }
    let (status, answer) = Desk::of(&world, "sam").await.request(600).await;
    assert_eq!((status, answer["code"].as_str()), (409, Some("no_grant_needed")));
    assert_eq!(Desk::of(&world, "dana").await.list().await, json!([]), "nobody was asked");
    let denied = |event: &&Event| {
        matches!(&event.body, Body::Decision(Decision { effect: Effect::Deny, reasons, .. })
            if reasons == &["there is no target of this name"])
            && event.context.target.as_ref().is_some_and(|target| target.name == "payroll")
    };
    assert_eq!(world.events().await.iter().filter(denied).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_no_grant_would_let_in_asks_for_none() {
    let policy = r#"
@id("agents") @require_grant("1 of dba") permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"sql:connect", resource);
@id("not here") forbid (principal, action == Tallyport::Action::"sql:connect", resource in Tallyport::Target::"db");
"#;
    let world = world!(policy,);
    for who in ["agent", "other"] {
        let (status, answer) = Desk::of(&world, who).await.request(600).await;
        assert_eq!((status, answer["code"].as_str()), (403, Some("denied_by_policy")), "{who}");
    }
    let denied = |event: &&Event| {
        matches!(&event.body, Body::Decision(Decision { effect: Effect::Deny, .. }))
    };
    assert_eq!(world.events().await.iter().filter(denied).count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_wish_finds_the_request_that_waits_and_nobody_floods_the_inbox() {
    let world = world!(policy: POLICY,);
    let desk = Desk::of(&world, "agent").await;
    let (_, one) = desk.request(600).await;
    let (_, again) = desk.request(600).await;
    assert_eq!(one["approval_id"], again["approval_id"]);
    for seconds in 601..616 {
        assert_eq!(desk.request(seconds).await.0, 200);
    }
    let (status, answer) = desk.request(700).await;
    assert_eq!((status, answer["code"].as_str()), (429, Some("too_many_requests")));
    // Withdrawn, it makes room; and it is not to be agreed to any more.
    assert_eq!(desk.withdraw(&one).await.1["state"], "withdrawn");
    assert_eq!(desk.request(700).await.0, 200);
    let dana = Desk::of(&world, "dana").await;
    assert_eq!(dana.approve(&one, None).await.0, 409);
    assert_eq!(dana.withdraw(&again).await.0, 403, "it is not hers");
    assert_eq!(desk.withdraw(&one).await.0, 409, "it is over");
    let nobodys = json!({ "approval_id": ApprovalId::new() });
    assert_eq!(desk.withdraw(&nobodys).await.0, 404);
    let refused = |event: &Event| match &event.body {
        Body::Decision(it) if it.actions == ["approval:withdraw"] => {
            assert_eq!(it.effect, Effect::Deny);
            let code = it.reasons[0].split(':').next().unwrap().to_owned();
            Some((event.context.principal.clone()?.subject, it.resources.clone(), code))
        }
        _ => None,
    };
    let of = |asked: &Value| vec![format!("approval/{}", asked["approval_id"].as_str().unwrap())];
    let on_record: Vec<_> = world.events().await.iter().filter_map(refused).collect();
    let wanted = [
        ("dana", &again, "not_yours"),
        ("agent", &one, "over"),
        ("agent", &nobodys, "unknown_approval"),
    ];
    assert_eq!(
        on_record,
        wanted.map(|(who, asked, code)| (who.to_owned(), of(asked), code.to_owned()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_ends_its_sessions_on_every_gateway_when_it_is_revoked_or_given_back() {
    let world = world!(policy: POLICY,);
    let second = world.another("second").await;
    for revoked in [true, false] {
        let grant = granted(&world).await;
        Desk::of(&world, "agent").await.at(&second).until_state(&grant, "approved").await;
        let mut wires =
            [start(&world, &world.gateway, "agent").await, start(&world, &second, "agent").await];
        if revoked {
            let id = &grant["approval_id"];
            let order = json!({"kind": "grant", "grant_id": id});
            assert_eq!(Desk::of(&world, "sam").await.revoke(order.clone()).await.0, 200);
            assert_eq!(Desk::of(&world, "sam").await.revoke(order).await.0, 409, "over already");
            let events = world.events().await;
            let orders = events.iter().filter(|event| matches!(event.body, Body::Revocation(_)));
            assert_eq!(orders.count(), 1, "the second ended nothing");
        } else {
            assert_eq!(Desk::of(&world, "agent").await.withdraw(&grant).await.0, 200);
        }
        for wire in &mut wires {
            assert_eq!(error_field(&wire.rest().await, b'C'), "57P01", "{revoked}");
        }
        assert!(!is_let_in(&world, &world.gateway, "agent").await);
        assert!(!is_let_in(&world, &second, "agent").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_nothing_but_the_log_knows_the_grant() {
    let world = world!(policy: POLICY,);
    let grant = granted(&world).await;
    world.gateway.shutdown(Duration::ZERO).await;
    let second = world.another("second").await;
    assert!(is_let_in(&world, &second, "agent").await);
    let (_, there) = Desk::of(&world, "agent").await.at(&second).show(&grant).await;
    assert_eq!(there["state"], "approved");
    assert_eq!(there["stands_until"], grant["stands_until"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_under_easier_terms_than_policy_demands_now_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.cedar");
    std::fs::write(&file, POLICY).unwrap();
    let world = world!(policy_file: Some(file.clone()),);
    granted(&world).await;
    assert!(is_let_in(&world, &world.gateway, "agent").await);
    let stricter = POLICY.replacen("1 of dba; for 1h", "2 of dba; for 1h", 1);
    std::fs::write(&file, stricter).unwrap();
    let deadline = Instant::now() + SOON;
    while is_let_in(&world, &world.gateway, "agent").await {
        assert!(Instant::now() < deadline, "the easier grant still counts");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Time is told by whichever clock is first, and all gateways go by that.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_over_by_the_clock_of_another_gateway_ends_its_sessions() {
    let world = world!(policy: POLICY,);
    let grant = granted(&world).await;
    let mut wire = start(&world, &world.gateway, "agent").await;
    let approval_id = grant["approval_id"].as_str().unwrap().parse().unwrap();
    let body = Body::Approval(Approval::Expired { approval_id });
    let time = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    let expired = Draft { time, ..Draft::new(Default::default(), None, body) };
    elsewhere(&world).await.commit_control(expired).await.unwrap();
    let rest = wire.rest().await;
    assert_eq!(error_field(&rest, b'C'), "57P01");
    assert!(error_field(&rest, b'M').contains("the grant is over"));
    assert!(!is_let_in(&world, &world.gateway, "agent").await);
}

/// Another gateway's way to the log.
async fn elsewhere(world: &World) -> Appender {
    let log = Arc::clone(&world.faults) as Arc<dyn Log>;
    let id = ProducerId::parse("elsewhere/gateway").unwrap();
    Appender::start(log, id, "gateway", AppenderOptions::default()).await.unwrap()
}

/// As another gateway would have said it: shorter than anybody may ask for.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_is_over_ends_its_sessions() {
    let world = world!(policy: POLICY,);
    let (_, asked) = Desk::of(&world, "agent").await.request(600).await;
    let events = world.events().await;
    let found = events.iter().find_map(|event| match &event.body {
        Body::Approval(Approval::Requested(request)) => Some((event.context.clone(), request)),
        _ => None,
    });
    let (context, request) = found.unwrap();
    let mut short = request.clone();
    short.approval_id = tallyport_schemas::ApprovalId::new();
    // The same wish again would only find the first.
    short.digest = "0".repeat(64);
    let tallyport_schemas::Asked::Access(access) = &mut short.asked else { panic!("access") };
    access.seconds = 3;
    let id = short.approval_id;
    let body = Body::Approval(Approval::Requested(short));
    elsewhere(&world).await.commit_control(Draft::new(context, None, body)).await.unwrap();
    let dana = Desk::of(&world, "dana").await;
    let both = dana.until(2).await;
    let short = both.iter().find(|it| it["approval_id"] != asked["approval_id"]).unwrap();
    assert_eq!(short["approval_id"], id.to_string());
    assert_eq!(dana.approve(short, None).await.0, 200);
    let mut wire = start(&world, &world.gateway, "agent").await;
    wire.send(&query("SELECT pg_sleep(600)")).await;
    let rest = wire.rest().await;
    assert_eq!(error_field(&rest, b'C'), "57P01");
    assert!(error_field(&rest, b'M').contains("the grant is over"));
    let over = |events: &[Event]| {
        events.iter().any(|event| matches!(&event.body, Body::Session(Session::Expired { cause, .. }) if cause == "grant"))
    };
    world.wait_for("the end", over).await;
    assert!(!is_let_in(&world, &world.gateway, "agent").await);
}

/// The check of the token, the decision, the request on the audit topic, and on the control topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_wish_is_known_where_it_is_on_the_control_topic_and_is_never_told_to_be_before() {
    for nth in 1..=4 {
        for persisted in [false, true] {
            let world = world!(policy: POLICY,);
            let desk = Desk::of(&world, "other").await;
            for _ in 1..nth {
                world.faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
            }
            world.faults.set(Fault::once(FaultKind::Unknown, persisted));
            let (status, answer) = desk.request(60).await;
            assert_eq!((status, answer["code"].as_str()), (503, Some("log_unavailable")), "{nth}");
            // Where nobody must agree the request is the grant.
            if nth == 4 && persisted {
                let deadline = Instant::now() + SOON;
                while !is_let_in(&world, &world.gateway, "other").await {
                    assert!(Instant::now() < deadline, "it counts");
                }
            } else {
                assert!(!is_let_in(&world, &world.gateway, "other").await, "{nth} {persisted}");
            }
        }
    }
}
