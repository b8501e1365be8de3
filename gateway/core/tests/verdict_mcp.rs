//! What policy says of what is asked of an MCP server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

mod verdict_support;

use std::sync::Arc;

use gateway_core::mcp::{ServerQuestion, ToolFacts};
use gateway_core::verdict::{Verdict, judge_question};
use tallyport_access::policy::PolicySet;
use tallyport_schemas::{Effect, Recording, TargetKind, TargetRef};

use verdict_support::{context, identity};

fn tool(read_only: bool) -> ToolFacts {
    ToolFacts {
        name: "find".to_owned(),
        read_only,
        destructive: !read_only,
        open_world: true,
        labels: vec!["external.write".to_owned()],
    }
}

fn judge(policy: &str, question: &ServerQuestion<'_>) -> Verdict {
    let set = Arc::new(PolicySet::parse(policy, "test.cedar").unwrap());
    let asker = set.asker(&identity(&["agents"]));
    let target = TargetRef { name: "crm".to_owned(), kind: TargetKind::Mcp, database: None };
    judge_question(&asker, &target, &question.meant("crm"), &context(), Recording::Full, None)
}

const USE: &str =
    r#"@id("use") permit (principal, action == Tallyport::Action::"mcp:connect", resource);"#;

#[test]
fn whatever_is_asked_the_server_must_be_permitted_too() {
    let call = r#"@id("call") permit (principal, action in Tallyport::Action::"mcp:any", resource) unless { action == Tallyport::Action::"mcp:connect" };"#;
    let tool = tool(true);
    for question in [
        ServerQuestion::Use,
        ServerQuestion::Call(&tool),
        ServerQuestion::Read(Some("a:b")),
        ServerQuestion::Read(None),
        ServerQuestion::Prompt(Some("p")),
        ServerQuestion::Prompt(None),
    ] {
        let told = judge(call, &question);
        assert_eq!(told.decision.effect, Effect::Deny, "{question:?}");
        assert!(told.decision.reasons[0].contains("mcp:connect"), "{:?}", told.decision.reasons);
        let both = judge(&format!("{USE}{call}"), &question);
        assert_eq!(
            both.decision.effect,
            Effect::Allow,
            "{question:?}: {:?}",
            both.decision.reasons
        );
    }
    let alone = judge(USE, &ServerQuestion::Call(&tool));
    assert!(
        alone.decision.reasons[0].contains("no policy permits mcp:call"),
        "{:?}",
        alone.decision.reasons
    );
}

#[test]
fn tools_are_told_apart_by_what_is_known_of_them() {
    let reads = format!(
        r#"{USE}@id("r") permit (principal, action == Tallyport::Action::"mcp:call", resource) when {{ resource is Tallyport::Tool && resource.readOnly }};"#
    );
    for (read_only, effect) in [(true, Effect::Allow), (false, Effect::Deny)] {
        let tool = tool(read_only);
        let told = judge(&reads, &ServerQuestion::Call(&tool));
        assert_eq!(told.decision.effect, effect);
        assert_eq!(
            (told.facts.functions, told.facts.read_only, told.facts.opaque),
            (vec!["crm/find".to_owned()], read_only, true)
        );
    }
    for (permits, effect) in [("external.write", Effect::Allow), ("pii", Effect::Deny)] {
        let policy = format!(
            r#"{USE}@id("l") permit (principal, action == Tallyport::Action::"mcp:call", resource) when {{ context.labels.contains("{permits}") }};"#
        );
        let told = judge(&policy, &ServerQuestion::Call(&tool(true)));
        assert_eq!(told.decision.effect, effect, "{permits}: {:?}", told.decision.reasons);
    }
    let labelled = format!(
        r#"{USE}@id("c") permit (principal, action, resource); @id("no") forbid (principal, action, resource in Tallyport::Label::"external");"#
    );
    let told = judge(&labelled, &ServerQuestion::Call(&tool(true)));
    assert_eq!(
        (told.decision.effect, told.decision.policy_ids),
        (Effect::Deny, vec!["no".to_owned()])
    );
}

/// A policy for everything may demand what a tool's answer has not: it permits no call.
#[test]
fn a_demand_that_cannot_be_met_is_no_permit() {
    let all = r#"@row_limit("10") @id("all") permit (principal, action, resource);"#;
    let told = judge(all, &ServerQuestion::Call(&tool(true)));
    assert_eq!(told.decision.effect, Effect::Deny);
    assert!(told.decision.reasons[0].contains("row limit"), "{:?}", told.decision.reasons);
    let recorded = format!(
        r#"{USE}@record("digest") @id("d") permit (principal, action == Tallyport::Action::"mcp:call", resource);"#
    );
    let told = judge(&recorded, &ServerQuestion::Call(&tool(true)));
    assert_eq!((told.decision.effect, told.plan.recording), (Effect::Allow, Recording::Digest));
    let waits = format!(
        r#"{USE}@require_approval("1 of dba") @id("w") permit (principal, action == Tallyport::Action::"mcp:call", resource);"#
    );
    let told = judge(&waits, &ServerQuestion::Call(&tool(true)));
    assert_eq!((told.decision.effect, told.approval.is_some()), (Effect::Pause, true));
}
