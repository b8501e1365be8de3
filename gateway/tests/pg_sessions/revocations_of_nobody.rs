//! Orders to end the access of nobody: a misspelt name ends nothing, and must not look as if it did.

use serde_json::json;
use tallyport_schemas::{Body, Effect, Event};

use crate::harness::world;
use crate::reviewers::Desk;

const POLICY: &str = r#"
@id("dba") permit (principal in Tallyport::Group::"dba", action in Tallyport::Action::"access:any", resource);
"#;

/// Why orders were refused, or that they were permitted.
fn decided(events: &[Event]) -> Vec<&str> {
    let decisions = events.iter().filter_map(|event| match &event.body {
        Body::Decision(it) if it.actions == ["access:revoke"] => Some(it),
        _ => None,
    });
    let told =
        decisions.map(|it| (it.effect, it.reasons.first().and_then(|it| it.split(':').next())));
    told.map(
        |(effect, why)| if effect == Effect::Deny { why.unwrap_or_default() } else { "permitted" },
    )
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_nobody_is_refused_on_record() {
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    let issuer = world.issuer.issuer_config().issuer;
    let nobody = [
        json!({"kind": "principal", "issuer": "https://idp.exmaple", "subject": "agent"}),
        json!({"kind": "issuer", "issuer": format!("{issuer}/")}),
        json!({"kind": "issuer", "issuer": "spiffe://nosuch.example"}),
    ];
    for revoked in &nobody {
        let (status, told) = dana.revoke(revoked.clone()).await;
        assert_eq!((status, told["code"].as_str()), (404, Some("unknown_issuer")), "{revoked}");
        assert!(told["message"].as_str().unwrap().contains(&issuer), "{told}");
    }
    let grant = json!({"kind": "grant", "grant_id": "01a20635-5f36-74df-bd6e-bebe288245d9"});
    assert_eq!(dana.revoke(grant).await.0, 404);
    let is_order = |event: &&Event| matches!(event.body, Body::Revocation(_));
    let events = world.events().await;
    assert_eq!(events.iter().filter(is_order).count(), 0, "it is on record as ordered");
    let refused = ["unknown_issuer", "unknown_issuer", "unknown_issuer", "unknown_approval"];
    assert_eq!(decided(&events), refused);
    // Another gateway may let them in.
    let order =
        json!({"revoked": nobody[0], "reason": "of another gateway", "unknown_issuer": true});
    assert_eq!(dana.send("POST", "/v1/revocations", order.to_string()).await.0, 200);
    let events = world.events().await;
    assert_eq!(events.iter().filter(is_order).count(), 1);
    assert_eq!(decided(&events).last(), Some(&"permitted"));
}
