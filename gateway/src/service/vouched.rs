//! Reviewers for whom a webhook vouches: the signature is checked, and that is on record before the answer.

use std::net::SocketAddr;

use gateway_core::passage::Note;
use http::HeaderMap;
use jiff::Timestamp;
use tallyport_access::Identity;
use tallyport_schemas::{
    AgentAttributes, AuthMethod, Authentication, Body, Context, Draft, Endpoint, Front, Outcome,
    Principal, SharedContext, TraceId,
};

use super::caller::Caller;
use super::inner::Inner;
use super::open::log_unavailable;
use crate::tunnel::Refusal;
use crate::webhooks::{Answers, Fields, Keys, SignatureError, Webhook};

/// More of what a webhook calls a reviewer does not go on record.
const MAX_REVIEWER_CHARS: usize = 200;

/// An answer as it came in.
pub(crate) struct Vouched<'a> {
    /// The webhook that it names.
    pub webhook: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    pub front: Front,
    pub peer: SocketAddr,
    pub trace_id: TraceId,
}

/// Nobody was vouched for: a stable code, and what to do.
struct Unvouched {
    code: &'static str,
    message: String,
}

/// What is known of an answer, also where that is not enough. It goes on record, and to nobody else: who cannot sign does
/// not learn which webhooks there are.
#[derive(Default)]
struct Known {
    /// The webhook that it names, where there is one.
    webhook: Option<String>,
    /// The id of the answer, which was signed.
    answer_id: Option<String>,
    /// What the webhook calls the reviewer, which was signed.
    reviewer: Option<String>,
    /// Whom it vouches for.
    principal: Option<Principal>,
}

impl Inner {
    /// Checks who signed an answer, and for whom. `reviewer` reads their id out of the body once it is known to be good.
    ///
    /// # Cancel safety
    /// A dropped call may leave the check on record, and nothing else.
    pub(crate) async fn vouched(
        &self,
        vouched: &Vouched<'_>,
        reviewer: impl FnOnce(&[u8]) -> Option<String> + Send,
    ) -> Result<(Caller, &Webhook), Refusal> {
        // Who was revoked is on the control log: without it nobody is known to be welcome.
        self.control.current().await.map_err(|stale| {
            tracing::error!(%stale, "an answer was refused");
            Refusal::new(503, "control_unavailable", stale.to_string())
        })?;
        let mut context = Context {
            client: Some(Endpoint::from(vouched.peer)),
            trace_id: Some(vouched.trace_id),
            ..Context::default()
        };
        let mut known = Known::default();
        let checked = self.check_vouched(vouched, reviewer, &mut known).await;
        context.principal.clone_from(&known.principal);
        if let Err(unvouched) = &checked
            && !self.strangers.may_record_code(
                (vouched.front, AuthMethod::Webhook),
                unvouched.code,
                vouched.peer,
            )
        {
            return Err(unvouched.refusal());
        }
        let context = SharedContext::from(context);
        let event = event(vouched.front, &checked, known);
        let draft = Draft::new(context.clone(), None, Body::Authentication(event));
        let recorded = self.appender.commit(Note::new(vec![draft])).await;
        let _on_record = recorded.map_err(|error| log_unavailable(&error))?;
        match checked {
            Ok((identity, webhook)) => Ok((Caller::new(identity, context, vouched.peer), webhook)),
            Err(unvouched) => Err(unvouched.refusal()),
        }
    }

