//! I1 to I3: whatever the log does, nothing passes that is not durable.

use std::time::Duration;

use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_schemas::{Body, Disposition, Session};

use crate::harness::{SOON, World, commands, world};
use crate::wire::{Wire, query, tags};

pub const KINDS: [FaultKind; 3] = [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang];
pub const WAIT: Duration = Duration::from_millis(400);

/// The next append passes.
pub const PASS: Fault = Fault::once(FaultKind::Delay(Duration::ZERO), true);

pub async fn session(world: &World) -> Wire<tokio::io::DuplexStream> {
    let (wire, hello) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    assert!(tags(&hello).ends_with('Z'));
    wire
}

/// The session of a failed log gets no row, only (where the log came back) a FATAL error; then its stream ends.
async fn assert_nothing_passes(wire: &mut Wire<tokio::io::DuplexStream>, case: &str) {
    let rest = wire.rest().await;
    let seen = tags(&rest);
    assert!(seen.is_empty() || seen == "E", "{case}: the agent got `{seen}`");
    let bytes: Vec<u8> = rest.into_iter().flat_map(|(_, body)| body).collect();
    assert!(!String::from_utf8_lossy(&bytes).contains("secret row"), "{case}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_durable_never_reaches_the_target() {
    let world = world!(max_wait: WAIT,);
    let mut other = session(&world).await;
    for kind in KINDS {
        for persisted in [true, false] {
            let case = format!("command, {kind:?}, persisted {persisted}");
            let marker = format!("{}-command-{persisted}", format!("{kind:?}").to_lowercase());
            let mut wire = session(&world).await;
            world.faults.set(Fault::once(kind, persisted));
            wire.send(&query(&format!("SELECT 'secret row {marker}'"))).await;
            assert_nothing_passes(&mut wire, &case).await;
            world.faults.release_hung();
            let log = world.statements().await;
            assert!(
                !log.contains(&marker),
                "{case}: PostgreSQL saw a command that was not durable"
            );
            // Other sessions live on, and need no restart.
            other.send(&query("SELECT 1")).await;
            assert_eq!(tags(&other.until(b'Z', 1).await), "TDCZ", "{case}");
        }
    }
    // An end whose append was unsure is tried again, so it may be there twice: sessions count, not events.
    world
        .wait_for("the ends of six sessions", |events| {
            let lost = |event: &&tallyport_schemas::Event| {
                matches!(&event.body, Body::Session(Session::Lost { cause, .. }) if cause == "log_unavailable")
            };
            let sessions: std::collections::BTreeSet<_> =
                events.iter().filter(lost).map(|event| event.context.session_id).collect();
            sessions.len() == 6
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_not_durable_never_reaches_the_agent() {
    let world = world!(max_wait: WAIT,);
    for kind in KINDS {
        for persisted in [true, false] {
            let case = format!("response, {kind:?}, persisted {persisted}");
            let marker = format!("{}-response-{persisted}", format!("{kind:?}").to_lowercase());
            let mut wire = session(&world).await;
            world.faults.set(PASS);
            world.faults.set(Fault::once(kind, persisted));
            wire.send(&query(&format!("SELECT 'secret row {marker}'"))).await;
            assert_nothing_passes(&mut wire, &case).await;
            world.faults.release_hung();
            // The command itself was durable, so it ran: its intent is on record.
            assert!(world.statements().await.contains(&marker), "{case}");
            let events = world.events().await;
            let recorded = commands(&events).iter().any(|command| {
                command.disposition == Disposition::Forwarded
                    && command.statement.as_deref().unwrap_or_default().contains(&marker)
            });
            assert!(recorded, "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_hangs_nothing_passes_and_then_everything_does() {
    let world = world!();
    let mut wire = session(&world).await;

    world.faults.set(Fault::once(FaultKind::Hang, true));
    wire.send(&query("SELECT 'hang-then-pass'")).await;
    world.faults.wait_hanging(1).await;
    assert!(wire.is_silent().await);
    assert!(!world.statements().await.contains("hang-then-pass"), "the command overtook its event");
    world.faults.set(Fault::once(FaultKind::Hang, true));
    world.faults.release_hung();

    // Now the command ran, and the response waits for its own event.
    let deadline = tokio::time::Instant::now() + SOON;
    while !world.statements().await.contains("hang-then-pass") {
        assert!(tokio::time::Instant::now() < deadline, "the command runs");
    }
    world.faults.wait_hanging(1).await;
    assert!(wire.is_silent().await, "the row overtook its event");
    world.faults.release_hung();
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_log_no_tunnel_opens() {
    let world = world!(max_wait: WAIT,);
    let token = world.token("agent", None).await;
    world.faults.set(Fault::always(FaultKind::Refuse, false));
    let refusal = world.open(&token, "db").await.err().expect("is refused");
    assert_eq!((refusal.status, refusal.code), (503, "log_unavailable"));
    world.faults.clear();
    assert!(world.open(&token, "db").await.is_ok(), "it recovers without a restart");
}
