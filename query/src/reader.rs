//! Who asks, and what policy lets them see.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tallyport_access::policy::{Action, AskContext, PolicyStore, Resource};
use tallyport_access::strangers::{Put, Strangers};
use tallyport_access::{AuthFailure, Authenticator, Identity, authentication_event};
use tallyport_eventlog::{Appender, CommitError};
use tallyport_schemas::{Body, Context, Draft, Endpoint, Front, SharedContext, TraceId};

use crate::error::QueryError;
use crate::views::{EVENTS, VIEWS};

/// Checks tokens and asks policy. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate {
    authenticator: Authenticator,
    policies: PolicyStore,
    appender: Appender,
    strangers: Arc<Strangers>,
}

/// A reader whose token was verified; on the PostgreSQL wire for as long as the connection, else for one request.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    identity: Identity,
    context: SharedContext,
}

/// What policy lets a reader see, asked anew for every query.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The most rows that the determining policies allow.
    pub(crate) row_limit: Option<u64>,
}

impl Gate {
    pub(crate) fn new(
        authenticator: Authenticator,
        policies: PolicyStore,
        appender: Appender,
    ) -> Self {
        Self { authenticator, policies, appender, strangers: Strangers::new() }
    }

    /// Who is turned away without an event of their own.
    pub(crate) const fn strangers(&self) -> &Arc<Strangers> {
        &self.strangers
    }

    /// Puts counts of strangers on record.
    pub(crate) async fn put_counts(self, counts: Vec<Draft>) -> Put {
        match self.appender.commit(counts).await {
            Ok(_on_record) => Put::Durable,
            Err(CommitError::Stopped) => Put::Stopped,
            Err(error) => {
                tracing::error!(%error, "who was turned away is not on record yet");
                Put::NotNow
            }
        }
    }

    /// Verifies a token and puts the outcome on record, whichever it is.
    pub(crate) async fn authenticate(
        &self,
        token: Option<&str>,
        front: Front,
        peer: Option<SocketAddr>,
    ) -> Result<Reader, QueryError> {
        self.admit(token, front, peer, async |reader| Ok(reader)).await
    }

    /// Whether the issuer still stands by the `token` that `reader` came with. Where it does not, that is put on record as
    /// when a connection begins.
    pub(crate) async fn still_counts(
        &self,
        reader: &Reader,
        token: &str,
        front: Front,
        peer: Option<SocketAddr>,
    ) -> Result<(), QueryError> {
        let issuer = &reader.identity.principal.issuer;
        if self.authenticator.still_counts(issuer, token).await.is_ok() {
            return Ok(());
        }
        self.authenticate(Some(token), front, peer).await.map(drop)
    }

    /// How often the issuer of a reader that stays has to be asked; never where it is not asked at all.
    pub(crate) fn asks_again_after(&self, reader: &Reader) -> Option<Duration> {
        self.authenticator.asks_again_after(&reader.identity.principal.issuer)
    }

    /// Verifies a token and lets `serve` work for its reader while the outcome goes on record. What `serve` gives is
    /// given on only when it is there.
    pub(crate) async fn admit<T, E: From<QueryError>>(
        &self,
        token: Option<&str>,
        front: Front,
        peer: Option<SocketAddr>,
        serve: impl AsyncFnOnce(Reader) -> Result<T, E>,
    ) -> Result<T, E> {
        let outcome = match token {
            Some(token) => self.authenticator.verify(token).await,
            None => Err(AuthFailure::missing()),
        };
        // A flood of bad tokens must not fill the log: it is counted, and the count goes on record.
        if let (Err(failure), Some(peer)) = (&outcome, peer)
            && !self.strangers.may_record(front, failure, peer)
        {
            return Err(E::from(unauthenticated(failure)));
        }
        let mut context = Context {
            client: peer.map(Endpoint::from),
            trace_id: Some(TraceId::random()),
            ..Context::default()
        };
        if let Ok(identity) = &outcome {
            context.principal = Some(identity.principal.clone());
            context.delegation.clone_from(&identity.delegation);
            context.agent = identity.agent.clone();
        }
        let context = SharedContext::from(context);
        let body = Body::Authentication(authentication_event(&outcome, front));
        let draft = Draft::new(context.clone(), None, body);
        let record = async {
            let recorded = self.appender.commit(draft).await;
            recorded.map(drop).map_err(|error| E::from(QueryError::from(&error)))
        };
        let serve = async {
            match outcome {
                Ok(identity) => serve(Reader { identity, context }).await,
                Err(failure) => Err(E::from(unauthenticated(&failure))),
            }
        };
        let (mut record, mut serve) = (pin!(record), pin!(serve));
        // The record is begun first, so it has the lower number. Without it nothing is worked for any further.
        tokio::select! {
            biased;
            recorded = &mut record => {
                recorded?;
                serve.await
            }
            served = &mut serve => {
                record.await?;
                served
            }
        }
    }

