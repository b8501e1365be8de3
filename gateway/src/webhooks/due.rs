//! What a webhook has yet to be told, and who tells it.
//!
//! All gateways know what was told: it is on the control log. The one whose event brought a request to where it is tells it at
//! once, also after a restart. When it did not within [`TAKE_OVER`], all others do: a message keeps its id, by which whoever is
//! told twice knows it.

use gateway_core::approval::{Case, State};
use jiff::{SignedDuration, Timestamp};
use tallyport_schemas::ProducerId;

use super::Webhook;

/// For how long the others leave it to the gateway that has to tell.
const TAKE_OVER: SignedDuration = SignedDuration::from_secs(30);

/// Whether `me` has to tell `webhook` of `case` at `now`. `tried`: a message that is not known to have been taken may have been.
pub(super) fn is_due(
    webhook: &Webhook,
    case: &Case,
    me: &ProducerId,
    now: Timestamp,
    tried: bool,
) -> bool {
    if !webhook.is_told_of(case) {
        return false;
    }
    let is_new = match case.told_to(&webhook.name) {
        Some(told) => told != case.step(now),
        // Of what nobody waits for any more they need not hear for the first time.
        None => case.state(now) == State::Pending || tried || has_answered(webhook, case),
    };
    let is_mine = case.last_changed_by() == me;
    is_new && (is_mine || now.duration_since(case.step_since(now)) >= TAKE_OVER)
}

/// Who answers has heard, whatever became of our message.
fn has_answered(webhook: &Webhook, case: &Case) -> bool {
    case.votes().iter().any(|vote| vote.webhook.as_ref() == Some(&webhook.name))
}

#[cfg(test)]
mod tests {
    use gateway_core::approval::Book;
    use gateway_core::revocation::Revocations;
    use tallyport_schemas::{
        Approval, ApprovalId, ApprovalRequest, ApprovalRequirement, ApprovalScope, Asked,
        AskedAccess, Body, Context, Draft, Principal, PrincipalKind, Producer, SharedContext,
    };

    use super::*;
    use crate::config::{Credential, Secret};

    const EXPIRES: i64 = 900;

    struct Desk {
        book: Book,
        id: ApprovalId,
    }

    impl Desk {
        fn new() -> Self {
            let id = ApprovalId::new();
            let request = ApprovalRequest {
                approval_id: id,
                digest: "0".repeat(64),
                session_bound: false,
                scope: ApprovalScope::Period,
                requirements: vec![ApprovalRequirement { group: "dba".to_owned(), quorum: 2 }],
                policy_ids: Vec::new(),
                policy_version: "1".to_owned(),
                reasons: Vec::new(),
                asked: Asked::Access(AskedAccess { seconds: 60, reason: "x".to_owned() }),
                expires_at: at(EXPIRES),
            };
            let mut desk = Self { book: Book::default(), id };
            desk.says("one", 0, Approval::Requested(Box::new(request)));
            desk
        }

        fn says(&mut self, who: &str, second: i64, approval: Approval) {
            let context = SharedContext::from(Context::default());
            let draft =
                Draft { time: at(second), ..Draft::new(context, None, Body::Approval(approval)) };
            let event = draft.at(Producer { id: producer(who), epoch: 0, seq: 0 });
            self.book.apply(&event, &Revocations::default()).unwrap().unwrap();
        }

        fn told(&mut self, who: &str, second: i64, step: &str) {
            let told = Approval::Notified {
                approval_id: self.id,
                webhook: "chat".to_owned(),
                step: step.to_owned(),
            };
            self.says(who, second, told);
        }

        fn granted(&mut self, by: &str, second: i64, reviewer: &str) {
            self.granted_by_way(by, second, reviewer, None);
        }

        fn granted_by_way(&mut self, by: &str, second: i64, reviewer: &str, webhook: Option<&str>) {
            let reviewer = Principal {
                issuer: "https://idp.example".to_owned(),
                subject: reviewer.to_owned(),
                display_name: reviewer.to_owned(),
                kind: PrincipalKind::Human,
                groups: vec!["dba".to_owned()],
                owner: None,
            };
            let (approval_id, webhook) = (self.id, webhook.map(str::to_owned));
            let granted = Approval::Granted { approval_id, reviewer, comment: None, webhook };
            self.says(by, second, granted);
        }

        /// Which of two gateways have to tell, at this second.
        fn due(&self, second: i64) -> (bool, bool) {
            self.due_after(second, false)
        }

        fn due_after(&self, second: i64, tried: bool) -> (bool, bool) {
            let case = self.book.case(self.id).unwrap();
            let is_due = |who| is_due(&webhook(None), case, &producer(who), at(second), tried);
            (is_due("one"), is_due("two"))
        }
    }

    fn producer(name: &str) -> ProducerId {
        ProducerId::parse(format!("{name}/gateway")).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn webhook(groups: Option<Vec<String>>) -> Webhook {
        Webhook {
            name: "chat".to_owned(),
            url: "https://chat.example/".parse().unwrap(),
            secret: Credential::Value(Secret::new(String::new())),
            roots: None,
            groups,
            statements: false,
            answers: None,
            page: None,
        }
    }

    #[test]
    fn whose_event_it_was_tells_and_the_others_when_it_did_not() {
        let mut desk = Desk::new();
        assert_eq!(desk.due(0), (true, false));
        assert_eq!(desk.due(29), (true, false));
        assert_eq!(desk.due(30), (true, true));
        desk.told("two", 31, "pending-0");
        assert_eq!(desk.due(31), (false, false));
        // The next step is that of the other one.
        desk.granted("two", 40, "dana");
        assert_eq!(desk.due(40), (false, true));
        assert_eq!(desk.due(70), (true, true));
        desk.told("two", 71, "pending-1");
        assert_eq!(desk.due(EXPIRES - 1), (false, false));
    }

    #[test]
    fn a_lapse_is_told_though_nobody_says_so() {
        let mut desk = Desk::new();
        desk.told("one", 1, "pending-0");
        assert_eq!(desk.due(EXPIRES), (true, false));
        assert_eq!(desk.due(EXPIRES + 30), (true, true));
        desk.told("one", EXPIRES + 31, "expired-0");
        assert_eq!(desk.due(EXPIRES + 31), (false, false));
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_not_told_for_the_first_time() {
        let mut desk = Desk::new();
        assert_eq!(desk.due(EXPIRES), (false, false));
        desk.granted("one", 2, "dana");
        desk.granted("one", 3, "eli");
        assert_eq!(desk.due(3), (false, false));
    }

    /// A message whose taking we never heard of is in the chat all the same, and says there that the request waits.
    #[test]
    fn who_may_have_heard_is_told_the_end() {
        let mut desk = Desk::new();
        assert_eq!(desk.due_after(EXPIRES, true), (true, false));
        desk.granted_by_way("one", 2, "dana", Some("chat"));
        desk.granted("one", 3, "eli");
        assert_eq!(desk.due(3), (true, false));
        desk.told("one", 4, "approved-2");
        assert_eq!((desk.due(4), desk.due_after(4, true)), ((false, false), (false, false)));
    }

    #[test]
    fn groups_bound_what_is_told() {
        let desk = Desk::new();
        let case = desk.book.case(desk.id).unwrap();
        for (groups, told) in [(None, true), (Some("dba"), true), (Some("security"), false)] {
            let webhook = webhook(groups.map(|it| vec![it.to_owned()]));
            assert_eq!(is_due(&webhook, case, &producer("one"), at(0), false), told, "{groups:?}");
        }
    }
}
