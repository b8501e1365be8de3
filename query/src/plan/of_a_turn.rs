//! A join holds the turn of its question for as long as it holds a thread, and no more threads at once than the question's share.
//!
//! Nothing can end a join that gives no row: whoever began it is gone long before. Its turn must not be somebody's again before it lets
//! go, and all of a question's joins together leave threads to the others.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties, RecordBatchStream,
    SendableRecordBatchStream,
};
use futures::{Stream, StreamExt as _};
use tokio_util::sync::PollSemaphore;

use crate::turns::Held;

thread_local! {
    /// Whether this thread is inside of a join that has a place: those below it need none.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A join under the turn that the session's configuration has, if any.
#[derive(Debug)]
pub(super) struct OfATurn {
    join: Arc<dyn ExecutionPlan>,
}

impl OfATurn {
    pub(super) fn new(join: Arc<dyn ExecutionPlan>) -> Self {
        Self { join }
    }
}

impl DisplayAs for OfATurn {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfATurn")
    }
}

impl ExecutionPlan for OfATurn {
    fn name(&self) -> &str {
        "OfATurn"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.join.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.join]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let [join] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a join is one child".to_owned()))?;
        Ok(Arc::new(Self::new(join)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let held = context.session_config().get_extension::<Held>();
        let rows = self.join.execute(partition, context)?;
        Ok(match held {
            Some(held) => Box::pin(Rows { rows, places: held.joins(), _held: held }),
            None => rows,
        })
    }
}

struct Rows {
    rows: SendableRecordBatchStream,
    places: PollSemaphore,
    _held: Arc<Held>,
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if INSIDE.get() {
            return this.rows.poll_next_unpin(cx);
        }
        let _place = ready!(this.places.poll_acquire(cx));
        let _inside = Inside::enter();
        this.rows.poll_next_unpin(cx)
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

struct Inside;

impl Inside {
    fn enter() -> Self {
        INSIDE.set(true);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::prelude::SessionContext;
    use futures::poll;

    use super::*;

    fn rows(held: Arc<Held>) -> SendableRecordBatchStream {
        let context = SessionContext::new();
        let mut state = context.state();
        state.config_mut().set_extension(held);
        let join =
            OfATurn::new(Arc::new(EmptyExec::new(Arc::new(arrow::datatypes::Schema::empty()))));
        join.execute(0, state.task_ctx()).expect("it runs")
    }

    #[tokio::test]
    async fn the_turn_is_held_until_the_join_lets_go() {
        let held = Arc::new(Held::alone(1));
        let turn = Arc::downgrade(&held);
        let rows = rows(held);
        assert_eq!(turn.strong_count(), 1, "whoever began it is gone");
        drop(rows);
        assert_eq!(turn.strong_count(), 0);
    }

    #[tokio::test]
    async fn no_more_joins_run_at_once_than_have_a_place() {
        let held = Arc::new(Held::alone(1));
        let mut rows = rows(Arc::clone(&held));
        let mut places = held.joins();
        let place = std::future::poll_fn(|cx| places.poll_acquire(cx)).await;
        assert!(poll!(rows.next()).is_pending());
        drop(place);
        assert!(rows.next().await.is_none());
        assert!(!INSIDE.get());
    }
}
