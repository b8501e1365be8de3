//! Filters that are known only while a question runs, where every name is there once.
//!
//! A question for the first rows tells its scans what can no longer be among them, and a join tells one side what the
//! other has. On the way down the engine finds a column by its name: where a node has two of one name, as a join of a
//! view with itself does, it may take the other one, and rows would be lost. There nothing is told, which is slower.
//!
//! Nor is anything told of what is computed of a column and may fail: a scan would compute it of rows that are not the
//! reader's, and say so.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNode as _;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, Literal};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::barrier::TELL_NOTHING;

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
        let told = self.rule.optimize(Arc::clone(&plan), config)?;
        Ok(if told.exists(|node| Ok(computes(node)))? { plan } else { told })
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Whether `node` is a scan that is told something of what it has to compute first, which may fail.
fn computes(node: &Arc<dyn ExecutionPlan>) -> bool {
    let scan = node.downcast_ref::<DataSourceExec>();
    let config = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>());
    let Some(filter) = config.and_then(|config| config.file_source.filter()) else { return false };
    let told = |expr: &Arc<dyn PhysicalExpr>| {
        let of_the_run = expr.downcast_ref::<DynamicFilterPhysicalExpr>();
        Ok(of_the_run.is_some_and(|it| it.children().into_iter().any(may_fail)))
    };
    filter.exists(told).unwrap_or(true)
}

fn may_fail(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let may_fail = |expr: &Arc<dyn PhysicalExpr>| {
        let function = expr.downcast_ref::<ScalarFunctionExpr>();
        let fails_on_none = expr.is::<Column>()
            || expr.is::<Literal>()
            || function.is_some_and(|function| TELL_NOTHING.contains(&function.fun().name()));
        Ok(!fails_on_none)
    };
    expr.exists(may_fail).unwrap_or(true)
}

fn has_two_of_one_name(node: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = node.schema();
    let mut names = HashSet::new();
    !schema.fields().iter().all(|field| names.insert(field.name()))
}
