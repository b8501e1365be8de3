//! Policies on MCP servers as their authors meet them, and that they are answered as Cedar itself would.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, Request, RestrictedExpression,
    Schema,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use support::policy::agent;
use tallyport_access::policy::{Action, AskContext, Asker, CallArguments, PolicySet, Resource};
use tallyport_schemas::cedar::SCHEMA;

/// As in the reference: developers read, and write in their own organisation; merging waits; nobody touches production.
const POLICY: &str = r#"
@id("devs-connect")
permit (principal in Tallyport::Group::"devs", action == Tallyport::Action::"mcp:connect", resource == Tallyport::Target::"github");
@id("devs-call")
permit (principal in Tallyport::Group::"devs", action == Tallyport::Action::"mcp:call", resource in Tallyport::Target::"github")
when { resource is Tallyport::Tool && (resource.readOnly
  || (context has call && context.call.hasTag("/repo") && context.call.getTag("/repo") like "acme/*")) };
@id("merges-wait") @require_approval("1 of leads; within 1h")
permit (principal in Tallyport::Group::"devs", action == Tallyport::Action::"mcp:call", resource == Tallyport::Tool::"github/merge_pull_request");
@id("no-production")
forbid (principal, action == Tallyport::Action::"mcp:call", resource in Tallyport::Label::"production");
@id("devs-read")
permit (principal in Tallyport::Group::"devs", action == Tallyport::Action::"mcp:read", resource in Tallyport::Target::"files")
when { resource is Tallyport::McpResource && resource.uri like "file:///public/*" };
@id("devs-prompt")
permit (principal in Tallyport::Group::"devs", action in Tallyport::Action::"mcp:any", resource == Tallyport::Prompt::"github/review");
"#;

fn set(text: &str) -> Arc<PolicySet> {
    Arc::new(PolicySet::parse(text, "p.cedar").unwrap())
}

fn tool(name: &str, read_only: bool, labels: &[&str]) -> Resource {
    Resource::Tool {
        target: "github".into(),
        name: name.into(),
        read_only,
        destructive: !read_only,
        open_world: true,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    }
}

fn with(arguments: &Value) -> AskContext {
    let call = CallArguments::of(arguments.as_object().unwrap()).unwrap();
    AskContext { call: Some(Arc::new(call)), ..AskContext::at(Timestamp::UNIX_EPOCH) }
}

fn bare() -> AskContext {
    AskContext::at(Timestamp::UNIX_EPOCH)
}

fn allowed(asker: &Asker, action: Action, resource: &Resource, context: &AskContext) -> bool {
    let answer = asker.ask(action, resource, context);
    assert_eq!(answer.errors, Vec::<String>::new(), "{action} {resource}");
    answer.allowed
}

#[test]
fn a_tool_is_permitted_by_what_it_is_and_by_what_it_is_called_with() {
    let set = set(POLICY);
    let dev = set.asker(&agent("dev", &["devs"]));
    let other = set.asker(&agent("other", &[]));
    let call = |asker: &Asker, resource: &Resource, context: &AskContext| {
        allowed(asker, Action::McpCall, resource, context)
    };
    let (ours, theirs) = (with(&json!({"repo": "acme/x"})), with(&json!({"repo": "other/x"})));
    let search = tool("search_issues", true, &[]);
    let create = tool("create_issue", false, &[]);
    assert!(call(&dev, &search, &theirs));
    assert!(call(&dev, &create, &ours));
    assert!(!call(&dev, &create, &theirs));
    assert!(!call(&dev, &create, &with(&json!({"nested": {"repo": "acme/x"}}))), "elsewhere");
    assert!(!call(&dev, &create, &with(&json!({"repo": ["acme/x"]}))), "a list is no text");
    assert!(!call(&dev, &create, &bare()), "nothing is known of its arguments");
    assert!(!call(&other, &search, &ours));
    let deploy = tool("deploy", false, &["production.eu"]);
    assert!(!call(&dev, &deploy, &ours), "a forbid by the label above");
    let answer = dev.ask(Action::McpCall, &tool("merge_pull_request", false, &[]), &theirs);
    assert!(answer.allowed);
    assert_eq!(answer.obligations[0].kind, "require_approval");
    assert_eq!(answer.policy_ids, ["merges-wait"]);
}

