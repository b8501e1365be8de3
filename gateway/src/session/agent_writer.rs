//! The only way to an agent.

use std::io;
use std::time::Duration;

use gateway_core::passage::{self, Masked, Response};
use tallyport_eventlog::Durable;
use tokio::io::{AsyncWriteExt as _, WriteHalf};
use tokio::time::timeout;

use crate::tunnel::TunnelIo;

/// The longest an agent is waited for to take the end of its stream.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends what is durable, and nothing else.
pub(crate) struct AgentWriter {
    stream: WriteHalf<Box<dyn TunnelIo>>,
    /// A write began and did not end: what the agent has may stop inside a message.
    is_torn: bool,
}

impl AgentWriter {
    pub(super) const fn new(stream: WriteHalf<Box<dyn TunnelIo>>) -> Self {
        Self { stream, is_torn: false }
    }

    /// Sends a batch.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may have sent a part; the writer remembers that.
    pub(super) async fn send(&mut self, response: Durable<Masked<Response>>) -> io::Result<()> {
        let bytes = passage::to_agent(response);
        self.is_torn = true;
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await?;
        self.is_torn = false;
        Ok(())
    }

    /// Whether the agent can read another message.
    pub(super) const fn is_listening(&self) -> bool {
        !self.is_torn
    }

    /// Ends the stream in order, within bounds.
    pub(super) async fn close(&mut self) {
        let _gone = timeout(CLOSE_TIMEOUT, self.stream.shutdown()).await;
    }
}
