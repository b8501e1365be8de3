//! Reads the control topic, from its first event on, for as long as the gateway runs.

use std::sync::Arc;
use std::time::Duration;

use tallyport_eventlog::{Log, Position, ReadError, Topic};
use tallyport_schemas::ocsf;
use tokio_util::sync::CancellationToken;

use super::Control;

/// The topic has one partition: its order is the order of everything.
const PARTITION: u32 = 0;
const READ_BYTES: usize = 1024 * 1024;
const READ_WAIT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Follows until `cancel`. While the log cannot be read nothing new counts here: what waits goes on waiting.
pub(crate) async fn follow(control: Control, log: Arc<dyn Log>, cancel: CancellationToken) {
    let reading = async {
        let mut next = Position { partition: PARTITION, offset: 0 };
        let mut pause = FIRST_PAUSE;
        // Where the log ended when it was first asked: what came later is on its way.
        let mut end = None;
        loop {
            match read_on(&control, log.as_ref(), next, &mut end).await {
                Ok(read_to) => {
                    (next, pause) = (read_to, FIRST_PAUSE);
                    if end.is_some_and(|end| next.offset >= end) {
                        control.is_read();
                    }
                }
                Err(error) => {
                    // What came meanwhile is read first, however much it is.
                    end = None;
                    tracing::error!(%error, "the control log cannot be read; approvals wait, and nobody new is let in");
                    tokio::time::sleep(pause).await;
                    pause = LONGEST_PAUSE.min(pause * 2);
                }
            }
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = reading => {}
    }
}

/// Takes in what comes next, and says where to go on.
async fn read_on(
    control: &Control,
    log: &dyn Log,
    next: Position,
    end: &mut Option<u64>,
) -> Result<Position, ReadError> {
    let wait = if end.is_some() { READ_WAIT } else { Duration::ZERO };
    if end.is_none() {
        *end = Some(log.latest(Topic::Control, PARTITION).await?);
    }
    let entries = match log.read(Topic::Control, next, READ_BYTES, wait).await {
        Err(ReadError::Truncated { earliest, .. }) => {
            // What was kept no longer is older than any request that can still count.
            tracing::info!(earliest, "older events of the control log are gone");
            return Ok(Position { offset: earliest, ..next });
        }
        read => read?,
    };
    if entries.is_empty() {
        let latest = log.latest(Topic::Control, PARTITION).await?;
        if latest < next.offset {
            let (read, ends) = (next.offset, latest);
            let reason = format!(
                "the control log was read to offset {read} and ends at {ends}: its topic was made anew, or lost its end; restart the gateways once it is known"
            );
            return Err(ReadError::Unavailable { reason });
        }
    }
    let mut next = next;
    for entry in entries {
        match ocsf::decode(&entry.value) {
            Ok(event) => control.take_in(&event),
            Err(error) => {
                let offset = entry.position.offset;
                tracing::error!(offset, %error, "an event of the control log is not understood and counts for nothing");
            }
        }
        next.offset = entry.position.offset + 1;
    }
    Ok(next)
}
