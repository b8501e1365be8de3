//! A target as sessions find it: what every kind has, and the kind's own way to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tallyport_schemas::{TargetKind, TargetRef};

use super::inner::StartError;
use crate::config::AnyTarget;
use crate::gate::Whole;
use crate::meters::TargetMeters;
use crate::requests::HttpTarget;
use crate::targets::CatalogCache;
use crate::upstream::{Dialer, LastReach};

/// A target.
#[derive(Debug)]
pub(crate) struct TargetEntry {
    pub reference: TargetRef,
    /// The most sessions at once; the gateway's own limit when absent.
    pub max_sessions: Option<usize>,
    pub meters: TargetMeters,
    pub way: Way,
}

/// The way to a target. A new kind of target is a new way.
#[derive(Debug)]
pub(crate) enum Way {
    /// A protocol of its own.
    Postgres(Arc<Postgres>),
    /// Requests of HTTP.
    Http(Arc<HttpTarget>),
}

/// A PostgreSQL target and what is known of its databases.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub dialer: Dialer,
    pub(super) catalogs: Mutex<HashMap<String, Arc<CatalogCache>>>,
}

impl TargetEntry {
    pub(super) fn new(
        target: AnyTarget,
        dial_timeout: Duration,
        whole: &Arc<Whole>,
    ) -> Result<Self, StartError> {
        let name = target.name().to_owned();
        let bad = |source: String| StartError::Target { name: name.clone(), source: source.into() };
        let meters = TargetMeters::new(&name);
        Ok(match target {
            AnyTarget::Postgres(target) => {
                let (reference, max_sessions) = (target.reference(None), target.max_sessions);
                let dialer = Dialer::new(Arc::from(target), dial_timeout);
                let dialer = dialer.map_err(|error| bad(error.to_string()))?;
                let way = Way::Postgres(Arc::new(Postgres { dialer, catalogs: Mutex::default() }));
                Self { reference, max_sessions, meters, way }
            }
            AnyTarget::Http(target) => {
                let max_sessions = target.target.max_sessions;
                let target = HttpTarget::new(*target, Arc::clone(whole));
                let target = target.map_err(|error| bad(error.to_string()))?;
                let reference = target.reference().clone();
                Self { reference, max_sessions, meters, way: Way::Http(Arc::new(target)) }
            }
        })
    }

    pub(crate) const fn kind(&self) -> TargetKind {
        self.reference.kind
    }

    pub(crate) const fn postgres(&self) -> Option<&Arc<Postgres>> {
        match &self.way {
            Way::Postgres(postgres) => Some(postgres),
            Way::Http(_) => None,
        }
    }

    /// What the last try of it showed.
    pub(crate) fn reach(&self) -> &LastReach {
        match &self.way {
            Way::Postgres(postgres) => postgres.dialer.reach(),
            Way::Http(target) => target.reach(),
        }
    }
}
