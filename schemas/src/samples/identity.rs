//! Samples of who came in, what they may do, how they left, and what the services say of themselves.

use super::{
    Named, agent, alone, at, command_id, delegated, expiry, outside, person, service, sha256,
    texts, uuid,
};
use crate::*;

pub(super) fn bodies() -> Vec<Named> {
    let mut all = authentications();
    all.extend(sessions());
    all.extend(approvals());
    all.extend(revocations());
    all.extend(policies());
    all.extend(integrities());
    all
}

fn authentications() -> Vec<Named> {
    let succeeded = |front| Authentication {
        outcome: Outcome::Success,
        method: AuthMethod::Oidc,
        front,
        failure: None,
        message: None,
        issuer: Some("https://issuer.example".into()),
        token_id: Some("jti-8842".into()),
        key_id: Some("key-2026-01".into()),
        binding: None,
        expires_at: Some(expiry()),
    };
    let expired = Authentication {
        outcome: Outcome::Failure,
        failure: Some("expired".into()),
        message: Some("the token expired 42 s ago; get a new one".into()),
        expires_at: Some(at(-42_000_000)),
        ..succeeded(Front::Tcp)
    };
    let nothing = Authentication {
        outcome: Outcome::Failure,
        method: AuthMethod::None,
        front: Front::QueryHttp,
        failure: Some("missing".into()),
        message: Some("no token was presented; send `Authorization: Bearer ...`".into()),
        issuer: None,
        token_id: None,
        key_id: None,
        binding: None,
        expires_at: None,
    };
    let v6 = Context {
        client: Some(Endpoint { ip: "2001:db8::17".into(), port: 443 }),
        ..outside(Some(service()))
    };
    vec![
        (
            "authentication.succeeded",
            outside(Some(agent())),
            Body::Authentication(succeeded(Front::Quic)),
        ),
        ("authentication.succeeded.query", v6, Body::Authentication(succeeded(Front::QueryPgwire))),
        ("authentication.failed", outside(None), Body::Authentication(expired)),
        ("authentication.failed.nothing", outside(None), Body::Authentication(nothing)),
    ]
}

/// SAML assertions for tokens.
pub(super) fn exchanges() -> Vec<Named> {
    let taken = Authentication {
        outcome: Outcome::Success,
        method: AuthMethod::Saml,
        front: Front::Tcp,
        failure: None,
        message: None,
        issuer: Some("https://idp.example/metadata".into()),
        token_id: Some("saml-5f0c2a".into()),
        key_id: Some("9b1d".into()),
        binding: None,
        expires_at: Some(expiry()),
    };
    let replayed = Authentication {
        outcome: Outcome::Failure,
        failure: Some("saml_replayed".into()),
        message: Some("the assertion was exchanged before; get a new one".into()),
        token_id: None,
        key_id: None,
        expires_at: None,
        ..taken.clone()
    };
    vec![
        ("authentication.succeeded.saml", outside(Some(person())), Body::Authentication(taken)),
        ("authentication.failed.saml", outside(None), Body::Authentication(replayed)),
    ]
}

fn sessions() -> Vec<Named> {
    let stats = SessionStats {
        commands: 12,
        refused: 1,
        rows: 4_310,
        bytes_to_target: 2_113,
        bytes_to_agent: 391_027,
    };
    let parameters = [("application_name", "psql"), ("client_encoding", "UTF8")];
    let opened = Session::Opened {
        expires_at: Some(expiry()),
        application: Some("psql".into()),
        parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    };
    let lost = Session::Lost {
        cause: "log_unavailable".into(),
        message: "the event log did not acknowledge within 5 s".into(),
        stats,
    };
    let revoked = Session::Revoked {
        by: "Dana Kovář".into(),
        reason: "agent misbehaves".into(),
        revocation_id: Some(RevocationId::from_uuid(uuid(0xf1))),
        stats,
    };
    let granted =
        Session::Granted { grant_id: ApprovalId::from_uuid(uuid(0xa8)), expires_at: expiry() };
    let closed = |end| Body::Session(Session::Closed { end, stats });
    vec![
        ("session.opened", delegated(), Body::Session(opened)),
        ("session.granted", delegated(), Body::Session(granted)),
        (
            "session.expired",
            delegated(),
            Body::Session(Session::Expired { cause: "token".into(), stats }),
        ),
        ("session.revoked", delegated(), Body::Session(revoked)),
        ("session.closed.client", alone(), closed(SessionEnd::Client)),
        ("session.closed.target", alone(), closed(SessionEnd::Target)),
        ("session.closed.shutdown", alone(), closed(SessionEnd::Shutdown)),
        ("session.closed.refused", alone(), closed(SessionEnd::Refused)),
        ("session.lost", delegated(), Body::Session(lost)),
    ]
}

