//! The way of a column from the files to an aggregation.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::functions_nested::array_has::ArrayHas;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::{
    ExecutionPlan, Partitioning, PhysicalExpr, replace_children_if_necessary,
};

use super::scan::{in_dictionary, with_dictionary};
use crate::plan::below::below;

/// The columns whose texts many rows share. What is nearly a text a row (ids, statements) is not in a dictionary, or would
/// have to be looked up a second time.
const SHARED: [&str; 42] = [
    "family",
    "activity",
    "schema_version",
    "producer_id",
    "principal_issuer",
    "principal_subject",
    "principal_name",
    "principal_kind",
    "principal_groups",
    "principal_owner",
    "delegation",
    "actor",
    "on_behalf_of",
    "agent_model",
    "agent_name",
    "target",
    "target_kind",
    "database",
    "client_ip",
    "call_server",
    "call_tool",
    "outcome",
    "failure",
    "reason",
    "auth_method",
    "front",
    "actions",
    "policy_ids",
    "policy_version",
    "obligations",
    "phase",
    "kinds",
    "tables",
    "columns",
    "functions",
    "labels",
    "tag",
    "sqlstate",
    "masked_columns",
    "recording",
    "findings",
    "application",
];

/// How often `exprs` name the `column`.
pub(super) fn uses(exprs: &[Arc<dyn PhysicalExpr>], column: usize) -> usize {
    let mut count = 0;
    for expr in exprs {
        let _all = expr.apply(|expr| {
            count +=
                usize::from(expr.downcast_ref::<Column>().is_some_and(|one| one.index() == column));
            Ok(TreeNodeRecursion::Continue)
        });
    }
    count
}

/// `plan` with its `column` of texts in dictionaries, when files have it so and nothing looks at it on the way.
pub(super) fn in_dictionaries(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = plan.schema();
    if schema.fields().get(column).is_none_or(|field| in_dictionary(field.data_type()).is_none()) {
        return Ok(None);
    }
    let way = Way::of(plan, column)?;
    Ok(way.of_files.then_some(way.plan))
}

/// A plan whose column is in dictionaries.
struct Way {
    plan: Arc<dyn ExecutionPlan>,
    /// Whether they are those of files, at least of some rows.
    of_files: bool,
}

