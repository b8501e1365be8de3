//! What a statement that runs does to the names that messages use, in the order of the messages.
//!
//! SQL has the same name spaces as the protocol: `DEALLOCATE` and `PREPARE`, `CLOSE` and `DECLARE` take a name away and give it
//! to something else. So what is known of a name ends where a statement runs that may do so, be it in the middle of a unit.

use bytes::Bytes;
use tallyport_schemas::StatementKind;

use super::agent::NameChange;
use super::names::Portal;
use super::spans::Spans;
use crate::sql::{Parsed, takes_rows_of_another};

impl Spans<'_> {
    /// What a statement that runs changes for later ones.
    pub(super) fn ran(&mut self, parsed: &Parsed) {
        self.after.ran += 1;
        // A description that the agent asked for is of what was there before.
        self.described.clear();
        self.state_version += 1;
        let mut forgets_statements = self.state.may_forget_names(parsed);
        let mut forgets_portals = false;
        self.state.after(parsed);
        let text = parsed.text().to_ascii_uppercase();
        for kind in parsed.kinds() {
            match kind {
                StatementKind::Prepare | StatementKind::Set => {
                    let discards = text.contains("DISCARD");
                    forgets_statements |= discards || text.contains("DEALLOCATE");
                    // What is executed by its name may declare and close.
                    forgets_portals |= discards || kind == StatementKind::Prepare;
                }
                StatementKind::Cursor | StatementKind::Call => forgets_portals = true,
                StatementKind::Ddl => self.after.changes_catalog = true,
                _ => {}
            }
        }
        if forgets_statements {
            self.after.names.push(NameChange::ForgetStatements);
        }
        if forgets_portals {
            self.after.names.push(NameChange::ForgetPortals);
        }
    }

    /// How many statements have run in this session before this place of the unit.
    pub(super) const fn ran_before(&self) -> u64 {
        self.machine.ran + self.after.ran
    }

    /// Why a portal may not be bound, or run, under this name now.
    ///
    /// PostgreSQL fixes the types of the columns that a portal of `EXECUTE` or `FETCH` gives when it is bound, and finds out where
    /// they come from when it is described: by what the name in it stands for then. Where that is another statement by then, values
    /// of one table are described as those of another. So nothing may come between, and no other statement may fetch from it.
    pub(super) fn misleads(&self, name: &Bytes, parsed: &Parsed, bound: u64) -> bool {
        takes_rows_of_another(parsed) && (!name.is_empty() || bound != self.ran_before())
    }

    /// The same of a portal that is to run.
    pub(super) fn portal_misleads(&self, name: &Bytes, portal: &Portal) -> bool {
        // One of SQL is known by its name alone, and is a cursor: its columns are described as they are.
        portal.bound_after.is_some_and(|bound| self.misleads(name, &portal.statement.parsed, bound))
    }
}