fn approvals() -> Vec<Named> {
    let approval_id = ApprovalId::from_uuid(uuid(0xa9));
    let granted = Approval::Granted {
        approval_id,
        reviewer: person(),
        comment: Some("as agreed in FIN-311".into()),
        webhook: None,
    };
    let denied = Approval::Denied { approval_id, reviewer: person(), comment: None, webhook: None };
    let withdrawn = Approval::Withdrawn { approval_id, cause: "client_gone".into() };
    let used =
        Approval::Used { approval_id, command_id: command_id(), digest: sha256("what may run") };
    vec![
        ("approval.requested", alone(), Body::Approval(requested(approval_id))),
        ("approval.requested.access", alone(), Body::Approval(requested_access())),
        ("approval.granted", alone(), Body::Approval(granted)),
        ("approval.denied", alone(), Body::Approval(denied)),
        ("approval.expired", alone(), Body::Approval(Approval::Expired { approval_id })),
        ("approval.withdrawn", alone(), Body::Approval(withdrawn)),
        ("approval.used", alone(), Body::Approval(used)),
    ]
}

fn requested(approval_id: ApprovalId) -> Approval {
    let invoices = || "invoices".to_owned();
    let statement = "UPDATE app.invoices SET paid = true WHERE customer = $1";
    let command = AskedCommand {
        command_id: command_id(),
        statement: statement.into(),
        parameters: vec![Parameter { bytes: 2, value: ParameterValue::Text("42".into()) }],
        kinds: vec![StatementKind::Update],
        tables: vec![ObjectRef { schema: Some("app".into()), name: invoices() }],
        columns: vec![ColumnRef {
            schema: Some("app".into()),
            table: invoices(),
            column: "paid".into(),
        }],
        functions: Vec::new(),
        labels: texts(&["money"]),
        read_only: false,
        opaque: false,
        has_where: true,
        by_key: false,
        estimated_rows: Some(1_200),
    };
    Approval::Requested(Box::new(ApprovalRequest {
        approval_id,
        digest: sha256("what may run"),
        session_bound: false,
        scope: ApprovalScope::Once,
        requirements: vec![ApprovalRequirement { group: "finance-approvers".into(), quorum: 2 }],
        policy_ids: texts(&["invoices-need-approval"]),
        policy_version: sha256("policies"),
        reasons: texts(&["sql:update on app.invoices needs 2 of finance-approvers"]),
        asked: Asked::Command(Box::new(command)),
        expires_at: expiry(),
    }))
}

fn requested_access() -> Approval {
    let access = AskedAccess { seconds: 1_800, reason: "reconcile the invoices of FIN-311".into() };
    Approval::Requested(Box::new(ApprovalRequest {
        approval_id: ApprovalId::from_uuid(uuid(0xa8)),
        digest: sha256("what may be opened"),
        session_bound: false,
        scope: ApprovalScope::Period,
        requirements: vec![ApprovalRequirement { group: "finance-approvers".into(), quorum: 1 }],
        policy_ids: texts(&["invoices-by-grant"]),
        policy_version: sha256("policies"),
        reasons: texts(&["sql:connect on invoices needs a grant of 1 of finance-approvers"]),
        asked: Asked::Access(access),
        expires_at: expiry(),
    }))
}