    async fn check_vouched(
        &self,
        vouched: &Vouched<'_>,
        reviewer: impl FnOnce(&[u8]) -> Option<String> + Send,
        known: &mut Known,
    ) -> Result<(Identity, &Webhook), Unvouched> {
        let webhook = self.webhooks.iter().find(|it| it.name == vouched.webhook);
        known.webhook = webhook.map(|it| it.name.clone());
        let now = Timestamp::now();
        let unsigned = |error: SignatureError| Unvouched::new(error.code(), error.to_string());
        // Before the secret is looked for, which may have a program run.
        let _could_be = Fields::of(vouched.headers, now).map_err(unsigned)?;
        let answering = webhook.and_then(|it| Some((it, it.answers.as_ref()?)));
        let keys = match answering {
            Some((webhook, answers)) => keys(webhook, answers).await?,
            // Which webhooks there are, only who can sign for one learns.
            None => Keys::of_nobody(),
        };
        let signed = keys.verify(vouched.headers, vouched.body, now).map_err(unsigned)?;
        let (webhook, answers) = answering.ok_or_else(|| unsigned(SignatureError::Wrong))?;
        known.answer_id = Some(signed.id.clone());
        let id = reviewer(vouched.body).ok_or_else(|| {
            Unvouched::new(
                "malformed",
                "send JSON with approval_id, answer, reviewer, digest and comment",
            )
        })?;
        let found = answers.reviewers.get(&id);
        known.reviewer = Some(id);
        let reviewer = found.ok_or_else(|| {
            Unvouched::new(
                "unknown_reviewer",
                "the webhook vouches for no such reviewer; add them to its configuration",
            )
        })?;
        known.principal = Some(reviewer.principal.clone());
        let identity = Identity {
            method: AuthMethod::Webhook,
            principal: reviewer.principal.clone(),
            email: reviewer.email.clone(),
            delegation: Vec::new(),
            agent: AgentAttributes::default(),
            scopes: Default::default(),
            expires_at: Timestamp::MAX,
            token_id: Some(signed.id),
            key_id: None,
            binding: None,
        };
        match self.barred(&identity, now) {
            Some(failure) => Err(Unvouched::new(failure.code(), failure.to_string())),
            None => Ok((identity, webhook)),
        }
    }
}

async fn keys(webhook: &Webhook, answers: &Answers) -> Result<Keys, Unvouched> {
    let unavailable = |error: &dyn std::fmt::Display| {
        tracing::error!(webhook = webhook.name, %error, "the secret of its answers cannot be had");
        Unvouched::new("secret_unavailable", "the answer cannot be checked now; try again later")
    };
    let secret = answers.secret.current().await.map_err(|error| unavailable(&error))?;
    Keys::parse(&secret).map_err(|error| unavailable(&error))
}

fn event(
    front: Front,
    checked: &Result<(Identity, &Webhook), Unvouched>,
    known: Known,
) -> Authentication {
    let (identity, unvouched) = match checked {
        Ok((identity, _)) => (Some(identity), None),
        Err(unvouched) => (None, Some(unvouched)),
    };
    Authentication {
        outcome: if identity.is_some() { Outcome::Success } else { Outcome::Failure },
        method: AuthMethod::Webhook,
        front,
        failure: unvouched.map(|it| it.code.to_owned()),
        message: unvouched.map(|it| known.said(&it.message)),
        issuer: identity.map(|it| it.principal.issuer.clone()),
        token_id: known.answer_id,
        key_id: None,
        binding: None,
        expires_at: None,
    }
}

impl Known {
    /// `message`, and what it is about.
    fn said(&self, message: &str) -> String {
        let webhook = self.webhook.iter().map(|name| format!("webhook {name}"));
        let reviewer = self.reviewer.iter().map(|id| {
            let id: String = id.chars().take(MAX_REVIEWER_CHARS).collect();
            format!("reviewer {id:?}")
        });
        let about: Vec<String> = webhook.chain(reviewer).collect();
        if about.is_empty() {
            message.to_owned()
        } else {
            format!("{message} ({})", about.join(", "))
        }
    }
}

impl Unvouched {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn refusal(&self) -> Refusal {
        let status = match self.code {
            "malformed" => 400,
            "unknown_reviewer" | "revoked" => 403,
            "secret_unavailable" => 503,
            _ => 401,
        };
        Refusal::new(status, self.code, self.message.clone())
    }
}
