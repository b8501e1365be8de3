//! How a client without a token, or with too little of one, learns how to get it (RFC 6750 section 3, RFC 9728 section 5).

use axum::body::Body;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use gateway_core::mcp::RpcError;
use tallyport_schemas::{Decision, Effect};

use super::form::{NotServed, Refused, refused};
use super::guard::Came;
use super::{METADATA, McpState};
use crate::api::{ApiError, NotKnown, recorded};
use crate::front::{Challenge, quotable, refusal_answer};
use crate::service::{Caller, Inner, NotRecorded};

/// Names the rule in a decision, as the id of a policy does.
const RULE: &str = "tallyport:scope";

/// What an operation needs of a token, beside what policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is one for this gateway's tools at all.
    Connect,
    /// It may change data.
    Write,
}

/// What was asked for, as decisions name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation<'a> {
    pub(super) action: &'static str,
    pub(super) resource: &'a str,
    pub(super) need: Need,
}

/// Answers whoever is not known.
pub(super) fn unknown(mcp: &McpState, came: &Came, why: &NotKnown) -> Response {
    match why {
        NotKnown::NoFront => ApiError::internal().into_response(),
        NotKnown::Twice(message) => ApiError::bad_request(message).into_response(),
        NotKnown::Refused { refusal, token_was_sent } => {
            let challenge = mcp.challenge(came, mcp.config.connect.clone());
            refusal_answer(refusal, *token_was_sent, Some(&challenge)).map(Body::from)
        }
    }
}

impl McpState {
    fn challenge(&self, came: &Came, scope: Option<String>) -> Challenge {
        let [_, of_endpoint] = METADATA;
        Challenge { resource_metadata: format!("{}{of_endpoint}", came.base), scope }
    }

    /// All scopes of what needs this, and the one of them that is not implied by another.
    fn scopes(&self, need: Need) -> (Vec<&str>, Option<&str>) {
        let (connect, write) = (self.config.connect.as_deref(), self.config.write.as_deref());
        match need {
            Need::Connect => (connect.into_iter().collect(), connect),
            Need::Write => (connect.into_iter().chain(write).collect(), write.or(connect)),
        }
    }

    fn suffices(&self, caller: &Caller, need: Need) -> bool {
        let has = |scope: Option<&str>| {
            scope.is_some_and(|scope| caller.identity().scopes.contains(scope))
        };
        let (_, asked) = self.scopes(need);
        // A wider scope implies the narrower.
        asked.is_none()
            || has(asked)
            || (need == Need::Connect && has(self.config.write.as_deref()))
    }

    /// Asks for a token of more scopes where this one has too few for the operation; that is a decision, and on record first.
    ///
    /// # Cancel safety
    /// A dropped call may leave the decision on record, and nothing else.
    pub(super) async fn check_scopes(
        &self,
        inner: &Inner,
        came: &Came,
        caller: &Caller,
        operation: Operation<'_>,
    ) -> Result<(), Refused> {
        if self.suffices(caller, operation.need) {
            return Ok(());
        }
        let (scopes, asked) = self.scopes(operation.need);
        let why = format!("{} needs the scope {}", operation.resource, asked.unwrap_or_default());
        let decision = Decision {
            effect: Effect::Deny,
            actions: vec![operation.action.to_owned()],
            resources: vec![operation.resource.to_owned()],
            policy_ids: vec![RULE.to_owned()],
            policy_version: inner.policy.current().version().to_owned(),
            obligations: Vec::new(),
            reasons: vec![why.clone()],
            command_id: None,
        };
        let settled = caller.settle(&inner.appender).await;
        settled.map_err(|error| self.unsettled(came, &error))?;
        let recorded = recorded(inner, caller.context(), decision).await;
        recorded.map_err(|error| Refused::from(error.into_response()))?;
        Err(self.insufficient(came, &scopes, &why))
    }

    /// The check of the caller's token is not on record.
    fn unsettled(&self, came: &Came, error: &NotRecorded) -> Refused {
        unknown(self, came, &NotKnown::off_record(error)).into()
    }

    /// RFC 6750 section 3.1. All scopes at once: a client asks for a new token with these.
    fn insufficient(&self, came: &Came, scopes: &[&str], why: &str) -> Refused {
        let how = self.challenge(came, Some(scopes.join(" "))).parameters();
        let challenge = format!(
            "Bearer realm=\"tallyport\", error=\"insufficient_scope\"{how}, error_description=\"{}\"",
            quotable(why)
        );
        let error = RpcError::invalid_request(format!("get a token with more scopes: {why}"));
        let mut response = refused(StatusCode::FORBIDDEN, &error);
        // The decision is.
        response.extensions_mut().remove::<NotServed>();
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
