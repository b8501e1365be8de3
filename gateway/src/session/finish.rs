//! The end of a session goes on record, however the session ended.

use std::time::Duration;

use gateway_core::pg::session::Ending;
use tallyport_schemas::SessionEnd;
use tokio::io::AsyncRead;
use tokio::time::{sleep, timeout};

use super::AgentWriter;
use super::live::Live;
use crate::upstream::TargetWriter;

/// The longest a slow agent is waited for to take its farewell.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the end of a session is tried to be put on record while the log fails, and how long apart.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// How often a target that does not stop is asked once more, and how long it is waited for: PostgreSQL forgets a request
/// that comes before the statement it is meant for, and would run that to its end.
const MORE_CANCELS: u32 = 4;
const STOP_WAIT: Duration = Duration::from_millis(250);

impl Live {
    /// Stops the target, records the end, tells the agent, in this order.
    pub(super) async fn finish<R: AsyncRead + Unpin>(
        self: Box<Self>,
        ending: Ending,
        (target_reader, target): (&mut R, &mut TargetWriter),
        agent: &mut AgentWriter,
    ) {
        self.tunnel.inner.registry.dismiss(&self.registered);
        self.tunnel.entry.meters.closed(&ending);
        let runs = !self.machine.lock().is_drained();
        let in_order = matches!(ending, Ending::Closed(SessionEnd::Client | SessionEnd::Target));
        let must_stop = runs && !in_order;
        if must_stop {
            self.cancel_target("tallyport:session_end").await;
        }
        target.close().await;
        if must_stop {
            self.until_stopped(target_reader).await;
        }
        if let Ending::Lost { cause, message, .. } = &ending {
            tracing::info!(session = %self.tunnel.session_id, cause, why = message, "session lost");
        }
        self.withdraw_asked(&ending).await;
        self.record_end(&ending, agent).await;
    }

    /// Reads on, for nobody, until the target closes, which it does once it runs nothing.
    async fn until_stopped(&self, target_reader: &mut (impl AsyncRead + Unpin)) {
        for _ in 0..MORE_CANCELS {
            let mut sink = tokio::io::sink();
            let closed = tokio::io::copy(target_reader, &mut sink);
            // Without the log nothing more is asked: it would not be on record.
            if timeout(STOP_WAIT, closed).await.is_ok() || !self.tunnel.inner.appender.health().ok {
                return;
            }
            self.cancel_target("tallyport:session_end").await;
        }
    }

    async fn record_end(&self, ending: &Ending, agent: &mut AgentWriter) {
        for attempt in 0..ATTEMPTS {
            let listening = attempt == 0 && agent.is_listening();
            let last = self.machine.lock().end(ending, listening, self.now_us());
            let last = match last {
                Ok(Some(last)) => last,
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(session = %self.tunnel.session_id, %error, "the end of a session cannot be recorded");
                    return;
                }
            };
            match self.tunnel.inner.appender.commit(last).await {
                Ok(durable) => {
                    if listening {
                        let _gone = timeout(FAREWELL_TIMEOUT, agent.send(durable, false)).await;
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(session = %self.tunnel.session_id, %error, attempt, "the end of a session is not on record yet");
                    // Without a record there is nothing to tell: the agent sees its stream end.
                    agent.close().await;
                    sleep(PAUSE).await;
                }
            }
        }
    }
}
