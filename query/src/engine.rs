//! From a question to its plan: pins what it sees, plans, asks policy, and hands over what may run.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::timezone::Tz;
use arrow::datatypes::DataType;
use datafusion::common::{ParamValues, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{FunctionRegistry as _, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::setup_pg_catalog;
use tallyport_schemas::Face;
use tokio::task::block_in_place;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::catalog::{self, CATALOG, PUBLIC};
use crate::config::Limits;
use crate::described::Described;
use crate::error::{QueryError, StartError};
use crate::functions::{self, Account};
use crate::instead::OurOwnWay;
use crate::lake::{Lake, Snapshot};
use crate::panics::caught;
use crate::plan;
use crate::reader::{Gate, Permit, Reader};
use crate::record::Question;
use crate::runtime::QueryRuntime;
use crate::size;
use crate::state::{LastLook, QueryState};
use crate::statement::{Statements, must_be_a_question};
use crate::table::{Pinned, RAW};
use crate::tail::{PinnedTail, Tail, TailError};
use crate::turns::Turns;

/// How long a snapshot counts as the newest without looking again.
pub(crate) const SNAPSHOT_MAX_AGE: Duration = Duration::from_millis(200);
/// Tries to find a snapshot and a tail that meet, while recorder and log move on.
const PIN_TRIES: usize = 3;
/// What is kept of the lake's footers and indexes, in bytes.
pub(crate) const METADATA_CACHE_BYTES: usize = 512 * 1024 * 1024;
/// What the first read of a file fetches of its end, in bytes: one round trip for footer and indexes.
const METADATA_SIZE_HINT: usize = 2 * 1024 * 1024;
/// With more groups than this of the first hundred thousand rows, rows are not gathered before they are dealt out by their
/// groups: for two rows of a group (a session's) that takes longer than it spares.
const FEW_ROWS_A_GROUP: f64 = 0.4;
/// Consumers that the log names when memory runs out.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// Everything that queries share.
pub(crate) struct Engine {
    pub(crate) gate: Gate,
    pub(crate) limits: Limits,
    pub(crate) turns: Turns,
    /// Where rows are made.
    pub(crate) making: QueryRuntime,
    /// How many joins of one question run at once.
    pub(crate) joins: usize,
    /// Apart from the turns to run: whoever waits for rows keeps nobody from describing a statement.
    planning: Turns,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    statements: Statements,
    base: SessionState,
    described: Described,
    lake: Arc<Lake>,
    tail: Arc<Tail>,
    partitions: u32,
    last_look: LastLook,
}

/// A question that may run: pinned, planned and permitted; nothing of it has run.
pub(crate) struct Planned {
    pub(crate) state: SessionState,
    pub(crate) plan: LogicalPlan,
    pub(crate) question: Question,
    pub(crate) reader: Reader,
    pub(crate) permit: Permit,
    pub(crate) snapshot_version: Option<u64>,
}

impl Engine {
    /// `tail` follows the log of `lake`; tasks of queries go to `tasks` and end with `stop`.
    pub(crate) async fn new(
        gate: Gate,
        limits: Limits,
        base: SessionState,
        sources: (Arc<Lake>, Arc<Tail>, u32),
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let (lake, tail, partitions) = sources;
        let empty =
            Arc::new(Pinned { snapshot: Arc::new(Snapshot::NONE), tail: PinnedTail::default() });
        let shape = catalog::shape(&base, empty).await?;
        let described = Described::new(&base, shape).await?;
        let (making, joins) =
            QueryRuntime::making(limits.max_concurrent).map_err(StartError::Threads)?;
        Ok(Self {
            gate,
            limits,
            turns: Turns::new(limits),
            making,
            joins,
            planning: Turns::new(limits),
            tasks,
            stop,
            statements: Statements::new(limits.max_sql_bytes),
            base,
            described,
            lake,
            tail,
            partitions,
            last_look: LastLook::default(),
        })
    }

    /// The texts it takes.
    pub(crate) const fn statements(&self) -> &Statements {
        &self.statements
    }

    /// A question of `reader` that is not on record yet.
    pub(crate) fn question(&self, reader: &Reader, face: Face, sql: &str) -> Question {
        let kept = sql.get(..self.limits.max_sql_bytes).unwrap_or(sql);
        let appender = self.gate.appender().clone();
        Question::new(reader.context().clone(), appender, face, kept)
    }

    /// Pins, plans and asks policy. What fails here is on record when this returns.
    pub(crate) async fn plan(
        &self,
        reader: &Reader,
        mut question: Question,
        statement: Statement,
        parameters: Option<ParamValues>,
    ) -> Result<Planned, QueryError> {
        let max = self.limits.max_duration;
        let span = question.span().in_scope(|| tracing::debug_span!("plan"));
        let planning = async {
            let _turn = self.planning.next(reader).await?;
            caught(self.try_plan(reader, &mut question, statement, parameters)).await
        };
        let planned = timeout(max, planning.instrument(span)).await;
        match planned.unwrap_or(Err(QueryError::TimedOut { after: max })) {
            Ok((state, plan, permit, snapshot_version)) => Ok(Planned {
                state,
                plan,
                question,
                reader: reader.clone(),
                permit,
                snapshot_version,
            }),
            Err(error) => Err(question.ended(error).await),
        }
    }

    async fn try_plan(
        &self,
        reader: &Reader,
        question: &mut Question,
        statement: Statement,
        parameters: Option<ParamValues>,
    ) -> Result<(SessionState, LogicalPlan, Permit, Option<u64>), QueryError> {
        if self.stop.is_cancelled() {
            return Err(QueryError::Stopping);
        }
        reader.time_left().ok_or(QueryError::TokenExpired)?;
        let pinned = self.pin().await?;
        let version = pinned.snapshot.version;
        question.reads(Vec::new(), version);
        let (mut state, mut plan) = self.logical(reader, pinned, statement).await?;
        if let Some(parameters) = parameters {
            plan = plan.replace_params_with_values(&parameters)?;
        }
        let reads = catalog::reads(&plan)?;
        question.reads(reads.relations.into_iter().collect(), version);
        let mut permit = self.gate.permit(reader, &reads.views)?;
        if let Some(function) = reads.made.filter(|_| !self.gate.may_ask_something(reader)) {
            return Err(QueryError::DeniedToMakeRows { function });
        }
        // Constants are computed in it, and nothing else gets a turn on this thread meanwhile.
        let plan = block_in_place(|| state.optimize(&plan))?;
        let config = state.config().clone().with_batch_size(size::rows_at_once(&plan)?);
        *state.config_mut() = config;
        // Only now is it known whether the exact bytes are read or merely could be.
        let mut relations = catalog::reads(&plan)?.relations;
        if relations.contains(catalog::EXACT_BYTES) {
            permit = self.gate.permit_raw(reader, permit)?;
        }
        relations.extend(reads.views.iter().map(|view| (*view).to_owned()));
        question.reads(relations.into_iter().collect(), version);
        Ok((state, plan, permit, version))
    }

    /// The plan over what `reader` may name at all. Nothing of it has run and nothing has been permitted.
    pub(crate) async fn describe(
        &self,
        reader: &Reader,
        statement: Statement,
    ) -> Result<LogicalPlan, QueryError> {
        let _turn = self.planning.next(reader).await?;
        let pinned = Pinned { snapshot: Arc::new(Snapshot::NONE), tail: PinnedTail::default() };
        Ok(caught(self.logical(reader, Arc::new(pinned), statement)).await?.1)
    }

    async fn logical(
        &self,
        reader: &Reader,
        pinned: Arc<Pinned>,
        statement: Statement,
    ) -> Result<(SessionState, LogicalPlan), QueryError> {
        must_be_a_question(&statement)?;
        size::must_name_few(&statement)?;
        let raw = self.gate.may_see_raw(reader);
        let mut state = catalog::state_for(&self.base, &self.described, raw, pinned)?;
        // `now()` is when this question is asked; the state that it comes from is as old as the service.
        state.mark_start_execution();
        let _stand_in = state.register_udf(functions::session_user(reader.name()))?;
        let statement = DfStatement::Statement(Box::new(statement));
        let plan = match state.statement_to_plan(statement).await {
            Err(error) if !raw && names_raw(&error) => {
                let view = crate::views::EVENTS.to_owned();
                let action = tallyport_access::policy::Action::AuditRaw.as_str();
                return Err(QueryError::Denied { view, action });
            }
            plan => plan?,
        };
        size::must_be_small(&plan)?;
        zones_must_be_known(&plan)?;
        let only_questions = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        only_questions
            .verify_plan(&plan)
            .map_err(|error| QueryError::ReadOnly { what: error.strip_backtrace() })?;
        Ok((state, plan))
    }

    /// A snapshot of the lake and the tail that it lacks, without a hole and without an overlap.
    async fn pin(&self) -> Result<Arc<Pinned>, QueryError> {
        let mut max_age = SNAPSHOT_MAX_AGE;
        let mut hole = QueryError::Internal;
        for _ in 0..PIN_TRIES {
            let snapshot = self.lake.newest(self.partitions, max_age).await?;
            match self.tail.pin(&snapshot).await {
                Ok(tail) => return Ok(Arc::new(Pinned { snapshot, tail })),
                Err(TailError::Query(error)) => return Err(error),
                // The recorder may have gone on and let go of what is in the lake by now: look again.
                Err(TailError::Moved { partition, wanted, earliest }) => {
                    max_age = Duration::ZERO;
                    hole = QueryError::Integrity {
                        reason: format!(
                            "the lake has partition {partition} up to offset {wanted}, but the log keeps it only from {earliest} on: what lies between is in neither"
                        ),
                    };
                }
            }
        }
        tracing::error!(error = %hole, "integrity violation");
        Err(hole)
    }

    /// Looks for a newer snapshot and lets go of the tail that it has.
    pub(crate) async fn refresh(&self) {
        let looked = self.lake.newest(self.partitions, SNAPSHOT_MAX_AGE).await;
        self.last_look.note(looked.as_ref().map(|snapshot| snapshot.version));
        match looked {
            Ok(snapshot) => self.tail.trim(&snapshot),
            Err(error) => tracing::debug!(%error, "the lake could not be looked at"),
        }
        self.tail.show();
    }

    /// Whether it can answer.
    pub(crate) fn state(&self) -> QueryState {
        self.last_look.state(self.tail.is_following(), self.tail.events())
    }
}

/// The engine takes any text for a time zone, and answers cannot tell times of one that there is not.
fn zones_must_be_known(plan: &LogicalPlan) -> Result<(), QueryError> {
    for field in plan.schema().fields() {
        if let DataType::Timestamp(_, Some(zone)) = field.data_type()
            && zone.parse::<Tz>().is_err()
        {
            let message = format!(
                "`{zone}` is no time zone; write one as `Europe/Berlin`, `UTC` or `+02:00`"
            );
            return Err(QueryError::Invalid { message, sqlstate: "22023" });
        }
    }
    Ok(())
}

/// Whether the column with the exact bytes was named, which a reader without the permission does not have.
fn names_raw(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(schema, _) => {
            matches!(schema.as_ref(), SchemaError::FieldNotFound { field, .. } if field.name == RAW)
        }
        DataFusionError::Diagnostic(_, inner) => names_raw(inner),
        DataFusionError::Collection(errors) => errors.iter().any(names_raw),
        _ => false,
    }
}

/// The session that every query starts from.
pub(crate) fn base_session(limits: &Limits) -> Result<SessionState, StartError> {
    // Nothing is written to disk, so a fair share of what could be would only be refused early.
    let pool: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(
        GreedyMemoryPool::new(limits.max_memory_bytes),
        NAMED_CONSUMERS,
    ));
    let account = Account::new(&pool);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .with_metadata_cache_limit(METADATA_CACHE_BYTES)
        .build_arc()?;
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, PUBLIC)
        .with_create_default_catalog_and_schema(true)
        .with_information_schema(false);
    let options = config.options_mut();
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    options.execution.parquet.metadata_size_hint = Some(METADATA_SIZE_HINT);
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.skip_partial_aggregation_probe_ratio_threshold = FEW_ROWS_A_GROUP;
    options.execution.enable_recursive_ctes = false;
    options.execution.time_zone = Some("UTC".to_owned());
    let context = SessionContext::new_with_config_rt(config, runtime);
    setup_pg_catalog(&context, CATALOG, EmptyContextProvider).map_err(|error| *error)?;
    let state = context.state();
    let rules = plan::rules(state.physical_optimizers());
    let mut state =
        SessionStateBuilder::new_from_existing(state).with_physical_optimizer_rules(rules).build();
    state.add_analyzer_rule(Arc::new(OurOwnWay::new(account)));
    functions::restrict(&mut state)?;
    Ok(state)
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planned")
            .field("plan", &self.plan.display().to_string())
            .field("snapshot_version", &self.snapshot_version)
            .finish_non_exhaustive()
    }
}
