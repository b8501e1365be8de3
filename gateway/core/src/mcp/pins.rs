//! Which definition of which tool is in use, as the control log has it: all gateways know the same.
//!
//! The first definition that any gateway sees of a tool is its pin. One that differs is out of use until somebody accepts it.
//! Nothing is forgotten when a server has a tool no more: should it come back, it has to be what it was. No IO, and no clock
//! of its own.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tallyport_schemas::{Body, DefinitionState, Event, PolicyChange, SharedContext};

use crate::approval::{Applied, NotCounted};

/// When it is said again: the log keeps an event for two days at least.
const CARRY_AFTER: SignedDuration = SignedDuration::from_hours(12);
/// The most tools that are known; only configured servers' take a place.
const MAX_PINS: usize = 65_536;

/// All pins, as far as the log was read.
#[derive(Debug, Default)]
pub struct Pins {
    pins: HashMap<(String, String), Pin>,
}

/// The definition of a tool that is in use.
#[derive(Clone, Debug)]
pub struct Pin {
    /// SHA-256 of its canonical text.
    pub sha256: String,
    /// The definition that differs from it and was seen last, where there is one.
    pub changed: Option<String>,
    /// That the server has the tool no more is on record, and not yet that it has it again.
    pub is_gone: bool,
    said_at: Timestamp,
    context: SharedContext,
}

/// How a definition stands to its pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the pin.
    InUse,
    /// Nothing is known of the tool.
    New,
    /// It differs, which is on record already or not.
    Changed {
        /// That exactly this definition was seen.
        on_record: bool,
    },
}

impl Pins {
    /// Takes in the next event of the log; `None` when it is about no tool.
    pub fn apply(&mut self, event: &Event) -> Option<Applied> {
        let Body::Policy(PolicyChange::ToolDefinition {
            server,
            tool,
            state,
            sha256,
            previous,
            ..
        }) = &event.body
        else {
            return None;
        };
        let key = (server.clone(), tool.clone());
        let said = match state {
            // What there is no more is what it was.
            DefinitionState::Gone => previous.as_ref(),
            _ => sha256.as_ref(),
        };
        let full = self.pins.len() >= MAX_PINS;
        Some(match (self.pins.get_mut(&key), state, said) {
            (Some(pin), state, said) => pin.apply(event, *state, said),
            (None, DefinitionState::Pinned | DefinitionState::Gone, Some(_)) if full => {
                Err(NotCounted::TooManyDefinitions)
            }
            (None, DefinitionState::Pinned | DefinitionState::Gone, Some(sha256)) => {
                let pin = Pin {
                    sha256: sha256.clone(),
                    changed: None,
                    is_gone: *state == DefinitionState::Gone,
                    said_at: event.time,
                    context: event.context.clone(),
                };
                self.pins.insert(key, pin);
                Ok(())
            }
            (None, DefinitionState::Gone, None) => Ok(()),
            (None, ..) => Err(NotCounted::NoDefinition),
        })
    }

    /// The pins of a server's tools.
    pub fn of<'a>(&'a self, server: &'a str) -> impl Iterator<Item = (&'a str, &'a Pin)> {
        let of_server = self.pins.iter().filter(move |((of, _), _)| of == server);
        of_server.map(|((_, tool), pin)| (tool.as_str(), pin))
    }

    /// The pin of a tool.
    #[must_use]
    pub fn pin(&self, server: &str, tool: &str) -> Option<&Pin> {
        self.pins.get(&(server.to_owned(), tool.to_owned()))
    }

    /// How this definition of a tool stands to its pin.
    #[must_use]
    pub fn standing(&self, server: &str, tool: &str, sha256: &str) -> Standing {
        match self.pin(server, tool) {
            None => Standing::New,
            Some(pin) if pin.sha256 == sha256 => Standing::InUse,
            Some(pin) => Standing::Changed { on_record: pin.changed.as_deref() == Some(sha256) },
        }
    }

    /// What has to be said again, lest the log forget it: events of pins, in the context of whoever pinned or accepted.
    pub fn to_carry(&self, now: Timestamp) -> impl Iterator<Item = (SharedContext, PolicyChange)> {
        let due =
            self.pins.iter().filter(move |(_, pin)| now.duration_since(pin.said_at) > CARRY_AFTER);
        due.map(|((server, tool), pin)| {
            let (state, sha256) = match pin.is_gone {
                true => (DefinitionState::Gone, None),
                false => (DefinitionState::Pinned, Some(pin.sha256.clone())),
            };
            let again = PolicyChange::ToolDefinition {
                server: server.clone(),
                tool: tool.clone(),
                state,
                sha256,
                previous: Some(pin.sha256.clone()),
                reason: Some("it stands, and is said again".to_owned()),
            };
            (pin.context.clone(), again)
        })
    }
}

impl Pin {
    fn apply(&mut self, event: &Event, state: DefinitionState, sha256: Option<&String>) -> Applied {
        match (state, sha256) {
            // Said again; or two gateways saw it at once; or of a pin that is none any more.
            (DefinitionState::Gone, sha256) => {
                if sha256.is_none_or(|it| *it == self.sha256) {
                    self.is_gone = true;
                    self.said_at = self.said_at.max(event.time);
                }
                Ok(())
            }
            (_, None) => Err(NotCounted::NoDefinition),
            // Said again; or it is back; or two gateways saw it first, and one of them was later.
            (DefinitionState::Pinned, Some(sha256)) if *sha256 == self.sha256 => {
                self.is_gone = false;
                self.said_at = self.said_at.max(event.time);
                Ok(())
            }
            (DefinitionState::Pinned, Some(_)) => Err(NotCounted::PinnedAlready),
            (DefinitionState::Changed, Some(sha256)) => {
                self.changed = Some(sha256.clone()).filter(|it| *it != self.sha256);
                self.is_gone = false;
                Ok(())
            }
            // Only what was seen, and is on record, can be accepted.
            (DefinitionState::Accepted, Some(sha256)) if self.changed.as_ref() == Some(sha256) => {
                self.sha256.clone_from(sha256);
                (self.changed, self.is_gone) = (None, false);
                (self.said_at, self.context) = (event.time, event.context.clone());
                Ok(())
            }
            (DefinitionState::Accepted, Some(_)) => Err(NotCounted::NoDefinition),
        }
    }
}

