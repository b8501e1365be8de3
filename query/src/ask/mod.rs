//! The named questions: what auditors ask most, as data. Each is a file of its own beside this one.

mod parameter;

use std::collections::BTreeMap;

use datafusion::common::ParamValues;
use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::Statement;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{QueryError, StartError};
use crate::statement::{Statements, must_be_a_question};
pub use parameter::{Kind, Parameter};

/// The longest text of a question of this build, in bytes.
const MAX_SQL_BYTES: usize = 64 * 1024;

macro_rules! questions {
    ($($name:literal),+ $(,)?) => {
        /// The files, by name, in the order in which they are listed.
        const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("questions/", $name, ".toml")))),+];
    };
}

questions! {
    "who-read-column",
    "principal-activity",
    "session-timeline",
    "denied",
    "statements",
    "tool-calls",
    "requests",
    "slow-statements",
    "target-errors",
    "sessions-on-behalf-of",
    "abnormal-sessions",
    "volume-by-table",
    "masked-columns",
    "first-use",
    "off-hours",
    "top-talkers",
    "failed-authentications",
    "token-activity",
    "policy-changes",
    "audit-queries",
    "gaps",
}

/// A named question.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NamedQuestion {
    /// Its name, such as `who-read-column`.
    pub name: String,
    /// The question in words.
    pub title: String,
    /// What the answer tells, and what it does not.
    pub tells: String,
    /// What an answer without a row means, where it could be taken for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nothing: Option<String>,
    /// What it is asked with.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// The SELECT; parameters stand in it as `$name`.
    pub sql: String,
    #[serde(skip)]
    statement: Option<Statement>,
}

/// All named questions.
#[derive(Debug)]
pub struct Questions {
    questions: Vec<NamedQuestion>,
}

/// The parameters of one asking, checked.
#[derive(Debug)]
pub(crate) struct Bound {
    shown: Vec<(String, String)>,
    values: BTreeMap<String, ScalarValue>,
}

impl Questions {
    /// The questions of this build.
    ///
    /// # Errors
    /// When one of them is broken, which its tests would have said.
    pub fn load() -> Result<Self, StartError> {
        let parser = Statements::new(MAX_SQL_BYTES);
        let questions = FILES.iter().map(|(name, file)| {
            let broken =
                |problem: String| StartError::Question { name: (*name).to_owned(), problem };
            let mut question: NamedQuestion =
                toml::from_str(file).map_err(|error| broken(error.to_string()))?;
            if question.name != *name {
                return Err(broken(format!("it calls itself `{}`", question.name)));
            }
            let statement =
                parser.parse_one(&question.sql).map_err(|error| broken(error.to_string()))?;
            must_be_a_question(&statement).map_err(|error| broken(error.to_string()))?;
            question.statement = Some(statement);
            Ok(question)
        });
        Ok(Self { questions: questions.collect::<Result<_, _>>()? })
    }

    /// All of them, in the order in which they are listed.
    #[must_use]
    pub fn all(&self) -> &[NamedQuestion] {
        &self.questions
    }

    /// The question of this name.
    pub(crate) fn named(&self, name: &str) -> Result<&NamedQuestion, QueryError> {
        self.questions
            .iter()
            .find(|question| question.name == name)
            .ok_or_else(|| QueryError::UnknownQuestion { name: name.chars().take(64).collect() })
    }
}

impl NamedQuestion {
    /// How it stands on record.
    pub(crate) fn recorded_sql(&self) -> String {
        format!("-- ask {}\n{}", self.name, self.sql.trim())
    }

    /// The SELECT, parsed.
    pub(crate) fn statement(&self) -> Result<Statement, QueryError> {
        self.statement.clone().ok_or(QueryError::Internal)
    }

