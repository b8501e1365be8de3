//! The only way to a target, once it is logged in to.

use std::io;

use gateway_core::passage::{self, Authorized, Command};
use tallyport_eventlog::Durable;
use tokio::io::{AsyncWriteExt as _, WriteHalf};

use super::stream::TargetStream;

/// Sends what is durable, and nothing else.
#[derive(Debug)]
pub struct TargetWriter {
    stream: WriteHalf<TargetStream>,
}

impl TargetWriter {
    pub(super) const fn new(stream: WriteHalf<TargetStream>) -> Self {
        Self { stream }
    }

    /// Sends a unit.
    ///
    /// # Errors
    /// When the target is gone.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may have sent a part. The connection is of no use afterwards.
    pub async fn send(&mut self, command: Durable<Authorized<Command>>) -> io::Result<()> {
        self.stream.write_all(&passage::to_target(command)).await?;
        self.stream.flush().await
    }

    /// Closes the connection: the target rolls back what is open.
    ///
    /// # Cancel safety
    /// Cancel safe: dropping the writer closes too.
    pub async fn close(&mut self) {
        let _gone = self.stream.shutdown().await;
    }
}
