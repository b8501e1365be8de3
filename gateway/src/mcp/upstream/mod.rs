//! MCP servers behind the gateway: what is asked of them is decided by policy and on record before it happens, with the
//! gateway's own credential, and what they say is screened and on record before anybody has it.
//!
//! * [`Upstreams`]: all of them.
//! * `definitions`: which tools a server has, and which of them are what they were when they were pinned.
//! * `exchange`: one request, from its record to the record of its end.
//! * `named`: `/mcp/{server}`, one server as it is; `federated`: the tools of all of them at `/mcp`.

mod approval;
mod asked;
mod called;
mod came;
mod definitions;
mod exchange;
mod federated;
mod listed;
mod named;
mod own;
mod pin;
mod question;
mod request;
mod running;
mod sessions;
mod states;
mod streams;
mod view;
mod welcome;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tallyport_schemas::TargetRef;

use crate::config::McpServer;
use crate::gate::{Gate, Whole};
use crate::mcp::seal::Seal;
use crate::meters::RequestMeters;
use crate::service::Inner;
pub(super) use came::{CameWith, Spoken};
use definitions::Definitions;
pub(super) use federated::{call as call_federated, is_federated, list as list_federated};
pub(super) use named::serve;
use sessions::Sessions;
pub(super) use streams::{delete, listen};
pub(crate) use view::{Defined, ServerView, ToolView};
use wire::Wire;
#[cfg(feature = "fuzz")]
pub use wire::fuzz;

/// All servers, by name.
#[derive(Debug, Default)]
pub(super) struct Upstreams {
    servers: BTreeMap<String, Arc<Upstream>>,
    sessions: Sessions,
}

/// One server.
#[derive(Debug)]
pub(super) struct Upstream {
    config: McpServer,
    wire: Wire,
    gate: Arc<Gate>,
    definitions: Definitions,
    seal: Seal,
    meters: RequestMeters,
}

/// The servers cannot be used as they are configured.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its certificates cannot be used.
    #[error("gateway.mcp.servers.{name}.ca: {problem}")]
    Setup {
        /// The server.
        name: String,
        /// Why.
        problem: String,
    },
}

impl Upstreams {
    pub(super) fn new(
        servers: Vec<McpServer>,
        seal: &Seal,
        whole: &Arc<Whole>,
    ) -> Result<Self, UpstreamError> {
        let mut all = BTreeMap::new();
        for config in servers {
            let name = config.name.clone();
            let wire = Wire::new(&config).map_err(|error| UpstreamError::Setup {
                name: name.clone(),
                problem: error.to_string(),
            })?;
            let gate = Arc::new(Gate::new(config.limits, Arc::clone(whole)));
            let definitions = Definitions::default();
            let meters = RequestMeters::new(&name);
            let seal = seal.clone();
            let upstream = Upstream { config, wire, gate, definitions, seal, meters };
            all.insert(name, Arc::new(upstream));
        }
        Ok(Self { servers: all, sessions: Sessions::default() })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.servers.get(name)
    }

    /// Looks at all of them, again and again, so often.
    pub(super) fn keep(&self, inner: &Arc<Inner>, every: Duration) {
        for upstream in self.all() {
            let (kept, looked) = (Arc::clone(inner), Arc::clone(upstream));
            inner.spawn(async move {
                let keeping = Definitions::keep(Arc::clone(&kept), looked, every);
                kept.until_it_stops(keeping).await;
            });
            let (kept, upstream) = (Arc::clone(inner), Arc::clone(upstream));
            inner.spawn(async move {
                kept.until_it_stops(std::future::pending()).await;
                upstream.wire.stop().await;
            });
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.servers.values()
    }
}

impl Upstream {
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    fn reference(&self) -> TargetRef {
        self.config.reference()
    }
}
