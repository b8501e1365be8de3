//! Prepared statements and portals of a session, as the target has them.
//!
//! A name is known once the target confirmed it. Within one series (up to the next Sync) a later message may use what
//! an earlier one defines: if the definition fails, the target skips the rest of the series. Across series it may not:
//! a name with an unconfirmed change makes the session wait for the target's answer.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tallyport_schemas::{OutputColumn, Parameter};

use crate::passage::held::Covered;
use crate::sql::Parsed;

/// The most prepared statements of one session.
pub const MAX_STATEMENTS: usize = 10_000;
/// The most text that the prepared statements of one session hold.
pub const MAX_STATEMENT_TEXT_BYTES: usize = 64 * 1024 * 1024;
/// The most portals of one session.
pub const MAX_PORTALS: usize = 10_000;
/// The longest name. PostgreSQL cuts longer ones (`NAMEDATALEN`), so that two names could be one statement to it.
pub const MAX_NAME_BYTES: usize = 63;

/// A prepared statement.
#[derive(Debug)]
pub struct Prepared {
    /// What it says.
    pub parsed: Parsed,
    /// The types its Parse message gave its parameters.
    pub types: Vec<u8>,
    /// The columns it gives, once the agent had it described; for the record only, never for masking.
    pub columns: Mutex<Option<Arc<[OutputColumn]>>>,
}

/// A portal.
#[derive(Debug)]
pub struct Portal {
    /// The statement bound; absent where the name was bound to a statement that SQL prepared.
    pub statement: Arc<Prepared>,
    /// Bound values, as they are recorded.
    pub parameters: Vec<Parameter>,
    /// The digest of the exact bound values.
    pub bound: Option<[u8; 32]>,
    /// The approval under which it was bound.
    pub covered: Option<Covered>,
    /// How many statements had run before; absent where SQL declared it.
    pub bound_after: Option<u64>,
}

/// What a name stands for now.
#[derive(Clone, Debug)]
pub enum Lookup<T> {
    /// This.
    Known(Arc<T>),
    /// Nothing that came through the protocol.
    Unknown,
    /// It depends on an answer that is not in.
    Unconfirmed,
}

/// Both name spaces.
#[derive(Debug, Default)]
pub struct Names {
    /// Prepared statements.
    pub statements: Space<Prepared>,
    /// Portals.
    pub portals: Space<Portal>,
    /// The texts of what is confirmed.
    text_bytes: usize,
    /// The texts of what is on its way.
    unconfirmed_text_bytes: usize,
}

/// What a unit defines before it is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coming {
    /// Prepared statements.
    pub statements: usize,
    /// The bytes of their texts.
    pub text_bytes: usize,
    /// Portals.
    pub portals: usize,
}

impl Names {
    /// A change of a statement's name goes to the target.
    pub fn statement_sent(&mut self, name: &Bytes, to: Option<Arc<Prepared>>) {
        self.unconfirmed_text_bytes += to.as_ref().map_or(0, |prepared| prepared.text_bytes());
        self.statements.change(name, to);
    }

    /// The target refused or skipped a change of a statement's name.
    pub fn statement_abandoned(&mut self, name: &Bytes, prepared: Option<&Prepared>) {
        self.arrived(prepared);
        self.statements.settle(name);
    }

    /// The target confirmed a Parse.
    pub fn parsed(&mut self, name: &Bytes, prepared: Arc<Prepared>) {
        self.arrived(Some(&prepared));
        self.text_bytes += prepared.text_bytes();
        if let Some(old) = self.statements.confirm(name, Some(prepared)) {
            self.forget_text(&old);
        }
    }

    /// The target confirmed a Close of a statement.
    pub fn statement_closed(&mut self, name: &Bytes) {
        if let Some(old) = self.statements.confirm(name, None) {
            self.forget_text(&old);
        }
    }

    /// SQL dropped prepared statements, by name or all.
    pub fn forget_statements(&mut self) {
        self.statements.clear();
        self.text_bytes = 0;
    }

    /// A simple query drops the unnamed statement and portal.
    pub fn forget_unnamed(&mut self) {
        if let Some(old) = self.statements.remove(&Bytes::new()) {
            self.forget_text(&old);
        }
        self.portals.remove(&Bytes::new());
    }

    /// Whether one more statement of this length fits, behind what is `coming`.
    #[must_use]
    pub fn has_room(&self, coming: Coming, text_bytes: usize) -> bool {
        let texts = self.text_bytes + self.unconfirmed_text_bytes + coming.text_bytes;
        self.statements.len() + coming.statements < MAX_STATEMENTS
            && texts + text_bytes <= MAX_STATEMENT_TEXT_BYTES
    }

    /// Whether one more portal fits, behind what is `coming`.
    #[must_use]
    pub fn has_room_for_portal(&self, coming: Coming) -> bool {
        self.portals.len() + coming.portals < MAX_PORTALS
    }

    /// The series ends: from here on only what is confirmed counts.
    pub fn end_series(&mut self) {
        self.statements.series.clear();
        self.portals.series.clear();
    }

    fn arrived(&mut self, prepared: Option<&Prepared>) {
        let text_bytes = prepared.map_or(0, Prepared::text_bytes);
        self.unconfirmed_text_bytes = self.unconfirmed_text_bytes.saturating_sub(text_bytes);
    }

    fn forget_text(&mut self, old: &Prepared) {
        self.text_bytes = self.text_bytes.saturating_sub(old.text_bytes());
    }
}

impl Prepared {
    fn text_bytes(&self) -> usize {
        self.parsed.text().len()
    }
}