#[test]
fn servers_resources_and_prompts_are_permitted_each_by_name() {
    let set = set(POLICY);
    let dev = set.asker(&agent("dev", &["devs"]));
    let server = |name: &str| Resource::Target { name: name.into() };
    assert!(allowed(&dev, Action::McpConnect, &server("github"), &bare()));
    assert!(!allowed(&dev, Action::McpConnect, &server("files"), &bare()));
    assert!(!allowed(&dev, Action::Connect, &server("github"), &bare()), "no session of SQL");
    let file = |uri: &str| Resource::McpResource { target: "files".into(), uri: uri.into() };
    assert!(allowed(&dev, Action::McpRead, &file("file:///public/a"), &bare()));
    assert!(!allowed(&dev, Action::McpRead, &file("file:///private/a"), &bare()));
    let prompt = |name: &str| Resource::Prompt { target: "github".into(), name: name.into() };
    assert!(allowed(&dev, Action::McpPrompt, &prompt("review"), &bare()));
    assert!(!allowed(&dev, Action::McpPrompt, &prompt("release"), &bare()));
    // A tool is no table: such a question is none that the schema knows.
    let answer = dev.ask(Action::McpCall, &file("file:///public/a"), &bare());
    assert!(!answer.allowed && answer.errors.len() == 1, "{answer:?}");
    assert!(!dev.ask(Action::Select, &tool("search_issues", true, &[]), &bare()).allowed);
}

/// Who may use a server, whatever of it, does not say what its tools may become.
#[test]
fn to_accept_a_definition_is_permitted_by_its_own_name_alone() {
    let any = "permit (principal, action in Tallyport::Action::\"mcp:any\", resource);";
    let (search, server) =
        (tool("search_issues", true, &[]), Resource::Target { name: "github".into() });
    let users = set(any);
    let dev = users.asker(&agent("dev", &["devs"]));
    assert!(allowed(&dev, Action::McpCall, &search, &bare()));
    assert!(!allowed(&dev, Action::McpAccept, &search, &bare()));
    assert!(!allowed(&dev, Action::McpAccept, &server, &bare()));
    let keepers = set(&format!(
        "{any}\n permit (principal in Tallyport::Group::\"devs\", action == Tallyport::Action::\"mcp:accept\", \
         resource in Tallyport::Target::\"github\");"
    ));
    let dev = keepers.asker(&agent("dev", &["devs"]));
    assert!(allowed(&dev, Action::McpAccept, &search, &bare()));
    assert!(allowed(&dev, Action::McpAccept, &server, &bare()));
    let other = keepers.asker(&agent("other", &[]));
    assert!(!allowed(&other, Action::McpAccept, &search, &bare()));
    let elsewhere = Resource::Target { name: "files".into() };
    assert!(!allowed(&dev, Action::McpAccept, &elsewhere, &bare()));
}

#[test]
fn arguments_make_a_question_of_their_own_only_where_policy_looks_at_them() {
    assert!(set(POLICY).reads_call());
    let blind = set(
        "@id(\"a\") permit (principal, action == Tallyport::Action::\"mcp:call\", resource) when { context.readOnly };",
    );
    assert!(!blind.reads_call());
    let asker = blind.asker(&agent("dev", &[]));
    let search = tool("search_issues", true, &[]);
    let reading = |arguments: &Value| AskContext { read_only: true, ..with(arguments) };
    for n in 0..3 {
        assert!(allowed(&asker, Action::McpCall, &search, &reading(&json!({ "n": n }))));
        assert!(!allowed(&asker, Action::McpCall, &search, &with(&json!({ "n": n }))));
    }
    // By the name of the entity it is looking, too.
    let named = set(
        "@id(\"a\") permit (principal, action, resource) when { Tallyport::Arguments::\"call\".hasTag(\"/n\") };",
    );
    let asker = named.asker(&agent("dev", &[]));
    assert!(allowed(&asker, Action::McpCall, &search, &with(&json!({"n": 1}))));
    assert!(!allowed(&asker, Action::McpCall, &search, &with(&json!({"m": 1}))));
}

