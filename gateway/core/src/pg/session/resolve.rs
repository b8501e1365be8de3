//! What a name stands for at one place of a unit.

use std::sync::Arc;

use parking_lot::Mutex;

use super::agent::NameChange;
use super::names::{Lookup, Portal, Prepared};
use super::spans::Spans;

/// What earlier messages of the same unit say of a name.
enum Defined<T> {
    /// It stands for this, or for nothing.
    Here(Option<Arc<T>>),
    /// A statement ran behind which it may stand for anything.
    Forgotten,
}

impl Spans<'_> {
    /// What `name` stands for at this place of the unit. A name that did not come through the protocol may have been
    /// prepared by SQL: then it is judged as the EXECUTE that it amounts to.
    pub(super) fn statement(&mut self, name: &[u8]) -> Option<Arc<Prepared>> {
        let defined = self.after.names.iter().rev().find_map(|change| match change {
            NameChange::Statement(changed, to) if *changed == name => {
                Some(Defined::Here(to.clone()))
            }
            NameChange::ForgetStatements => Some(Defined::Forgotten),
            NameChange::ForgetUnnamed if name.is_empty() => Some(Defined::Here(None)),
            _ => None,
        });
        match defined {
            Some(Defined::Here(prepared)) => prepared,
            Some(Defined::Forgotten) => self.by_sql("EXECUTE", name),
            None => match self.machine.names.statements.get(name) {
                Lookup::Known(prepared) => Some(prepared),
                Lookup::Unconfirmed => None,
                Lookup::Unknown => self.by_sql("EXECUTE", name),
            },
        }
    }

    pub(super) fn portal(&mut self, name: &[u8]) -> Option<Arc<Portal>> {
        let defined = self.after.names.iter().rev().find_map(|change| match change {
            NameChange::Portal(changed, to) if *changed == name => Some(Defined::Here(to.clone())),
            NameChange::ForgetPortals => Some(Defined::Forgotten),
            NameChange::ForgetUnnamed if name.is_empty() => Some(Defined::Here(None)),
            _ => None,
        });
        match defined {
            Some(Defined::Here(portal)) => portal,
            Some(Defined::Forgotten) => self.cursor(name),
            None => match self.machine.names.portals.get(name) {
                Lookup::Known(portal) => Some(portal),
                Lookup::Unconfirmed => None,
                Lookup::Unknown => self.cursor(name),
            },
        }
    }

    /// A portal that SQL may have declared.
    fn cursor(&mut self, name: &[u8]) -> Option<Arc<Portal>> {
        let statement = self.by_sql("FETCH ALL FROM", name)?;
        let parameters = Vec::new();
        Some(Arc::new(Portal {
            statement,
            parameters,
            bound: None,
            covered: None,
            bound_after: None,
        }))
    }

    fn by_sql(&mut self, verb: &str, name: &[u8]) -> Option<Arc<Prepared>> {
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
        let text = format!("{verb} \"{}\"", name.replace('"', "\"\""));
        let parsed = self.machine.parse(&text).ok()?;
        Some(Arc::new(Prepared { parsed, types: Vec::new(), columns: Mutex::new(None) }))
    }
}
