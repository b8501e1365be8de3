//! Tells one webhook, for as long as the gateway runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gateway_core::approval::Case;
use jiff::Timestamp;
use metrics::{Counter, Gauge, counter, gauge};
use tallyport_schemas::{Approval, ApprovalId, Body, Draft, ProducerId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Webhook;
use super::due::is_due;
use super::message::Message;
use super::post::Post;
use crate::control::Control;

/// Messages that are under way to one webhook at a time.
const MAX_UNDER_WAY: usize = 8;
/// How often it is looked, beside every change: requests lapse, and other gateways die, without an event.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Changes come in bursts, and each look goes over all requests.
const LULL: Duration = Duration::from_millis(50);
/// Between two tries of one message: doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Tells `webhook` until `cancel`.
///
/// # Cancel safety
/// A dropped call may have told what is not on the log yet: it is told again then.
pub(crate) async fn deliver(
    webhook: Arc<Webhook>,
    post: Post,
    control: Control,
    me: ProducerId,
    cancel: CancellationToken,
) {
    let mut desk = Desk::new(webhook, me);
    let mut under_way = JoinSet::new();
    let mut changes = control.changes();
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            Some(ended) = under_way.join_next() => {
                if let Ok((id, taken)) = ended { desk.ended(id, taken) }
            }
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                sleep(LULL).await;
                changes.mark_unchanged();
            }
            () = sleep(LOOK_EVERY) => {}
        }
        for message in desk.next(&control, Timestamp::now()) {
            let (webhook, post, control) =
                (Arc::clone(&desk.webhook), post.clone(), control.clone());
            under_way.spawn(async move {
                let taken = tell(&webhook, &post, &control, &message).await;
                (message.approval_id, taken)
            });
        }
    }
}

/// Sends a message and puts on record that it was taken; whether both were done.
async fn tell(webhook: &Webhook, post: &Post, control: &Control, message: &Message) -> bool {
    let (name, approval_id) = (&webhook.name, message.approval_id);
    if let Err(error) = post.send(webhook, message).await {
        tracing::warn!(webhook = name, %approval_id, %error, "a message was not taken; it is sent again");
        return false;
    }
    // A crash right here: it is told once more, under the same id.
    let told =
        Approval::Notified { approval_id, webhook: name.clone(), step: message.step.clone() };
    match control.commit(Draft::new(message.context.clone(), None, Body::Approval(told))).await {
        Ok(_counted) => true,
        Err(error) => {
            tracing::warn!(webhook = name, %approval_id, %error, "that a message was taken is not on record; it is sent again");
            false
        }
    }
}

/// What is under way, and what is tried again when.
struct Desk {
    webhook: Arc<Webhook>,
    me: ProducerId,
    tries: HashMap<ApprovalId, Try>,
    meters: Meters,
}

struct Try {
    /// Absent while it is under way.
    next: Option<Instant>,
    failures: u32,
}

struct Meters {
    taken: Counter,
    failed: Counter,
    waiting: Gauge,
}

impl Desk {
    fn new(webhook: Arc<Webhook>, me: ProducerId) -> Self {
        let messages = |outcome: &'static str| counter!("tallyport_gateway_webhook_messages_total", "webhook" => webhook.name.clone(), "outcome" => outcome);
        let waiting =
            gauge!("tallyport_gateway_webhook_waiting", "webhook" => webhook.name.clone());
        waiting.set(0.0);
        let meters = Meters { taken: messages("taken"), failed: messages("failed"), waiting };
        Self { me, tries: HashMap::new(), meters, webhook }
    }

    /// The messages to send now: they count as under way from here on. None while it is not known what was told.
    fn next(&mut self, control: &Control, now: Timestamp) -> Vec<Message> {
        if !control.is_current() {
            return Vec::new();
        }
        let book = control.book();
        let (webhook, me) = (&self.webhook, &self.me);
        let due = |id: &ApprovalId, tried: bool| {
            book.case(*id).is_some_and(|case| is_due(webhook, case, me, now, tried))
        };
        self.tries.retain(|id, one| one.next.is_none() || due(id, one.failures > 0));
        let tried: HashSet<ApprovalId> =
            self.tries.iter().filter(|(_, one)| one.failures > 0).map(|(id, _)| *id).collect();
        let (mut waiting, mut messages) = (0_u32, Vec::new());
        let mut under_way = self.tries.values().filter(|one| one.next.is_none()).count();
        let was_tried = |case: &Case| tried.contains(&case.request().approval_id);
        for case in book.cases().filter(|case| is_due(webhook, case, me, now, was_tried(case))) {
            waiting = waiting.saturating_add(1);
            let one = self.tries.entry(case.request().approval_id);
            let one = one.or_insert(Try { next: Some(Instant::now()), failures: 0 });
            if under_way < MAX_UNDER_WAY && one.next.is_some_and(|at| at <= Instant::now()) {
                one.next = None;
                under_way += 1;
                messages.push(Message::new(webhook, case, now));
            }
        }
        self.meters.waiting.set(f64::from(waiting));
        messages
    }

    fn ended(&mut self, id: ApprovalId, taken: bool) {
        if taken {
            self.meters.taken.increment(1);
            self.tries.remove(&id);
            return;
        }
        self.meters.failed.increment(1);
        if let Some(one) = self.tries.get_mut(&id) {
            let pause = FIRST_PAUSE.saturating_mul(1 << one.failures.min(6)).min(LONGEST_PAUSE);
            one.next = Some(Instant::now() + pause);
            one.failures = one.failures.saturating_add(1);
        }
    }
}
