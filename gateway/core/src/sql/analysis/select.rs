//! SELECT, VALUES, TABLE, set operations and WITH.

use super::from::Place;
use super::scope::{Cte, Source, renamed};
use super::walk::Walker;
use super::{Access, Clause, Output, SortKey, TopQuery};
use crate::sql::tree::Node;

/// What a query's results are called; None when that cannot be told.
pub(super) type OutputNames = Option<Vec<String>>;

impl Walker<'_> {
    /// A query whose results go to the agent as they are.
    pub(super) fn top_select(&mut self, select: &Node) {
        self.select(select, None);
    }

    /// A query inside something; `clause` says what.
    pub(super) fn nested_select(&mut self, select: &Node, clause: Clause) -> OutputNames {
        self.select(select, Some(clause))
    }

    fn select(&mut self, select: &Node, nested: Option<Clause>) -> OutputNames {
        let outer = self.query;
        self.queries += 1;
        self.query = self.queries;
        let mark = self.sight.ctes.len();
        self.with(select.child("with_clause"));
        self.sight.levels.push(Vec::new());
        let names = if select.child("larg").is_some() {
            self.set_operation(select)
        } else if select.list("values_lists").is_empty() {
            self.plain_select(select, nested)
        } else {
            self.all(select.list("values_lists"), nested.unwrap_or(Clause::Values));
            None
        };
        if let Some(into) = select.child("into_clause") {
            self.out.demands.insert(super::Demand::Ddl);
            self.fields(into, Clause::Utility, &[]);
        }
        let inside = |clause| nested.unwrap_or(clause);
        self.all(select.list("sort_clause"), inside(Clause::OrderBy));
        self.some(select.child("limit_offset"), inside(Clause::Limit));
        self.some(select.child("limit_count"), inside(Clause::Limit));
        self.sight.levels.pop();
        self.sight.ctes.truncate(mark);
        self.query = outer;
        names
    }

    fn set_operation(&mut self, select: &Node) -> OutputNames {
        let mut names = None;
        if let Some(left) = select.child("larg") {
            names = self.nested_select(left, Clause::SetOperation);
        }
        if let Some(right) = select.child("rarg") {
            self.nested_select(right, Clause::SetOperation);
        }
        self.sight.add(Source { columns: names.clone(), ..Source::default() });
        names
    }

    fn plain_select(&mut self, select: &Node, nested: Option<Clause>) -> OutputNames {
        let mut place = Place::of_query(nested, self.query);
        for item in select.list("from_clause") {
            self.item_of_from(item, &mut place);
        }
        self.after_from(place);
        let inside = |clause| nested.unwrap_or(clause);
        let names = if nested.is_none() {
            self.top_targets(select)
        } else {
            self.targets(select.list("target_list"), inside(Clause::Expression))
        };
        self.some(select.child("where_clause"), inside(Clause::Where));
        self.all(select.list("group_clause"), inside(Clause::GroupBy));
        self.some(select.child("having_clause"), inside(Clause::Having));
        self.all(select.list("window_clause"), inside(Clause::Window));
        self.all(select.list("distinct_clause"), inside(Clause::Distinct));
        if !select.list("locking_clause").is_empty() {
            self.lock_rows();
        }
        names
    }

    /// The outermost list of results: plain columns and stars in it are the one place where masked columns may stand.
    fn top_targets(&mut self, select: &Node) -> OutputNames {
        let mut top = TopQuery {
            distinct: !select.list("distinct_clause").is_empty(),
            grouped: !select.list("group_clause").is_empty()
                || select.child("having_clause").is_some(),
            query: self.query,
            sorted: select.list("sort_clause").iter().map(sort_key).collect(),
            ..TopQuery::default()
        };
        for clause in ["sort_clause", "group_clause", "distinct_clause"] {
            for item in select.list(clause) {
                positions(item, &mut top.positions);
            }
        }
        for target in select.list("target_list") {
            let Some(value) = target.child("val") else { continue };
            let plain = target.kind() == "ResTarget" && value.kind() == "ColumnRef";
            if plain {
                let column = self.out.columns.len();
                self.column(value, Clause::Projection);
                top.outputs.push(Output::Plain {
                    column,
                    name: target.some_text("name").map(str::to_owned),
                });
            } else {
                self.walk(value, Clause::Expression);
                let aggregate = target.kind() == "ResTarget" && is_orderless_aggregate(value);
                top.outputs.push(if aggregate { Output::Aggregate } else { Output::Expression });
            }
        }
        self.out.tops.push(top);
        self.note_output_names(select.list("target_list"));
        None
    }

    /// A list of results inside something, or of RETURNING.
    pub(super) fn targets(&mut self, targets: &[Node], clause: Clause) -> OutputNames {
        self.all(targets, clause);
        self.note_output_names(targets);
        targets.iter().map(output_name).collect()
    }

    fn note_output_names(&mut self, targets: &[Node]) {
        let names = targets.iter().filter_map(|target| target.some_text("name"));
        self.out.known_names.extend(names.map(str::to_owned));
    }

    fn lock_rows(&mut self) {
        self.out.locks_rows = true;
        self.out.has_effect = true;
        let sources = self.out.sources.get(&self.query).cloned().unwrap_or_default();
        for place in sources {
            if let Some(relation) = self.out.relations.get_mut(place) {
                relation.access.insert(Access::Lock);
            }
        }
    }

    /// WITH: what is named here hides relations of the same name from here on, and, when recursive, in itself too.
    pub(super) fn with(&mut self, with: Option<&Node>) {
        let Some(with) = with else { return };
        let ctes = with.list("ctes");
        if with.flag("recursive") {
            for cte in ctes {
                self.sight.ctes.push(Cte { name: cte.text("ctename").to_owned(), columns: None });
            }
        }
        for cte in ctes {
            let names = cte.child("ctequery").and_then(|query| self.cte_query(query));
            let aliases = cte.strings("aliascolnames");
            let mut columns = renamed(names, &aliases);
            self.out.known_names.extend(aliases.iter().map(|name| (*name).to_owned()));
            for field in ["search_clause", "cycle_clause"] {
                if let Some(clause) = cte.child(field) {
                    // These name columns of the WITH query and add others.
                    columns = None;
                    self.fields(clause, Clause::With, &["search_col_list", "cycle_col_list"]);
                }
            }
            let name = cte.text("ctename").to_owned();
            if let Some(known) = self
                .sight
                .ctes
                .iter_mut()
                .rev()
                .take(ctes.len())
                .find(|known| with.flag("recursive") && known.name == name)
            {
                known.columns = columns;
            } else {
                self.sight.ctes.push(Cte { name, columns });
            }
        }
    }

    fn cte_query(&mut self, query: &Node) -> OutputNames {
        match query.kind() {
            "SelectStmt" => self.nested_select(query, Clause::With),
            "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" => self.modify(query),
            _ => {
                self.walk(query, Clause::With);
                None
            }
        }
    }
}

