//! The node on either side of an aggregation: below it texts become numbers, above it numbers become texts again.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties as _, Partitioning,
    PlanProperties,
};
use futures::StreamExt as _;
use parking_lot::Mutex;

use super::texts::{Texts, internal};

/// The texts of some columns, as one partition has seen them.
#[derive(Debug)]
struct Seen {
    texts: Vec<Texts>,
    /// They are there until the last group has its text, long after the last row was seen.
    memory: MemoryReservation,
}

/// What the two nodes share: for each partition the texts that it is computed with.
#[derive(Debug)]
pub(super) struct Shared {
    started: Mutex<()>,
    partitions: Vec<Mutex<Option<Arc<Mutex<Seen>>>>>,
}

impl Shared {
    pub(super) fn new(partitions: usize) -> Arc<Self> {
        let partitions = std::iter::repeat_with(|| Mutex::new(None)).take(partitions).collect();
        Arc::new(Self { started: Mutex::new(()), partitions })
    }

    fn partition(&self, partition: usize) -> Result<&Mutex<Option<Arc<Mutex<Seen>>>>> {
        self.partitions.get(partition).ok_or_else(|| internal("a partition is not there"))
    }
}

/// What becomes of the columns.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    Numbers,
    Texts,
}

/// Makes numbers of the texts of some columns, or texts of the numbers again.
#[derive(Debug)]
pub(super) struct Renumber {
    to: To,
    input: Arc<dyn ExecutionPlan>,
    /// Where they are, in the order of the texts.
    columns: Arc<[usize]>,
    shared: Arc<Shared>,
    properties: Arc<PlanProperties>,
}

impl Renumber {
    pub(super) fn new(
        to: To,
        input: Arc<dyn ExecutionPlan>,
        columns: Arc<[usize]>,
        shared: Arc<Shared>,
    ) -> Self {
        let of = match to {
            To::Numbers => DataType::Int32,
            To::Texts => DataType::Utf8,
        };
        let properties = properties(&input, &columns, &of);
        Self { to, input, columns, shared, properties }
    }

    /// Begins with no text.
    fn begin(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<(SendableRecordBatchStream, Arc<Mutex<Seen>>)> {
        let memory = MemoryConsumer::new(format!("{}[{partition}]", self.name()));
        let memory = memory.register(context.memory_pool());
        let texts = self.columns.iter().map(|_| Texts::default()).collect();
        let seen = Arc::new(Mutex::new(Seen { texts, memory }));
        let rows = self.input.execute(partition, context)?;
        *self.shared.partition(partition)?.lock() = Some(Arc::clone(&seen));
        Ok((rows, seen))
    }

    /// The aggregation begins below while nobody else can, so that the texts are those of its own rows.
    fn follow(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<(SendableRecordBatchStream, Arc<Mutex<Seen>>)> {
        let _started = self.shared.started.lock();
        let groups = self.input.execute(partition, context)?;
        let seen = self.shared.partition(partition)?.lock().take();
        Ok((groups, seen.ok_or_else(|| internal("nothing was numbered"))?))
    }
}

/// As those of `input`, but that `columns` are another type and that nothing is known of any order.
fn properties(
    input: &Arc<dyn ExecutionPlan>,
    columns: &[usize],
    of: &DataType,
) -> Arc<PlanProperties> {
    let before = input.schema();
    let fields = before.fields().iter().enumerate().map(|(index, field)| {
        if columns.contains(&index) {
            Arc::new(Field::clone(field).with_data_type(of.clone()))
        } else {
            Arc::clone(field)
        }
    });
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), before.metadata().clone());
    let partitions = input.output_partitioning().partition_count();
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::new(schema)),
        Partitioning::UnknownPartitioning(partitions),
        input.pipeline_behavior(),
        input.boundedness(),
    ))
}

impl Seen {
    /// The columns of `batch`, those at `places` as `to` has them.
    fn renumbered(
        &mut self,
        to: To,
        batch: &RecordBatch,
        places: &[usize],
    ) -> Result<Vec<ArrayRef>> {
        let mut arrays = batch.columns().to_vec();
        for (texts, place) in self.texts.iter_mut().zip(places) {
            let array = arrays.get_mut(*place).ok_or_else(|| internal("a column is not there"))?;
            *array = match to {
                To::Numbers => Arc::new(texts.numbers(array)?),
                To::Texts => texts.texts(array)?,
            };
        }
        self.memory.try_resize(self.texts.iter().map(Texts::bytes).sum())?;
        Ok(arrays)
    }
}

