//! Which columns of one database one principal sees, and how.

use std::collections::{BTreeMap, BTreeSet};

use super::ColumnMask;

/// What a principal may see of a labelled column.
#[derive(Clone, Debug)]
pub enum Clearance {
    /// Its values.
    Clear,
    /// Its values, masked.
    Masked(ColumnMask),
    /// Nothing: a statement that would read it is denied. Should a value come nevertheless, it is redacted.
    Hidden(ColumnMask),
}

/// One labelled column.
#[derive(Clone, Debug)]
pub(crate) struct LabelledColumn {
    pub(crate) name: String,
    /// Sorted; more than one where inheritance brings several together.
    pub(crate) labels: Vec<String>,
    pub(crate) clearance: Clearance,
    /// Whether the label is configured, and policy may be asked of it; else it is the gateway's own rule.
    pub(crate) configured: bool,
}

/// The labelled columns of one database, as one principal may see them under one version of policy, catalog and
/// configuration.
#[derive(Clone, Debug, Default)]
pub struct MaskSet {
    columns: BTreeMap<u32, BTreeMap<i16, LabelledColumn>>,
    masked_tables: BTreeSet<u32>,
    /// Labels are configured for columns that the snapshot lacks: their table may be made at any moment.
    expects_more: bool,
    /// The same for tables that are there, by table: the names that are not clear.
    expected: BTreeMap<u32, BTreeSet<String>>,
}

impl LabelledColumn {
    pub(crate) const fn is_clear(&self) -> bool {
        matches!(self.clearance, Clearance::Clear)
    }
}

impl MaskSet {
    pub(crate) fn add(&mut self, table_oid: u32, attnum: i16, column: LabelledColumn) {
        if !matches!(column.clearance, Clearance::Clear) {
            self.masked_tables.insert(table_oid);
        }
        self.columns.entry(table_oid).or_default().insert(attnum, column);
    }

    /// The mask on values whose origin a RowDescription gives as this table and attribute number.
    #[must_use]
    pub fn for_column(&self, table_oid: u32, attnum: i16) -> Option<&ColumnMask> {
        match &self.column(table_oid, attnum)?.clearance {
            Clearance::Clear => None,
            Clearance::Masked(mask) | Clearance::Hidden(mask) => Some(mask),
        }
    }

    /// Whether the table has a column that is masked or hidden.
    #[must_use]
    pub fn is_masked_table(&self, table_oid: u32) -> bool {
        self.masked_tables.contains(&table_oid)
    }

    /// Whether no column is masked or hidden, nor may come to be: then nothing needs to be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.masked_tables.is_empty() && !self.expects_more
    }

    /// A column of a table that is there, which the snapshot lacks.
    pub(crate) fn expect(&mut self, table_oid: u32, column: &str) {
        self.expected.entry(table_oid).or_default().insert(column.to_owned());
    }

    /// The columns that the table may have by now, and that may not be read as they are.
    pub(crate) fn expected(&self, table_oid: u32) -> Option<&BTreeSet<String>> {
        self.expected.get(&table_oid)
    }

    /// Says that there are labels whose columns the snapshot lacks.
    pub(crate) const fn expect_more(&mut self) {
        self.expects_more = true;
    }

    /// The labels of a column, masked or not; sorted.
    #[must_use]
    pub fn labels(&self, table_oid: u32, attnum: i16) -> &[String] {
        self.column(table_oid, attnum).map_or(&[], |column| column.labels.as_slice())
    }

    /// What the principal may see of a labelled column.
    #[must_use]
    pub fn clearance(&self, table_oid: u32, attnum: i16) -> Option<&Clearance> {
        Some(&self.column(table_oid, attnum)?.clearance)
    }

    /// The oids of all tables with a labelled column.
    pub(crate) fn tables(&self) -> impl Iterator<Item = u32> {
        self.columns.keys().copied()
    }

    pub(crate) fn of_table(&self, table_oid: u32) -> impl Iterator<Item = &LabelledColumn> {
        self.columns.get(&table_oid).into_iter().flat_map(BTreeMap::values)
    }

    fn column(&self, table_oid: u32, attnum: i16) -> Option<&LabelledColumn> {
        self.columns.get(&table_oid)?.get(&attnum)
    }
}
