//! Reads the control topic, from its first event on, for as long as the gateway runs.

use std::sync::Arc;
use std::time::Duration;

use tallyport_eventlog::{Log, Position, ReadError, Topic};
use tallyport_schemas::ocsf;
use tokio_util::sync::CancellationToken;

use super::Control;
use crate::meters;

/// The topic has one partition: its order is the order of everything.
const PARTITION: u32 = 0;
const READ_BYTES: usize = 1024 * 1024;
const READ_WAIT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Follows until `cancel`. While the log cannot be read nothing new counts here: what waits goes on waiting.
pub(crate) async fn follow(control: Control, log: Arc<dyn Log>, cancel: CancellationToken) {
    meters::control_not_understood(0);
    let reading = async {
        let mut reading = Reading::default();
        let mut pause = FIRST_PAUSE;
        loop {
            match reading.step(&control, log.as_ref()).await {
                Ok(at_the_end) => {
                    pause = FIRST_PAUSE;
                    if at_the_end {
                        control.is_read();
                    }
                }
                Err(error) => {
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

/// How far it was read.
struct Reading {
    next: Position,
    /// Where the log ended when it was asked: what came later is on its way.
    end: Option<u64>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { next: Position { partition: PARTITION, offset: 0 }, end: None }
    }
}

impl Reading {
    /// Reads on; whether that is to where the log ended when it was asked. After an outage it is asked again: what came meanwhile
    /// is read first, however much it is.
    async fn step(&mut self, control: &Control, log: &dyn Log) -> Result<bool, ReadError> {
        let read = read_on(control, log, self.next, &mut self.end).await;
        self.next = read.inspect_err(|_| self.end = None)?;
        Ok(self.end.is_some_and(|end| self.next.offset >= end))
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
                meters::control_not_understood(1);
                tracing::error!(offset, %error, "an event of the control log is not understood and counts for nothing here; if it ends an access, or approves something, it does not for this gateway");
            }
        }
        next.offset = entry.position.offset + 1;
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use tallyport_eventlog::backends::memory::MemoryLog;
    use tallyport_eventlog::faults::FaultLog;
    use tallyport_eventlog::{Appender, AppenderOptions, Record};
    use tallyport_schemas::ProducerId;

    use super::*;
    use crate::session::Registry;

    /// Of which two are more than is read at once, and none is an event.
    async fn append(log: &FaultLog, count: usize) {
        let record = || Record {
            topic: Topic::Control,
            key: b"k".as_slice().into(),
            value: vec![b'x'; READ_BYTES * 3 / 4].into(),
        };
        for _ in 0..count {
            let _at = log.append(vec![record()]).await.unwrap();
        }
    }

    async fn control(log: &Arc<FaultLog>) -> Control {
        let log = Arc::clone(log) as Arc<dyn Log>;
        let id = ProducerId::parse("one/gateway").unwrap();
        let appender = Appender::start(log, id, "gateway", AppenderOptions::default()).await;
        Control::new(appender.unwrap(), Arc::new(Registry::default()))
    }

    #[tokio::test]
    async fn it_is_read_to_its_end_again_after_an_outage() {
        let log = Arc::new(FaultLog::new(Arc::new(MemoryLog::new())));
        let control = control(&log).await;
        append(&log, 1).await;
        let mut reading = Reading::default();
        assert!(reading.step(&control, log.as_ref()).await.unwrap());
        log.fail_reads(1);
        reading.step(&control, log.as_ref()).await.unwrap_err();
        append(&log, 3).await;
        let mut steps = Vec::new();
        while steps.last() != Some(&true) {
            steps.push(reading.step(&control, log.as_ref()).await.unwrap());
        }
        assert_eq!(steps, [false, false, true]);
    }

    #[tokio::test]
    async fn a_log_that_ends_before_what_was_read_is_not_read() {
        let log = Arc::new(FaultLog::new(Arc::new(MemoryLog::new())));
        let control = control(&log).await;
        append(&log, 1).await;
        let next = Position { partition: PARTITION, offset: 7 };
        let mut reading = Reading { next, end: Some(1) };
        let error = reading.step(&control, log.as_ref()).await.unwrap_err();
        assert!(error.to_string().contains("made anew"), "{error}");
    }
}