impl ExecutionPlan for Renumber {
    fn name(&self) -> &str {
        match self.to {
            To::Numbers => "TextsToNumbers",
            To::Texts => "NumbersToTexts",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|_| internal("a node has another number of inputs"))?;
        let (columns, shared) = (Arc::clone(&self.columns), Arc::clone(&self.shared));
        Ok(Arc::new(Self::new(self.to, input, columns, shared)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let to = self.to;
        let (rows, seen) = match to {
            To::Numbers => self.begin(partition, context)?,
            To::Texts => self.follow(partition, context)?,
        };
        let (columns, schema) = (Arc::clone(&self.columns), self.schema());
        let renumbered = rows.map(move |batch| {
            let arrays = seen.lock().renumbered(to, &batch?, &columns)?;
            Ok(RecordBatch::try_new(Arc::clone(&schema), arrays)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), renumbered)))
    }
}

impl DisplayAs for Renumber {
    fn fmt_as(&self, _t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.schema();
        let names = self.columns.iter().filter_map(|column| schema.fields().get(*column));
        let names: Vec<&str> = names.map(|field| field.name().as_str()).collect();
        write!(f, "{}: columns=[{}]", self.name(), names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray as _, DictionaryArray, StringArray};
    use arrow::datatypes::Int32Type;
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::error::DataFusionError;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use datafusion::physical_plan::collect;

    use super::*;

    /// Both nodes, with nothing between them, over two partitions of these texts.
    fn there_and_back(parts: [Vec<String>; 2]) -> Arc<dyn ExecutionPlan> {
        let batch = |texts: Vec<String>| {
            let column: DictionaryArray<Int32Type> = texts.iter().map(String::as_str).collect();
            let column: ArrayRef = Arc::new(column);
            vec![RecordBatch::try_from_iter([("text", column)]).unwrap()]
        };
        let parts = parts.map(batch);
        let schema = parts[0][0].schema();
        let rows = MemorySourceConfig::try_new_exec(&parts, schema, None).unwrap();
        let (columns, shared) = (Arc::<[usize]>::from([0]), Shared::new(2));
        let below = Renumber::new(To::Numbers, rows, Arc::clone(&columns), Arc::clone(&shared));
        Arc::new(Renumber::new(To::Texts, Arc::new(below), columns, shared))
    }

    fn texts(of: &str, count: usize) -> Vec<String> {
        (0..count).map(|text| format!("{of}-{text}")).collect()
    }

    #[tokio::test]
    async fn each_partition_has_its_own_texts_as_often_as_it_is_asked() {
        let wanted = [texts("left", 40), texts("right", 50)];
        let plan = there_and_back(wanted.clone());
        for _ in 0..2 {
            let rows = collect(Arc::clone(&plan), Arc::default()).await.unwrap();
            let found = rows.iter().flat_map(|batch| batch.column(0).as_string::<i32>());
            let mut found: Vec<String> = found.map(|text| text.unwrap().to_owned()).collect();
            let mut wanted = wanted.concat();
            found.sort();
            wanted.sort();
            assert_eq!(found, wanted);
        }
    }

    #[tokio::test]
    async fn texts_count_as_memory_of_the_question() {
        let pool = Arc::new(GreedyMemoryPool::new(100_000));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        let context = Arc::new(TaskContext::default().with_runtime(runtime));
        let few = there_and_back([texts("a", 100), texts("b", 100)]);
        assert!(collect(few, Arc::clone(&context)).await.is_ok());
        let many = there_and_back([texts("a", 100), texts("b", 10_000)]);
        let error = collect(many, context).await.unwrap_err();
        assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
    }

    #[tokio::test]
    async fn without_numbers_there_are_no_texts() {
        let columns = Arc::<[usize]>::from([0]);
        let column: ArrayRef = Arc::new(StringArray::from(vec!["alice"]));
        let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
        let schema = batch.schema();
        let rows = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap();
        let plan = Arc::new(Renumber::new(To::Texts, rows, columns, Shared::new(1)));
        assert!(collect(plan, Arc::default()).await.is_err());
    }
}