fn revocations() -> Vec<Named> {
    let order = |number, revoked, until| {
        Box::new(RevocationOrder {
            revocation_id: RevocationId::from_uuid(uuid(number)),
            revoked,
            reason: "its key was found in a public repository".into(),
            until,
        })
    };
    let issuer = || "https://issuer.example".to_owned();
    let principal = Revoked::Principal { issuer: issuer(), subject: "agent-7".into() };
    let session_id = SessionId::from_uuid(uuid(0xd0));
    let grant_id = ApprovalId::from_uuid(uuid(0xa8));
    let lifted = Revocation::Lifted {
        revocation_id: RevocationId::from_uuid(uuid(0xf1)),
        reason: "the key was replaced".into(),
    };
    let by = || outside(Some(person()));
    let agent = |issuer| Revoked::Agent { issuer, subject: "billing-bot".into() };
    let all = [
        ("revocation.revoked", Revocation::Revoked(order(0xf1, principal.clone(), None))),
        ("revocation.revoked.session", {
            Revocation::Revoked(order(0xf2, Revoked::Session { session_id }, None))
        }),
        ("revocation.revoked.agent", {
            Revocation::Revoked(order(0xf3, agent(Some(issuer())), Some(expiry())))
        }),
        ("revocation.revoked.agent.any", Revocation::Revoked(order(0xf4, agent(None), None))),
        ("revocation.revoked.issuer", {
            Revocation::Revoked(order(0xf5, Revoked::Issuer { issuer: issuer() }, None))
        }),
        ("revocation.revoked.grant", {
            Revocation::Revoked(order(0xf6, Revoked::Grant { grant_id }, None))
        }),
        ("revocation.carried", Revocation::Carried(order(0xf1, principal, None))),
        ("revocation.lifted", lifted),
    ];
    all.into_iter().map(|(name, it)| (name, by(), Body::Revocation(it))).collect()
}

fn policies() -> Vec<Named> {
    let loaded = |kind, source: &str, previous: Option<&str>| {
        Body::Policy(PolicyChange::Loaded {
            kind,
            version: sha256("new"),
            previous: previous.map(sha256),
            source: source.into(),
        })
    };
    let rejected = PolicyChange::Rejected {
        kind: PolicyKind::Masking,
        kept: sha256("new"),
        source: "masking.toml".into(),
        error: "line 7: unknown mask `blur`; use redact, partial or hash".into(),
    };
    vec![
        (
            "policy.loaded",
            Context::default(),
            loaded(PolicyKind::Policy, "agents.cedar", Some("old")),
        ),
        (
            "policy.loaded.first",
            Context::default(),
            loaded(PolicyKind::Config, "tallyport.toml", None),
        ),
        ("policy.rejected", Context::default(), Body::Policy(rejected)),
    ]
}

fn integrities() -> Vec<Named> {
    let started = Integrity::ProducerStarted { version: "0.1.0".into(), role: "gateway".into() };
    let gap = |outcome, reason: &str| {
        let reason = reason.into();
        Body::Integrity(Integrity::Gap { first_seq: 40, last_seq: 43, outcome, reason })
    };
    let checkpoint = Integrity::Checkpoint {
        tree_size: 4_096,
        root: sha256("root"),
        key_id: "evidence-2026".into(),
        signature: "c2lnbmF0dXJl".into(),
    };
    let nowhere = Context::default;
    vec![
        ("integrity.producer_started", nowhere(), Body::Integrity(started)),
        (
            "integrity.producer_stopped",
            nowhere(),
            Body::Integrity(Integrity::ProducerStopped { events: 51 }),
        ),
        ("integrity.gap", nowhere(), gap(GapOutcome::NotPersisted, "disk full")),
        ("integrity.gap.unknown", nowhere(), gap(GapOutcome::Unknown, "no answer within 5 s")),
        ("integrity.checkpoint", nowhere(), Body::Integrity(checkpoint)),
    ]
}
