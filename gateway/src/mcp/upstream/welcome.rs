//! Until when somebody may have answers of a server.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tallyport_access::policy::GrantDemand;
use tallyport_schemas::SharedContext;

use crate::service::{Caller, Inner};

/// Until when, and under what, somebody may have answers.
#[derive(Clone)]
pub(super) struct Welcome {
    pub(super) caller: Arc<Caller>,
    pub(super) until: Timestamp,
    pub(super) grant: Option<GrantDemand>,
}

impl Welcome {
    /// Waits until they may have none any more; says why.
    pub(super) async fn ends(&self, inner: &Inner, context: &SharedContext) -> String {
        let left = Duration::try_from(self.until.duration_since(Timestamp::now()));
        let end = tokio::time::sleep(left.unwrap_or_default());
        tokio::pin!(end);
        let lapsed = self.caller.lapsed();
        tokio::pin!(lapsed);
        let mut changes = inner.control.changes();
        loop {
            if let Err(refusal) = inner.still_welcome(self.caller.identity()) {
                return refusal.message;
            }
            let grant = self.grant.as_ref();
            if grant.is_some_and(|demand| inner.grant_for(context, demand).is_none()) {
                return "the grant for this server has ended; ask for another one".to_owned();
            }
            tokio::select! {
                why = &mut lapsed => return why,
                () = &mut end => return "the token, or the grant, expired; get a new one and ask again".to_owned(),
                changed = changes.changed() => if changed.is_err() { end.as_mut().await },
            }
        }
    }
}
