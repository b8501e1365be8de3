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
    /// What was sent so far ends inside a message whose rest was not sent yet.
    is_inside: bool,
    /// The longest it takes nothing of what waits.
    patience: Duration,
}

impl AgentWriter {
    pub(super) const fn new(stream: WriteHalf<Box<dyn TunnelIo>>, patience: Duration) -> Self {
        Self { stream, is_torn: false, is_inside: false, patience }
    }

    /// Sends a batch, which may end inside a message that comes in pieces. An agent may be slow, but not stand still: meanwhile its target and what was read of it are held.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when nothing of it was taken for too long; otherwise what the stream says.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may have sent a part; the writer remembers that.
    pub(super) async fn send(
        &mut self,
        response: Durable<Masked<Response>>,
        ends_inside: bool,
    ) -> io::Result<()> {
        let bytes = passage::to_agent(response);
        self.is_torn = true;
        let mut left: &[u8] = &bytes;
        while !left.is_empty() {
            let taken = timeout(self.patience, self.stream.write(left)).await??;
            left = left.get(taken..).filter(|_| taken > 0).ok_or(io::ErrorKind::WriteZero)?;
        }
        timeout(self.patience, self.stream.flush()).await??;
        self.is_torn = false;
        self.is_inside = ends_inside;
        Ok(())
    }

    /// Whether the agent can read another message.
    pub(super) const fn is_listening(&self) -> bool {
        !self.is_torn && !self.is_inside
    }

    /// Ends the stream in order, within bounds.
    pub(super) async fn close(&mut self) {
        let _gone = timeout(CLOSE_TIMEOUT, self.stream.shutdown()).await;
    }
}
