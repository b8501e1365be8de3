//! From configured labels and policy to what a principal may see of each labelled column.

use std::collections::{BTreeMap, BTreeSet};

use tallyport_access::policy::{Action, AskContext, Asker};

use super::ask::Whereabouts;
use crate::masking::{
    Clearance, ColumnMask, ColumnName, End, LabelledColumn, Mask, MaskSet, Masking,
};
use crate::sql::catalog::{Catalog, Relation, SYSTEM_SCHEMA};

/// Columns of the server's own catalogs that hold rows' values: (relation, column).
const OWN_RULES: &[(&str, &str)] = &[("pg_attribute", "attmissingval")];
/// What such a column is said to be.
const OWN_LABEL: &str = "catalog-values";

/// What a principal may see, and the configured columns that the database does not have.
pub(super) fn clearances(
    asker: &Asker,
    places: &Whereabouts,
    catalog: &Catalog,
    masking: &Masking,
    context: &AskContext,
) -> (MaskSet, Vec<String>) {
    let (labelled, unmatched) = labels(catalog, masking);
    let mut masks = MaskSet::default();
    for ((oid, attnum), labels) in labelled {
        let Some(relation) = catalog.relation(oid) else { continue };
        let Some(column) = relation.columns.iter().find(|column| column.attnum == attnum) else {
            continue;
        };
        let labels: Vec<String> = labels.into_iter().collect();
        let resource = places.column(relation, &column.name, labels.clone());
        let first = labels.first().cloned().unwrap_or_default();
        let mask = |mask| ColumnMask::new(mask, first.clone(), masking.key().cloned());
        let clearance = if asker.ask(Action::ColRead, &resource, context).allowed {
            Clearance::Clear
        } else {
            let answer = asker.ask(Action::ColReadMasked, &resource, context);
            if answer.allowed {
                let named =
                    answer.obligations.iter().filter(|obligation| obligation.kind == "mask");
                // A mask that is none was refused when the policy was loaded; should one come, nothing is shown.
                let named: Vec<Mask> = named
                    .map(|obligation| obligation.value.parse().unwrap_or(Mask::Redact))
                    .collect();
                let default = || labels.iter().map(|label| masking.default_mask(label)).collect();
                let candidates: Vec<Mask> = if named.is_empty() { default() } else { named };
                Clearance::Masked(mask(strictest(&candidates)))
            } else {
                Clearance::Hidden(mask(Mask::Redact))
            }
        };
        let name = column.name.clone();
        masks.add(oid, attnum, LabelledColumn { name, labels, clearance, configured: true });
    }
    if !unmatched.is_empty() {
        masks.expect_more();
    }
    for (column, label) in &unmatched {
        let relation = catalog.named(&column.table).find(|it| it.schema == column.schema);
        let Some(relation) = relation else { continue };
        // Where it comes to one it comes to all whose rows are read with it.
        for oid in catalog.relatives(relation.oid).into_iter().chain([relation.oid]) {
            let Some(relative) = catalog.relation(oid) else { continue };
            let resource = places.column(relative, &column.column, vec![(*label).to_owned()]);
            if !asker.ask(Action::ColRead, &resource, context).allowed {
                masks.expect(oid, &column.column);
            }
        }
    }
    if !masks.is_empty() {
        own_rules(catalog, &mut masks);
    }
    let unmatched = unmatched.into_iter().map(|(column, _)| column.display()).collect();
    (masks, unmatched)
}

fn own_rules(catalog: &Catalog, masks: &mut MaskSet) {
    for (table, column) in OWN_RULES {
        let own = |relation: &&Relation| relation.schema == SYSTEM_SCHEMA;
        for relation in catalog.named(table).filter(own) {
            let Some(column) = relation.column(column) else { continue };
            let labelled = LabelledColumn {
                name: column.name.clone(),
                labels: vec![OWN_LABEL.to_owned()],
                clearance: Clearance::Hidden(ColumnMask::new(Mask::Redact, OWN_LABEL, None)),
                configured: false,
            };
            masks.add(relation.oid, column.attnum, labelled);
        }
    }
}

type Labels = BTreeMap<(u32, i16), BTreeSet<String>>;

/// The labels of columns by origin. A label goes up to parents and down to partitions and children, whose columns bear
/// the same name: rows of one are read through the other.
fn labels<'a>(catalog: &Catalog, masking: &'a Masking) -> (Labels, Vec<(&'a ColumnName, &'a str)>) {
    let mut labelled = Labels::new();
    let mut unmatched = Vec::new();
    for (column, label) in masking.columns() {
        let found = catalog.named(&column.table).find(|relation| {
            relation.schema == column.schema && relation.column(&column.column).is_some()
        });
        let Some(relation) = found else {
            unmatched.push((column, label));
            continue;
        };
        let mut family = catalog.relatives(relation.oid);
        family.insert(relation.oid);
        for oid in family {
            let Some(relative) = catalog.relation(oid) else { continue };
            if let Some(same) = relative.column(&column.column) {
                labelled.entry((oid, same.attnum)).or_default().insert(label.to_owned());
            }
        }
    }
    derive(catalog, &mut labelled);
    (labelled, unmatched)
}

/// What comes from a labelled column bears its label too: generated columns, and columns that must hold a value of it.
fn derive(catalog: &Catalog, labelled: &mut Labels) {
    loop {
        let mut grown = false;
        for relation in catalog.relations() {
            for (attnum, source, source_attnum) in &relation.derived {
                let Some(labels) = labelled.get(&(*source, *source_attnum)).cloned() else {
                    continue;
                };
                let own = labelled.entry((relation.oid, *attnum)).or_default();
                let before = own.len();
                own.extend(labels);
                grown |= own.len() > before;
            }
        }
        if !grown {
            return;
        }
    }
}

/// The mask that shows least.
fn strictest(masks: &[Mask]) -> Mask {
    let shows = |mask: &Mask| match mask {
        Mask::Redact => 0_u16,
        Mask::Hash => 1,
        Mask::Partial { end: End::First | End::Last, characters } => 2 + u16::from(*characters),
    };
    masks.iter().copied().min_by_key(shows).unwrap_or(Mask::Redact)
}
