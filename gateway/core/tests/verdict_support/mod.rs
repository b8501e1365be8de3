//! A judge over the catalog of the masking fixture, as rows that a real PostgreSQL 15 gave (see `catalog.sql` notes in
//! `judged-catalog.json`'s neighbour `extra.sql`), so that these tests need no server.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_core::masking::Masking;
use gateway_core::sql::catalog::{CatalogRows, QUERIES};
use gateway_core::sql::{Catalog, Parsed, SessionState};
use gateway_core::verdict::{Judge, Verdict};
use jiff::Timestamp;
use tallyport_access::Identity;
use tallyport_access::policy::{AskContext, PolicySet};
use tallyport_schemas::{
    AgentAttributes, AuthMethod, CommandId, Effect, Principal, PrincipalKind, Recording,
    TargetKind, TargetRef,
};

/// Everything is permitted but the secrets, which are redacted.
pub const OPEN_BUT_MASKED: &str = r#"
@id("everything")
permit (principal, action in [Tallyport::Action::"sql:any"], resource);
@id("open-columns")
permit (principal, action in Tallyport::Action::"col:any", resource) unless { resource in Tallyport::Label::"secret" };
@id("secrets-masked") @mask("redact")
permit (principal, action == Tallyport::Action::"col:readMasked", resource in Tallyport::Label::"secret")
unless { resource in Tallyport::Label::"secret.hidden" };
"#;

/// Everything is permitted.
pub const OPEN: &str = r#"@id("everything") permit (principal, action, resource);"#;

/// The labels of the fixture.
pub const LABELS: &str = r#"
[columns]
"app.customers.ssn" = "secret"
"app.customers.card" = "secret"
"app.customers.email" = "secret"
"app.customers.notes" = "secret"
"app.orders.card_used" = "secret"
"hr.staff.ssn" = "secret"
"hr.staff.salary" = "secret.hidden"
"app.events.secret" = "secret"
"app.derived.secret" = "secret"
"app.down.hidden" = "secret"
"#;

fn rows(all: BTreeMap<String, Vec<Vec<Option<String>>>>) -> CatalogRows {
    let mut rows = CatalogRows::default();
    for query in QUERIES {
        rows.insert(query, all.get(query.name).cloned().unwrap_or_default());
    }
    rows
}

pub fn catalog() -> Arc<Catalog> {
    catalog_with(&[])
}

/// The object id of a table of schema `app`.
pub fn oid(table: &str) -> String {
    let json = include_str!("../fixtures/judged-catalog.json");
    let all: BTreeMap<String, Vec<Vec<Option<String>>>> = serde_json::from_str(json).unwrap();
    let named = |row: &&Vec<Option<String>>| {
        let cell = |at: usize| row.get(at).and_then(Option::as_deref);
        cell(1) == Some("app") && cell(2) == Some(table)
    };
    all.get("relations")
        .and_then(|rows| rows.iter().find(named))
        .and_then(|row| row.first().cloned().flatten())
        .unwrap()
}

/// The same, with rows of some queries beside.
pub fn catalog_with(more: &[(&str, &[&str])]) -> Arc<Catalog> {
    let json = include_str!("../fixtures/judged-catalog.json");
    let mut all: BTreeMap<String, Vec<Vec<Option<String>>>> = serde_json::from_str(json).unwrap();
    for (query, row) in more {
        let row = row.iter().map(|value| Some((*value).to_owned())).collect();
        all.entry((*query).to_owned()).or_default().push(row);
    }
    Arc::new(Catalog::from_rows(rows(all)).unwrap())
}

pub fn identity(groups: &[&str]) -> Identity {
    Identity {
        method: AuthMethod::Oidc,
        principal: Principal {
            issuer: "https://issuer.example".to_owned(),
            subject: "agent-1".to_owned(),
            display_name: "agent-1".to_owned(),
            kind: PrincipalKind::Agent,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            owner: Some("ada@example.com".to_owned()),
        },
        email: None,
        delegation: Vec::new(),
        agent: AgentAttributes::default(),
        scopes: Default::default(),
        expires_at: Timestamp::from_second(2_000_000_000).unwrap(),
        token_id: None,
        key_id: None,
        binding: None,
    }
}

pub fn context() -> AskContext {
    AskContext::at(Timestamp::from_second(1_800_000_000).unwrap())
}

pub struct Bench {
    pub judge: Judge,
    pub state: SessionState,
}

impl Bench {
    pub fn new(policy: &str, labels: &str) -> Self {
        Self::over(catalog(), policy, labels, &["agents"], "sample")
    }

    pub fn over(
        catalog: Arc<Catalog>,
        policy: &str,
        labels: &str,
        groups: &[&str],
        target: &str,
    ) -> Self {
        let set = Arc::new(PolicySet::parse(policy, "test.cedar").unwrap());
        let masking = Masking::parse(labels, "masking.toml").unwrap();
        let target = TargetRef {
            name: target.to_owned(),
            kind: TargetKind::Postgresql,
            database: Some(catalog.database().to_owned()),
        };
        let state = SessionState::new(catalog.search_path().to_vec());
        let asker = set.asker(&identity(groups));
        let judge = Judge::new(asker, &target, catalog, &masking, Recording::Full, &context());
        Self { judge, state }
    }

    /// A principal that may do everything but sees secrets redacted.
    pub fn masked() -> Self {
        Self::new(OPEN_BUT_MASKED, LABELS)
    }

    /// A principal that may do everything, over a database without labels.
    pub fn open() -> Self {
        Self::new(OPEN, "")
    }

    pub fn judge(&self, sql: &str) -> Verdict {
        let parsed = Parsed::parse(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        self.judge.judge(&parsed, &self.state, &context(), CommandId::new())
    }

    /// Judges, and forwards when it may pass.
    pub fn run(&mut self, sql: &str) -> Verdict {
        let verdict = self.judge(sql);
        if verdict.is_allowed() {
            self.state.after(&Parsed::parse(sql).unwrap());
        }
        verdict
    }

    pub fn allows(&self, sql: &str) {
        let verdict = self.judge(sql);
        assert_eq!(
            verdict.decision.effect,
            Effect::Allow,
            "{sql}\n{:#?}",
            verdict.decision.reasons
        );
    }

    /// Refuses with a reason that has these words.
    pub fn refuses(&self, sql: &str, words: &str) {
        let verdict = self.judge(sql);
        assert_eq!(verdict.decision.effect, Effect::Deny, "{sql}");
        let reasons = &verdict.decision.reasons;
        assert!(
            reasons.iter().any(|reason| reason.contains(words)),
            "{sql}\nwanted `{words}` in {reasons:#?}"
        );
    }
}
