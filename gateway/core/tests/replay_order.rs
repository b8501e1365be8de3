//! The steps of a session stand in its own order, and what happened elsewhere where it happened.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use gateway_core::replay::steps;
use jiff::{SignedDuration, Timestamp};
use tallyport_schemas::{
    Approval, ApprovalId, Body, Context, Draft, Event, Producer, ProducerId, Session, SessionEnd,
    SessionStats,
};

/// One event, so many seconds after the beginning.
fn event(session_seq: Option<u64>, seconds: i64, body: Body) -> Event {
    let mut draft = Draft::new(Context::default().into(), session_seq, body);
    draft.time = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
    draft.at(Producer { id: ProducerId::parse("gw-1/gateway").unwrap(), epoch: 1, seq: 0 })
}

fn opened() -> Body {
    let parameters = std::collections::BTreeMap::new();
    Body::Session(Session::Opened { expires_at: None, application: None, parameters })
}

fn closed() -> Body {
    Body::Session(Session::Closed { end: SessionEnd::Client, stats: SessionStats::default() })
}

fn granted() -> Body {
    Body::Session(Session::Granted {
        grant_id: ApprovalId::new(),
        expires_at: Timestamp::UNIX_EPOCH,
    })
}

fn expired() -> Body {
    Body::Approval(Approval::Expired { approval_id: ApprovalId::new() })
}

fn shown(events: &[Event]) -> Vec<(Option<u64>, &'static str, i64)> {
    let steps = steps(events, 10).unwrap();
    steps.iter().map(|step| (step.seq, step.kind, step.at.as_second())).collect()
}

#[test]
fn what_a_reviewer_did_stands_where_it_happened() {
    // As an answer of the query service has them: what has no number comes last.
    let events = [
        event(Some(0), 10, opened()),
        event(Some(1), 20, granted()),
        event(Some(2), 30, closed()),
        event(None, 5, expired()),
        event(None, 25, expired()),
        event(None, 15, expired()),
    ];
    let expected = [
        (None, "approval", 5),
        (Some(0), "session", 10),
        (Some(0), "approval", 15),
        (Some(1), "session", 20),
        (Some(1), "approval", 25),
        (Some(2), "session", 30),
    ];
    assert_eq!(shown(&events), expected);
}

#[test]
fn a_clock_that_goes_back_does_not_turn_a_session_round() {
    let events = [
        event(Some(0), 10, opened()),
        event(Some(1), 40, granted()),
        event(Some(2), 20, closed()),
        event(None, 30, expired()),
    ];
    let order: Vec<_> = shown(&events).into_iter().map(|(_, kind, at)| (kind, at)).collect();
    assert_eq!(order, [("session", 10), ("session", 40), ("session", 20), ("approval", 30)]);
}
