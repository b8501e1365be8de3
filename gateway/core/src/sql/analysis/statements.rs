//! Statements as the agent sends them, by kind.

use tallyport_schemas::StatementKind;

use super::walk::Walker;
use super::{Access, Clause, Demand};
use crate::sql::kinds;
use crate::sql::names::Resolved;
use crate::sql::settings::Change;
use crate::sql::tree::Node;

/// Kinds of object that a list of names in `DROP` and `COMMENT` may be when they are relations
/// (libpg_query's `ObjectType`): foreign table, index, materialized view, sequence, table, view.
const RELATION_OBJECTS: &[i64] = &[19, 21, 24, 38, 42, 52];
/// A column, policy, rule, constraint or trigger (`ObjectType`): the relation's name comes first.
const OBJECTS_OF_A_RELATION: &[i64] = &[7, 29, 36, 41, 45];
/// A schema (`ObjectType`).
const SCHEMA_OBJECT: i64 = 37;
/// All of a kind in schemas (`GrantTargetType`).
const ALL_IN_SCHEMA: i64 = 2;

impl Walker<'_> {
    /// A statement whose results go to the agent as they are.
    pub(super) fn outermost(&mut self, statement: &Node) {
        match statement.kind() {
            "SelectStmt" => {
                self.out.demands.insert(Demand::Select);
                self.top_select(statement);
            }
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                self.modify(statement);
            }
            "DeclareCursorStmt" => self.inner(statement.child("query")),
            "PrepareStmt" => {
                self.all(statement.list("argtypes"), Clause::Utility);
                self.inner(statement.child("query"));
            }
            "ExecuteStmt" => {
                self.all(statement.list("params"), Clause::Values);
                self.body(statement.text("name"), false);
            }
            "FetchStmt" => self.body(statement.text("portalname"), true),
            "ClosePortalStmt" | "DeallocateStmt" => {
                self.out.demands.insert(Demand::Transaction);
            }
            "ExplainStmt" => self.explain(statement),
            "CopyStmt" => self.copy(statement),
            "CallStmt" | "DoStmt" => self.procedure(statement),
            "VariableSetStmt" | "DiscardStmt" | "ConstraintsSetStmt" => {
                self.out.demands.insert(Demand::Set);
                self.out.changes.extend(
                    (statement.kind() == "VariableSetStmt")
                        .then(|| Change::of_statement(statement))
                        .flatten(),
                );
            }
            "VariableShowStmt" => {
                self.out.demands.insert(Demand::Show);
            }
            "TransactionStmt" => {
                self.out.demands.insert(Demand::Transaction);
            }
            "ListenStmt" | "UnlistenStmt" => {
                self.out.demands.insert(Demand::Notify);
            }
            "NotifyStmt" => {
                self.out.demands.insert(Demand::Notify);
                self.out.has_effect = true;
            }
            "TruncateStmt" => {
                self.utility(statement, Access::Truncate);
                self.note_truncated();
            }
            "LockStmt" => self.utility(statement, Access::Lock),
            _ => self.other(statement),
        }
    }

    fn inner(&mut self, statement: Option<&Node>) {
        if let Some(statement) = statement {
            self.outermost(statement);
        }
    }

    fn explain(&mut self, statement: &Node) {
        let before = self.out.has_effect;
        self.inner(statement.child("query"));
        self.all(statement.list("options"), Clause::Utility);
        let executes = statement.list("options").iter().any(|option| {
            // Written as `ANALYZE false` it executes nothing; that is rare enough to take as executing.
            option.text("defname").eq_ignore_ascii_case("analyze")
        });
        self.out.explains = true;
        if !executes && self.out.opaque.is_empty() {
            self.out.has_effect = before;
        }
    }

    fn copy(&mut self, statement: &Node) {
        let into = statement.flag("is_from");
        let access = if into { Access::CopyIn } else { Access::CopyOut };
        self.out.demands.insert(if into { Demand::CopyIn } else { Demand::CopyOut });
        if statement.flag("is_program") || statement.some_text("filename").is_some() {
            self.opaque("copies through a file or program of the server".to_owned());
            self.out.has_effect = true;
            self.out.demands.insert(Demand::Call);
        }
        if let Some(relation) = statement.child("relation") {
            let at = self.name_relation(relation, access);
            let oids = self
                .out
                .relations
                .get(at)
                .map(|used| used.resolved.oids.clone())
                .unwrap_or_default();
            if into {
                self.note_triggers(&oids);
            }
            let columns = self.common_columns(&oids);
            self.sight.add(super::scope::Source { oids, columns, ..Default::default() });
        }
        let before = self.out.relations.len();
        if let Some(query) = statement.child("query") {
            match query.kind() {
                "SelectStmt" => {
                    self.nested_select(query, Clause::Copy);
                }
                _ => self.walk(query, Clause::Copy),
            }
        }
        for used in self.out.relations.iter_mut().skip(before) {
            used.access.insert(access);
        }
        self.some(statement.child("where_clause"), Clause::Where);
        self.all(statement.list("options"), Clause::Utility);
    }

    fn procedure(&mut self, statement: &Node) {
        self.out.demands.insert(Demand::Call);
        self.out.has_effect = true;
        self.opaque(
            if statement.kind() == "DoStmt" { "runs a code block" } else { "calls a procedure" }
                .to_owned(),
        );
        self.fields(statement, Clause::Values, &["args"]);
    }

    fn utility(&mut self, statement: &Node, access: Access) {
        const CASCADE: i64 = 2;
        self.utility = access;
        self.out.has_effect = true;
        if statement.int("behavior") == CASCADE {
            self.opaque("cascades to what is not named".to_owned());
        }
        self.fields(statement, Clause::Utility, &[]);
    }

    /// Data definition and maintenance: whatever relations it names, by node or by list of names.
    fn other(&mut self, statement: &Node) {
        self.in_ddl = true;
        let maintenance = kinds::of(statement) == StatementKind::Maintenance;
        let (access, demand) = if maintenance {
            (Access::Maintenance, Demand::Maintenance)
        } else {
            (Access::Ddl, Demand::Ddl)
        };
        self.utility(statement, access);
        let kind = statement
            .int("remove_type")
            .max(statement.int("objtype"))
            .max(statement.int("object_type"))
            .max(statement.int("rename_type"));
        let of_schemas = kind == SCHEMA_OBJECT || statement.int("targtype") == ALL_IN_SCHEMA;
        for object in statement.list("objects").iter().chain(statement.child("object")) {
            match object.as_string().filter(|_| of_schemas) {
                Some(schema) => self.schema(schema),
                None => self.object(object, kind),
            }
        }
        let renamed = statement.some_text("subname").filter(|_| of_schemas);
        for schema in renamed.into_iter().chain(statement.some_text("newschema")) {
            self.schema(schema);
        }
        if self.out.relations.is_empty() || maintenance {
            self.out.demands.insert(demand);
        }
        if statement.kind() == "LoadStmt" || statement.kind() == "CreateExtensionStmt" {
            self.opaque("loads code into the server".to_owned());
        }
    }

    /// What is done to a schema, or in it, is asked of it.
    fn schema(&mut self, name: &str) {
        let unknown_in = vec![name.to_owned()];
        self.out.relations.push(super::RelationUse {
            written: name.to_owned(),
            name: name.to_owned(),
            resolved: Resolved { unknown: true, unknown_in, ..Resolved::default() },
            access: [Access::Ddl].into(),
            references: Vec::new(),
            disguise: None,
        });
    }

    /// A relation named by a list of strings instead of a node of its own.
    fn object(&mut self, object: &Node, kind: i64) {
        let mut names = object.strings("items");
        if OBJECTS_OF_A_RELATION.contains(&kind) {
            names.pop();
        } else if !RELATION_OBJECTS.contains(&kind) {
            return;
        }
        let (schema, name) = match names.as_slice() {
            [name] => (None, *name),
            [.., schema, name] => (Some(*schema), *name),
            [] => return,
        };
        let resolved = self.paths.relation(schema, name, self.catalog);
        self.out.relations.push(super::RelationUse {
            written: schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}")),
            name: name.to_owned(),
            resolved,
            access: [Access::Ddl].into(),
            references: Vec::new(),
            disguise: None,
        });
    }
}
