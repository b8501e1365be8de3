//! Requests to services and clusters: one row each, whatever became of them.

use serde_json::json;
use tallyport_schemas::*;

use crate::story::{command_id, id, principal, session};
use crate::tool_calls::{answered, command, decision, draft};
use crate::world::World;

fn on(target: &str, kind: TargetKind) -> SharedContext {
    Context {
        session_id: Some(session(0x91)),
        principal: Some(principal("ada", "Ada", PrincipalKind::Human, None)),
        delegation: vec![Actor { subject: "bot-2".into(), issuer: None }],
        target: Some(TargetRef { name: target.into(), kind, database: None }),
        ..Context::default()
    }
    .into()
}

/// A refund waits, is approved by Grace and made; a program in a pod is refused.
fn drafts() -> Vec<Draft> {
    let (billing, prod) = (on("billing", TargetKind::Http), on("prod", TargetKind::Kubernetes));
    let approval_id = ApprovalId::from_uuid(id(0xb9));
    let grace = principal("grace", "Grace", PrincipalKind::Human, None);
    let granted = Approval::Granted { approval_id, reviewer: grace, comment: None, webhook: None };
    let used = Approval::Used { approval_id, command_id: command_id(0x81), digest: "00".into() };
    let found = Finding { detector: "email".into(), action: FindingAction::Mask, count: 2 };
    let (refund, exec) = ("POST /refunds\n{\"amount\":7}", "exec shop/web-0 -c app -- [\"id\"]");
    vec![
        draft(
            &billing,
            "2024-03-11T09:00:00Z",
            decision(0x81, Effect::Pause, Some("leads must agree")),
        ),
        draft(&billing, "2024-03-11T09:05:00Z", Body::Approval(granted)),
        draft(&billing, "2024-03-11T09:05:01Z", Body::Approval(used)),
        draft(&billing, "2024-03-11T09:05:02Z", decision(0x81, Effect::Allow, None)),
        draft(
            &billing,
            "2024-03-11T09:05:03Z",
            command(0x81, Phase::Request, Disposition::Forwarded, refund),
        ),
        draft(&billing, "2024-03-11T09:05:05Z", answered(0x81, vec![found])),
        draft(
            &prod,
            "2024-03-11T09:06:00Z",
            decision(0x82, Effect::Deny, Some("no policy permits")),
        ),
        draft(
            &prod,
            "2024-03-11T09:06:01Z",
            command(0x82, Phase::Request, Disposition::Refused, exec),
        ),
        // A statement of a database is no request.
        draft(
            &billing,
            "2024-03-11T09:07:00Z",
            command(0x83, Phase::Query, Disposition::Forwarded, "SELECT 1"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_is_one_row_with_what_became_of_it() {
    let world = World::start().await;
    for draft in drafts() {
        world.commit(draft).await;
    }
    let whole = world.latest(0).await;
    for (place, upto) in [("in the tail", 0), ("across both", whole / 2), ("in the lake", whole)] {
        world.record(0, upto).await;
        let asked = |more: (&str, &str)| json!({ "since": "2024-03-01", more.0: more.1 });
        let ask = async |given: serde_json::Value| {
            let (status, answer) = world.post("auditor", "/v1/ask/requests", &given).await;
            assert_eq!(status, 200, "{answer}");
            let names = answer["columns"].as_array().unwrap();
            let names: Vec<_> =
                names.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect();
            let at = |name: &str| names.iter().position(|it| it == name).unwrap();
            let wanted = [
                "principal_subject",
                "actor",
                "target",
                "disposition",
                "reason",
                "approved_by",
                "status",
                "masked_values",
                "findings",
            ];
            let rows = answer["rows"].as_array().unwrap();
            rows.iter()
                .map(|row| wanted.map(|name| row[at(name)].clone()))
                .map(|it| json!(it))
                .collect::<Vec<_>>()
        };
        let refund = json!([
            "ada",
            "bot-2",
            "billing",
            "forwarded",
            null,
            "Grace",
            "ok",
            2,
            ["mask email 2"]
        ]);
        let exec =
            json!(["ada", "bot-2", "prod", "refused", "no policy permits", null, null, null, null]);
        assert_eq!(
            ask(asked(("principal", "bot-2"))).await,
            [refund.clone(), exec.clone()],
            "{place}"
        );
        assert_eq!(ask(asked(("target", "billing"))).await, [refund], "{place}");
        assert_eq!(ask(asked(("contains", "exec shop/"))).await, [exec], "{place}");
        assert!(ask(asked(("principal", "nobody"))).await.is_empty(), "{place}");
    }
    world.running.stop().await;
}
