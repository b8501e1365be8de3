//! Filters that are known only while a question runs, where every name is there once.
//!
//! A question for the first rows tells its scans what can no longer be among them, and a join tells one side what the
//! other has. On the way down the engine finds a column by its name: where a node has two of one name, as a join of a
//! view with itself does, it may take the other one, and rows would be lost. There nothing is told, which is slower.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNode as _;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

/// The engine's rule, for plans in which no node has two columns of one name.
#[derive(Debug)]
pub(super) struct WhereNamesAreUnique {
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl WhereNamesAreUnique {
    pub(super) fn new(rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>) -> Self {
        Self { rule }
    }
}

impl PhysicalOptimizerRule for WhereNamesAreUnique {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if plan.exists(|node| Ok(has_two_of_one_name(node)))? {
            return Ok(plan);
        }
        self.rule.optimize(plan, config)
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

fn has_two_of_one_name(node: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = node.schema();
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name()))
}
