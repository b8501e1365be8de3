//! The audit of the audit: the events of one question.

use std::time::Duration;

use tallyport_eventlog::Appender;
use tallyport_schemas::{Body, CommandId, Draft, Face, Query, QueryPhase, SharedContext};
use tokio::time::Instant;
use tracing::Span;

use crate::error::QueryError;
use crate::meters;

/// One question, as its events tell it. All of them carry the same id.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    context: SharedContext,
    appender: Appender,
    query: Query,
    asked_at: Instant,
    span: Span,
}

impl Question {
    /// A question that was asked; nothing is on record yet.
    pub(crate) fn new(context: SharedContext, appender: Appender, face: Face, sql: &str) -> Self {
        let query = Query {
            query_id: CommandId::new(),
            face,
            phase: QueryPhase::Started,
            sql: sql.to_owned(),
            relations: Vec::new(),
            snapshot_version: None,
        };
        let trace_id = context.trace_id.map(|id| tracing::field::display(id.as_uuid().simple()));
        let span = tracing::info_span!("query", trace_id, face = face.as_str());
        Self { context, appender, query, asked_at: Instant::now(), span }
    }

    /// The span of all that is done for it.
    pub(crate) const fn span(&self) -> &Span {
        &self.span
    }

    /// What it reads and from which version, once that is known.
    pub(crate) fn reads(&mut self, relations: Vec<String>, snapshot_version: Option<u64>) {
        self.query.relations = relations;
        self.query.snapshot_version = snapshot_version;
    }

    /// Adds the parameters it was asked with.
    pub(crate) fn asked_with(&mut self, parameters: &str) {
        if !parameters.is_empty() {
            self.query.sql.push_str("\n-- parameters: ");
            self.query.sql.push_str(&parameters.replace(['\n', '\r'], " "));
        }
    }

    /// It may run: on record before its first row leaves.
    pub(crate) async fn started(&self) -> Result<(), QueryError> {
        self.commit(QueryPhase::Started).await
    }

    /// It ran to its end: on record before the reader learns that it has all.
    pub(crate) async fn completed(&self, rows: u64, after: Duration) -> Result<(), QueryError> {
        let duration_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let recorded = self.commit(QueryPhase::Completed { rows, duration_us }).await;
        meters::asked(self.query.face, self.asked_at.elapsed(), recorded.as_ref().copied());
        recorded
    }

    /// It was not answered, or not to its end. Gives back what the reader is told: that it could not be put on record
    /// where that is so.
    pub(crate) async fn ended(&self, error: QueryError) -> QueryError {
        let phase = match &error {
            QueryError::Denied { .. } | QueryError::DeniedToMakeRows { .. } => {
                QueryPhase::Denied { reason: error.to_string() }
            }
            _ => QueryPhase::Failed { error: error.on_record() },
        };
        let told = match self.commit(phase).await {
            Ok(()) => error,
            Err(unrecorded) => unrecorded,
        };
        meters::asked(self.query.face, self.asked_at.elapsed(), Err(&told));
        told
    }

    async fn commit(&self, phase: QueryPhase) -> Result<(), QueryError> {
        let query = Query { phase, ..self.query.clone() };
        let draft = Draft::new(self.context.clone(), None, Body::Query(query));
        let recorded = self.appender.commit(draft).await;
        let _on_record = recorded.as_ref().map_err(QueryError::from)?;
        Ok(())
    }
}
