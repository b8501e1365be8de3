//! `tallyport policy test`: cases in TOML, decided by the policies under test.

mod on;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tallyport_access::Identity;
use tallyport_access::policy::{
    Action, Answer, AskContext, CallArguments, ExecFacts, PolicySet, PolicyStore,
};
use tallyport_schemas::{Actor, AgentAttributes, AuthMethod, Principal, PrincipalKind};

use crate::exit::Failure;
use crate::output::print_line;
use on::{On, resource};

/// How long a case's token lives, from now; long enough for any suite.
const TOKEN_LIFE: std::time::Duration = std::time::Duration::from_secs(3600);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Suite {
    #[serde(rename = "case")]
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    principal: CasePrincipal,
    action: String,
    on: On,
    #[serde(default)]
    context: CaseContext,
    expect: Expect,
    /// Obligations that must come with an allow or a pause, such as `mask = "partial:last4"`.
    #[serde(default)]
    obligations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CasePrincipal {
    #[serde(default)]
    kind: PrincipalKind,
    #[serde(default = "any_issuer")]
    issuer: String,
    #[serde(default = "any_subject")]
    subject: String,
    #[serde(default)]
    groups: Vec<String>,
    owner: Option<String>,
    model: Option<String>,
    task: Option<String>,
    /// Subjects of an RFC 8693 `act` chain, outermost first.
    #[serde(default)]
    delegation: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CaseContext {
    read_only: bool,
    opaque: bool,
    has_where: bool,
    by_key: bool,
    estimated_rows: Option<u64>,
    columns: Vec<String>,
    labels: Vec<String>,
    multi_statement: bool,
    source_ip: Option<std::net::IpAddr>,
    /// Of the call of a tool, or of a request: below `path`, `query` and `body`.
    arguments: Option<serde_json::Map<String, serde_json::Value>>,
    /// Of what is to run in a container.
    exec: Option<CaseExec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CaseExec {
    container: String,
    argv: Vec<String>,
    stdin: bool,
    tty: bool,
}

impl CaseExec {
    fn facts(&self) -> Arc<ExecFacts> {
        let Self { container, argv, stdin, tty } = self;
        let (container, argv) = (container.clone(), argv.clone());
        Arc::new(ExecFacts { container, argv, stdin: *stdin, tty: *tty })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expect {
    Allow,
    Deny,
    /// It waits for an approval, or needs a grant.
    Pause,
}

impl Expect {
    fn of(answer: &Answer) -> Self {
        let waits = answer
            .obligations
            .iter()
            .any(|it| ["require_approval", "require_grant"].contains(&it.kind.as_str()));
        match (answer.allowed, waits) {
            (false, _) => Self::Deny,
            (true, true) => Self::Pause,
            (true, false) => Self::Allow,
        }
    }
}

/// Decides every case and reports; fails when one is decided otherwise than it says.
pub fn run(policies: &Path, cases: &Path, json: bool) -> Result<(), Failure> {
    let set = PolicyStore::load(policies).map_err(Failure::usage)?.current();
    let named =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", cases.display()));
    let text = std::fs::read_to_string(cases).map_err(|error| named(&error))?;
    let suite: Suite = toml::from_str(&text).map_err(|error| named(&error))?;
    let mut wrong = 0_usize;
    let mut report = Vec::new();
    for case in &suite.cases {
        let answer =
            decide(&set, case).map_err(|error| named(&format!("case `{}`: {error}", case.name)))?;
        let problem = problem(case, &answer);
        wrong += usize::from(problem.is_some());
        if !json {
            let by = if answer.policy_ids.is_empty() {
                "no policy permits".into()
            } else {
                answer.policy_ids.join(", ")
            };
            let sign = if problem.is_none() { "ok    " } else { "WRONG " };
            print_line(format_args!("{sign}  {} ({by})", case.name))?;
            if let Some(problem) = &problem {
                print_line(format_args!("        {problem}"))?;
            }
        }
        report.push(serde_json::json!({
            "name": case.name, "allowed": answer.allowed, "waits": Expect::of(&answer) == Expect::Pause, "policy_ids": answer.policy_ids, "problem": problem,
        }));
    }
    if json {
        print_line(format_args!("{:#}", serde_json::Value::Array(report)))?;
    } else {
        print_line(format_args!("{} cases, {wrong} wrong", suite.cases.len()))?;
    }
    if wrong == 0 {
        Ok(())
    } else {
        Err(Failure::failed(format!("{wrong} cases are decided otherwise than they say")))
    }
}

fn decide(set: &Arc<PolicySet>, case: &Case) -> Result<Answer, String> {
    let action = Action::ALL
        .into_iter()
        .find(|action| action.as_str() == case.action)
        .ok_or_else(|| format!("`{}` is no action; use one such as sql:select", case.action))?;
    let now = jiff::Timestamp::now();
    let principal = &case.principal;
    let identity = Identity {
        method: AuthMethod::Oidc,
        principal: Principal {
            issuer: principal.issuer.clone(),
            subject: principal.subject.clone(),
            display_name: principal.subject.clone(),
            kind: principal.kind,
            groups: principal.groups.clone(),
            owner: principal.owner.clone(),
        },
        email: None,
        delegation: principal
            .delegation
            .iter()
            .map(|subject| Actor { subject: subject.clone(), issuer: None })
            .collect(),
        agent: AgentAttributes {
            model: principal.model.clone(),
            task: principal.task.clone(),
            ..Default::default()
        },
        scopes: Default::default(),
        expires_at: now.checked_add(TOKEN_LIFE).map_err(|error| error.to_string())?,
        token_id: None,
        key_id: None,
        binding: None,
    };
    let arguments = case.context.arguments.as_ref().map(CallArguments::of).transpose();
    let context = AskContext {
        call: arguments.map_err(|error| error.to_string())?.map(Arc::new),
        exec: case.context.exec.as_ref().map(CaseExec::facts),
        read_only: case.context.read_only,
        opaque: case.context.opaque,
        has_where: case.context.has_where,
        by_key: case.context.by_key,
        estimated_rows: case.context.estimated_rows,
        columns: case.context.columns.clone(),
        labels: case.context.labels.clone(),
        multi_statement: case.context.multi_statement,
        source_ip: case.context.source_ip,
        ..AskContext::at(now)
    };
    Ok(set.asker(&identity).ask(action, &resource(&case.on)?, &context))
}

fn problem(case: &Case, answer: &Answer) -> Option<String> {
    let decided = Expect::of(answer);
    if decided != case.expect {
        let errors = if answer.errors.is_empty() {
            String::new()
        } else {
            format!(": {}", answer.errors.join("; "))
        };
        return Some(
            format!("expected {:?}, decided {decided:?}{errors}", case.expect).to_lowercase(),
        );
    }
    let held = |(kind, value): (&String, &String)| {
        answer
            .obligations
            .iter()
            .any(|obligation| obligation.kind == *kind && obligation.value == *value)
    };
    let missing = case.obligations.iter().find(|&obligation| !held(obligation));
    missing.map(|(kind, value)| {
        format!("expected the obligation {kind} = {value}, which no determining policy has")
    })
}

fn any_issuer() -> String {
    "https://issuer.example".to_owned()
}

fn any_subject() -> String {
    "somebody".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_decided_by_what_they_are_called_with() {
        let policy = "@id(\"ours\") permit (principal, action == Tallyport::Action::\"mcp:call\", \
             resource in Tallyport::Target::\"github\") when { resource.name == \"a/b\" && context has call && \
             context.call.hasTag(\"/repo\") && context.call.getTag(\"/repo\") like \"acme/*\" };";
        // `resource` may be the server itself, which has a name, too.
        let set = Arc::new(PolicySet::parse(policy, "p.cedar").unwrap());
        let decided = |on: &str, repo: &str| {
            let case = format!(
                "name = \"x\"\nprincipal = {{}}\naction = \"mcp:call\"\non = {{ {on} }}\n\
                 context = {{ arguments = {{ repo = \"{repo}\" }} }}\nexpect = \"allow\"\n"
            );
            decide(&set, &toml::from_str(&case).unwrap()).map(|answer| answer.allowed)
        };
        assert_eq!(decided("tool = \"github/a/b\", read_only = true", "acme/x"), Ok(true));
        assert_eq!(decided("tool = \"github/a/b\"", "other/x"), Ok(false));
        assert_eq!(decided("tool = \"gitlab/a/b\"", "acme/x"), Ok(false));
        let error = decided("tool = \"a\"", "acme/x").unwrap_err();
        assert!(error.contains("a path from the target down"), "{error}");
    }

    #[test]
    fn requests_are_decided_by_route_object_and_what_runs() {
        let policy = "@id(\"r\") permit (principal, action == Tallyport::Action::\"http:request\", resource == Tallyport::Route::\"crm/refund\") \
             when { resource.method == \"POST\" && context has call && context.call.hasTag(\"/body/amount\") && context.call.getTag(\"/body/amount\") == \"10\" };\n\
             @id(\"e\") permit (principal, action == Tallyport::Action::\"k8s:exec\", resource in Tallyport::KubeNamespace::\"prod/shop\") \
             when { resource.name == \"web-0\" && context has exec && context.exec.argv == \"[\\\"ls\\\"]\" };\n\
             @id(\"n\") permit (principal, action == Tallyport::Action::\"k8s:list\", resource) when { resource.resource == \"deployments\" && resource.apiGroup == \"apps\" };";
        let set = Arc::new(PolicySet::parse(policy, "p.cedar").unwrap());
        let decided = |action: &str, on: &str, context: &str| {
            let case = format!(
                "name = \"x\"\nprincipal = {{}}\naction = \"{action}\"\non = {{ {on} }}\ncontext = {{ {context} }}\nexpect = \"allow\"\n"
            );
            decide(&set, &toml::from_str(&case).unwrap()).map(|answer| answer.allowed)
        };
        let refund = "route = \"crm/refund\", method = \"POST\", path = \"/refunds\"";
        let amount = |amount: u32| format!("arguments = {{ body = {{ amount = {amount} }} }}");
        assert_eq!(decided("http:request", refund, &amount(10)), Ok(true));
        assert_eq!(decided("http:request", refund, &amount(11)), Ok(false));
        let pod = "object = \"prod/shop/pods/web-0/exec\"";
        assert_eq!(decided("k8s:exec", pod, "exec = { argv = [\"ls\"] }"), Ok(true));
        assert_eq!(decided("k8s:exec", pod, "exec = { argv = [\"ls\", \"-l\"] }"), Ok(false));
        assert_eq!(decided("k8s:list", "object = \"prod//deployments.apps\"", ""), Ok(true));
        assert_eq!(decided("k8s:list", "object = \"prod//deployments\"", ""), Ok(false));
        assert!(
            decided("k8s:list", "object = \"prod\"", "").unwrap_err().contains("prod/shop/pods")
        );
    }
}
