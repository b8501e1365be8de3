//! Which SAML assertions were exchanged already, at whichever gateway, as the control log has it.
//!
//! An exchange counts when its event is the first of its token's id in the order of the log: of two gateways that are shown
//! one assertion at the same time, one is too late. No IO, and no clock of its own.

use std::collections::{HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use tallyport_schemas::{AuthMethod, Body, Event, Outcome};

use crate::approval::{Applied, NotCounted};

/// How long an exchange is remembered. An assertion is taken for an hour and five minutes after it was issued at most
/// (`max_age_seconds`, `clock_skew_seconds`); the rest is for clocks that differ.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(2);
/// The most that are remembered. Only what a configured provider signed takes a place.
const MAX_REMEMBERED: usize = 262_144;

/// All exchanges of late, as far as the log was read.
#[derive(Clone, Debug)]
pub struct Assertions {
    exchanged: HashSet<String>,
    /// In the order of the log, which is that of time but for the differences of clocks.
    in_order: VecDeque<(Timestamp, String)>,
    max: usize,
}

impl Default for Assertions {
    fn default() -> Self {
        Self { exchanged: HashSet::new(), in_order: VecDeque::new(), max: MAX_REMEMBERED }
    }
}

impl Assertions {
    /// Takes in the next event of the log; `None` when it is about no exchange.
    pub fn apply(&mut self, event: &Event) -> Option<Applied> {
        let Body::Authentication(exchange) = &event.body else { return None };
        if exchange.method != AuthMethod::Saml || exchange.outcome != Outcome::Success {
            return None;
        }
        let token_id = exchange.token_id.as_deref()?;
        self.forget_before(event.time);
        Some(if self.exchanged.contains(token_id) {
            Err(NotCounted::Exchanged)
        } else if self.exchanged.len() >= self.max {
            Err(NotCounted::TooManyExchanges)
        } else {
            self.exchanged.insert(token_id.to_owned());
            self.in_order.push_back((event.time, token_id.to_owned()));
            Ok(())
        })
    }

    /// Whether the assertion that gives this id was exchanged.
    #[must_use]
    pub fn was_exchanged(&self, token_id: &str) -> bool {
        self.exchanged.contains(token_id)
    }

    fn forget_before(&mut self, now: Timestamp) {
        let is_old = |at: Timestamp| now.duration_since(at) > REMEMBERED;
        while let Some((_, token_id)) = self.in_order.pop_front_if(|(at, _)| is_old(*at)) {
            self.exchanged.remove(&token_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use tallyport_schemas::{Authentication, Context, Draft, Front, Producer, ProducerId};

    use super::*;

    fn exchange(token_id: &str, second: i64) -> Event {
        let event = Authentication {
            outcome: Outcome::Success,
            method: AuthMethod::Saml,
            front: Front::Tcp,
            failure: None,
            message: None,
            issuer: Some("https://idp".to_owned()),
            token_id: Some(token_id.to_owned()),
            key_id: None,
            binding: None,
            expires_at: None,
        };
        let draft = Draft {
            time: Timestamp::from_second(1_767_225_600 + second).unwrap(),
            ..Draft::new(Context::default().into(), None, Body::Authentication(event))
        };
        let id = ProducerId::parse("gateway-1").unwrap();
        draft.at(Producer { id, epoch: 0, seq: 0 })
    }

    fn edited(second: i64, edit: impl FnOnce(&mut Authentication)) -> Event {
        let mut event = exchange("a", second);
        if let Body::Authentication(body) = &mut event.body {
            edit(body);
        }
        event
    }

    #[test]
    fn the_first_of_an_assertion_counts_for_as_long_as_it_can_be_shown() {
        let mut known = Assertions::default();
        assert_eq!(known.apply(&exchange("a", 0)), Some(Ok(())));
        assert!(known.was_exchanged("a") && !known.was_exchanged("b"));
        assert_eq!(known.apply(&exchange("a", 7_200)), Some(Err(NotCounted::Exchanged)));
        assert_eq!(known.apply(&exchange("b", 7_201)), Some(Ok(())));
        assert!(!known.was_exchanged("a"), "nobody takes an assertion of that age");
        assert_eq!(known.in_order.len(), 1);
    }

    #[test]
    fn what_was_refused_or_is_of_another_way_in_is_not_one() {
        let mut known = Assertions::default();
        let refused = edited(0, |it| it.outcome = Outcome::Failure);
        let other = edited(0, |it| it.method = AuthMethod::Oidc);
        let nameless = edited(0, |it| it.token_id = None);
        for event in [refused, other, nameless] {
            assert_eq!(known.apply(&event), None);
        }
        assert_eq!(known.apply(&exchange("a", 0)), Some(Ok(())));
    }

    #[test]
    fn what_is_full_takes_more_when_the_oldest_lapsed() {
        let mut known = Assertions { max: 2, ..Assertions::default() };
        assert_eq!(known.apply(&exchange("a", 0)), Some(Ok(())));
        assert_eq!(known.apply(&exchange("b", 60)), Some(Ok(())));
        assert_eq!(known.apply(&exchange("c", 120)), Some(Err(NotCounted::TooManyExchanges)));
        assert_eq!(known.apply(&exchange("c", 7_201)), Some(Ok(())));
    }
}
