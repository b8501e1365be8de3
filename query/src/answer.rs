//! A question runs: on record before its first row, bounded while it runs, on record before its end is told.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array as _, ArrayRef};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::config::Limits;
use crate::engine::{Engine, Planned};
use crate::error::QueryError;
use crate::panics::{caught, of_task};
use crate::turns::Held;

/// Batches that wait for a slow reader; the query waits beyond it.
const WAITING_BATCHES: usize = 2;

/// The rows of a running question, in order. Dropping it ends the question, which is put on record.
pub(crate) struct Answer {
    /// The columns.
    pub(crate) schema: SchemaRef,
    /// The lake's version it is answered from.
    pub(crate) snapshot_version: Option<u64>,
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
    _running: DropGuard,
}

enum Piece {
    /// Its start is on record. Comes first, where it comes at all.
    Begun,
    Rows(RecordBatch),
    /// All rows were given, and that is on record.
    End,
    Error(QueryError),
}

impl Answer {
    /// The next rows; nothing at the end. An answer that breaks off gives an error, never a silent end.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch, QueryError>> {
        if self.ended {
            return None;
        }
        match self.pieces.recv().await {
            Some(Piece::Rows(batch)) => Some(Ok(batch)),
            Some(Piece::End) => {
                self.ended = true;
                None
            }
            Some(Piece::Error(error)) => {
                self.ended = true;
                Some(Err(error))
            }
            Some(Piece::Begun) | None => {
                self.ended = true;
                Some(Err(QueryError::Internal))
            }
        }
    }

    /// The same as a stream.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<RecordBatch, QueryError>> + Send {
        futures::stream::unfold(self, |mut answer| async move {
            let next = answer.next().await?;
            Some((next, answer))
        })
    }
}

impl Engine {
    /// Runs what was planned. When this returns, its start is on record; what it refuses is on record too. `cancel`
    /// tells that the reader wants its end, `left` that nobody is there any more.
    pub(crate) async fn run(
        &self,
        planned: Planned,
        cancel: CancellationToken,
        left: &CancellationToken,
    ) -> Result<Answer, QueryError> {
        let turn = tokio::select! {
            biased;
            () = left.cancelled() => Err(QueryError::ReaderLeft),
            () = cancel.cancelled() => Err(QueryError::Cancelled),
            turn = self.turns.next(&planned.reader) => turn,
        };
        let turn = match turn {
            Ok(turn) => turn,
            Err(error) => return Err(planned.question.ended(error).await),
        };
        let schema = Arc::clone(planned.plan.schema().inner());
        let snapshot_version = planned.snapshot_version;
        let (pieces, mut receiver) = mpsc::channel(WAITING_BATCHES);
        let gone = left.child_token();
        // From here on a reader that leaves ends the question, and that is put on record.
        let guard = gone.clone().drop_guard();
        let running = Running {
            limits: self.limits,
            pieces,
            cancel,
            gone,
            stop: self.stop.clone(),
            rows: 0,
            bytes: 0,
        };
        let span = planned.question.span().in_scope(|| tracing::debug_span!("execute"));
        let (rows, made) = mpsc::channel(1);
        let making =
            make(planned.state.clone(), planned.plan.clone(), rows, Held::new(turn, self.joins));
        let making = self.making.spawn(making.instrument(span.clone()));
        let making = making.map(AbortOnDropHandle::new).map_err(|_| QueryError::Stopping);
        let made = making.map(|making| Made { rows: made, making });
        self.tasks.spawn(running.run(planned, made).instrument(span));
        match receiver.recv().await {
            Some(Piece::Begun) => {}
            Some(Piece::Error(error)) => return Err(error),
            Some(Piece::Rows(_) | Piece::End) | None => return Err(QueryError::Internal),
        }
        Ok(Answer { schema, snapshot_version, pieces: receiver, ended: false, _running: guard })
    }
}

/// Makes the rows, until nobody takes them. The turn is held for as long as it takes a thread, whatever became of the question.
async fn make(
    mut state: SessionState,
    plan: LogicalPlan,
    rows: mpsc::Sender<RecordBatch>,
    held: Held,
) -> Result<(), QueryError> {
    state.config_mut().set_extension(Arc::new(held));
    caught(async move {
        let plan = state.create_physical_plan(&plan).await?;
        let mut batches = execute_stream(plan, state.task_ctx())?;
        while let Some(batch) = batches.next().await {
            if rows.send(batch?).await.is_err() {
                break;
            }
        }
        Ok::<_, DataFusionError>(())
    })
    .await
}