#[test]
fn annotations_that_would_not_bind_are_refused() {
    let one = |action: &str| {
        format!("permit (principal, action == Tallyport::Action::\"{action}\", resource);")
    };
    let any = "permit (principal, action in Tallyport::Action::\"mcp:any\", resource);";
    let some = "permit (principal, action in [Tallyport::Action::\"sql:select\", Tallyport::Action::\"mcp:call\"], resource);";
    for (text, why) in [
        (format!("@row_limit(\"5\") {}", one("mcp:call")), "@row_limit applies to statements"),
        (format!("@row_limit(\"5\") {any}"), "@row_limit applies to statements"),
        (format!("@row_limit(\"5\") {some}"), "@row_limit applies to statements"),
        (format!("@mask(\"redact\") {}", one("mcp:call")), "@mask applies to `col:readMasked` alone"),
        (
            format!("@require_approval(\"1 of dba\") {any}"),
            "@require_approval applies to statements, calls of tools and requests",
        ),
        (format!("@require_approval(\"1 of dba\") {}", one("mcp:read")), "Action::\"mcp:call\""),
        (
            format!("@require_grant(\"1 of dba\") {}", one("mcp:call")),
            "@require_grant applies to `sql:connect`, `mcp:connect`, `http:connect` and `k8s:connect` alone",
        ),
        (format!("@row_limit(\"5\") {}", one("mcp:accept")), "@row_limit applies to statements"),
        (format!("@require_approval(\"1 of dba\") {}", one("mcp:accept")), "Action::\"mcp:call\""),
        (
            format!("@require_grant(\"1 of dba\") {}", one("mcp:accept")),
            "@require_grant applies to `sql:connect`, `mcp:connect`, `http:connect` and `k8s:connect` alone",
        ),
        (
            format!("@interactive(\"allow\") {}", one("k8s:exec")),
            "@interactive applies to `k8s:tty`, `k8s:attach` and `k8s:portForward` alone",
        ),
        (format!("@interactive(\"yes\") {}", one("k8s:tty")), "write @interactive(\"allow\")"),
        (format!("@row_limit(\"5\") {}", one("http:request")), "@row_limit applies to statements"),
        (format!("@require_approval(\"1 of dba\") {}", one("k8s:connect")), "what connects"),
        // What may not be there is not looked at.
        (
            "permit (principal, action, resource) when { context.call.hasTag(\"/a\") };".to_owned(),
            "call",
        ),
        (
            "permit (principal, action, resource) when { context has call && context.call.getTag(\"/a\") == \"b\" };"
                .to_owned(),
            "tag",
        ),
    ] {
        let error = PolicySet::parse(&text, "p.cedar").unwrap_err().to_string();
        assert!(error.contains("p.cedar:1: ") && error.contains(why), "{text}: {error}");
    }
    let waits = format!("@id(\"a\") @require_approval(\"1 of dba\") {}", one("mcp:call"));
    assert!(PolicySet::parse(&waits, "p.cedar").is_ok());
}

