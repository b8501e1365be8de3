//! What earlier statements of a session changed for later ones.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::builtins;
use super::by_name::executed;
use super::names::Paths;
use super::parse::Parsed;
use super::settings::{self, Change, PathChange};
use super::trace::Trace;
use super::tree::{Node, Value};

/// The search path, prepared statements and cursors of one session, as far as its statements tell.
///
/// It is told of statements once they were forwarded, never how they ended: a statement may have failed, or its
/// transaction may be rolled back. So it only ever *adds* what may hold: another possible path, another body that a
/// name may stand for. What it cannot follow is unknown, and what is unknown is refused while masks are in force.
#[derive(Clone, Debug)]
pub struct SessionState {
    start: Vec<String>,
    paths: Paths,
    prepared: Names,
    cursors: Names,
    utf8: bool,
    /// Whether `$user` may be another than the one who logged in.
    other_role: bool,
    revision: Revision,
    /// All that may have changed what statements mean, whether that can be followed or not.
    meaning: Trace,
    /// All that names were given to.
    named: Trace,
}

/// Names one content of a state: two states of one revision are alike in all that a statement's meaning rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Revision(u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Revision {
    /// One that was not there before.
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The bodies that names may stand for.
#[derive(Clone, Debug, Default)]
struct Names {
    bodies: BTreeMap<String, Vec<Body>>,
    overflow: bool,
}

/// One body: a statement, or the statement inside a `PREPARE` or `DECLARE`.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    parsed: Parsed,
    statement: usize,
}

/// More names than this are not followed.
const MAX_NAMES: usize = 1_024;
/// More bodies of one name than this are not followed.
const MAX_BODIES: usize = 8;

impl SessionState {
    /// A session at its start. `search_path` as [`super::Catalog::search_path`] gives it, or as the agent asked for it
    /// at start-up; `$user` stands for the role.
    #[must_use]
    pub fn new(search_path: Vec<String>) -> Self {
        Self {
            paths: Paths::exactly(search_path.clone()),
            start: search_path,
            prepared: Names::default(),
            cursors: Names::default(),
            utf8: true,
            other_role: false,
            revision: Revision::new(),
            meaning: Trace::default(),
            named: Trace::default(),
        }
    }

    /// The revision of what it holds now: another one after every change.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// What approvals are bound to: settings, roles and temporary tables change it, although nothing here follows them.
    pub(crate) const fn meaning(&self) -> Trace {
        self.meaning
    }

    /// What approvals of statements that speak of names are bound to, too.
    pub(crate) const fn named(&self) -> Trace {
        self.named
    }

    /// Takes note that what runs may change what others mean; `bound` is of its values.
    pub(crate) fn shift_meaning(&mut self, text: &str, bound: Option<&[u8; 32]>) {
        self.meaning.extend(&[text.as_bytes(), bound.map_or(&[], <[u8; 32]>::as_slice)]);
    }

    fn changed(&mut self, changed: bool) {
        if changed {
            self.revision = Revision::new();
        }
    }

    fn set_paths(&mut self, paths: Paths) {
        let paths = if self.other_role && paths.name_the_role() { Paths::Unknown } else { paths };
        let changed = self.paths != paths;
        self.paths = paths;
        self.changed(changed);
    }

    fn add_path(&mut self, path: Vec<String>) {
        let mut paths = self.paths.clone();
        if paths.add(path) {
            self.set_paths(paths);
        }
    }

    fn set_utf8(&mut self, utf8: bool) {
        let changed = self.utf8 != utf8;
        self.utf8 = utf8;
        self.changed(changed);
    }

    fn add_prepared(&mut self, name: &str, body: Body) {
        self.named.extend(&[b"statement", name.as_bytes(), body.parsed.text().as_bytes()]);
        let added = self.prepared.add(name, body);
        self.changed(added);
    }

    fn add_cursor(&mut self, name: &str, body: Body) {
        self.named.extend(&[b"cursor", name.as_bytes(), body.parsed.text().as_bytes()]);
        let added = self.cursors.add(name, body);
        self.changed(added);
    }

