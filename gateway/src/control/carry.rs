//! Says again what stands, before a log that forgets has forgotten it.

use std::time::Duration;

use jiff::Timestamp;
use rand::Rng as _;
use tallyport_schemas::{Body, Draft, Revocation};
use tokio_util::sync::CancellationToken;

use super::Control;

/// How often it is looked at; the log keeps an event for two days at least.
const LOOK_EVERY: Duration = Duration::from_secs(15 * 60);
/// So that not all gateways that started together say it at once.
const SPREAD_SECONDS: u64 = 60;

/// Looks until `cancel`.
pub(crate) async fn carry(control: Control, cancel: CancellationToken) {
    loop {
        let spread = Duration::from_secs(rand::rng().random_range(0..SPREAD_SECONDS));
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY + spread) => {}
        }
        carry_once(&control, Timestamp::now()).await;
    }
}

/// Says again what was said too long before `now`.
pub(crate) async fn carry_once(control: &Control, now: Timestamp) {
    if control.current().await.is_err() {
        return;
    }
    let due: Vec<_> = control.known().revocations.to_carry(now).cloned().collect();
    for one in due {
        let id = one.order.revocation_id;
        let body = Body::Revocation(Revocation::Carried(Box::new(one.order)));
        let draft = Draft { time: now, ..Draft::new(one.context, None, body) };
        match control.commit(draft).await {
            Ok(Ok(())) => {
                tracing::info!(revocation = %id, "a revocation that stands was said again")
            }
            Ok(Err(why)) => {
                tracing::info!(revocation = %id, %why, "a revocation was not said again")
            }
            Err(error) => {
                tracing::error!(revocation = %id, %error, "a revocation could not be said again");
            }
        }
    }
    let pins: Vec<_> = control.known().pins.to_carry(now).collect();
    for (context, change) in pins {
        let draft = Draft { time: now, ..Draft::new(context, None, Body::Policy(change)) };
        if let Err(error) = control.commit(draft).await {
            tracing::error!(%error, "a pinned definition could not be said again");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::SignedDuration;
    use tallyport_eventlog::backends::memory::MemoryLog;
    use tallyport_eventlog::{Appender, AppenderOptions, Log, Position, Topic};
    use tallyport_schemas::{
        Context, Event, ProducerId, RevocationId, RevocationOrder, Revoked, SharedContext, ocsf,
    };

    use super::*;
    use crate::control::follow;
    use crate::session::Registry;

    async fn gateway(log: &Arc<dyn Log>, name: &str, cancel: &CancellationToken) -> Control {
        let id = ProducerId::parse(format!("{name}/gateway")).unwrap();
        let appender =
            Appender::start(Arc::clone(log), id, "gateway", AppenderOptions::default()).await;
        let control = Control::new(appender.unwrap(), Arc::new(Registry::default()));
        tokio::spawn(follow(control.clone(), Arc::clone(log), cancel.clone()));
        control.current().await.unwrap();
        control
    }

    async fn on_control(log: &Arc<dyn Log>, offset: u64) -> Vec<Event> {
        let from = Position { partition: 0, offset };
        let read = log.read(Topic::Control, from, 1 << 20, Duration::ZERO).await.unwrap();
        read.iter().map(|entry| ocsf::decode(&entry.value).unwrap()).collect()
    }

    /// The log forgets the order itself; what a gateway said again is enough for one that comes later.
    #[tokio::test]
    async fn what_stands_outlives_what_the_log_keeps() {
        let (log, cancel) = (Arc::new(MemoryLog::new()) as Arc<dyn Log>, CancellationToken::new());
        let control = gateway(&log, "one", &cancel).await;
        let order = RevocationOrder {
            revocation_id: RevocationId::new(),
            revoked: Revoked::Issuer { issuer: "https://idp".to_owned() },
            reason: "leaked".to_owned(),
            until: None,
        };
        let context = SharedContext::from(Context::default());
        let body = Body::Revocation(Revocation::Revoked(Box::new(order.clone())));
        control.commit(Draft::new(context, None, body)).await.unwrap().unwrap();
        let hours =
            |hours| Timestamp::now().checked_add(SignedDuration::from_hours(hours)).unwrap();

        carry_once(&control, hours(11)).await;
        assert_eq!(on_control(&log, 0).await.len(), 1, "nothing is due");
        carry_once(&control, hours(13)).await;
        carry_once(&control, hours(14)).await;
        let said = on_control(&log, 0).await;
        assert_eq!(said.len(), 2, "it was said once more");
        assert_eq!(said[1].body, Body::Revocation(Revocation::Carried(Box::new(order.clone()))));

        log.release(Topic::Control, Position { partition: 0, offset: 1 }).await.unwrap();
        let late = gateway(&log, "two", &cancel).await;
        let known = late.known();
        assert_eq!(known.revocations.get(order.revocation_id).unwrap().order, order);
        cancel.cancel();
    }
}
