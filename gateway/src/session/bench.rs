//! Keeps a session's bench abreast of policy, masking and catalog.

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_core::passage::Bench;
use gateway_core::sql::Catalog;
use gateway_core::verdict::Judge;
use parking_lot::Mutex;
use tallyport_access::Identity;
use tallyport_access::policy::{GrantDemand, PolicyStore};
use tallyport_schemas::{SessionId, TargetRef};

use crate::config::Target;
use crate::targets::{CatalogCache, CatalogLoadError, MaskingStore};

/// Makes benches for one session.
pub(crate) struct BenchMaker {
    pub policy: PolicyStore,
    pub masking: MaskingStore,
    pub catalog: Arc<CatalogCache>,
    pub identity: Arc<Identity>,
    pub target: Arc<Target>,
    pub reference: TargetRef,
    pub session_id: SessionId,
    pub peer: SocketAddr,
    /// What the session's grant was given under.
    pub given: Option<Arc<GrantDemand>>,
    pub current: Mutex<Option<Arc<Bench>>>,
}

impl BenchMaker {
    /// The bench by what is in force now: a statement is judged by the newest policy, masking and catalog.
    pub(super) fn current(&self, catalog: &Arc<Catalog>) -> Arc<Bench> {
        let policy = self.policy.current();
        let masking = self.masking.current();
        let mut current = self.current.lock();
        if let Some(bench) = current.as_ref()
            && bench.policy_version() == policy.version()
            && bench.judge().masking() == masking.fingerprint()
            && bench.catalog().version() == catalog.version()
        {
            return Arc::clone(bench);
        }
        let context = super::ask_context(self.session_id, self.peer, self.given.clone());
        let recording = self.target.recording;
        let judge = Judge::new(
            policy.asker(&self.identity),
            &self.reference,
            Arc::clone(catalog),
            &masking,
            recording,
            &context,
        );
        let misspelt = judge.unmatched_labels();
        if !misspelt.is_empty() {
            tracing::warn!(
                target = self.target.name,
                columns = misspelt.join(", "),
                "masking names columns that this database does not have"
            );
        }
        let asker = policy.asker(&self.identity);
        let bench = Arc::new(Bench::new(judge, asker, self.reference.clone(), recording));
        *current = Some(Arc::clone(&bench));
        bench
    }

    /// The bench by a snapshot that is fresh enough to open a session with.
    pub(super) async fn opening(&self) -> Result<Arc<Bench>, CatalogLoadError> {
        let catalog = self.catalog.get(self.policy.current().version()).await?;
        let bench = self.current(&catalog);
        if bench.judge().unmatched_labels().is_empty() {
            return Ok(bench);
        }
        // Labels that match nothing may be those of a table that is younger than the snapshot: it must not be read as one
        // without labels.
        self.refreshed().await
    }

    /// The bench by the newest snapshot that is read already.
    pub(super) async fn newest(&self) -> Result<Arc<Bench>, CatalogLoadError> {
        let catalog = match self.catalog.peek() {
            Some(catalog) => catalog,
            None => self.catalog.get(self.policy.current().version()).await?,
        };
        Ok(self.current(&catalog))
    }

    /// The bench by a snapshot that is read now.
    pub(super) async fn refreshed(&self) -> Result<Arc<Bench>, CatalogLoadError> {
        let catalog = self.catalog.refresh(self.policy.current().version()).await?;
        Ok(self.current(&catalog))
    }
}