    /// A session whose start-up message asked for `setting(name)`, on a database whose role searches `default_path`.
    #[must_use]
    pub fn at_startup<'a>(
        default_path: &[String],
        setting: impl Fn(&str) -> Option<&'a str>,
    ) -> Self {
        let mut state = match setting("search_path") {
            None => Self::new(default_path.to_vec()),
            Some(wanted) => {
                let change = Change::at_startup("search_path", wanted);
                let path = change.values.unwrap_or_default();
                // What the server would read otherwise: other white space, and names that it cuts.
                let is_plain = |character: char| character.is_ascii_graphic() || character == ' ';
                let is_kept = |name: &String| name.len() <= settings::MAX_NAME_BYTES;
                let is_certain = wanted.chars().all(is_plain) && path.iter().all(is_kept);
                let mut state = Self::new(path);
                if !is_certain {
                    state.forget_search_path();
                }
                state
            }
        };
        if let Some(encoding) = setting("client_encoding") {
            state.note_client_encoding(encoding);
        }
        state
    }

    /// Takes note that `parsed` was forwarded to the target.
    pub fn after(&mut self, parsed: &Parsed) {
        for index in 0..parsed.statements().len() {
            self.after_statement(parsed, index);
        }
    }

    /// Takes note that all of `parsed` ended well and left no transaction open: a `SET search_path` in it then holds,
    /// and no other path is possible any more. Never needed for safety; without it names stay ambiguous after a `SET`.
    pub fn settled(&mut self, parsed: &Parsed) {
        let [statement] = parsed.statements() else { return };
        if statement.kind() != "VariableSetStmt" || statement.flag("is_local") {
            return;
        }
        match Change::of_statement(statement).and_then(|change| change.search_path()) {
            Some(PathChange::To(path)) => self.set_paths(Paths::exactly(path)),
            Some(PathChange::Start) => self.set_paths(Paths::exactly(self.start.clone())),
            Some(PathChange::Unknown) | None => {}
        }
    }

    /// Takes note that the protocol's Parse message gave `parsed` a name: SQL's `EXECUTE` finds it too.
    pub fn note_prepared(&mut self, name: &str, parsed: &Parsed) {
        self.add_prepared(name, Body { parsed: parsed.clone(), statement: 0 });
    }

    /// Takes note that the protocol's Bind message opened a portal by name: SQL's `FETCH` finds it too.
    pub fn note_portal(&mut self, name: &str, parsed: &Parsed) {
        self.add_cursor(name, Body { parsed: parsed.clone(), statement: 0 });
    }

    /// Takes note of the character set in which texts come, as the server reports `client_encoding`.
    pub fn note_client_encoding(&mut self, encoding: &str) {
        let change =
            Change { name: "client_encoding".to_owned(), values: Some(vec![encoding.to_owned()]) };
        self.set_utf8(!change.leaves_utf8());
    }

    /// Takes note that the search path may be anything from now on.
    pub fn forget_search_path(&mut self) {
        self.set_paths(Paths::Unknown);
    }

    pub(crate) const fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Whether texts certainly come as UTF-8.
    pub(crate) const fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// The bodies that a prepared statement's name may stand for; None when that is not known.
    pub(crate) fn prepared(&self, name: &str) -> Option<&[Body]> {
        self.prepared.get(name)
    }

    /// The bodies that a cursor's name may stand for; None when that is not known.
    pub(crate) fn cursor(&self, name: &str) -> Option<&[Body]> {
        self.cursors.get(name)
    }

    pub(crate) fn after_statement(&mut self, parsed: &Parsed, index: usize) {
        let Some(statement) = parsed.statements().get(index) else { return };
        match statement.kind() {
            "PrepareStmt" => {
                let body = Body { parsed: parsed.clone(), statement: index };
                self.add_prepared(statement.text("name"), body);
            }
            "DeclareCursorStmt" => {
                let body = Body { parsed: parsed.clone(), statement: index };
                self.add_cursor(statement.text("portalname"), body);
            }
            _ => {}
        }
        self.after_node(statement);
        if let Some(bodies) = self.run_by_name(statement) {
            let Some(bodies) = bodies else { return self.set_paths(Paths::Unknown) };
            for body in bodies {
                if let Some(node) = body.node() {
                    self.after_node(node);
                }
            }
        }
    }

    fn after_node(&mut self, statement: &Node) {
        match statement.kind() {
            "VariableSetStmt" => match Change::of_statement(statement) {
                Some(change) => self.apply(&change),
                None => self.add_path(self.start.clone()),
            },
            "DiscardStmt" => self.add_path(self.start.clone()),
            // Code that cannot be seen may set anything.
            "DoStmt" | "CallStmt" => self.set_paths(Paths::Unknown),
            _ => {}
        }
        super::deep(|| self.after_calls(statement));
    }

    /// What a statement runs that it only names; the inner `None` where that is not known.
    fn run_by_name(&self, statement: &Node) -> Option<Option<Vec<Body>>> {
        if let Some(execute) = executed(statement) {
            return Some(self.prepared.get(execute.text("name")).map(<[Body]>::to_vec));
        }
        (statement.kind() == "FetchStmt")
            .then(|| self.cursors.get(statement.text("portalname")).map(<[Body]>::to_vec))
    }

    /// Whether one of the statements runs, by its name, what may take prepared statements away.
    pub(crate) fn may_forget_names(&self, parsed: &Parsed) -> bool {
        let forgets = |body: &Body| {
            let kind = body.node().map(Node::kind);
            kind.is_none_or(|kind| ["DeallocateStmt", "DiscardStmt"].contains(&kind))
        };
        parsed.statements().iter().filter_map(executed).any(|execute| {
            let bodies = self.prepared.get(execute.text("name"));
            bodies.is_none_or(|bodies| bodies.iter().any(forgets))
        })
    }

    fn apply(&mut self, change: &Change) {
        match change.search_path() {
            Some(PathChange::To(path)) => self.add_path(path),
            Some(PathChange::Start) => self.add_path(self.start.clone()),
            Some(PathChange::Unknown) => self.set_paths(Paths::Unknown),
            None => {}
        }
        if change.leaves_utf8() {
            self.set_utf8(false);
        }
        if change.changes_role() {
            self.other_role = true;
            self.set_paths(self.paths.clone());
        }
    }

    /// Functions may set settings: `set_config` says which, an unknown one may set any.
    fn after_calls(&mut self, node: &Node) {
        if node.kind() == "FuncCall" {
            let names = node.strings("funcname");
            let name = names.last().copied().unwrap_or_default();
            if name == "set_config" {
                match Change::of_call(node) {
                    Some(change) => self.apply(&change),
                    None => self.set_paths(Paths::Unknown),
                }
            } else if builtins::function(super::catalog::SYSTEM_SCHEMA, name).is_none()
                && builtins::function(super::catalog::STANDARD_SCHEMA, name).is_none()
            {
                self.set_paths(Paths::Unknown);
            }
        }
        for (_, value) in node.fields() {
            match value {
                Value::Node(child) => super::deep(|| self.after_calls(child)),
                Value::List(children) => {
                    for child in children {
                        super::deep(|| self.after_calls(child));
                    }
                }
                Value::Int(_) | Value::Text(_) => {}
            }
        }
    }
}