/// One name space.
#[derive(Debug)]
pub struct Space<T> {
    confirmed: HashMap<Bytes, Arc<T>>,
    series: HashMap<Bytes, Option<Arc<T>>>,
    unconfirmed: HashMap<Bytes, u32>,
    /// Of those, which are of before everything was forgotten: what they define is not known any more when it is confirmed.
    void: HashMap<Bytes, u32>,
}

impl<T> Default for Space<T> {
    fn default() -> Self {
        let (confirmed, series) = (HashMap::new(), HashMap::new());
        Self { confirmed, series, unconfirmed: HashMap::new(), void: HashMap::new() }
    }
}

impl<T> Space<T> {
    /// What `name` stands for in the series that is on its way.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Lookup<T> {
        if let Some(defined) = self.series.get(name) {
            return defined
                .as_ref()
                .map_or(Lookup::Unknown, |found| Lookup::Known(Arc::clone(found)));
        }
        if self.unconfirmed.contains_key(name) {
            return Lookup::Unconfirmed;
        }
        self.confirmed.get(name).map_or(Lookup::Unknown, |found| Lookup::Known(Arc::clone(found)))
    }

    /// A change of `name` goes to the target: a definition, or its end.
    pub fn change(&mut self, name: &Bytes, to: Option<Arc<T>>) {
        self.series.insert(name.clone(), to);
        *self.unconfirmed.entry(name.clone()).or_default() += 1;
    }

    /// The target confirmed a change. Gives what the name stood for before.
    pub fn confirm(&mut self, name: &Bytes, to: Option<Arc<T>>) -> Option<Arc<T>> {
        if self.settle(name) {
            return None;
        }
        match to {
            Some(value) => self.confirmed.insert(name.clone(), value),
            None => self.confirmed.remove(name),
        }
    }

    /// A change is answered, be it that the target refused or skipped it. Whether everything was forgotten since it was sent.
    pub fn settle(&mut self, name: &Bytes) -> bool {
        let _was_awaited = taken(&mut self.unconfirmed, name);
        taken(&mut self.void, name)
    }

    /// Forgets all names: what is unknown is judged as such.
    pub fn clear(&mut self) {
        self.confirmed.clear();
        self.series.clear();
        self.void.clone_from(&self.unconfirmed);
    }

    fn remove(&mut self, name: &Bytes) -> Option<Arc<T>> {
        self.series.remove(name);
        self.confirmed.remove(name)
    }

    /// What the target has, or may have once it has answered.
    fn len(&self) -> usize {
        self.confirmed.len() + self.unconfirmed.len()
    }
}

/// Takes one of those that are counted under a name; whether there was one.
fn taken(counts: &mut HashMap<Bytes, u32>, name: &Bytes) -> bool {
    let Some(count) = counts.get_mut(name) else { return false };
    *count -= 1;
    if *count == 0 {
        counts.remove(name);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_confirmed_after_everything_was_forgotten_is_not_known() {
        let mut space = Space::<u8>::default();
        let name = Bytes::from_static(b"s1");
        let known = |space: &Space<u8>| match space.get(&name) {
            Lookup::Known(value) => Some(*value),
            Lookup::Unknown | Lookup::Unconfirmed => None,
        };
        space.change(&name, Some(Arc::new(1)));
        space.series.clear();
        space.clear();
        space.change(&name, Some(Arc::new(2)));
        assert_eq!(known(&space), Some(2), "in its series");
        space.series.clear();
        space.confirm(&name, Some(Arc::new(1)));
        assert_eq!(known(&space), None, "the first is forgotten, the second not confirmed");
        space.confirm(&name, Some(Arc::new(2)));
        assert_eq!(known(&space), Some(2));
        space.change(&name, Some(Arc::new(3)));
        space.series.clear();
        space.clear();
        space.settle(&name);
        assert_eq!(known(&space), None, "refused, and the one before forgotten");
        space.change(&name, None);
        space.confirm(&name, None);
        space.change(&name, Some(Arc::new(4)));
        space.confirm(&name, Some(Arc::new(4)));
        space.series.clear();
        assert_eq!(known(&space), Some(4));
        assert!(space.unconfirmed.is_empty() && space.void.is_empty());
    }

    fn prepared(text_bytes: usize) -> Arc<Prepared> {
        let text = format!("SELECT 1 {}", " ".repeat(text_bytes - 9));
        let parsed = Parsed::parse(&text).unwrap();
        Arc::new(Prepared { parsed, types: Vec::new(), columns: Mutex::new(None) })
    }

    #[test]
    fn texts_on_their_way_count_until_they_are_refused() {
        const QUARTER: usize = MAX_STATEMENT_TEXT_BYTES / 4;
        let mut names = Names::default();
        // All under one name: the target would keep one of them, but each waits for its answer here.
        let (name, text) = (Bytes::new(), prepared(QUARTER));
        for _ in 0..4 {
            assert!(names.has_room(Coming::default(), QUARTER));
            names.statement_sent(&name, Some(Arc::clone(&text)));
        }
        assert!(!names.has_room(Coming::default(), QUARTER), "nothing has answered yet");
        names.parsed(&name, Arc::clone(&text));
        names.parsed(&name, Arc::clone(&text));
        assert!(names.has_room(Coming::default(), QUARTER), "the second took the first's place");
        let coming = Coming { text_bytes: QUARTER, ..Coming::default() };
        assert!(!names.has_room(coming, QUARTER), "nor is there room for two");
        names.statement_abandoned(&name, Some(&text));
        names.statement_abandoned(&name, Some(&text));
        assert!(names.has_room(Coming::default(), 3 * QUARTER));
        names.statement_closed(&name);
        assert!(names.has_room(Coming::default(), 4 * QUARTER));
    }
}
