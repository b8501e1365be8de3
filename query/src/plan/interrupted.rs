//! Questions can be interrupted: what makes many rows of few lets go of its thread as it goes.
//!
//! The engine lets scans do that, which is enough where rows come of rows. A join of small tables makes billions of rows of a batch
//! that it read once: it would hold its thread for as long as it runs, whatever limit ends it and whoever waits for a turn.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

use super::of_a_turn::OfATurn;

/// Gives every join a share of time after which others have their turn.
#[derive(Debug)]
pub(super) struct MayBeInterrupted;

impl PhysicalOptimizerRule for MayBeInterrupted {
    fn name(&self) -> &str {
        "MayBeInterrupted"
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let made = plan.transform_up(|node| {
            // By their names: there are half a dozen kinds.
            if node.name().ends_with("JoinExec") {
                let join = Arc::new(CooperativeExec::new(node));
                return Ok(Transformed::yes(Arc::new(OfATurn::new(join)) as _));
            }
            Ok(Transformed::no(node))
        });
        made.map(|made| made.data)
    }

    fn schema_check(&self) -> bool {
        true
    }
}
