//! Statements that speak of others by name.

use super::parse::Parsed;
use super::tree::Node;

/// The `EXECUTE` that a statement is, explains, or makes a table of.
pub(crate) fn executed(statement: &Node) -> Option<&Node> {
    let is_execute = |node: &&Node| node.kind() == "ExecuteStmt";
    let inside = || match statement.kind() {
        "ExplainStmt" | "CreateTableAsStmt" => statement.child("query").and_then(|query| {
            // EXPLAIN CREATE TABLE ... AS EXECUTE
            if query.kind() == "CreateTableAsStmt" { query.child("query") } else { Some(query) }
        }),
        _ => None,
    };
    Some(statement).filter(is_execute).or_else(|| inside().filter(is_execute))
}

/// Whether a statement of it gives rows that another one says, which it knows by its name.
pub(crate) fn takes_rows_of_another(parsed: &Parsed) -> bool {
    let by_name = |statement: &Node| ["ExecuteStmt", "FetchStmt"].contains(&statement.kind());
    parsed.statements().iter().any(by_name)
}

/// Whether it gives a statement a name, to be run by that.
pub(crate) fn prepares(statement: &Node) -> bool {
    statement.kind() == "PrepareStmt"
}