impl Names {
    /// Adds a body; whether anything is known otherwise now.
    fn add(&mut self, name: &str, body: Body) -> bool {
        let full = self.bodies.len() >= MAX_NAMES;
        if full && !self.bodies.contains_key(name) {
            return !std::mem::replace(&mut self.overflow, true);
        }
        let bodies = self.bodies.entry(name.to_owned()).or_default();
        // One more than is followed marks the name as unknown.
        if bodies.len() > MAX_BODIES || bodies.iter().any(|known| known.is_same(&body)) {
            return false;
        }
        bodies.push(body);
        true
    }

    fn get(&self, name: &str) -> Option<&[Body]> {
        let bodies = self.bodies.get(name)?;
        (bodies.len() <= MAX_BODIES).then_some(bodies.as_slice()).filter(|_| !self.overflow)
    }
}

impl Body {
    /// The statement that runs.
    pub(crate) fn node(&self) -> Option<&Node> {
        let statement = self.parsed.statements().get(self.statement)?;
        match statement.kind() {
            "PrepareStmt" | "DeclareCursorStmt" => statement.child("query"),
            _ => Some(statement),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.statement == other.statement
            && (self.parsed.same(&other.parsed) || self.parsed.text() == other.parsed.text())
    }
}

#[cfg(test)]
mod tests;
