//! Policies as their authors meet them: what loads, what is refused and how, what is answered.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use std::sync::Arc;

use jiff::Timestamp;
use support::policy::{EXAMPLE, agent, column, identity, table};
use tallyport_access::policy::{Action, AskContext, PolicyError, PolicySet, Resource};
use tallyport_schemas::PrincipalKind;

fn refused(text: &str) -> String {
    match PolicySet::parse(text, "p.cedar") {
        Err(PolicyError::Invalid(problems)) => {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        Err(other) => panic!("refused for another reason: {other}"),
        Ok(_) => panic!("taken:\n{text}"),
    }
}

fn reading() -> AskContext {
    AskContext { read_only: true, ..AskContext::at(Timestamp::UNIX_EPOCH) }
}

#[test]
fn the_example_policies_give_each_demo_client_its_rights() {
    let set = Arc::new(PolicySet::parse(EXAMPLE, "policy.cedar").unwrap());
    assert_eq!(set.warnings(), &[] as &[String]);
    let support = set.asker(&agent("support-agent", &["support-agents"]));
    let ops = set.asker(&agent("ops-agent", &["operators"]));
    let nobody = set.asker(&agent("nobody", &[]));
    let auditor = set.asker(&identity(PrincipalKind::Human, "auditor", &["auditors"]));
    let analyst = set.asker(&identity(PrincipalKind::Human, "analyst", &["analysts", "auditors"]));
    let target = Resource::Target { name: "sample".into() };
    let customers = table("app", "customers", &[]);
    let orders = table("app", "orders", &[]);
    let plain = column("app", "customers", "name", &[]);
    let ssn = column("app", "customers", "ssn", &["pii.ssn"]);
    let mail = column("app", "customers", "email", &["pii.email"]);
    let ctx = reading();
    let writing = AskContext { read_only: false, has_where: true, ..reading() };
    let yes =
        |asker: &tallyport_access::policy::Asker, action, resource: &Resource, ctx: &AskContext| {
            let answer = asker.ask(action, resource, ctx);
            assert_eq!(answer.errors, Vec::<String>::new());
            answer.allowed
        };
    assert!(yes(&support, Action::Connect, &target, &ctx));
    assert!(yes(&support, Action::Select, &customers, &ctx));
    assert!(!yes(&support, Action::Select, &customers, &writing), "only what is proven to read");
    assert!(!yes(&support, Action::Select, &table("secret", "keys", &[]), &ctx));
    assert!(!yes(&support, Action::Update, &orders, &writing));
    assert!(yes(&support, Action::ColRead, &plain, &ctx));
    assert!(!yes(&support, Action::ColRead, &ssn, &ctx));
    assert!(yes(&ops, Action::Update, &orders, &writing));
    assert!(!yes(&ops, Action::Update, &orders, &ctx), "an update needs a WHERE");
    assert!(!yes(&ops, Action::Update, &customers, &writing));
    assert!(!yes(&nobody, Action::Connect, &target, &ctx));
    assert!(!yes(&auditor, Action::Connect, &target, &ctx));
    let view = Resource::AuditView { name: "decisions".into() };
    assert!(yes(&auditor, Action::AuditQuery, &view, &ctx));
    assert!(
        yes(&auditor, Action::AuditRaw, &view, &ctx),
        "replaying a session reads its exact bytes"
    );
    assert!(!yes(&support, Action::AuditQuery, &view, &ctx));
    let mask = |asker: &tallyport_access::policy::Asker, of: &Resource| {
        let answer = asker.ask(Action::ColReadMasked, of, &ctx);
        assert!(answer.allowed);
        let masks: Vec<_> = answer.obligations.into_iter().map(|o| (o.kind, o.value)).collect();
        assert_eq!(masks.len(), 1, "one mask, not a choice of them");
        masks[0].1.clone()
    };
    assert_eq!(mask(&support, &ssn), "partial:last4");
    assert_eq!(mask(&support, &mail), "redact");
    assert_eq!(mask(&ops, &ssn), "redact");
    assert_eq!(mask(&analyst, &mail), "hash");
}

#[test]
fn an_answer_names_the_policies_and_their_obligations() {
    let text = r#"
        @id("rows") @row_limit("100") @record("head:10")
        permit(principal, action == Tallyport::Action::"sql:select", resource);
        @id("no-deletes") @advice("ask the owner")
        forbid(principal, action == Tallyport::Action::"sql:delete", resource);
        permit(principal, action == Tallyport::Action::"sql:show", resource);
    "#;
    let set = Arc::new(PolicySet::parse(text, "p.cedar").unwrap());
    let asker = set.asker(&agent("a", &[]));
    let orders = table("app", "orders", &[]);
    let select = asker.ask(Action::Select, &orders, &reading());
    assert!(select.allowed);
    assert_eq!(select.policy_ids, ["rows"]);
    let found: Vec<_> =
        select.obligations.iter().map(|o| (o.kind.as_str(), o.value.as_str())).collect();
    assert_eq!(found, [("record", "head:10"), ("row_limit", "100")]);
    let delete = asker.ask(Action::Delete, &orders, &reading());
    assert!(!delete.allowed);
    assert_eq!(delete.policy_ids, ["no-deletes"]);
    assert_eq!(delete.obligations[0].kind, "advice");
    let insert = asker.ask(Action::Insert, &orders, &reading());
    assert!(!insert.allowed && insert.policy_ids.is_empty() && insert.errors.is_empty());
    let show = asker.ask(Action::Show, &orders, &reading());
    assert_eq!(show.policy_ids, ["p.cedar:6"], "without an @id, the place is the name");
}

#[test]
fn an_error_while_a_policy_is_evaluated_denies_whatever_else_permits() {
    let text = r#"
        @id("all") permit(principal, action, resource);
        @id("overflows") forbid(principal, action == Tallyport::Action::"sql:select", resource)
          when { principal.displayName == "a" && 9223372036854775807 + 1 > 0 };
    "#;
    let set = Arc::new(PolicySet::parse(text, "p.cedar").unwrap());
    let asker = set.asker(&agent("a", &[]));
    let answer = asker.ask(Action::Select, &table("app", "orders", &[]), &reading());
    assert!(!answer.allowed);
    assert_eq!(answer.errors.len(), 1);
    assert!(answer.errors[0].contains("overflows"), "{:?}", answer.errors);
    assert!(answer.obligations.is_empty());
    assert!(asker.ask(Action::Insert, &table("app", "orders", &[]), &reading()).allowed);
}

#[test]
fn a_question_that_does_not_fit_the_schema_is_denied_with_an_error() {
    let set = Arc::new(
        PolicySet::parse("@id(\"all\") permit(principal, action, resource);", "p").unwrap(),
    );
    let asker = set.asker(&agent("a", &[]));
    let view = Resource::AuditView { name: "events".into() };
    let answer = asker.ask(Action::Select, &view, &reading());
    assert!(!answer.allowed);
    assert_eq!(answer.errors.len(), 1);
}

#[test]
fn misspelt_or_misplaced_annotations_are_errors_with_file_line_and_fix() {
    let permit = "permit(principal, action == Tallyport::Action::\"col:readMasked\", resource);";
    let forbid = "forbid(principal, action, resource);";
    let select = "permit(principal, action == Tallyport::Action::\"sql:select\", resource);";
    let cases = [
        (format!("\n\n@msk(\"redact\") {permit}"), "p.cedar:3: @msk is not an annotation; use one of"),
        (format!("@mask(\"blur\") {permit}"), "@mask(\"blur\") is not a mask; use redact"),
        (format!("@mask(\"partial:last0\") {permit}"), "is not a mask"),
        (format!("@mask(\"partial:last+4\") {permit}"), "is not a mask"),
        (format!("@mask(\"partial:last65\") {permit}"), "is not a mask"),
        (format!("@mask {permit}"), "is not a mask"),
        (format!("@mask(\"redact\") {forbid}"), "@mask has no effect on a forbid"),
        (format!("@mask(\"redact\") {select}"), "@mask applies to `col:readMasked` alone"),
        ("@mask(\"redact\") permit(principal, action, resource);".into(), "col:readMasked"),
        (
            "@mask(\"redact\") permit(principal, action in Tallyport::Action::\"col:any\", resource);".into(),
            "col:readMasked",
        ),
        (format!("@row_limit(\"0\") {select}"), "whole number from 1 up"),
        (format!("@row_limit(\"-1\") {select}"), "whole number from 1 up"),
        (format!("@row_limit(\"99999999999999999999\") {select}"), "whole number from 1 up"),
        (format!("@row_limit(\"5\") {forbid}"), "no effect on a forbid"),
        (format!("@record(\"some\") {select}"), "needs full, digest or head:N"),
        (format!("@record(\"head:\") {select}"), "needs full, digest or head:N"),
        (format!("@require_approval(\"dba\") {select}"), "does not name a number of members of a group; write it as \"2 of dba\""),
        (format!("@require_approval(\"1 of dba; within 3d\") {select}"), "is not a time from 10s to 24h"),
        (format!("@require_approval(\"1 of dba\") {forbid}"), "@require_approval has no effect on a forbid"),
        (format!("@require_approval(\"1 of dba\") {permit}"), "@require_approval applies to statements"),
        ("@require_approval(\"1 of dba\") permit(principal, action, resource);".into(), "name their actions"),
        (
            "@require_approval(\"1 of dba\") permit(principal, action in Tallyport::Action::\"sql:any\", resource);".into(),
            "name their actions",
        ),
        (
            "@require_approval(\"1 of dba\") permit(principal, action in [Tallyport::Action::\"sql:delete\", Tallyport::Action::\"sql:connect\"], resource);".into(),
            "permit what connects",
        ),
        (format!("@ttl(\"900s\") {select}"), "not available in this version"),
        (format!("@advice(\"\") {forbid}"), "@advice needs 1 to 500 bytes"),
        (format!("@id(\"\") {forbid}"), "@id needs 1 to 128 bytes"),
        (format!("@id(\"a\") {forbid}\n@id(\"a\") {select}"), "p.cedar:2: @id(\"a\") stands at p.cedar:1 already"),
    ];
    for (text, expected) in cases {
        let error = refused(&text);
        assert!(error.contains(expected), "for {text:?}\nexpected: {expected}\nfound: {error}");
    }
}

#[test]
fn what_cedar_itself_finds_is_placed_too() {
    let cases = [
        ("\npermit(principal, action, resource)", "p.cedar:2: not a Cedar policy"),
        ("permit(principal, action, resource) when { context.readonly };", "p.cedar:1: "),
        ("\n\npermit(principal in Group::\"x\", action, resource);", "p.cedar:3: "),
        ("permit(principal, action == Tallyport::Action::\"sql:slect\", resource);", "p.cedar:1: "),
        ("permit(principal == ?principal, action, resource);", "p.cedar:1: this is a template"),
        ("permit(principal, action, resource) when { principal.displayName == 1 };", "p.cedar:1: "),
        (
            "forbid(principal, action, resource) when { principal is Tallyport::Human && principal is Tallyport::Agent };",
            "p.cedar:1: ",
        ),
        ("permit(principal, action, resource) when { principal.owner == \"x\" };", "p.cedar:1: "),
    ];
    for (text, expected) in cases {
        let error = refused(text);
        assert!(error.contains(expected), "for {text:?}\nexpected: {expected}\nfound: {error}");
    }
}

#[test]
fn the_version_of_a_file_is_its_sha256() {
    let set = PolicySet::parse("// nothing\n", "p.cedar").unwrap();
    assert_eq!(set.version(), "a187a86831786f9f14799492412ddecea1b4db767d97e40e01f87e1f5dc942bd");
}

#[test]
fn names_with_separators_cannot_pass_for_another_path() {
    let text =
        "@id(\"t\") permit(principal, action, resource in Tallyport::Schema::\"sample/a%2Fb/c\");";
    let set = Arc::new(PolicySet::parse(text, "p").unwrap());
    let asker = set.asker(&agent("a", &[]));
    let in_schema = |database: &str, schema: &str| Resource::Table {
        target: "sample".into(),
        database: database.into(),
        schema: schema.into(),
        table: "orders".into(),
        labels: vec![],
    };
    for (database, schema, expected) in
        [("a/b", "c", true), ("a", "b/c", false), ("a%2Fb", "c", false), ("a", "b%2Fc", false)]
    {
        let answer = asker.ask(Action::Select, &in_schema(database, schema), &reading());
        assert_eq!(answer.allowed, expected, "{database} {schema}");
    }
}

#[test]
fn a_context_that_differs_is_never_answered_from_the_one_before() {
    let text = "@id(\"r\") permit(principal, action, resource) when { context.readOnly };";
    let set = Arc::new(PolicySet::parse(text, "p").unwrap());
    let asker = set.asker(&agent("a", &[]));
    let orders = table("app", "orders", &[]);
    let writing = AskContext { read_only: false, ..reading() };
    for _ in 0..3 {
        assert!(asker.ask(Action::Select, &orders, &reading()).allowed);
        assert!(!asker.ask(Action::Select, &orders, &writing).allowed);
    }
}

#[test]
fn principals_of_two_issuers_with_one_subject_are_two() {
    let text = "@id(\"one\") permit(principal == Tallyport::Agent::\"https://id.example.com#a\", action, resource);
                @id(\"all-of-issuer\") permit(principal in Tallyport::Issuer::\"https://two.example.com\", action == Tallyport::Action::\"sql:show\", resource);";
    let set = Arc::new(PolicySet::parse(text, "p").unwrap());
    let orders = table("app", "orders", &[]);
    let one = agent("a", &[]);
    let mut two = agent("a", &[]);
    two.principal.issuer = "https://two.example.com".into();
    assert!(set.asker(&one).ask(Action::Select, &orders, &reading()).allowed);
    assert!(!set.asker(&two).ask(Action::Select, &orders, &reading()).allowed);
    assert!(set.asker(&two).ask(Action::Show, &orders, &reading()).allowed);
}

#[test]
fn attributes_tags_time_and_address_reach_the_policy() {
    let text = r#"
        @id("all") permit(principal, action, resource) when {
          principal has model && principal.model == "m1" &&
          principal.hasTag("team") && principal.getTag("team") == "blue" &&
          principal.delegated && principal has actor && principal.actor == "agent-7" &&
          context.now < datetime("2030-01-01T00:00:00Z") &&
          context has sourceIp && context.sourceIp.isInRange(ip("10.0.0.0/8")) &&
          context.approvals.contains("x")
        };
    "#;
    let set = Arc::new(PolicySet::parse(text, "p").unwrap());
    let mut who = agent("a", &[]);
    who.agent.model = Some("m1".into());
    who.agent.other.insert("team".into(), "blue".into());
    who.delegation.push(tallyport_schemas::Actor { subject: "agent-7".into(), issuer: None });
    let asker = set.asker(&who);
    let mut ctx = reading();
    ctx.source_ip = Some("::ffff:10.1.2.3".parse().unwrap());
    ctx.approvals = vec!["x".into()];
    let orders = table("app", "orders", &[]);
    let answer = asker.ask(Action::Select, &orders, &ctx);
    assert!(answer.allowed, "{answer:?}");
    ctx.now = "2031-01-01T00:00:00Z".parse().unwrap();
    assert!(!asker.ask(Action::Select, &orders, &ctx).allowed);
}
