//! Agents that act for somebody (RFC 8693): whom for decides, and every event names the whole chain.

use serde_json::json;
use tallyport_schemas::{Body, Context, Event};

use crate::clients::chain;
use crate::harness::{World, world};
use crate::reviewers::Desk;
use crate::wire::{Wire, error_field, query, tags};

/// The agent reads on behalf of analysts alone, and nothing for itself; whoever may, does so directly.
const POLICY: &str = r#"
@id("in") permit (principal, action in [Tallyport::Action::"sql:connect", Tallyport::Action::"sql:session", Tallyport::Action::"sql:catalog"], resource);
@id("for-analysts") permit (principal in Tallyport::Group::"analysts", action == Tallyport::Action::"sql:select", resource)
  when { principal has actor && principal.actor == "agent" };
@id("ends") permit (principal in Tallyport::Group::"dba", action in Tallyport::Action::"access:any", resource);
"#;

async fn read(world: &World, who: &str) -> String {
    let token = world.token(who, None).await;
    let (mut wire, _) = Wire::start(world.tunnel_with(&token).await, &[("user", "u")]).await;
    wire.send(&query("SELECT count(*) FROM app.customers")).await;
    let answer = wire.until(b'Z', 1).await;
    if tags(&answer).starts_with('E') { error_field(&answer, b'C') } else { tags(&answer) }
}

fn of(event: &Event) -> (&str, &Context) {
    let context: &Context = &event.context;
    (context.principal.as_ref().map_or("", |it| it.subject.as_str()), context)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_reads_on_behalf_of_one_group_only_and_every_event_says_for_whom() {
    let world = world!(policy: POLICY,);
    assert_eq!(read(&world, "ada-by-agent").await, "TDCZ");
    assert_eq!(read(&world, "bob-by-agent").await, "42501", "not of that group");
    assert_eq!(read(&world, "agent").await, "42501", "not for itself");
    let events = world.events().await;
    for who in ["ada-by-agent", "bob-by-agent"] {
        let told: Vec<_> = events.iter().filter(|event| of(event).0 == who).collect();
        for family in ["authentication", "session", "decision", "command", "response"] {
            let some = told.iter().any(|event| event.body.family().as_str() == family);
            assert!(some, "{who}: no {family}");
        }
        assert!(told.iter().all(|event| of(event).1.delegation == chain()), "{who}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_anywhere_in_the_chain_can_be_revoked() {
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    for revoked in [
        json!({"kind": "agent", "subject": "orchestrator"}),
        json!({"kind": "issuer", "issuer": "https://agents.example"}),
    ] {
        let token = world.token("ada-by-agent", None).await;
        let (mut wire, _) = Wire::start(world.tunnel_with(&token).await, &[("user", "u")]).await;
        // Nobody but actors is of that issuer here.
        let order = json!({"revoked": revoked, "reason": "leaked", "unknown_issuer": true});
        let (_, revoked) = dana.send("POST", "/v1/revocations", order.to_string()).await;
        assert_eq!(error_field(&wire.rest().await, b'C'), "57P01");
        assert!(world.open(&token, "db").await.is_err());
        assert!(world.open(&world.token("agent", None).await, "db").await.is_ok());
        assert_eq!(dana.lift(&revoked).await.0, 200);
    }
    let ended = |event: &&Event| matches!(&event.body, Body::Session(it) if matches!(it, tallyport_schemas::Session::Revoked { .. }));
    assert_eq!(world.events().await.iter().filter(ended).count(), 2);
}
