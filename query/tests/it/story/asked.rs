//! What Grace was asked on Saturday.

use tallyport_schemas::*;

use super::{approval_id, at, command_id};

pub(super) fn asked(statement: &str) -> ApprovalRequest {
    let command = AskedCommand {
        command_id: command_id(3),
        statement: statement.into(),
        parameters: Vec::new(),
        kinds: vec![StatementKind::Select],
        tables: Vec::new(),
        columns: Vec::new(),
        functions: Vec::new(),
        labels: Vec::new(),
        read_only: true,
        opaque: false,
        has_where: false,
        by_key: false,
        estimated_rows: None,
    };
    ApprovalRequest {
        approval_id: approval_id(),
        digest: "00".into(),
        session_bound: false,
        scope: ApprovalScope::Once,
        requirements: vec![ApprovalRequirement { group: "reviewers".into(), quorum: 1 }],
        policy_ids: Vec::new(),
        policy_version: "00".into(),
        reasons: vec!["clear text".into()],
        asked: Asked::Command(Box::new(command)),
        expires_at: at("2024-03-10T00:00:00Z"),
    }
}
