//! FROM: relations, joins, subqueries, functions.

use super::scope::{Source, renamed};
use super::walk::Walker;
use super::{Access, Clause};
use crate::sql::tree::Node;

/// Where in which FROM an item stands.
pub(super) struct Place<'t> {
    clause: Clause,
    query: usize,
    disguise: Option<&'static str>,
    /// Conditions of joins, walked when all items are in sight.
    conditions: Vec<&'t Node>,
    nested: Option<Clause>,
}

impl Place<'_> {
    /// The FROM of a query.
    pub(super) const fn of_query(nested: Option<Clause>, query: usize) -> Self {
        let clause = match nested {
            None => Clause::From,
            Some(clause) => clause,
        };
        Self { clause, query, disguise: None, conditions: Vec::new(), nested }
    }

    /// An item met outside any FROM.
    pub(super) const fn outside(clause: Clause) -> Self {
        Self {
            clause,
            query: 0,
            disguise: Some("out of place"),
            conditions: Vec::new(),
            nested: Some(clause),
        }
    }
}

impl<'t> Walker<'_> {
    pub(super) fn item_of_from(&mut self, item: &'t Node, place: &mut Place<'t>) {
        match item.kind() {
            "RangeVar" => self.relation_of_from(item, place),
            "JoinExpr" => self.join(item, place),
            "RangeSubselect" => {
                let clause = place.nested.unwrap_or(Clause::Subquery);
                let names = item.child("subquery").and_then(|query| self.subquery(query, clause));
                self.derived(item, names);
            }
            "RangeTableSample" => {
                self.sample_method(item);
                let outside = place.disguise.replace("with TABLESAMPLE");
                if let Some(relation) = item.child("relation") {
                    self.item_of_from(relation, place);
                }
                place.disguise = outside;
                self.fields(item, place.clause, &["relation", "method"]);
            }
            "RangeFunction" => {
                self.fields(item, place.clause, &["alias"]);
                self.function_source(item);
            }
            "RangeTableFunc" | "JsonTable" => {
                self.fields(item, place.clause, &["alias"]);
                self.derived(item, Some(table_function_columns(item)));
            }
            _ => self.walk(item, place.clause),
        }
    }

    /// Walks the conditions of joins, now that all items are in sight.
    pub(super) fn after_from(&mut self, place: Place<'t>) {
        let clause = place.nested.unwrap_or(Clause::On);
        for condition in place.conditions {
            self.walk(condition, clause);
        }
    }

    fn subquery(&mut self, query: &Node, clause: Clause) -> Option<Vec<String>> {
        if query.kind() == "SelectStmt" {
            return self.nested_select(query, clause);
        }
        self.walk(query, clause);
        None
    }

    fn relation_of_from(&mut self, range: &Node, place: &Place<'_>) {
        let name = range.text("relname");
        let alias = range.child("alias");
        let called = alias.map_or(name, |alias| alias.text("aliasname"));
        let names = alias.map(|alias| alias.strings("colnames")).unwrap_or_default();
        let unqualified =
            range.some_text("schemaname").is_none() && range.some_text("catalogname").is_none();
        if let Some(cte) = self.sight.cte(name).filter(|_| unqualified) {
            let columns = renamed(cte.columns.clone(), &names);
            self.note_source(Source::derived(called, columns), &names);
            return;
        }
        let at = self.name_relation(range, Access::Select);
        self.out.sources.entry(place.query).or_default().push(at);
        let Some(relation) = self.out.relations.get_mut(at) else { return };
        relation.disguise = relation.disguise.or(place.disguise);
        let oids = relation.resolved.oids.clone();
        let certain = !relation.resolved.unknown;
        let columns = self.common_columns(&oids).filter(|_| certain);
        let source = Source {
            name: Some(called.to_owned()),
            oids,
            columns: renamed(columns, &names),
            ..Source::default()
        };
        self.note_source(source, &names);
    }

    fn note_source(&mut self, source: Source, names: &[&str]) {
        self.out.known_names.extend(names.iter().map(|name| (*name).to_owned()));
        self.out.known_names.extend(source.columns.iter().flatten().cloned());
        self.sight.add(source);
    }

