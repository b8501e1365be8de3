//! Who judges: the catalog of the masking fixture, as a real PostgreSQL 15 gave it, under four policies.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gateway_core::masking::Masking;
use gateway_core::passage::Bench;
use gateway_core::sql::Catalog;
use gateway_core::sql::catalog::{CatalogRows, QUERIES};
use gateway_core::verdict::Judge;
use jiff::Timestamp;
use tallyport_access::Identity;
use tallyport_access::policy::{AskContext, PolicySet};
use tallyport_schemas::{
    AgentAttributes, AuthMethod, Principal, PrincipalKind, Recording, TargetKind, TargetRef,
};

/// A table with a masked column, and that column.
pub(super) const CUSTOMERS: (u32, i16) = (18_364, 4);

const MASKED: &str = r#"
@id("everything")
permit (principal, action in [Tallyport::Action::"sql:any"], resource);
@id("open-columns")
permit (principal, action in Tallyport::Action::"col:any", resource) unless { resource in Tallyport::Label::"secret" };
@id("secrets-masked") @mask("redact")
permit (principal, action == Tallyport::Action::"col:readMasked", resource in Tallyport::Label::"secret")
unless { resource in Tallyport::Label::"secret.hidden" };
"#;
const LABELS: &str = r#"
[columns]
"app.customers.ssn" = "secret"
"app.customers.card" = "secret"
"app.customers.email" = "secret"
"app.customers.notes" = "secret"
"app.orders.card_used" = "secret"
"hr.staff.ssn" = "secret"
"hr.staff.salary" = "secret.hidden"
"#;
const OPEN: &str = r#"@id("everything") permit (principal, action, resource);"#;
const READ_ONLY: &str = r#"
@id("everything") permit (principal, action, resource);
@id("three-rows") @row_limit("3") permit (principal, action == Tallyport::Action::"sql:select", resource);
@id("no-writes") forbid (principal, action, resource) unless { context.readOnly };
"#;

const WAITING: &str = r#"
@id("connect") permit (principal, action == Tallyport::Action::"sql:connect", resource);
@id("sessions") permit (principal, action in Tallyport::Action::"sql:session", resource);
@id("reads") permit (principal, action in [Tallyport::Action::"sql:select", Tallyport::Action::"sql:catalog"], resource);
@id("writes-wait") @require_approval("1 of dba")
permit (principal, action in Tallyport::Action::"sql:write", resource);
"#;

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| {
    let json = include_str!("../../../../gateway/core/tests/fixtures/judged-catalog.json");
    let mut all: BTreeMap<String, Vec<Vec<Option<String>>>> =
        serde_json::from_str(json).expect("the fixture is JSON");
    let mut rows = CatalogRows::default();
    for query in QUERIES {
        rows.insert(query, all.remove(query.name).unwrap_or_default());
    }
    Arc::new(Catalog::from_rows(rows).expect("the fixture is a catalog"))
});

static BENCHES: LazyLock<[Arc<Bench>; 4]> = LazyLock::new(|| {
    [bench(MASKED, LABELS), bench(OPEN, ""), bench(READ_ONLY, ""), bench(WAITING, "")]
});

/// Columns are masked, all is open, nothing may be changed, or whatever changes something waits for an approval.
pub(super) fn bench_of(choice: u8) -> &'static Arc<Bench> {
    &BENCHES[usize::from(choice) % BENCHES.len()]
}

/// Whether it is the one under which whatever changes something waits.
pub(super) fn waits(choice: u8) -> bool {
    usize::from(choice) % BENCHES.len() == 3
}

/// The catalog behind every bench.
pub(super) fn catalog() -> &'static Catalog {
    &CATALOG
}

/// The moment of every question.
pub(super) fn context() -> AskContext {
    AskContext::at(Timestamp::from_second(1_800_000_000).expect("a time"))
}

/// An agent of the group that policies speak of.
pub(super) fn identity() -> Identity {
    Identity {
        method: AuthMethod::Oidc,
        principal: Principal {
            issuer: "https://issuer.example".to_owned(),
            subject: "agent-1".to_owned(),
            display_name: "agent-1".to_owned(),
            kind: PrincipalKind::Agent,
            groups: vec!["agents".to_owned()],
            owner: Some("ada@example.com".to_owned()),
        },
        email: None,
        delegation: Vec::new(),
        agent: AgentAttributes::default(),
        scopes: Default::default(),
        expires_at: Timestamp::from_second(2_000_000_000).expect("a time"),
        token_id: None,
        key_id: None,
        binding: None,
    }
}

fn bench(policy: &str, labels: &str) -> Arc<Bench> {
    let set = Arc::new(PolicySet::parse(policy, "fuzz.cedar").expect("a policy"));
    let masking = Masking::parse(labels, "fuzz.toml").expect("labels");
    let target = TargetRef {
        name: "sample".to_owned(),
        kind: TargetKind::Postgresql,
        database: Some(CATALOG.database().to_owned()),
    };
    let (asker, again) = (set.asker(&identity()), set.asker(&identity()));
    let judge =
        Judge::new(asker, &target, Arc::clone(&CATALOG), &masking, Recording::Full, &context());
    Arc::new(Bench::new(judge, again, target, Recording::Full))
}

/// Who judges under masks over another catalog.
pub(super) fn judge_over(catalog: Arc<Catalog>) -> Judge {
    static SET: LazyLock<Arc<PolicySet>> =
        LazyLock::new(|| Arc::new(PolicySet::parse(MASKED, "fuzz.cedar").expect("a policy")));
    static MASKING: LazyLock<Masking> =
        LazyLock::new(|| Masking::parse(LABELS, "fuzz.toml").expect("labels"));
    let target = TargetRef {
        name: "sample".to_owned(),
        kind: TargetKind::Postgresql,
        database: Some(catalog.database().to_owned()),
    };
    let asker = SET.asker(&identity());
    Judge::new(asker, &target, catalog, &MASKING, Recording::Full, &context())
}
