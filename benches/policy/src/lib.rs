//! A world to ask about: policies, principals and resources in numbers, the same at every run.

use std::fmt::Write as _;

use jiff::Timestamp;
use tallyport_access::Identity;
use tallyport_access::policy::{Action, Resource};
use tallyport_schemas::{AgentAttributes, AuthMethod, Principal, PrincipalKind};

const TARGETS: usize = 20;
const SCHEMAS: usize = 10;
const TABLES: usize = 50;
const LABELS: usize = 20;
const TEAMS: usize = 100;
/// Of every table one column is asked about.
pub const TABLES_IN_ALL: usize = TARGETS * SCHEMAS * TABLES;
/// Policies of the set.
pub const POLICIES: usize = 1_000;
/// Agents that ask.
pub const AGENTS: usize = 200;

/// Policies as a company has them: most for one team on one target or schema, some for one agent, some that forbid by label
/// or by hour. `reads_time`: one looks at the clock, so that no answer may be kept.
#[must_use]
pub fn policies(reads_time: bool) -> String {
    let mut text = String::new();
    for n in 0..POLICIES {
        let (team, target, schema) = (n % TEAMS, n * 7 % TARGETS, n * 3 % SCHEMAS);
        let group = format!("Tallyport::Group::\"team-{team}\"");
        let place = format!("t{target}/shop/s{schema}");
        let one = match n % 10 {
            0..4 => format!(
                "permit (principal in {group}, action == Tallyport::Action::\"sql:select\", \
                 resource in Tallyport::Target::\"t{target}\") when {{ context.readOnly }};"
            ),
            4 | 5 => format!(
                "permit (principal in {group}, action in Tallyport::Action::\"sql:write\", \
                 resource in Tallyport::Schema::\"{place}\") when {{ context.hasWhere || context.byKey }};"
            ),
            6 | 7 => format!(
                "permit (principal in {group}, action == Tallyport::Action::\"col:read\", resource in \
                 Tallyport::Target::\"t{target}\") unless {{ resource in Tallyport::Label::\"l{}\" }};",
                n % LABELS
            ),
            8 => format!(
                "permit (principal == Tallyport::Agent::\"https://id.example#agent-{}\", action, \
                 resource in Tallyport::Database::\"t{target}/shop\") when {{ !principal.delegated }};",
                n % AGENTS
            ),
            _ => format!(
                "forbid (principal in {group}, action, resource in Tallyport::Label::\"l{}\") \
                 when {{ context.multiStatement }};",
                n % LABELS
            ),
        };
        let _infallible = writeln!(text, "@id(\"p{n}\") {one}");
    }
    if reads_time {
        text.push_str(
            "@id(\"clock\") forbid (principal, action, resource) when { context.now > datetime(\"2100-01-01\") };\n",
        );
    }
    text
}

/// An agent with eight teams of its own.
#[must_use]
pub fn agent(n: usize) -> Identity {
    let groups = (0..8).map(|k| format!("team-{}", (n + k * 13) % TEAMS)).collect();
    Identity {
        method: AuthMethod::Oidc,
        principal: Principal {
            issuer: "https://id.example".to_owned(),
            subject: format!("agent-{n}"),
            display_name: format!("agent-{n}"),
            kind: PrincipalKind::Agent,
            groups,
            owner: None,
        },
        email: None,
        delegation: Vec::new(),
        agent: AgentAttributes::default(),
        scopes: Default::default(),
        expires_at: Timestamp::MAX,
        token_id: None,
        key_id: None,
        binding: None,
    }
}

/// The `n`th table, or where `column` a column of it, and what is asked of it.
#[must_use]
pub fn question(n: usize, column: bool) -> (Action, Resource) {
    let n = n % TABLES_IN_ALL;
    let (target, schema, table) = (n % TARGETS, n / TARGETS % SCHEMAS, n / TARGETS / SCHEMAS);
    let (target, database) = (format!("t{target}"), "shop".to_owned());
    let (schema, table) = (format!("s{schema}"), format!("table{table}"));
    let labels = vec![format!("l{}", n % LABELS)];
    if column {
        let column = "email".to_owned();
        (Action::ColRead, Resource::Column { target, database, schema, table, column, labels })
    } else {
        (Action::Select, Resource::Table { target, database, schema, table, labels })
    }
}
