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
}
