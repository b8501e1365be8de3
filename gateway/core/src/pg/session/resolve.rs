//! What a name stands for at one place of a unit.

use std::sync::Arc;

use parking_lot::Mutex;

use super::agent::NameChange;
use super::names::{Lookup, Portal, Prepared};
use super::spans::Spans;

impl Spans<'_> {
    /// What `name` stands for at this place of the unit. A name that did not come through the protocol may have been
    /// prepared by SQL: then it is judged as the EXECUTE that it amounts to.
    pub(super) fn statement(&mut self, name: &[u8]) -> Option<Arc<Prepared>> {
        let defined = self.after.names.iter().rev().find_map(|change| match change {
            NameChange::Statement(changed, to) if *changed == name => Some(to.clone()),
            _ => None,
        });
        match defined {
            Some(Some(prepared)) => Some(prepared),
            Some(None) => None,
            None => match self.machine.names.statements.get(name) {
                Lookup::Known(prepared) => Some(prepared),
                Lookup::Unconfirmed => None,
                Lookup::Unknown => self.by_sql("EXECUTE", name),
            },
        }
    }

    pub(super) fn portal(&mut self, name: &[u8]) -> Option<Arc<Portal>> {
        let defined = self.after.names.iter().rev().find_map(|change| match change {
            NameChange::Portal(changed, to) if *changed == name => Some(to.clone()),
            _ => None,
        });
        match defined {
            Some(Some(portal)) => Some(portal),
            Some(None) => None,
            None => match self.machine.names.portals.get(name) {
                Lookup::Known(portal) => Some(portal),
                Lookup::Unconfirmed => None,
                Lookup::Unknown => {
                    let statement = self.by_sql("FETCH ALL FROM", name)?;
                    Some(Arc::new(Portal {
                        statement,
                        parameters: Vec::new(),
                        bound: None,
                        covered: None,
                    }))
                }
            },
        }
    }

    fn by_sql(&mut self, verb: &str, name: &[u8]) -> Option<Arc<Prepared>> {
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
        let text = format!("{verb} \"{}\"", name.replace('"', "\"\""));
        let parsed = self.machine.parse(&text).ok()?;
        Some(Arc::new(Prepared { parsed, types: Vec::new(), columns: Mutex::new(None) }))
    }
}