/// What one item of ORDER BY sorts by.
fn sort_key(item: &Node) -> SortKey {
    let Some(value) = item.child("node") else { return SortKey::Expression };
    if let Some(number) = value.as_integer_constant() {
        return SortKey::Position(number);
    }
    if value.kind() != "ColumnRef" || value.list("fields").iter().any(|f| f.as_string().is_none()) {
        return SortKey::Expression;
    }
    let names = value.strings("fields");
    let Some((name, before)) = names.split_last() else { return SortKey::Expression };
    let qualifier = before.last().map(|qualifier| (*qualifier).to_owned());
    SortKey::Column { qualifier, name: (*name).to_owned() }
}

/// Aggregates of PostgreSQL whose result the order of their input does not change.
const ORDERLESS: &[&str] = &["count", "min", "max"];

fn is_orderless_aggregate(value: &Node) -> bool {
    let names = value.strings("funcname");
    let own = match names.as_slice() {
        ["pg_catalog", name] | [name] => ORDERLESS.contains(name),
        _ => false,
    };
    value.kind() == "FuncCall" && own && value.child("over").is_none()
}

/// Numbers that stand for results, through grouping sets and sort directions.
fn positions(item: &Node, out: &mut Vec<i64>) {
    if let Some(number) = item.as_integer_constant() {
        out.push(number);
    }
    if let Some(inner) = item.child("node") {
        positions(inner, out);
    }
    for inner in item.list("content") {
        positions(inner, out);
    }
}

/// What a result is called: its alias, or what PostgreSQL makes of a column or call.
fn output_name(target: &Node) -> Option<String> {
    if let Some(name) = target.some_text("name") {
        return Some(name.to_owned());
    }
    let value = target.child("val")?;
    match value.kind() {
        "ColumnRef" => value.list("fields").last().and_then(Node::as_string).map(str::to_owned),
        "FuncCall" => value.strings("funcname").last().map(|name| (*name).to_owned()),
        _ => Some(ANONYMOUS.to_owned()),
    }
}

/// Stands for a name that PostgreSQL makes up (`?column?`, `case`, a type's name).
const ANONYMOUS: &str = "?column?";
