//! A session that the gateway runs on a caller's behalf: the same door as for a tunnel, without a second look at the token,
//! whose check is on record with the call.

use std::sync::Arc;

use gateway_core::passage::{Note, Scribe};
use jiff::Timestamp;
use tallyport_schemas::{Context, SessionId, TargetKind};
use tokio::time::Instant;

use super::caller::Caller;
use super::inner::Inner;
use super::open::{Coming, Wanted, admit, log_unavailable, shutting_down};
use crate::session::{Tap, TokenWatch, Tunnel};
use crate::tunnel::{BearerToken, Refusal};

/// What is to be opened, for whom.
pub(crate) struct Inside<'a> {
    pub caller: &'a Caller,
    /// Kept where the issuer is asked again and again whether it still counts.
    pub token: Option<BearerToken>,
    pub target: &'a str,
    /// Only what is proven to read may run.
    pub reads_only: bool,
}

impl Inner {
    /// Opens a session for a caller, and puts on record that policy let it in, or not.
    ///
    /// # Cancel safety
    /// A dropped call may leave events of an attempt that came to nothing; no session is open then.
    pub(crate) async fn open_inside(
        self: &Arc<Self>,
        wish: Inside<'_>,
    ) -> Result<(Tunnel, Arc<Tap>), Refusal> {
        if self.is_closed() {
            return Err(shutting_down());
        }
        let identity = wish.caller.identity();
        let checked_at = (Timestamp::now(), Instant::now());
        let session_id = SessionId::new();
        let context = Context {
            session_id: Some(session_id),
            target: Some(self.reference_of(wish.target)),
            ..Context::clone(wish.caller.context())
        };
        let (mut scribe, mut drafts) = (Scribe::new(context.into()), Vec::new());
        let peer = wish.caller.peer();
        let kind = Some(TargetKind::Postgresql);
        let wanted = Wanted { target: wish.target, kind, peer, session_id };
        let admitted = admit(self, &wanted, identity, &mut scribe, &mut drafts);
        // A crash right here leaves the attempt on record or not; no session is open either way.
        let recorded = self.appender.commit(Note::new(drafts)).await;
        let _on_record = recorded.map_err(|error| log_unavailable(&error))?;
        let issuer = &identity.principal.issuer;
        let token_watch = TokenWatch::new(&self.authenticator, issuer, wish.token);
        let coming = Coming { identity: Arc::new(identity.clone()), peer, session_id, scribe };
        let tap = Arc::new(Tap::default());
        let tunnel = Tunnel {
            token_watch,
            tap: Some(Arc::clone(&tap)),
            reads_only: wish.reads_only,
            ..admitted?.tunnel(self, coming, checked_at)
        };
        Ok((tunnel, tap))
    }
}
