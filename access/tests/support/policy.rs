//! Identities and resources to ask about.

use jiff::Timestamp;
use tallyport_access::Identity;
use tallyport_access::policy::Resource;
use tallyport_schemas::{AgentAttributes, AuthMethod, Principal, PrincipalKind};

/// The policies that `tallyport demo` runs with.
pub const EXAMPLE: &str = include_str!("../../../deploy/examples/policy.cedar");

pub fn identity(kind: PrincipalKind, subject: &str, groups: &[&str]) -> Identity {
    Identity {
        method: AuthMethod::Oidc,
        principal: Principal {
            issuer: "https://id.example.com".into(),
            subject: subject.into(),
            display_name: subject.into(),
            kind,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            owner: None,
        },
        email: None,
        delegation: vec![],
        agent: AgentAttributes::default(),
        scopes: Default::default(),
        expires_at: Timestamp::MAX,
        token_id: None,
        key_id: None,
        binding: None,
    }
}

pub fn agent(subject: &str, groups: &[&str]) -> Identity {
    identity(PrincipalKind::Agent, subject, groups)
}

pub fn table(schema: &str, table: &str, labels: &[&str]) -> Resource {
    Resource::Table {
        target: "sample".into(),
        database: "shop".into(),
        schema: schema.into(),
        table: table.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    }
}

pub fn column(schema: &str, table: &str, column: &str, labels: &[&str]) -> Resource {
    Resource::Column {
        target: "sample".into(),
        database: "shop".into(),
        schema: schema.into(),
        table: table.into(),
        column: column.into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
    }
}