/// What Cedar says when it is given all policies and every entity, held against the schema.
fn plainly(
    (schema, policies): (&Schema, &cedar_policy::PolicySet),
    action: Action,
    asked: &Asked<'_>,
) -> bool {
    let uid = |kind: &str, id: &str| -> EntityUid {
        format!("Tallyport::{kind}::\"{id}\"").parse().unwrap()
    };
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let flag = RestrictedExpression::new_bool;
    let owned = |name: &str, value| (name.to_owned(), value);
    let who = uid("Agent", "https://id.example.com#dev");
    let mut parents: HashSet<EntityUid> =
        asked.groups.iter().map(|group| uid("Group", group)).collect();
    parents.insert(uid("Issuer", "https://id.example.com"));
    let attributes = [
        owned("issuer", text("https://id.example.com")),
        owned("subject", text("dev")),
        owned("displayName", text("dev")),
        owned("delegated", flag(false)),
        owned("tokenBinding", text("none")),
    ];
    let principal = Entity::new(who.clone(), attributes.into(), parents).unwrap();
    let what = uid("Tool", &format!("github/{}", asked.name));
    let mut parents: HashSet<EntityUid> = [uid("Target", "github")].into();
    parents.extend(asked.labels.iter().map(|label| uid("Label", label)));
    let attributes = [
        owned("name", text(asked.name)),
        owned("target", text("github")),
        owned("readOnly", flag(asked.read_only)),
        owned("destructive", flag(!asked.read_only)),
        owned("openWorld", flag(true)),
    ];
    let resource = Entity::new(what.clone(), attributes.into(), parents).unwrap();
    let mut entities = vec![principal, resource];
    let mut facts: Vec<_> = ["readOnly", "opaque", "hasWhere", "byKey", "multiStatement"]
        .map(|name| owned(name, flag(false)))
        .into();
    facts.push(owned("now", RestrictedExpression::new_datetime("1970-01-01")));
    facts.extend(
        ["columns", "labels", "approvals"]
            .map(|name| owned(name, RestrictedExpression::new_set([]))),
    );
    if let Some(repo) = asked.repo {
        let id = uid("Arguments", "call");
        let tags = [owned("/repo", text(repo))];
        let arguments = Entity::new_with_tags(id.clone(), [], [], tags).unwrap();
        entities.push(arguments);
        facts.push(owned("call", RestrictedExpression::new_entity_uid(id)));
    }
    let entities = Entities::from_entities(entities, Some(schema)).unwrap();
    let context = Context::from_pairs(facts).unwrap();
    let action = uid("Action", action.as_str());
    let request = Request::new(who, action, what, context, Some(schema)).unwrap();
    let answer = Authorizer::new().is_authorized(&request, policies, &entities);
    assert_eq!(answer.diagnostics().errors().count(), 0);
    answer.decision() == Decision::Allow
}

struct Asked<'a> {
    groups: &'a [&'a str],
    name: &'a str,
    read_only: bool,
    labels: &'a [&'a str],
    repo: Option<&'a str>,
}

#[test]
fn every_call_is_answered_as_cedar_answers_it_from_all_policies_and_entities() {
    let set = set(POLICY);
    let policies: cedar_policy::PolicySet = POLICY.parse().unwrap();
    let schema: Schema = SCHEMA.parse().unwrap();
    let mut answers = HashSet::new();
    for groups in [&["devs"][..], &["leads"], &[]] {
        let asker = set.asker(&agent("dev", groups));
        for name in ["search_issues", "merge_pull_request"] {
            for read_only in [true, false] {
                for labels in [&[][..], &["production"], &["harmless"]] {
                    for repo in [None, Some("acme/x"), Some("other/x")] {
                        let asked = Asked { groups, name, read_only, labels, repo };
                        let context = repo.map_or_else(bare, |repo| with(&json!({ "repo": repo })));
                        let resource = tool(name, read_only, labels);
                        // Twice: evaluated, and from what is kept.
                        for _ in 0..2 {
                            let ours = allowed(&asker, Action::McpCall, &resource, &context);
                            let plain = plainly((&schema, &policies), Action::McpCall, &asked);
                            assert_eq!(
                                ours, plain,
                                "{groups:?} {name} {read_only} {labels:?} {repo:?}"
                            );
                            answers.insert(ours);
                        }
                    }
                }
            }
        }
    }
    assert_eq!(answers.len(), 2, "some are allowed and some are not");
}
