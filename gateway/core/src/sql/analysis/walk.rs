//! The walk: every node of every kind, each field of it, with what its place means.

use tallyport_schemas::StatementKind;

use super::scope::Sight;
use super::{Access, Analysis, Clause, RelationUse};
use crate::sql::catalog::Catalog;
use crate::sql::deep;
use crate::sql::kinds;
use crate::sql::names::Paths;
use crate::sql::session::SessionState;
use crate::sql::tree::{Node, Value};

/// Kinds of node that mean nothing beyond what their fields mean. What is neither here nor handled by name is opaque.
const TRANSPARENT: &[&str] = &[
    "AArrayExpr",
    "AConst",
    "AIndices",
    "AStar",
    "BitString",
    "BoolExpr",
    "Boolean",
    "BooleanTest",
    "CaseWhen",
    "CoalesceExpr",
    "ColumnDef",
    "CurrentOfExpr",
    "DefElem",
    "Float",
    "GroupingFunc",
    "GroupingSet",
    "IndexElem",
    "InferClause",
    "Integer",
    "JsonAggConstructor",
    "JsonArgument",
    "JsonArrayAgg",
    "JsonArrayConstructor",
    "JsonArrayQueryConstructor",
    "JsonBehavior",
    "JsonFormat",
    "JsonFuncExpr",
    "JsonIsPredicate",
    "JsonKeyValue",
    "JsonObjectAgg",
    "JsonObjectConstructor",
    "JsonOutput",
    "JsonParseExpr",
    "JsonReturning",
    "JsonScalarExpr",
    "JsonSerializeExpr",
    "JsonTableColumn",
    "JsonTablePathSpec",
    "JsonValueExpr",
    "List",
    "MergeSupportFunc",
    "MinMaxExpr",
    "MultiAssignRef",
    "NamedArgExpr",
    "Null",
    "NullTest",
    "OnConflictClause",
    "ParamRef",
    "RangeTableFuncCol",
    "ResTarget",
    "ReturningClause",
    "ReturningOption",
    "RowExpr",
    "SetToDefault",
    "SqlValueFunction",
    "String",
    "TypeCast",
    "WindowDef",
    "XmlExpr",
    "XmlSerialize",
];

/// Prepared bodies inside prepared bodies are followed this far.
const MAX_BODIES_DEEP: usize = 4;

pub(super) struct Walker<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) paths: &'a Paths,
    pub(super) session: Option<&'a SessionState>,
    pub(super) out: Analysis,
    pub(super) sight: Sight,
    /// What is done to a relation that is named outside FROM.
    pub(super) utility: Access,
    /// The number of the query that is walked, and of the last one.
    pub(super) query: usize,
    pub(super) queries: usize,
    pub(super) bodies_deep: usize,
    /// Data definition: its pieces are many and harmless to the walk, for masks forbid it whole.
    pub(super) in_ddl: bool,
    in_definition: bool,
}

impl<'a> Walker<'a> {
    pub(super) fn new(
        catalog: &'a Catalog,
        paths: &'a Paths,
        session: Option<&'a SessionState>,
    ) -> Self {
        Self {
            catalog,
            paths,
            session,
            out: Analysis::nothing(),
            sight: Sight::default(),
            utility: Access::Ddl,
            query: 0,
            queries: 0,
            bodies_deep: 0,
            in_ddl: false,
            in_definition: false,
        }
    }

    /// A walk over text that the catalog holds. Views in it are followed by whoever asked, not by the walk.
    pub(super) fn for_definition(catalog: &'a Catalog, paths: &'a Paths) -> Self {
        Self { in_definition: true, ..Self::new(catalog, paths, None) }
    }

    pub(super) fn finish(mut self, statement: &Node) -> Analysis {
        self.out.kind = kinds::of(statement);
        self.out.node_kind = statement.kind();
        self.out.misread = self.session.is_some_and(|session| !session.is_utf8());
        self.out
    }

    /// Walks `node` wherever it stands.
    pub(super) fn walk(&mut self, node: &Node, clause: Clause) {
        deep(|| self.walk_here(node, clause));
    }