#[cfg(test)]
mod tests {
    use tallyport_schemas::{Context, Draft, Producer, ProducerId};

    use super::*;

    fn said(state: DefinitionState, sha256: &str, hour: i64) -> Event {
        let change = PolicyChange::ToolDefinition {
            server: "crm".to_owned(),
            tool: "find".to_owned(),
            state,
            sha256: (!sha256.is_empty()).then(|| sha256.to_owned()),
            previous: None,
            reason: None,
        };
        let id = ProducerId::parse("one/gateway").unwrap();
        let time = Timestamp::from_second(hour * 3600).unwrap();
        let draft = Draft::new(Context::default().into(), None, Body::Policy(change));
        Draft { time, ..draft }.at(Producer { id, epoch: 1, seq: 0 })
    }

    fn standing(pins: &Pins, sha256: &str) -> Standing {
        pins.standing("crm", "find", sha256)
    }

    #[test]
    fn the_first_definition_is_the_pin_until_another_is_accepted() {
        use DefinitionState::{Accepted, Changed, Gone, Pinned};
        let mut pins = Pins::default();
        assert_eq!(standing(&pins, "a"), Standing::New);
        assert_eq!(
            pins.apply(&said(Accepted, "a", 0)),
            Some(Err(NotCounted::NoDefinition)),
            "unseen"
        );
        assert_eq!(pins.apply(&said(Pinned, "a", 0)), Some(Ok(())));
        assert_eq!(pins.apply(&said(Pinned, "b", 0)), Some(Err(NotCounted::PinnedAlready)));
        assert_eq!(
            (standing(&pins, "a"), standing(&pins, "b")),
            (Standing::InUse, Standing::Changed { on_record: false })
        );
        assert_eq!(
            pins.apply(&said(Accepted, "b", 1)),
            Some(Err(NotCounted::NoDefinition)),
            "not on record"
        );
        assert_eq!(pins.apply(&said(Changed, "b", 1)), Some(Ok(())));
        assert_eq!(standing(&pins, "b"), Standing::Changed { on_record: true });
        assert_eq!(
            pins.apply(&said(Accepted, "c", 1)),
            Some(Err(NotCounted::NoDefinition)),
            "another"
        );
        assert_eq!(pins.apply(&said(Gone, "", 1)), Some(Ok(())));
        assert_eq!(standing(&pins, "a"), Standing::InUse, "gone, it is still what it has to be");
        assert_eq!(pins.apply(&said(Accepted, "b", 2)), Some(Ok(())));
        assert_eq!(
            (standing(&pins, "b"), standing(&pins, "a")),
            (Standing::InUse, Standing::Changed { on_record: false })
        );
        assert_eq!(pins.apply(&said(Pinned, "", 2)), Some(Err(NotCounted::NoDefinition)));
    }

    /// That a tool is gone counts for all, outlives what the log keeps, and ends when it is back.
    #[test]
    fn what_is_gone_is_known_until_it_is_back() {
        use DefinitionState::{Gone, Pinned};
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let gone = |pins: &Pins| pins.pin("crm", "find").map(|pin| pin.is_gone);
        let mut pins = Pins::default();
        assert_eq!(pins.apply(&said(Gone, "", 0)), Some(Ok(())));
        assert_eq!(gone(&pins), None, "of a tool that nobody knew");
        pins.apply(&said(Pinned, "a", 0)).unwrap().unwrap();
        pins.apply(&said(Gone, "", 1)).unwrap().unwrap();
        assert_eq!(gone(&pins), Some(true));
        assert_eq!(pins.of("crm").map(|(tool, _)| tool).collect::<Vec<_>>(), ["find"]);
        assert_eq!(pins.of("other").count(), 0);
        let (_, again) = pins.to_carry(at(14)).next().unwrap();
        let mut late = Pins::default();
        let event = Event { body: Body::Policy(again), ..said(Gone, "", 14) };
        late.apply(&event).unwrap().unwrap();
        assert_eq!((gone(&late), standing(&late, "a")), (Some(true), Standing::InUse));
        late.apply(&said(Pinned, "a", 15)).unwrap().unwrap();
        assert_eq!(gone(&late), Some(false));
    }

    /// What is said again makes a gateway that comes later know the same.
    #[test]
    fn a_pin_is_said_again_before_the_log_forgets_it() {
        let mut pins = Pins::default();
        pins.apply(&said(DefinitionState::Pinned, "a", 0)).unwrap().unwrap();
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        assert_eq!(pins.to_carry(at(12)).count(), 0);
        let (_, again) = pins.to_carry(at(13)).next().unwrap();
        let event = said(DefinitionState::Pinned, "a", 13);
        let event = Event { body: Body::Policy(again), ..event };
        pins.apply(&event).unwrap().unwrap();
        assert_eq!(pins.to_carry(at(20)).count(), 0);
        let mut late = Pins::default();
        late.apply(&event).unwrap().unwrap();
        assert_eq!(standing(&late, "a"), Standing::InUse);
    }
}
