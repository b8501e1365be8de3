use super::*;
use crate::approval::case::MAX_WEBHOOKS;

fn told(desk: &mut Desk, webhook: usize, step: &str) -> Applied {
    let (webhook, step) = (format!("w{webhook}"), step.to_owned());
    desk.tell(1, Approval::Notified { approval_id: desk.id, webhook, step })
}

/// A log can name any number of webhooks; what is kept of a request is bounded all the same.
#[test]
fn so_many_webhooks_are_known_and_those_go_on() {
    let mut desk = Desk::plain();
    for webhook in 0..MAX_WEBHOOKS {
        assert_eq!(told(&mut desk, webhook, "pending-0"), Ok(()));
    }
    assert_eq!(told(&mut desk, MAX_WEBHOOKS, "pending-0"), Err(NotCounted::TooManyWebhooks));
    assert_eq!(told(&mut desk, 0, "denied-1"), Ok(()));
    let case = desk.book.case(desk.id).unwrap();
    assert_eq!(case.told_to("w0"), Some("denied-1"));
    assert_eq!(case.told_to(&format!("w{MAX_WEBHOOKS}")), None);
}
