//! Texts that stay in the dictionaries of their files.
//!
//! In a file of the lake a text that many rows share stands once, in a dictionary, and each row has its place there. The
//! engine copies it out for every row, hashes it and compares it. Here rows keep their places up to the aggregation, where
//! a text becomes a number, looked up once for each entry of a dictionary; the aggregation groups by numbers, and
//! what it hands on, a row for each group, has its texts again:
//!
//! ```text
//! AggregateExec: mode=FinalPartitioned      as before
//!   RepartitionExec
//!     NumbersToTexts
//!       AggregateExec: mode=Partial         as before, but by numbers
//!         TextsToNumbers
//!           DataSourceExec                  reads dictionaries
//! ```
//!
//! It is done where nothing else looks at the column on its way but a filter for one text, which the engine has for
//! dictionaries too, so no function meets one. What the aggregation takes the greatest or least text of stays in its
//! dictionary up to there. Where a filter is all that looks, its columns stay in dictionaries as well,
//! and where a scan has little else to give, it asks no filter row by row.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

mod best;
mod entries;
mod extremes;
mod filters;
mod groups;
mod halves;
mod kept;
mod nodes;
mod scan;
mod texts;
mod unasked;
mod way;

/// See the module. To be asked after all rules that choose how rows are dealt out and which filters are told.
#[derive(Debug)]
pub(super) struct TextsInDictionaries;

impl PhysicalOptimizerRule for TextsInDictionaries {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = each(plan, filters::over_dictionaries)?;
        let plan = each(plan, groups::by_number)?;
        // Only now is known what each scan gives.
        each(plan, |scan: &DataSourceExec| Ok(unasked::unasked(scan)))
    }

    fn name(&self) -> &str {
        "TextsInDictionaries"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `plan` with another node wherever `other` has one for a node of this kind.
fn each<Node: ExecutionPlan>(
    plan: Arc<dyn ExecutionPlan>,
    other: impl Fn(&Node) -> Result<Option<Arc<dyn ExecutionPlan>>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let replaced = |plan: Arc<dyn ExecutionPlan>| {
        Ok(match plan.downcast_ref::<Node>().map(&other).transpose()?.flatten() {
            Some(other) => Transformed::yes(other),
            None => Transformed::no(plan),
        })
    };
    plan.transform_up(replaced).data()
}
