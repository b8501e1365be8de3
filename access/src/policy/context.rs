//! What is known when a question is asked.

use std::net::IpAddr;
use std::sync::Arc;

use cedar_policy::{Context, ContextCreationError, RestrictedExpression};
use jiff::Timestamp;
use tallyport_schemas::SessionId;

use super::vocabulary::{Unbuildable, Vocabulary};
use super::{CallArguments, GrantDemand};

/// The facts of one question beyond who, what and on what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AskContext {
    /// The time of the question.
    pub now: Timestamp,
    /// The command is proven to change nothing.
    pub read_only: bool,
    /// The command calls code whose effect cannot be seen.
    pub opaque: bool,
    /// The command limits what it changes by a WHERE clause.
    pub has_where: bool,
    /// Every UPDATE and DELETE of the command names one row by a whole unique key.
    pub by_key: bool,
    /// About how many rows the command changes at most, where that is known.
    pub estimated_rows: Option<u64>,
    /// The columns that the command names, as `schema.table.column`; only where a policy looks at them
    /// ([`super::PolicySet::reads_columns`]).
    pub columns: Vec<String>,
    /// The labels of what it touches; likewise.
    pub labels: Vec<String>,
    /// One text holds more than one statement.
    pub multi_statement: bool,
    /// The peer's address.
    pub source_ip: Option<IpAddr>,
    /// The session.
    pub session_id: Option<SessionId>,
    /// Approvals bound to exactly this command.
    pub approvals: Vec<String>,
    /// The arguments of the call of a tool, where one is asked for.
    pub call: Option<Arc<CallArguments>>,
    /// What is to run in, or to be attached to, a container.
    pub exec: Option<Arc<ExecFacts>>,
    /// What the grant that stands was given under. Policies do not see it: they demand one by `@require_grant`.
    pub grant: Option<Arc<GrantDemand>>,
}

/// What is to run in, or to be attached to, a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ExecFacts {
    /// The container; empty where the cluster chooses.
    pub container: String,
    /// The words of the command; none where nothing is started.
    pub argv: Vec<String>,
    /// It gets input.
    pub stdin: bool,
    /// It gets a terminal.
    pub tty: bool,
}

impl ExecFacts {
    /// The words of the command as one text of which each list of words has its own: a JSON array.
    #[must_use]
    pub fn argv_text(&self) -> String {
        serde_json::Value::from(self.argv.clone()).to_string()
    }

    fn to_cedar(&self) -> Result<RestrictedExpression, Unmade> {
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let record = RestrictedExpression::new_record([
            ("container".to_owned(), text(&self.container)),
            ("program".to_owned(), text(self.argv.first().map_or("", String::as_str))),
            ("argv".to_owned(), text(&self.argv_text())),
            ("stdin".to_owned(), RestrictedExpression::new_bool(self.stdin)),
            ("tty".to_owned(), RestrictedExpression::new_bool(self.tty)),
        ]);
        record.map_err(|error| Unmade::Record(error.to_string()))
    }
}