impl Way {
    fn of(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Result<Self> {
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>()
            && let Some(name) = name_in_files(scan, column)
            && SHARED.contains(&name.as_str())
            && let Some(plan) = with_dictionary(scan, &name)?
        {
            return Ok(Self { plan, of_files: true });
        }
        let Some(below) = unseen(plan, column) else { return Self::made(plan, column) };
        let mut of_files = false;
        let mut children = Vec::new();
        for child in plan.children() {
            let way = Self::of(child, below)?;
            of_files |= way.of_files;
            children.push(way.plan);
        }
        let plan = match plan.downcast_ref::<UnnestExec>() {
            Some(unnest) => unnested(unnest, column, children)?,
            None => match plan.downcast_ref::<ProjectionExec>() {
                // With other children alone it would still say what it gave before.
                Some(projection) => {
                    let exprs = projection.expr().to_vec();
                    Arc::new(ProjectionExec::try_new(exprs, children.swap_remove(0))?)
                }
                None => replace_children_if_necessary(Arc::clone(plan), children)?,
            },
        };
        Ok(Self { plan, of_files })
    }

    /// Where there are none in files: they are made.
    fn made(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Result<Self> {
        let schema = plan.schema();
        let fields = schema.fields().iter().enumerate();
        let exprs = fields.map(|(index, field)| {
            let expr: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
            let of = in_dictionary(field.data_type()).filter(|_| index == column);
            let expr = match of {
                Some(of) => Arc::new(CastExpr::new(expr, of, None)),
                None => expr,
            };
            (expr, field.name().clone())
        });
        let exprs: Vec<_> = exprs.collect();
        let plan = Arc::new(ProjectionExec::try_new(exprs, Arc::clone(plan))?);
        Ok(Self { plan, of_files: false })
    }
}

/// Whether `expr` looks at the `column` in another way than those that the engine has for dictionaries: whether it is a
/// text, or has one in its list.
pub(super) fn looks_at(expr: &Arc<dyn PhysicalExpr>, column: usize) -> bool {
    let is_it = |expr: &Arc<dyn PhysicalExpr>| {
        expr.downcast_ref::<Column>().is_some_and(|one| one.index() == column)
    };
    let looks = |expr: &Arc<dyn PhysicalExpr>| {
        if asked_for(expr).is_some_and(is_it) {
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(if is_it(expr) { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    };
    // What cannot be told is a look.
    !matches!(expr.apply(looks), Ok(TreeNodeRecursion::Continue | TreeNodeRecursion::Jump))
}

/// What `expr` asks for one text: `column = 'text'`, `column <> 'text'`, `array_has(column, 'text')`.
fn asked_for(expr: &Arc<dyn PhysicalExpr>) -> Option<&Arc<dyn PhysicalExpr>> {
    let is_text = |expr: &Arc<dyn PhysicalExpr>| {
        let literal = expr.downcast_ref::<Literal>();
        literal.is_some_and(|literal| matches!(literal.value(), ScalarValue::Utf8(Some(_))))
    };
    if let Some(compared) = expr.downcast_ref::<BinaryExpr>() {
        let equal = matches!(compared.op(), Operator::Eq | Operator::NotEq);
        return (equal && is_text(compared.right())).then_some(compared.left());
    }
    let has = ScalarFunctionExpr::try_downcast_func::<ArrayHas>(expr.as_ref())?;
    let [list, text] = has.args() else { return None };
    is_text(text).then_some(list)
}

/// What the `column` of `scan` is called in the files, if it is asked for once, and by no filter.
fn name_in_files(scan: &DataSourceExec, column: usize) -> Option<String> {
    let config = scan.data_source().downcast_ref::<FileScanConfig>()?;
    let source: &dyn FileSource = config.file_source.as_ref();
    let exprs = source.projection()?.as_ref();
    let of_file = exprs.get(column)?.expr.downcast_ref::<Column>()?;
    let all: Vec<_> = exprs.iter().map(|one| Arc::clone(&one.expr)).collect();
    let looked = source.filter().is_some_and(|filter| looks_at(&filter, of_file.index()));
    (uses(&all, of_file.index()) == 1 && !looked).then(|| of_file.name().to_owned())
}

/// Where the children of `plan` have its `column`, when it passes it on without a look at it.
fn unseen(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<usize> {
    if let Some(unnest) = plan.downcast_ref::<UnnestExec>() {
        let lists = unnest.list_column_indices();
        let mut places: Vec<usize> = lists.iter().map(|list| list.index_in_input_schema).collect();
        places.sort_unstable();
        places.dedup();
        let plain = unnest.struct_column_indices().is_empty()
            && places.len() == lists.len()
            && lists.iter().all(|list| list.depth == 1);
        return plain.then_some(column);
    }
    let below = below(plan, column)?;
    let seen = if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let kept = filter.projection().iter().flat_map(|kept| kept.iter());
        kept.filter(|one| **one == below).count() > 1 || looks_at(filter.predicate(), below)
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let all: Vec<_> = projection.expr().iter().map(|one| Arc::clone(&one.expr)).collect();
        uses(&all, below) > 1
    } else if let Some(dealt) = plan.downcast_ref::<RepartitionExec>() {
        !matches!(dealt.partitioning(), Partitioning::RoundRobinBatch(_))
    } else {
        false
    };
    (!seen).then_some(below)
}

/// `unnest` over other children, its `column` in dictionaries as theirs is.
fn unnested(
    unnest: &UnnestExec,
    column: usize,
    mut children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let before = unnest.schema();
    let fields = before.fields().iter().enumerate().map(|(index, field)| {
        match in_dictionary(field.data_type()).filter(|_| index == column) {
            Some(of) => Arc::new(Field::clone(field).with_data_type(of)),
            None => Arc::clone(field),
        }
    });
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), before.metadata().clone());
    Ok(Arc::new(UnnestExec::new(
        children.swap_remove(0),
        unnest.list_column_indices().to_vec(),
        unnest.struct_column_indices().to_vec(),
        Arc::new(schema),
        unnest.options().clone(),
    )?))
}

#[cfg(test)]
mod tests {
    use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
    use datafusion::datasource::table_schema::TableSchema;
    use datafusion::execution::object_store::ObjectStoreUrl;

    use super::*;
    use crate::table::full_schema;

    #[test]
    fn every_name_is_a_column_of_texts() {
        let schema = full_schema();
        for name in SHARED {
            let field = schema.field_with_name(name).unwrap();
            assert!(in_dictionary(field.data_type()).is_some(), "{name}: {}", field.data_type());
        }
    }

    /// A scan that gives one column of its files twice, as no plan of ours does yet: as a dictionary it would be one in both.
    #[test]
    fn a_column_that_a_scan_gives_twice_stays_as_it_is() {
        let scan_of = |columns: &[&str]| {
            let table = full_schema();
            let places = columns.iter().map(|name| table.index_of(name).unwrap()).collect();
            let source = Arc::new(ParquetSource::new(TableSchema::from(table)));
            let store = ObjectStoreUrl::local_filesystem();
            let scan =
                FileScanConfigBuilder::new(store, source).with_projection_indices(Some(places));
            DataSourceExec::new(Arc::new(scan.unwrap().build()))
        };
        let once = scan_of(&["family", "target"]);
        assert_eq!(name_in_files(&once, 1).as_deref(), Some("target"));
        let twice = scan_of(&["target", "family", "target"]);
        assert_eq!(name_in_files(&twice, 0), None);
        assert_eq!(name_in_files(&twice, 2), None);
        assert_eq!(name_in_files(&twice, 1).as_deref(), Some("family"));
    }
}
