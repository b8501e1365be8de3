//! What a statement does, by the kind of its top node.

use tallyport_schemas::StatementKind;

use super::tree::Node;

/// Kinds that no other arm names and that are neither data definition nor session control.
const MAINTENANCE: &[&str] =
    &["VacuumStmt", "CheckPointStmt", "ReindexStmt", "ClusterStmt", "RefreshMatViewStmt"];

/// What `statement` does.
pub(crate) fn of(statement: &Node) -> StatementKind {
    match statement.kind() {
        "SelectStmt" if into(statement) => StatementKind::Ddl,
        "SelectStmt" => StatementKind::Select,
        "InsertStmt" => StatementKind::Insert,
        "UpdateStmt" => StatementKind::Update,
        "DeleteStmt" => StatementKind::Delete,
        "MergeStmt" => StatementKind::Merge,
        "CopyStmt" if statement.flag("is_from") => StatementKind::CopyIn,
        "CopyStmt" => StatementKind::CopyOut,
        "TruncateStmt" => StatementKind::Truncate,
        "VariableSetStmt" | "DiscardStmt" | "ConstraintsSetStmt" => StatementKind::Set,
        "VariableShowStmt" => StatementKind::Show,
        "TransactionStmt" => StatementKind::Transaction,
        "DeclareCursorStmt" | "FetchStmt" | "ClosePortalStmt" => StatementKind::Cursor,
        "PrepareStmt" | "ExecuteStmt" | "DeallocateStmt" => StatementKind::Prepare,
        "ExplainStmt" => StatementKind::Explain,
        "CallStmt" | "DoStmt" => StatementKind::Call,
        "ListenStmt" | "UnlistenStmt" | "NotifyStmt" => StatementKind::Notify,
        "LockStmt" => StatementKind::Lock,
        kind if MAINTENANCE.contains(&kind) => StatementKind::Maintenance,
        kind if kind.ends_with("Stmt") => StatementKind::Ddl,
        _ => StatementKind::Other,
    }
}

/// `SELECT ... INTO`, which may sit at the left end of a set operation.
pub(crate) fn into(select: &Node) -> bool {
    let mut node = Some(select);
    while let Some(select) = node {
        if select.child("into_clause").is_some() {
            return true;
        }
        node = select.child("larg");
    }
    false
}
