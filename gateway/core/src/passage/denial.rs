//! Why commands do not pass, as the record says it and as the agent is told.

use crate::pg::write;
use crate::sql::SyntaxError;

/// Why a span may not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// Policy says no.
    Policy(Vec<String>),
    /// It is no SQL, as far as the parser can tell.
    Syntax(SyntaxError),
    /// The protocol or a bound of the gateway says no.
    Gateway {
        /// What the agent is told, as SQLSTATE.
        sqlstate: &'static str,
        /// Why.
        reason: String,
    },
}

impl Denial {
    /// Why, as it goes on record.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Policy(reasons) => reasons.clone(),
            Self::Syntax(error) => {
                vec![format!("the statement cannot be parsed: {}", error.message)]
            }
            Self::Gateway { reason, .. } => vec![reason.clone()],
        }
    }

    /// What the agent gets.
    #[must_use]
    pub fn reply(&self) -> write::ErrorReply {
        match self {
            Self::Policy(reasons) => {
                let why = match reasons.as_slice() {
                    [] => "nothing permits it".to_owned(),
                    reasons => reasons.join("; "),
                };
                write::ErrorReply::error("42501", format!("tallyport: denied by policy: {why}"))
                    .hint("Ask for what your policy permits, or ask its owner to permit this. The refusal is on record.")
            }
            Self::Syntax(error) => write::ErrorReply {
                position: error.position,
                ..write::ErrorReply::error("42601", error.message.clone())
                    .hint("Tallyport forwards only statements that it can parse.")
            },
            Self::Gateway { sqlstate, reason } => {
                write::ErrorReply::error(sqlstate, format!("tallyport: {reason}"))
            }
        }
    }
}
