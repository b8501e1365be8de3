//! Filters that a scan need not ask row by row.
//!
//! To ask row by row pays where it spares texts from being copied out. Where a scan gives a few columns of numbers and
//! dictionaries alone, it costs more than it spares: what it leaves comes in pieces of a few rows, and the filter above
//! asks each of them again. Which files, row groups and pages are read is told by the same filters as before.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use super::scan::without_asking;

/// With more of them, pages that no row is left of are more to read than a filter is to ask.
const FEW_COLUMNS: usize = 8;

/// `scan` without its filter row by row, where that spares nothing. Right wherever a filter that a scan knows stands above
/// it too, as all of ours do.
pub(super) fn unasked(scan: &DataSourceExec) -> Option<Arc<dyn ExecutionPlan>> {
    let schema = scan.schema();
    let fields = schema.fields();
    let cheap =
        fields.len() <= FEW_COLUMNS && fields.iter().all(|field| is_cheap(field.data_type()));
    if cheap { without_asking(scan) } else { None }
}

/// Whether a value is read in a few instructions, however long it is.
fn is_cheap(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(..) => true,
        DataType::List(element) => is_cheap(element.data_type()),
        other => other.is_primitive() || *other == DataType::Boolean,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, Schema};
    use datafusion::datasource::physical_plan::{
        FileScanConfigBuilder, FileSource as _, ParquetSource,
    };
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::PhysicalExpr;
    use datafusion::physical_expr::expressions::{DynamicFilterPhysicalExpr, binary, col, lit};

    use super::*;

    /// Whether a scan of these columns, with this filter, still asks it row by row.
    fn asks(
        columns: &[(&str, DataType)],
        filter: impl Fn(&Schema) -> Arc<dyn PhysicalExpr>,
    ) -> bool {
        let field = |(name, of): &(&str, DataType)| Field::new(*name, of.clone(), true);
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let source = ParquetSource::new(Arc::clone(&schema))
            .with_predicate(filter(&schema))
            .with_pushdown_filters(true);
        let store = ObjectStoreUrl::local_filesystem();
        let config = FileScanConfigBuilder::new(store, Arc::new(source)).build();
        let scan = DataSourceExec::from_data_source(config);
        let plan = unasked(&scan).unwrap_or(scan);
        let scan = plan.downcast_ref::<DataSourceExec>().unwrap();
        let (_, source) = scan.downcast_to_file_source::<ParquetSource>().unwrap();
        assert!(source.filter().is_some(), "files are still chosen by it");
        source.table_parquet_options().global.pushdown_filters
    }

    #[test]
    fn rows_are_asked_where_that_spares_texts() {
        let more = |schema: &Schema| {
            binary(col("n", schema).unwrap(), Operator::Gt, lit(7_i64), schema).unwrap()
        };
        let narrows = |schema: &Schema| {
            let filter = DynamicFilterPhysicalExpr::new(vec![col("n", schema).unwrap()], lit(true));
            Arc::new(filter) as Arc<dyn PhysicalExpr>
        };
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let numbers = [("n", DataType::Int64), ("yes", DataType::Boolean), ("word", dictionary)];
        assert!(!asks(&numbers, more));
        assert!(asks(&numbers, narrows), "what is found lets it skip rows");
        assert!(asks(&[("n", DataType::Int64), ("text", DataType::Utf8)], more));
        let lists = |of| DataType::List(Arc::new(Field::new_list_field(of, true)));
        assert!(!asks(&[("n", DataType::Int64), ("list", lists(DataType::Int64))], more));
        assert!(asks(&[("n", DataType::Int64), ("list", lists(DataType::Utf8))], more));
        let names = ["n", "b", "c", "d", "e", "f", "g", "h", "i"];
        assert!(asks(&names.map(|name| (name, DataType::Int64)), more), "many columns");
    }
}