/// Rows that are made elsewhere. Dropping it ends that.
struct Made {
    rows: mpsc::Receiver<RecordBatch>,
    making: AbortOnDropHandle<Result<(), QueryError>>,
}

impl Made {
    /// The next rows; nothing at the end.
    async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        if let Some(batch) = self.rows.recv().await {
            return Ok(Some(batch));
        }
        (&mut self.making).await.map_err(|error| of_task(&error))??;
        Ok(None)
    }
}

struct Running {
    limits: Limits,
    pieces: mpsc::Sender<Piece>,
    /// The reader asked for its end.
    cancel: CancellationToken,
    /// The reader left.
    gone: CancellationToken,
    /// The service stops.
    stop: CancellationToken,
    rows: u64,
    bytes: u64,
}

impl Running {
    async fn run(mut self, planned: Planned, made: Result<Made, QueryError>) {
        let began = Instant::now();
        let question = planned.question.clone();
        let left = planned.reader.time_left().unwrap_or(Duration::ZERO);
        let by_token = left < self.limits.max_duration;
        let deadline = began + left.min(self.limits.max_duration);
        let (cancel, gone, stop) = (self.cancel.clone(), self.gone.clone(), self.stop.clone());
        let outcome = tokio::select! {
            biased;
            () = gone.cancelled() => Err(QueryError::ReaderLeft),
            () = cancel.cancelled() => Err(QueryError::Cancelled),
            () = stop.cancelled() => Err(QueryError::Stopping),
            done = timeout_at(deadline, caught(self.pump(planned, made))) => match done {
                Ok(done) => done,
                Err(_) if by_token => Err(QueryError::TokenExpired),
                Err(_) => Err(QueryError::TimedOut { after: self.limits.max_duration }),
            },
        };
        let last = match outcome {
            Ok(()) => match question.completed(self.rows, began.elapsed()).await {
                Ok(()) => Piece::End,
                Err(error) => Piece::Error(error),
            },
            Err(error) => Piece::Error(question.ended(error).await),
        };
        let _told = timeout(self.limits.max_duration, self.pieces.send(last)).await;
    }

    /// Gives the rows to the reader as fast as it takes them.
    ///
    /// The first rows are found while its start goes on record, and wait for that: an append to a broker takes as long as
    /// a look-up.
    async fn pump(
        &mut self,
        planned: Planned,
        made: Result<Made, QueryError>,
    ) -> Result<(), QueryError> {
        let mut made = made?;
        let begin = async {
            planned.question.started().await?;
            self.pieces.send(Piece::Begun).await.map_err(|_| QueryError::ReaderLeft)
        };
        let ((), mut next) = tokio::try_join!(begin, made.next())?;
        let max_rows = planned.permit.row_limit.map(|limit| (limit, "row_limit of the policy"));
        let own = (self.limits.max_rows, "max_rows");
        let (max_rows, limit) = max_rows.into_iter().chain([own]).min().unwrap_or(own);
        while let Some(batch) = next {
            if batch.num_rows() == 0 {
                next = made.next().await?;
                continue;
            }
            let rows = self.rows.saturating_add(batch.num_rows() as u64);
            if rows > max_rows {
                return Err(QueryError::TooLarge { max: max_rows, unit: "rows", limit });
            }
            self.bytes = self.bytes.saturating_add(bytes_of(&batch));
            let max = self.limits.max_answer_bytes;
            if self.bytes > max {
                return Err(QueryError::TooLarge { max, unit: "bytes", limit: "max_answer_bytes" });
            }
            self.pieces.send(Piece::Rows(batch)).await.map_err(|_| QueryError::ReaderLeft)?;
            self.rows = rows;
            next = made.next().await?;
        }
        Ok(())
    }
}

/// What a batch holds. A batch may be a slice of a larger one, so its buffers' sizes say too much.
fn bytes_of(batch: &RecordBatch) -> u64 {
    let column = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default();
    batch.columns().iter().map(column).fold(0, |sum, bytes| sum.saturating_add(bytes as u64))
}
