//! Samples of requests of HTTP: of a service by its routes, and of a cluster.

use super::{Named, delegated, sha256, uuid};
use crate::*;

pub(super) fn bodies() -> Vec<Named> {
    let body = |command| Body::Command(Box::new(command));
    let get = Command {
        statement: Some("GET /customers/7?expand=orders".into()),
        statement_sha256: Some(sha256("GET /customers/7?expand=orders")),
        functions: vec!["crm/customer".into()],
        labels: vec!["pii".into()],
        ..bare(Phase::Request, true)
    };
    let refund = Command {
        disposition: Disposition::Refused,
        statement: Some("POST /customers/7/refunds\n{\"amount\":20}".into()),
        statement_sha256: Some(sha256("POST /customers/7/refunds\n{\"amount\":20}")),
        functions: vec!["crm/refund".into()],
        ..bare(Phase::Request, false)
    };
    let exec = Command {
        statement: Some("exec shop/web-0 -c app -- [\"ls\",\"-l\"]".into()),
        statement_sha256: Some(sha256("exec")),
        functions: vec!["cluster/exec pods".into()],
        definition_sha256: Some(sha256("the pod's UID")),
        ..bare(Phase::Request, false)
    };
    let input = Command { chunk: Some(1), ..bare(Phase::Input, false) };
    let answer = ResponseSummary {
        command_id: request_id(),
        status: ResponseStatus::Ok,
        tag: Some("HTTP 200".into()),
        sqlstate: None,
        rows: 0,
        bytes: 512,
        sha256: sha256("answer"),
        columns: Vec::new(),
        masked_values: 1,
        recording: Recording::Full,
        chunks: 1,
        wire_bytes: 512,
        wire_sha256: sha256("answer"),
        content: None,
        duration_us: 12_400,
        findings: Vec::new(),
    };
    let answered = Body::Response(Box::new(Response::Completed(answer)));
    vec![
        ("command.forwarded.request", to("crm", TargetKind::Http), body(get)),
        ("command.refused.request", to("crm", TargetKind::Http), body(refund)),
        ("command.forwarded.exec", to("cluster", TargetKind::Kubernetes), body(exec)),
        ("command.forwarded.input", to("cluster", TargetKind::Kubernetes), body(input)),
        ("response.completed.request", to("crm", TargetKind::Http), answered),
    ]
}

fn to(name: &str, kind: TargetKind) -> Context {
    let target = TargetRef { name: name.into(), kind, database: None };
    Context { target: Some(target), ..delegated() }
}

const fn request_id() -> CommandId {
    CommandId::from_uuid(uuid(0xcb))
}

fn bare(phase: Phase, read_only: bool) -> Command {
    Command {
        command_id: request_id(),
        phase,
        disposition: Disposition::Forwarded,
        statement: None,
        statement_sha256: None,
        fingerprint: None,
        kinds: Vec::new(),
        tables: Vec::new(),
        columns: Vec::new(),
        functions: Vec::new(),
        labels: Vec::new(),
        read_only,
        opaque: !read_only,
        parameters: Vec::new(),
        prepared: None,
        portal: None,
        wire_bytes: 96,
        wire_sha256: sha256("request"),
        content: None,
        chunk: None,
        definition_sha256: None,
    }
}