impl AskContext {
    /// A question at `now` of which nothing else is known: not proven read-only, no address, no session, no approval.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self {
            now,
            read_only: false,
            opaque: false,
            has_where: false,
            by_key: false,
            estimated_rows: None,
            columns: Vec::new(),
            labels: Vec::new(),
            multi_statement: false,
            source_ip: None,
            session_id: None,
            approvals: Vec::new(),
            call: None,
            exec: None,
            grant: None,
        }
    }

    /// The same facts at one fixed time: what a question amounts to where policy does not look at the time.
    #[must_use]
    pub fn timeless(&self) -> Self {
        Self { now: Timestamp::UNIX_EPOCH, ..self.clone() }
    }

    pub(super) fn to_cedar(&self, vocabulary: &Vocabulary) -> Result<Context, Unmade> {
        let now = self.now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
        let texts = |texts: &[String]| {
            let text = |text: &String| RestrictedExpression::new_string(text.clone());
            RestrictedExpression::new_set(texts.iter().map(text))
        };
        let mut pairs = vec![
            ("now".to_owned(), RestrictedExpression::new_datetime(now)),
            ("readOnly".to_owned(), RestrictedExpression::new_bool(self.read_only)),
            ("opaque".to_owned(), RestrictedExpression::new_bool(self.opaque)),
            ("hasWhere".to_owned(), RestrictedExpression::new_bool(self.has_where)),
            ("multiStatement".to_owned(), RestrictedExpression::new_bool(self.multi_statement)),
            ("byKey".to_owned(), RestrictedExpression::new_bool(self.by_key)),
            ("columns".to_owned(), texts(&self.columns)),
            ("labels".to_owned(), texts(&self.labels)),
            ("approvals".to_owned(), texts(&self.approvals)),
        ];
        if let Some(rows) = self.estimated_rows {
            let rows = RestrictedExpression::new_long(i64::try_from(rows).unwrap_or(i64::MAX));
            pairs.push(("estimatedRows".to_owned(), rows));
        }
        if let Some(ip) = self.source_ip {
            // An IPv4 peer of a dual-stack socket must match IPv4 ranges.
            let ip = ip.to_canonical().to_string();
            pairs.push(("sourceIp".to_owned(), RestrictedExpression::new_ip(ip)));
        }
        if let Some(session) = self.session_id {
            let session = RestrictedExpression::new_string(session.to_string());
            pairs.push(("sessionId".to_owned(), session));
        }
        if self.call.is_some() {
            let call = RestrictedExpression::new_entity_uid(vocabulary.arguments_id()?);
            pairs.push(("call".to_owned(), call));
        }
        if let Some(exec) = &self.exec {
            pairs.push(("exec".to_owned(), exec.to_cedar()?));
        }
        Ok(Context::from_pairs(pairs).map_err(Box::new)?)
    }
}

/// A context could not be built; the question is answered with a denial.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unmade {
    #[error(transparent)]
    Context(#[from] Box<ContextCreationError>),
    #[error("a record could not be built: {0}")]
    Record(String),
    #[error(transparent)]
    Entity(#[from] Unbuildable),
}

#[cfg(test)]
mod tests {
    use cedar_policy::Request;

    use super::*;
    use crate::policy::Action;
    use crate::policy::vocabulary::Vocabulary;

    /// No question holds its context against the schema: here all facts are, with every action, and as few as there can be.
    #[test]
    fn every_context_has_the_shape_that_the_schema_says() {
        let vocabulary = Vocabulary::load().unwrap();
        let few = AskContext::at(Timestamp::UNIX_EPOCH);
        let all = AskContext {
            estimated_rows: Some(u64::MAX),
            columns: vec!["a.b.c".to_owned()],
            labels: vec!["pii".to_owned()],
            source_ip: Some("2001:db8::1".parse().unwrap()),
            session_id: Some(tallyport_schemas::SessionId::new()),
            approvals: vec!["dba".to_owned()],
            call: Some(Arc::new(CallArguments::default())),
            exec: Some(Arc::new(ExecFacts::default())),
            ..few.clone()
        };
        let parsed = |text: &str| text.parse::<cedar_policy::EntityUid>().unwrap();
        let mut asked = 0;
        for action in Action::ALL {
            let uid = vocabulary.action(action).unwrap();
            let resources = vocabulary.schema.resources_for_action(&uid).unwrap();
            for resource in resources {
                let resource = parsed(&format!("{resource}::\"x\""));
                let agent = parsed("Tallyport::Agent::\"https://idp#a\"");
                for context in [&few, &all] {
                    let context = context.to_cedar(&vocabulary).unwrap();
                    let request = Request::new(
                        agent.clone(),
                        uid.clone(),
                        resource.clone(),
                        context,
                        Some(&vocabulary.schema),
                    );
                    assert!(request.is_ok(), "{action} {resource}: {request:?}");
                    asked += 1;
                }
            }
        }
        assert!(asked > 2 * Action::ALL.len(), "{asked}");
        // The check sees what does not fit.
        let agent = parsed("Tallyport::Agent::\"https://idp#a\"");
        let table = parsed("Tallyport::Table::\"x\"");
        let select = vocabulary.action(Action::Select).unwrap();
        let empty = cedar_policy::Context::empty();
        assert!(Request::new(agent, select, table, empty, Some(&vocabulary.schema)).is_err());
    }
}