    /// Checks `given` against the parameters. Values never become part of the text: they are bound to the plan.
    pub(crate) fn bind(
        &self,
        given: &Map<String, Value>,
        now: Timestamp,
    ) -> Result<Bound, QueryError> {
        if let Some(name) =
            given.keys().find(|name| !self.parameters.iter().any(|p| p.name == **name))
        {
            let known: Vec<_> = self.parameters.iter().map(|p| p.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(QueryError::BadParameter {
                name: name.chars().take(64).collect(),
                problem: format!("`{}` has no such parameter; it takes: {known}", self.name),
            });
        }
        let mut bound = Bound { shown: Vec::new(), values: BTreeMap::new() };
        for parameter in &self.parameters {
            let (shown, value) = parameter.value(given.get(&parameter.name), now)?;
            bound.shown.extend(shown.map(|shown| (parameter.name.clone(), shown)));
            bound.values.insert(parameter.name.clone(), value);
        }
        bound.values.insert("now".to_owned(), parameter::timestamp(now));
        Ok(bound)
    }
}

impl Bound {
    /// How they stand on record.
    pub(crate) fn on_record(&self) -> String {
        let shown =
            |(name, value): &(String, String)| format!("{name} = {}", Value::from(value.as_str()));
        self.shown.iter().map(shown).collect::<Vec<_>>().join(", ")
    }

    /// For the plan.
    pub(crate) fn into_values(self) -> ParamValues {
        ParamValues::from(self.values.into_iter().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_loads_and_says_what_it_tells() {
        let questions = Questions::load().unwrap();
        assert!(questions.all().len() >= 12);
        for question in questions.all() {
            assert!(!question.title.is_empty() && question.tells.len() > 40, "{}", question.name);
            for parameter in &question.parameters {
                assert!(!parameter.about.is_empty(), "{}.{}", question.name, parameter.name);
                assert!(
                    question.sql.contains(&format!("${}", parameter.name)),
                    "{} does not use {}",
                    question.name,
                    parameter.name
                );
            }
        }
    }

    #[test]
    fn what_a_question_does_not_take_is_refused() {
        let questions = Questions::load().unwrap();
        let question = questions.named("who-read-column").unwrap();
        let bind = |given: Value| question.bind(given.as_object().unwrap(), Timestamp::now());
        let error = bind(serde_json::json!({})).unwrap_err().to_string();
        assert!(error.contains("`column`"), "{error}");
        let error = bind(serde_json::json!({"column": "a.b.c", "colunm": "x"})).unwrap_err();
        assert!(error.to_string().contains("it takes: column"), "{error}");
        for bad in ["ssn", "customers.", ".ssn", ""] {
            let error = bind(serde_json::json!({ "column": bad })).unwrap_err().to_string();
            assert!(error.contains("schema.table.column"), "{bad}: {error}");
        }
        let error = bind(serde_json::json!({"column": "a.b.c", "since": "soon"})).unwrap_err();
        assert!(error.to_string().contains("7d"), "{error}");
        assert!(questions.named("nonsense").is_err());
    }

    #[test]
    fn a_number_that_means_nothing_is_refused() {
        let questions = Questions::load().unwrap();
        let bind = |question: &str, given: Value| {
            let given = given.as_object().unwrap();
            questions.named(question).unwrap().bind(given, Timestamp::now())
        };
        bind("off-hours", serde_json::json!({"from_hour": 0, "to_hour": 24})).unwrap();
        bind("off-hours", serde_json::json!({"from_hour": "23", "to_hour": 1})).unwrap();
        for bad in [
            r#"{"from_hour": 24}"#,
            r#"{"from_hour": -1}"#,
            r#"{"to_hour": 33}"#,
            r#"{"to_hour": "0"}"#,
        ] {
            let error = bind("off-hours", serde_json::from_str(bad).unwrap()).unwrap_err();
            assert!(error.to_string().contains("hour"), "{bad}: {error}");
        }
        for question in questions.all() {
            for limit in question.parameters.iter().filter(|parameter| parameter.name == "limit") {
                let (none, name) = (Value::from(0), &question.name);
                assert!(limit.value(Some(&none), Timestamp::now()).is_err(), "{name}");
            }
        }
    }

    #[test]
    fn a_value_is_shown_on_record_and_never_in_the_text() {
        let questions = Questions::load().unwrap();
        let question = questions.named("who-read-column").unwrap();
        let hostile = "a.x' OR '1'='1";
        let given = serde_json::json!({"column": hostile});
        let bound = question.bind(given.as_object().unwrap(), Timestamp::now()).unwrap();
        assert!(bound.on_record().contains(hostile));
        assert!(!question.recorded_sql().contains(hostile));
        assert_eq!(bound.values["column"], ScalarValue::Utf8(Some(hostile.to_owned())));
    }
}
