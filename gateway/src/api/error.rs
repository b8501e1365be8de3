//! What a caller is told when it does not get what it asked for.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use gateway_core::approval::NotCounted;
use gateway_core::verdict::NOT_A_PERSON;

use tallyport_eventlog::CommitError;

use crate::control::{ControlError, Stale};
use crate::front::{answer, refusal_answer};
use crate::tunnel::Refusal;

/// An answer that is not what was asked for.
pub(crate) struct ApiError(Box<Response>);

/// Code and message, for whoever puts a refusal on record.
#[derive(Clone)]
struct Why(String);

impl ApiError {
    fn new(status: StatusCode, code: &str, message: &str) -> Self {
        let mut response = answer(status, code, message).map(Body::from);
        response.extensions_mut().insert(Why(format!("{code}: {message}")));
        Self(Box::new(response))
    }

    /// Why the caller may not do it, or cannot any more; none where the form is wrong or the service is out.
    pub(super) fn refuses(&self) -> Option<&str> {
        let is_refusal = matches!(
            self.0.status(),
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::CONFLICT
        );
        self.0.extensions().get::<Why>().filter(|_| is_refusal).map(|why| why.0.as_str())
    }

    pub(super) fn refusal(refusal: &Refusal, token_was_sent: bool) -> Self {
        Self(Box::new(refusal_answer(refusal, token_was_sent, None).map(Body::from)))
    }

    /// About a signature there is no scheme to name.
    pub(super) fn unvouched(refusal: &Refusal) -> Self {
        let status =
            StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        Self::new(status, refusal.code, &refusal.message)
    }

    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request came by no front")
    }

    pub(crate) fn no_route() -> Self {
        let message = "there is no such route; see /v1/whoami, /v1/approvals, /v1/grants, /v1/revocations, /v1/mcp/servers and /v1/webhooks/NAME/answers";
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn no_method() -> Self {
        let message = "this route takes another method: GET to read, POST to change";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(crate) fn bad_request(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// Also for what there is and the caller may not know of.
    pub(super) fn unknown() -> Self {
        let message = "there is no request with this id, or you may not know of it";
        Self::new(StatusCode::NOT_FOUND, "unknown_approval", message)
    }

    /// `problem` says what was meant, as far as that can be told.
    pub(super) fn nobody(problem: &str) -> Self {
        let message = format!(
            "{problem}; to order it all the same, for actors of other issuers or whoever another gateway lets in, send `\"unknown_issuer\": true` \
             (`--unknown-issuer`)"
        );
        Self::new(StatusCode::NOT_FOUND, "unknown_issuer", &message)
    }

    pub(super) fn unknown_revocation() -> Self {
        let message = "no revocation with this id stands; list them with `tallyport revoke list`";
        Self::new(StatusCode::NOT_FOUND, "unknown_revocation", message)
    }

    /// Also for what there is and the caller may not accept anything of.
    pub(super) fn unknown_server() -> Self {
        let message =
            "there is no MCP server or tool of this name, or you may not see its definitions";
        Self::new(StatusCode::NOT_FOUND, "unknown_server", message)
    }

    /// Also where somebody else was faster.
    pub(super) fn other_definition() -> Self {
        let message = "this is not a change that waits: the tool has another definition by now, or this one is in use; look again \
                       with `tallyport mcp-servers show`, and accept what it shows then";
        Self::new(StatusCode::CONFLICT, "other_definition", message)
    }

    pub(super) fn not_a_person() -> Self {
        Self::new(StatusCode::FORBIDDEN, "not_a_reviewer", NOT_A_PERSON)
    }

    /// Also for a target that there is and the caller may not be let in to, whoever agrees.
    pub(super) fn no_such_target() -> Self {
        let message = "there is no target of this name, or no grant would let you in";
        Self::new(StatusCode::FORBIDDEN, "denied_by_policy", message)
    }

    pub(super) fn denied_by_policy(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "denied_by_policy", why)
    }

    pub(super) fn no_grant_needed() -> Self {
        let message = "you may open sessions to this target without a grant";
        Self::new(StatusCode::CONFLICT, "no_grant_needed", message)
    }

    pub(super) fn not_yours() -> Self {
        let message = "only whoever asked may withdraw it; a reviewer denies it";
        Self::new(StatusCode::FORBIDDEN, "not_yours", message)
    }

    pub(super) fn too_large() -> Self {
        let message = "the body is larger than this route takes";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(super) fn too_many_bodies() -> Self {
        let message = "as much is being read of callers who are not known yet as may be; send it again a little later, fewer at once";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_bodies", message)
    }

    pub(super) fn not_on_record(error: &CommitError) -> Self {
        tracing::error!(%error, "a request was refused: the log does not take its events");
        let message =
            "the audit log is not available; nothing happens without a record, try again later";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", message)
    }

    pub(super) fn other_digest() -> Self {
        let message = "the digest is not that of the request; read the request again and answer what it says now";
        Self::new(StatusCode::CONFLICT, "other_digest", message)
    }

    pub(super) fn not_shown() -> Self {
        let message = "this webhook's messages do not show the statement, so nobody agrees to it by this webhook: it can be denied \
                       here, and approved on the page or with a token";
        Self::new(StatusCode::FORBIDDEN, "no_statements", message)
    }

    pub(super) fn delegated() -> Self {
        let message = "the token acts for somebody else; a review needs a token of your own";
        Self::new(StatusCode::FORBIDDEN, "not_a_reviewer", message)
    }
}

impl From<NotCounted> for ApiError {
    fn from(not_counted: NotCounted) -> Self {
        let (status, code) = match &not_counted {
            NotCounted::Unknown => return Self::unknown(),
            NotCounted::NoRevocation => return Self::unknown_revocation(),
            NotCounted::NotHuman
            | NotCounted::NotAMember(_)
            | NotCounted::Requester
            | NotCounted::Owner
            | NotCounted::ReviewerRevoked => (StatusCode::FORBIDDEN, "not_a_reviewer"),
            NotCounted::OrderedByRevoked => (StatusCode::FORBIDDEN, "revoked"),
            NotCounted::NoDefinition | NotCounted::PinnedAlready => {
                return Self::other_definition();
            }
            NotCounted::Twice => (StatusCode::CONFLICT, "answered_already"),
            NotCounted::TooManyOfYours(_) | NotCounted::Full => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_requests")
            }
            NotCounted::TooManyRevocations => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_revocations")
            }
            _ => (StatusCode::CONFLICT, "over"),
        };
        Self::new(status, code, &not_counted.to_string())
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        tracing::error!(%error, "what a caller asked for is not on record, or not known to count");
        let message = "it is not known whether what you asked for counts: the log does not answer; look again, then ask again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", message)
    }
}

impl From<Stale> for ApiError {
    fn from(stale: Stale) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "control_unavailable", &stale.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        *self.0
    }
}
