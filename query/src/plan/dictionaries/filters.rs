//! Columns that only a filter looks at, for a text that they are or have: their texts stay in the dictionary.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};

use super::way::{in_dictionaries, looks_at};

/// `filter` over columns in dictionaries, those that nobody above it sees.
pub(super) fn over_dictionaries(filter: &FilterExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(kept) = filter.projection() else { return Ok(None) };
    let mut input = Arc::clone(filter.input());
    for column in collect_columns(filter.predicate()) {
        let index = column.index();
        if !kept.contains(&index)
            && !looks_at(filter.predicate(), index)
            && let Some(other) = in_dictionaries(&input, index)?
        {
            input = other;
        }
    }
    if Arc::ptr_eq(&input, filter.input()) {
        return Ok(None);
    }
    let filter = FilterExecBuilder::from(filter).with_input(input).build()?;
    Ok(Some(Arc::new(filter)))
}
