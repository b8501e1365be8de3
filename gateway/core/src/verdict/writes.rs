//! What a write to a table that has no mask itself may tell of masked columns elsewhere.

use super::plain::{Rules, while_masked};
use crate::sql::catalog::Relation;

impl Rules<'_> {
    /// What goes away takes with it what refers to it, or is kept by that.
    pub(super) fn removable(&self, relation: &Relation, broken: &mut Vec<String>) {
        let mut family = self.catalog.relatives(relation.oid);
        family.insert(relation.oid);
        let mut referrers = family.iter().flat_map(|oid| self.catalog.referrers(*oid));
        if referrers.any(|(oid, attnum)| self.masks.for_column(oid, attnum).is_some()) {
            let name = relation.display();
            broken
                .push(while_masked(&format!("changing {name}, which a masked column refers to,")));
        }
    }

    /// A write runs defaults, checks, index expressions and triggers, and may be refused by what other tables hold.
    pub(super) fn writable(&self, relation: &Relation, broken: &mut Vec<String>) {
        let mut family = self.catalog.relatives(relation.oid);
        family.insert(relation.oid);
        for member in family.iter().filter_map(|oid| self.catalog.relation(*oid)) {
            let name = member.display();
            if member.has_triggers || (member.has_rules && !member.is_view()) {
                broken.push(while_masked(&format!(
                    "writing to {name}, which has triggers or rules,"
                )));
            }
            if member.code_on_write(self.catalog).is_some() {
                broken.push(while_masked(&format!(
                    "writing to {name}, whose defaults, checks or indexes run code,"
                )));
            }
            let refers =
                |(oid, attnum): &(u32, i16)| self.masks.for_column(*oid, *attnum).is_some();
            if member.references.iter().any(refers) {
                broken.push(while_masked(&format!(
                    "writing to {name}, whose rows must match a masked column,"
                )));
            }
            if self.masks.is_masked_table(member.oid) {
                broken.push(format!("table {name} has columns that are masked for you: it may be selected from, not changed"));
            }
        }
        if relation.is_view() || relation.is_system() {
            broken.push(while_masked(&format!("writing through {}", relation.display())));
        }
    }
}
