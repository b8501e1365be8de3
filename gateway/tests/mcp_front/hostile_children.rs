//! Children that do what they should not: whatever one does, it ends, and harms nobody but whoever asked it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tallyport_schemas::{Phase, ResponseStatus};

use crate::children::{
    Child, begin, found, has, has_at_all, recorded, said, started, text, until, within,
};
use crate::client::Way;
use crate::message::{legacy, modern};
use crate::servers::{at, commands, responses};

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_dies_ends_its_call_and_is_started_anew() {
    for era in ["modern", "legacy"] {
        let child = Child::new();
        let world = child.world(era, "").await;
        let token = world.token("agent", None).await;
        let call = |does: &str| has_at_all(does).token(&token);
        let first = found(&call("").send(&world, Way::H2).await)["pid"].clone();
        assert_eq!(
            found(&call("").send(&world, Way::H2).await)["pid"],
            first,
            "one process serves on"
        );
        let told = said(&call("die").send(&world, Way::H2).await);
        let words = told["error"]["message"].as_str().unwrap_or_default();
        assert!(words.contains("the process of the server crm ended before its answer"), "{told}");
        let events = world.events().await;
        let ended: Vec<_> = responses(&events)
            .into_iter()
            .filter(|it| it.status == ResponseStatus::Interrupted)
            .collect();
        assert_eq!(ended.len(), 1, "{era}");
        let next = found(&call("").send(&world, Way::H2).await)["pid"].clone();
        assert_ne!(next, first, "{era}");
        // Again and again is too often: the next start waits, and a rest is no failure of the server's.
        assert!(text(&call("die").send(&world, Way::H2).await).contains("ended before"));
        let rests = said(&call("").send(&world, Way::H2).await);
        assert!(
            rests["error"]["message"].as_str().unwrap().contains("cannot be used now"),
            "{rests}"
        );
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_ne!(found(&call("").send(&world, Way::H2).await)["pid"], next);
        for last in ["answer and die", "leave it to another"] {
            let last = call(last).send(&world, Way::H2).await;
            assert_eq!(found(&last)["last"], true, "what it said before it ended counts");
            tokio::time::sleep(Duration::from_millis(2600)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_child_says_to_nobody_reaches_nobody() {
    let child = Child::new();
    let world = child.world("modern", "").await;
    let token = world.token("agent", None).await;
    for does in ["garbage", "unknown", "progress"] {
        let mut call = has(does);
        call.body["params"]["_meta"]["progressToken"] = json!("p");
        let answer = call.but("/id", json!(40)).token(&token).send(&world, Way::H2).await;
        let all = text(&answer);
        assert!(!all.contains("IGNORE"), "{does}: {all}");
        assert_eq!(
            (found(&answer)["mark"].is_null(), &said(&answer)["id"]),
            (true, &json!(40)),
            "{does}"
        );
        assert_eq!(
            all.contains("half of it") && all.contains(r#""progressToken":"p""#),
            does == "progress",
            "{all}"
        );
    }
    // What is too long for the record is left out, and the answer is not.
    let long = has("long").token(&token).send(&world, Way::H2).await;
    assert!(found(&long)["mark"].is_null() && !text(&long).contains("notifications/message"));
    // What two may be meant by is for neither.
    let (there, asks) = (Arc::clone(&world), token.clone());
    let other = tokio::spawn(async move { has("never").token(&asks).send(&there, Way::H2).await });
    until("the other call", || child.seen("tools/call").len() == 5).await;
    let logs = has("log").but("/id", json!(2)).token(&token).send(&world, Way::H2).await;
    assert!(found(&logs)["mark"].is_null());
    assert!(!recorded(&world.events().await).contains("looking"));
    other.abort();
    // Progress that nobody wants is for nobody.
    let plain = has("progress").token(&token).send(&world, Way::H2).await;
    assert!(!text(&plain).contains("half of it"), "{}", text(&plain));
    assert!(!recorded(&world.events().await).contains("IGNORE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_without_bounds_is_ended() {
    for does in ["endless", "babble"] {
        let child = Child::new();
        let world = child.world("modern", "timeout_seconds = 30\n").await;
        let token = world.token("agent", None).await;
        let began = Instant::now();
        let told = said(&has(does).token(&token).send(&world, Way::H2).await);
        let words = told["error"]["message"].as_str().unwrap_or_default();
        assert!(words.contains("the answer of the server crm cannot be used"), "{does}: {told}");
        assert!(began.elapsed() < Duration::from_secs(20), "{does}");
        until("its end", || child.alive().is_empty()).await;
        assert!(
            found(&has("").token(&token).send(&world, Way::H2).await)["pid"].is_u64(),
            "{does}"
        );
    }
}

/// One that says nothing is ended; one that only took too long for one answer is told so, and serves on.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_never_answers_is_ended() {
    let child = Child::new();
    let world = child.world("modern", "timeout_seconds = 2\n").await;
    let token = world.token("agent", None).await;
    let first = found(&has("").token(&token).send(&world, Way::H2).await)["pid"].clone();
    let (there, asks) = (Arc::clone(&world), token.clone());
    let never = tokio::spawn(async move { has("never").token(&asks).send(&there, Way::H2).await });
    for id in 2..=6 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let other = has("").but("/id", json!(id)).token(&token).send(&world, Way::H2).await;
        assert_eq!(found(&other)["pid"], first, "what hangs hinders no other");
    }
    assert!(text(&never.await.unwrap()).contains("took longer than it may"));
    until("the cancellation", || !child.seen("notifications/cancelled").is_empty()).await;
    let calls = child.seen("tools/call");
    let hung = calls.iter().find(|it| it["params"]["arguments"]["do"] == "never").unwrap();
    let told = &child.seen("notifications/cancelled")[0];
    assert_eq!(told["params"]["requestId"], hung["id"], "by the name that the child knows");
    assert_eq!(found(&has("").token(&token).send(&world, Way::H2).await)["pid"], first);
    assert!(text(&has("never").token(&token).send(&world, Way::H2).await).contains("took longer"));
    until("its end", || child.alive().is_empty()).await;
    assert_ne!(found(&has("").token(&token).send(&world, Way::H2).await)["pid"], first);
}

/// There are no more of them than may be: whoever has enough gives up what they use least.
#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_processes_than_may_be() {
    let child = Child::new();
    let limits = "processes = { max = 3, max_per_principal = 2, idle_seconds = 600 }\n";
    let world = child.world("legacy", limits).await;
    let (token, writer) = (world.token("agent", None).await, world.token("writer", None).await);
    until("the end of the look", || child.alive().is_empty()).await;
    let first = begin(&world, &token, json!({})).await;
    let second = begin(&world, &token, json!({})).await;
    assert_eq!(within(&first, "").token(&token).send(&world, Way::H2).await.status, 200);
    let third = begin(&world, &token, json!({})).await;
    assert_eq!(child.alive().len(), 2);
    assert_eq!(
        within(&second, "").token(&token).send(&world, Way::H2).await.status,
        404,
        "used least"
    );
    for session in [&first, &third] {
        assert_eq!(within(session, "").token(&token).send(&world, Way::H2).await.status, 200);
    }
    let theirs = begin(&world, &writer, json!({})).await;
    assert!(!theirs.is_empty());
    // All are full, and nobody has left theirs alone for long enough: neither theirs nor anybody's.
    let scoped = world.token("scoped", None).await;
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let full =
        at("/mcp/crm", legacy("initialize", params)).token(&scoped).send(&world, Way::H2).await;
    assert!(text(&full).contains("as many processes of the server crm run as may be"), "{full:?}");
    assert_eq!(child.alive().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_nobody_uses_is_ended() {
    let child = Child::new();
    let world = child.world("legacy", "processes = { idle_seconds = 1 }\n").await;
    let token = world.token("agent", None).await;
    let session = begin(&world, &token, json!({})).await;
    assert!(!child.alive().is_empty());
    let (there, asks, uses) = (Arc::clone(&world), token.clone(), session.clone());
    let never =
        tokio::spawn(
            async move { within(&uses, "never").token(&asks).send(&there, Way::H2).await },
        );
    tokio::time::sleep(Duration::from_millis(1800)).await;
    assert!(!child.alive().is_empty(), "one that somebody waits for is used");
    never.abort();
    until("its end", || child.alive().is_empty()).await;
    assert_eq!(within(&session, "").token(&token).send(&world, Way::H2).await.status, 404);
    assert!(found(&has_at_all("").token(&token).send(&world, Way::H2).await)["pid"].is_u64());
}

/// Whether they end when they are asked to or not, nothing is left of them: nor of what they started.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_leaves_no_process() {
    for how in [&[][..], &["sleeper"], &["deaf", "sleeper"]] {
        let child = Child::new();
        let world = started(&child.config("both", how, "")).await;
        let token = world.token("agent", None).await;
        assert!(found(&has("").token(&token).send(&world, Way::H2).await)["pid"].is_u64());
        assert!(!begin(&world, &token, json!({})).await.is_empty());
        let (there, asks) = (Arc::clone(&world), token.clone());
        let never =
            tokio::spawn(async move { has("never").token(&asks).send(&there, Way::H2).await });
        until("the call", || child.seen("tools/call").len() == 2).await;
        let began = Instant::now();
        world.gateway.shutdown(Duration::from_secs(5)).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{how:?}");
        // What they started was killed, and nobody here can wait for it.
        until("their end", || child.alive().is_empty()).await;
        let _ended = never.await;
        let events = world.events().await;
        let last = commands(&events).into_iter().rfind(|it| it.phase == Phase::Call).unwrap();
        let ended = responses(&events).into_iter().find(|it| it.command_id == last.command_id);
        assert_eq!(ended.unwrap().status, ResponseStatus::Interrupted, "{how:?}");
    }
}

/// A program that is not what it was, or is none, is a server that cannot be used; and harms no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_no_server_harms_no_other() {
    let child = Child::new();
    let more = "[[servers]]\nname = 'sick'\ncommand = ['true']\n";
    let world = child.world("modern", more).await;
    let token = world.token("agent", None).await;
    let call = at("/mcp/sick", modern("tools/call", json!({ "name": "find", "arguments": {} })));
    let told = call.token(&token).send(&world, Way::H2).await;
    assert!(text(&told).contains("the server sick cannot be used now"), "{told:?}");
    assert!(found(&has("").token(&token).send(&world, Way::H2).await)["pid"].is_u64());
}