    /// The columns that each of these relations has.
    pub(super) fn common_columns(&self, oids: &[u32]) -> Option<Vec<String>> {
        let mut relations = oids.iter().map(|oid| self.catalog.relation(*oid));
        let mut columns: Vec<String> =
            relations.next()??.columns.iter().map(|column| column.name.clone()).collect();
        for relation in relations {
            let relation = relation?;
            columns.retain(|name| relation.column(name).is_some());
        }
        Some(columns)
    }

    fn join(&mut self, join: &'t Node, place: &mut Place<'t>) {
        let outside = place.disguise;
        if join.flag("is_natural") {
            self.operator(&["="]);
            place.disguise = Some("in a NATURAL join");
        }
        if join.child("alias").is_some() {
            place.disguise = Some("in a join that has an alias of its own");
        }
        for side in ["larg", "rarg"] {
            if let Some(item) = join.child(side) {
                super::super::deep(|| self.item_of_from(item, place));
            }
        }
        place.disguise = outside;
        let using = join.strings("using_clause");
        if !using.is_empty() {
            self.operator(&["="]);
        }
        for name in &using {
            self.column_by_name(name, place.nested.unwrap_or(Clause::Using));
        }
        place.conditions.extend(join.child("quals"));
        if let Some(alias) = join.child("alias") {
            let name = Some(alias.text("aliasname").to_owned());
            self.note_source(Source { name, ..Source::default() }, &alias.strings("colnames"));
        }
        if let Some(alias) = join.child("join_using_alias") {
            let columns = using.iter().map(|name| (*name).to_owned()).collect();
            let name = Some(alias.text("aliasname").to_owned());
            self.note_source(Source { name, columns: Some(columns), ..Source::default() }, &[]);
        }
    }

    fn derived(&mut self, item: &Node, columns: Option<Vec<String>>) {
        let Some(alias) = item.child("alias") else {
            // Without an alias nothing but its columns can be named.
            self.out.known_names.extend(columns.iter().flatten().cloned());
            self.sight.add(Source { columns, ..Source::default() });
            return;
        };
        let names = alias.strings("colnames");
        self.out.known_names.insert(alias.text("aliasname").to_owned());
        let source = Source::derived(alias.text("aliasname"), renamed(columns, &names));
        self.note_source(source, &names);
    }

    /// A function in FROM: its columns are told by a column list; else they may be anything, and a single one bears
    /// the name of the alias.
    fn function_source(&mut self, item: &Node) {
        let mut defined: Vec<String> = Vec::new();
        let mut called = None;
        for function in item.list("functions") {
            let parts = function.list("items");
            called = called.or_else(|| {
                let call = parts.first().filter(|part| part.kind() == "FuncCall")?;
                call.strings("funcname").last().map(|name| (*name).to_owned())
            });
            defined.extend(parts.iter().skip(1).flat_map(|list| column_names(list.list("items"))));
        }
        defined.extend(column_names(item.list("coldeflist")));
        self.out.known_names.extend(defined.iter().cloned());
        if item.child("alias").is_some() {
            let columns = (!defined.is_empty()).then_some(defined);
            self.derived(item, columns);
        } else if let Some(called) = called {
            self.out.known_names.insert(called.clone());
            self.note_source(Source::derived(&called, None), &[]);
        }
    }

    fn sample_method(&mut self, item: &Node) {
        let method = item.strings("method");
        if !matches!(method.last(), Some(&("system" | "bernoulli"))) || method.len() > 1 {
            self.opaque("samples with a method of its own".to_owned());
        }
    }
}

fn column_names(definitions: &[Node]) -> impl Iterator<Item = String> {
    definitions.iter().filter_map(|definition| definition.some_text("colname")).map(str::to_owned)
}

/// The columns that XMLTABLE and JSON_TABLE define, through nested paths.
fn table_function_columns(item: &Node) -> Vec<String> {
    let mut names = Vec::new();
    for column in item.list("columns") {
        names.extend(
            column.some_text("colname").or_else(|| column.some_text("name")).map(str::to_owned),
        );
        names.extend(table_function_columns(column));
    }
    names
}
