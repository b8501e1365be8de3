//! The tools on databases, and those for access ([`crate::mcp::sql`]), as tools of the protocol.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::mcp::RpcError;
use serde_json::{Map, Value};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Asked, Need, Progress, Seen, Tool, ToolAnswer};
use crate::mcp::sql::{self, Call};
use crate::service::{Caller, Inner};

/// How often a client hears that its call goes on.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// One of them, by its name.
pub(super) struct Sql {
    name: &'static str,
    need: Need,
}

impl Sql {
    pub(super) const fn reads(name: &'static str) -> Self {
        Self { name, need: Need::Connect }
    }

    pub(super) const fn writes(name: &'static str) -> Self {
        Self { name, need: Need::Write }
    }
}

#[async_trait]
impl Tool for Sql {
    fn name(&self) -> &'static str {
        self.name
    }

    fn need(&self) -> Need {
        self.need
    }

    fn define(&self, seen: &Seen) -> Option<Map<String, Value>> {
        let named = |defined: &&Value| defined.get("name").is_some_and(|name| name == self.name);
        let mut defined = seen.on_databases.iter().find(named)?.as_object()?.clone();
        defined.remove("name");
        Some(defined)
    }

    fn is_for(&self, inner: &Inner, caller: &Caller) -> bool {
        sql::has_targets(inner, caller)
    }

    async fn call(
        &self,
        inner: &Arc<Inner>,
        asked: &Asked,
        arguments: Map<String, Value>,
        progress: &Progress,
    ) -> Result<ToolAnswer, RpcError> {
        let (caller, token) = (&asked.caller, asked.token.clone());
        let call = Call { inner, caller, token, patience: asked.patience };
        let answered = sql::call(call, self.name, arguments);
        let answered = tokio::select! {
            answered = answered => answered,
            () = tell(progress) => None,
        };
        match answered {
            None => Err(RpcError::unknown_tool(self.name)),
            Some(Err(bad)) => Err(RpcError::invalid_params(bad.to_string())),
            Some(Ok(answer)) => Ok(ToolAnswer {
                structured: answer.structured,
                text: None,
                is_error: answer.is_error,
                waits: answer.waits,
            }),
        }
    }
}

/// Says again and again that it goes on.
async fn tell(progress: &Progress) {
    let began = Instant::now();
    let mut every = interval(TELL_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every.tick().await;
    loop {
        every.tick().await;
        let message = "the statement runs, or waits for whoever must agree";
        progress.tell(began.elapsed().as_secs_f64(), message);
    }
}
