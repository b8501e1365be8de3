//! Reviewers whose access is ended.

use tallyport_schemas::{RevocationId, RevocationOrder};

use super::*;
use crate::approval::REVIEWER_REVOKED;

/// Ends the access of a principal, as the log has it; lifts it again where `lifts` is given.
fn revoke(desk: &mut Desk, second: i64, subject: &str) -> RevocationId {
    let order = RevocationOrder {
        revocation_id: RevocationId::new(),
        revoked: Revoked::Principal { issuer: "https://idp".into(), subject: subject.into() },
        reason: "left".into(),
        until: None,
    };
    let id = order.revocation_id;
    read(desk, second, Revocation::Revoked(Box::new(order)));
    id
}

fn read(desk: &mut Desk, second: i64, revocation: Revocation) {
    let draft = Draft {
        time: at(second),
        ..Draft::new(SharedContext::default(), None, Body::Revocation(revocation))
    };
    let id = ProducerId::parse("gateway-1").unwrap();
    let event = draft.at(Producer { id, epoch: 0, seq: 0 });
    assert_eq!(desk.revocations.apply(&event), Some(Ok(())));
    assert_eq!(desk.book.apply(&event, &desk.revocations), None);
}

#[test]
fn what_they_agreed_to_counts_no_more() {
    let (dana, eve, finn) =
        (person("dana", &["dba"]), person("eve", &["dba"]), person("finn", &["dba"]));
    let mut desk = Desk::quorum(2);
    assert_eq!(desk.grant(1, &dana), Ok(()));
    revoke(&mut desk, 2, "dana");
    assert_eq!(desk.grant(3, &eve), Ok(()));
    assert_eq!(desk.state(3), State::Pending, "one of two");
    assert_eq!(desk.grant(4, &finn), Ok(()));
    assert_eq!(desk.state(4), State::Approved);
    // One who is left suffices for none; somebody else's end changes nothing.
    revoke(&mut desk, 5, "somebody");
    assert_eq!(desk.state(5), State::Approved);
    revoke(&mut desk, 6, "eve");
    assert_eq!(desk.state(6), State::Withdrawn(REVIEWER_REVOKED.into()));
    assert!(desk.run(7).is_err());
    assert_eq!(desk.book.open().count(), 0);
}

#[test]
fn what_they_say_after_it_counts_only_once_it_is_lifted() {
    let dana = person("dana", &["dba"]);
    let mut desk = Desk::plain();
    let order = revoke(&mut desk, 1, "dana");
    assert_eq!(desk.grant(2, &dana), Err(NotCounted::ReviewerRevoked));
    assert_eq!(desk.deny(2, &dana), Err(NotCounted::ReviewerRevoked));
    assert_eq!(desk.state(2), State::Pending);
    read(&mut desk, 3, Revocation::Lifted { revocation_id: order, reason: "a mistake".into() });
    assert_eq!(desk.grant(4, &dana), Ok(()));
    assert_eq!(desk.run(5), Ok(()));
    // What ran, ran.
    revoke(&mut desk, 6, "dana");
    assert_eq!(desk.state(7), State::Used);
}

#[test]
fn where_others_suffice_what_is_approved_stands() {
    let mut desk = Desk::new(|request, _| {
        request.requirements.push(ApprovalRequirement { group: "ops".into(), quorum: 1 });
    });
    assert_eq!(desk.grant(1, &person("dana", &["dba"])), Ok(()));
    assert_eq!(desk.grant(2, &person("eve", &["dba"])), Ok(()));
    assert_eq!(desk.grant(3, &person("finn", &["ops"])), Ok(()));
    revoke(&mut desk, 4, "dana");
    assert_eq!(desk.state(4), State::Approved, "eve is of the same group");
    assert_eq!(desk.run(5), Ok(()));
}