    fn walk_here(&mut self, node: &Node, clause: Clause) {
        match node.kind() {
            "ColumnRef" => self.column(node, clause),
            "SelectStmt" => {
                self.nested_select(
                    node,
                    if clause == Clause::Projection { Clause::Expression } else { clause },
                );
            }
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => {
                self.modify(node);
            }
            "RangeVar" => {
                self.name_relation(node, self.utility);
            }
            "FuncCall" => self.call(node, clause),
            "AExpr" => self.operator_expression(node, clause),
            "AIndirection" => self.indirection(node, clause),
            "CaseExpr" => {
                if node.child("arg").is_some() {
                    self.operator(&["="]);
                }
                self.fields(node, clause, &[]);
            }
            "SubLink" => self.sublink(node),
            "TypeName" => self.type_name(node, clause),
            "SortBy" => {
                self.operator_named(node, "use_op");
                self.fields(node, clause, &["use_op"]);
            }
            "CollateClause" => self.fields(node, clause, &["collname"]),
            "RangeSubselect" | "RangeFunction" | "RangeTableFunc" | "RangeTableSample"
            | "JsonTable" | "JoinExpr" => {
                self.item_of_from(node, &mut super::from::Place::outside(clause));
            }
            "LockingClause" | "Alias" => {}
            kind if TRANSPARENT.contains(&kind) || self.in_ddl => self.fields(node, clause, &[]),
            kind => {
                self.opaque(format!("uses {kind}, which is not understood"));
                self.fields(node, clause, &[]);
            }
        }
    }

    /// Walks all fields of `node` except those named.
    pub(super) fn fields(&mut self, node: &Node, clause: Clause, except: &[&str]) {
        for (name, value) in node.fields() {
            if except.contains(name) {
                continue;
            }
            match value {
                Value::Node(child) => self.walk(child, clause),
                Value::List(children) => self.all(children, clause),
                Value::Int(_) | Value::Text(_) => {}
            }
        }
    }

    pub(super) fn all(&mut self, nodes: &[Node], clause: Clause) {
        for node in nodes {
            self.walk(node, clause);
        }
    }

    pub(super) fn some(&mut self, node: Option<&Node>, clause: Clause) {
        if let Some(node) = node {
            self.walk(node, clause);
        }
    }

    pub(super) fn opaque(&mut self, why: String) {
        self.out.opaque.insert(why);
    }

    /// Takes note that a relation is named, and returns the place of the note.
    pub(super) fn name_relation(&mut self, range: &Node, access: Access) -> usize {
        let (schema, name) = (range.some_text("schemaname"), range.text("relname"));
        let resolved = self.paths.relation(schema, name, self.catalog);
        let alias = range.child("alias");
        let mut references = vec![name.to_owned()];
        references.extend(alias.map(|alias| alias.text("aliasname").to_owned()));
        let renames = alias.is_some_and(|alias| !alias.list("colnames").is_empty());
        self.out.known_names.extend(references.iter().cloned());
        for oid in &resolved.oids {
            self.note_view(*oid);
            let columns =
                self.catalog.relation(*oid).into_iter().flat_map(|relation| &relation.columns);
            self.out.known_names.extend(columns.map(|column| column.name.clone()));
        }
        self.out.has_effect |= access.is_write();
        self.out.relations.push(RelationUse {
            written: schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}")),
            name: name.to_owned(),
            resolved,
            access: [access].into(),
            references,
            disguise: renames.then_some("with a list of column aliases"),
        });
        self.out.relations.len() - 1
    }

    fn note_view(&mut self, oid: u32) {
        if self.in_definition {
            return;
        }
        let Some(facts) = self.catalog.view_facts(oid) else { return };
        if let Some(why) = &facts.opaque {
            let why = why.clone();
            self.opaque(why);
        }
        self.out.has_effect |= facts.has_effect;
    }

    /// Walks what a prepared statement's or cursor's name stands for.
    pub(super) fn body(&mut self, name: &str, is_cursor: bool) {
        let known = self.session.and_then(|session| {
            if is_cursor { session.cursor(name) } else { session.prepared(name) }
        });
        match known {
            Some(bodies) if self.bodies_deep < MAX_BODIES_DEEP => {
                self.bodies_deep += 1;
                for body in bodies {
                    if let Some(node) = body.node() {
                        deep(|| self.outermost(node));
                    }
                }
                self.bodies_deep -= 1;
            }
            _ => {
                self.out.unknown_bodies.insert(name.to_owned());
                self.out.has_effect = true;
                self.opaque("runs something that was prepared or opened out of sight".to_owned());
            }
        }
    }
}

impl Analysis {
    fn nothing() -> Self {
        Self {
            kind: StatementKind::Empty,
            relations: Vec::new(),
            columns: Vec::new(),
            tops: Vec::new(),
            named_columns: Default::default(),
            functions: Default::default(),
            opaque_calls: Default::default(),
            opaque: Default::default(),
            has_effect: false,
            locks_rows: false,
            explains: false,
            lacks_where: false,
            lacks_key: false,
            has_key: false,
            changed: Vec::new(),
            has_where: false,
            changes: Vec::new(),
            demands: Default::default(),
            known_names: Default::default(),
            unknown_bodies: Default::default(),
            sources: Default::default(),
            misread: false,
            node_kind: "",
        }
    }
}