    /// Whether the reader may see the exact bytes of events.
    pub(crate) fn may_see_raw(&self, reader: &Reader) -> bool {
        self.ask(reader, Action::AuditRaw, EVENTS).is_ok()
    }

    /// Asks policy for every view that is read.
    pub(crate) fn permit(
        &self,
        reader: &Reader,
        views: &BTreeSet<&'static str>,
    ) -> Result<Permit, QueryError> {
        let mut permit = Permit { row_limit: None };
        for view in views {
            let limit = self.ask(reader, Action::AuditQuery, view)?;
            permit.row_limit = permit.row_limit.into_iter().chain(limit).min();
        }
        Ok(permit)
    }

    /// `permit` for a question that reads the exact bytes, too: its own permit has a row limit of its own.
    pub(crate) fn permit_raw(&self, reader: &Reader, permit: Permit) -> Result<Permit, QueryError> {
        let limit = self.ask(reader, Action::AuditRaw, EVENTS)?;
        Ok(Permit { row_limit: permit.row_limit.into_iter().chain(limit).min() })
    }

    /// Whether the reader may ask any view at all.
    pub(crate) fn may_ask_something(&self, reader: &Reader) -> bool {
        let mut views = std::iter::once(EVENTS).chain(VIEWS.iter().map(|view| view.name));
        views.any(|view| self.ask(reader, Action::AuditQuery, view).is_ok())
    }

    /// The row limit that the permit demands, if any. What it demands beyond that cannot be met here: denied.
    fn ask(&self, reader: &Reader, action: Action, view: &str) -> Result<Option<u64>, QueryError> {
        let denied = || QueryError::Denied { view: view.to_owned(), action: action.as_str() };
        let asker = self.policies.current().asker(&reader.identity);
        let mut context = AskContext::at(Timestamp::now());
        context.read_only = true;
        context.source_ip =
            reader.context.client.as_ref().and_then(|client| client.ip.parse().ok());
        let resource = Resource::AuditView { name: view.to_owned() };
        let answer = asker.ask(action, &resource, &context);
        if !answer.errors.is_empty() {
            tracing::error!(errors = ?answer.errors, view, "policy could not be evaluated: denied");
        }
        if !answer.allowed {
            return Err(denied());
        }
        let mut row_limit = None;
        for obligation in &answer.obligations {
            match obligation.kind.as_str() {
                "row_limit" => {
                    let limit = obligation.value.parse::<u64>().map_err(|_| denied())?;
                    row_limit = row_limit.into_iter().chain([limit]).min();
                }
                "advice" => {}
                kind => {
                    tracing::error!(
                        kind,
                        view,
                        "an obligation that cannot be met on the audit: denied"
                    );
                    return Err(denied());
                }
            }
        }
        Ok(row_limit)
    }

    /// Where events go.
    pub(crate) const fn appender(&self) -> &Appender {
        &self.appender
    }
}

impl Reader {
    /// What the reader's events share.
    pub(crate) const fn context(&self) -> &SharedContext {
        &self.context
    }

    /// What is left of the token's time; nothing once it has ended.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let left = self.identity.expires_at.duration_since(Timestamp::now());
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// The reader's issuer and subject, which are together unique.
    pub(crate) fn principal(&self) -> (&str, &str) {
        let principal = &self.identity.principal;
        (&principal.issuer, &principal.subject)
    }

    /// The reader by name.
    pub(crate) fn name(&self) -> &str {
        &self.identity.principal.display_name
    }
}

fn unauthenticated(failure: &AuthFailure) -> QueryError {
    QueryError::Unauthenticated { failure: failure.code().to_owned(), message: failure.to_string() }
}
