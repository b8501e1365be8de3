//! INSERT, UPDATE, DELETE and MERGE, outermost or in WITH.

use super::from::Place;
use super::scope::Source;
use super::select::OutputNames;
use super::walk::Walker;
use super::{Access, Clause};
use crate::sql::tree::Node;

impl Walker<'_> {
    /// Walks a statement that changes rows, and returns what its RETURNING is called.
    pub(super) fn modify(&mut self, statement: &Node) -> OutputNames {
        let outer = self.query;
        self.queries += 1;
        self.query = self.queries;
        let mark = self.sight.ctes.len();
        self.with(statement.child("with_clause"));
        self.sight.levels.push(Vec::new());
        let access = access_of(statement.kind());
        let target = statement.child("relation").map(|range| self.target(range, access));
        self.note_assigned(target, statement);
        self.note_where(statement);
        self.note_changed(target, statement);
        self.sources(statement);
        if let Some(source) = statement.child("select_stmt") {
            self.nested_select(source, Clause::Subquery);
        }
        self.some(statement.child("where_clause"), Clause::Where);
        self.some(statement.child("join_condition"), Clause::On);
        self.all(statement.list("target_list"), Clause::Assignment);
        self.all(statement.list("cols"), Clause::Assignment);
        for when in statement.list("merge_when_clauses") {
            self.merge_when(when, target);
        }
        if let Some(conflict) = statement.child("on_conflict_clause") {
            self.on_conflict(conflict, target);
        }
        let names = statement
            .child("returning_clause")
            .and_then(|returning| self.returning(returning, target));
        self.sight.levels.pop();
        self.sight.ctes.truncate(mark);
        self.query = outer;
        names
    }

    fn target(&mut self, range: &Node, access: Access) -> usize {
        let at = self.name_relation(range, access);
        let alias =
            range.child("alias").map_or(range.text("relname"), |alias| alias.text("aliasname"));
        let oids =
            self.out.relations.get(at).map(|used| used.resolved.oids.clone()).unwrap_or_default();
        self.note_triggers(&oids);
        let columns = self.common_columns(&oids);
        // The rows before and after, and the row that was refused, have the target's columns.
        for name in [alias, "excluded", "old", "new"] {
            self.sight.add(Source {
                name: Some(name.to_owned()),
                oids: oids.clone(),
                columns: columns.clone(),
                ..Source::default()
            });
        }
        self.out.known_names.extend(["excluded", "old", "new"].map(str::to_owned));
        at
    }

    pub(super) fn note_triggers(&mut self, oids: &[u32]) {
        for oid in oids {
            let Some(relation) = self.catalog.relation(*oid) else { continue };
            if relation.has_triggers || (relation.has_rules && !relation.is_view()) {
                let why = format!("writes to {}, which has triggers or rules", relation.display());
                self.opaque(why);
            }
        }
    }

    /// The columns that are written, which no expression names.
    fn note_assigned(&mut self, target: Option<usize>, statement: &Node) {
        let Some(used) = target.and_then(|at| self.out.relations.get(at)) else { return };
        let relations: Vec<_> =
            used.resolved.oids.iter().filter_map(|oid| self.catalog.relation(*oid)).collect();
        let conflict = statement.child("on_conflict_clause");
        let whens = statement.list("merge_when_clauses").iter();
        let lists = [statement.list("cols"), statement.list("target_list")]
            .into_iter()
            .chain(conflict.map(|conflict| conflict.list("target_list")))
            .chain(whens.map(|when| when.list("target_list")));
        for assigned in lists.flatten().filter(|target| target.kind() == "ResTarget") {
            let columns = relations.iter().filter_map(|relation| {
                let column = relation.column(assigned.text("name"))?;
                Some(relation.column_ref(&column.name))
            });
            self.out.named_columns.extend(columns);
        }
    }

    fn note_where(&mut self, statement: &Node) {
        if matches!(statement.kind(), "UpdateStmt" | "DeleteStmt") {
            let restricted = statement.child("where_clause").is_some();
            self.out.has_where |= restricted;
            self.out.lacks_where |= !restricted;
        }
    }

    fn sources(&mut self, statement: &Node) {
        let mut place = Place::of_query(Some(Clause::From), self.query);
        for field in ["from_clause", "using_clause"] {
            for item in statement.list(field) {
                self.item_of_from(item, &mut place);
            }
        }
        if let Some(item) = statement.child("source_relation") {
            self.item_of_from(item, &mut place);
        }
        self.after_from(place);
    }

    fn merge_when(&mut self, when: &Node, target: Option<usize>) {
        const UPDATE: i64 = 3;
        const INSERT: i64 = 4;
        const DELETE: i64 = 5;
        match when.int("command_type") {
            UPDATE => self.also(target, Access::Update),
            INSERT => self.also(target, Access::Insert),
            DELETE => self.also(target, Access::Delete),
            _ => {}
        }
        self.fields(when, Clause::Assignment, &[]);
    }

    fn on_conflict(&mut self, conflict: &Node, target: Option<usize>) {
        if !conflict.list("target_list").is_empty() {
            self.also(target, Access::Update);
        }
        self.fields(conflict, Clause::Assignment, &[]);
    }

    fn returning(&mut self, returning: &Node, target: Option<usize>) -> OutputNames {
        self.also(target, Access::Select);
        for option in returning.list("options") {
            // RETURNING WITH (OLD AS o, NEW AS n)
            let name = option.text("value").to_owned();
            let oids = target
                .and_then(|at| self.out.relations.get(at))
                .map(|used| used.resolved.oids.clone())
                .unwrap_or_default();
            let columns = self.common_columns(&oids);
            if let Some(used) = target.and_then(|at| self.out.relations.get_mut(at)) {
                used.references.push(name.clone());
            }
            self.sight.add(Source { name: Some(name), oids, columns, ..Source::default() });
        }
        self.targets(returning.list("exprs"), Clause::Returning)
    }

    fn also(&mut self, target: Option<usize>, access: Access) {
        if let Some(used) = target.and_then(|at| self.out.relations.get_mut(at)) {
            used.access.insert(access);
        }
    }
}

const fn access_of(kind: &str) -> Access {
    match kind.as_bytes() {
        b"InsertStmt" => Access::Insert,
        b"UpdateStmt" => Access::Update,
        b"DeleteStmt" => Access::Delete,
        _ => Access::Merge,
    }
}
