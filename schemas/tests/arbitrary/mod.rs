//! Arbitrary events, grown from bytes: proptest shrinks the bytes, and with them the event.

#![allow(dead_code, reason = "each test that includes this uses its own part of it")]

mod families;

use jiff::Timestamp;
use proptest::prelude::*;
use tallyport_schemas::*;
use uuid::Uuid;

/// Any event at all.
pub fn event() -> impl Strategy<Value = Event> {
    proptest::collection::vec(any::<u8>(), 0..1_500)
        .prop_map(|bytes| Seed(bytes.into_iter()).event())
}

/// Bytes to decide by; zeros when they are used up, which is the simplest of everything.
struct Seed(std::vec::IntoIter<u8>);

const ODD: &[&str] = &[
    "",
    " ",
    "\0",
    "\u{1}\u{1f}\u{7f}",
    "\"\\/",
    "\u{2028}\u{2029}",
    "\u{feff}",
    "\u{fffd}",
    "\u{10ffff}",
    "e\u{301}",
    "\r\n\t",
    "null",
    "1e999",
    "{\"a\":[",
    "]]]}",
    "../..",
    "a.b.c",
    "'; --",
    "\u{202e}evil",
    "\\u0000",
    "\\ud800",
];

impl Seed {
    fn byte(&mut self) -> u8 {
        self.0.next().unwrap_or_default()
    }

    fn bool(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::from(self.byte()) % all.len()].clone()
    }

    fn bits(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn number(&mut self) -> u64 {
        match self.byte() % 6 {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => i64::MAX as u64 + 1,
            4 => (1 << 53) + 1,
            _ => self.bits(),
        }
    }

    fn text(&mut self) -> String {
        match self.byte() % 4 {
            0 => "a".to_owned(),
            1 => self.pick(ODD).to_owned(),
            2 => (0..self.byte() % 12).map(|_| self.char()).collect(),
            _ => format!("{}{}", self.pick(ODD), self.char()),
        }
    }

    fn char(&mut self) -> char {
        char::from_u32(self.bits() as u32 % 0x11_0000).unwrap_or('\u{fffd}')
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.bool().then(|| make(self))
    }

    fn list<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.byte() % 4).map(|_| make(self)).collect()
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.number(), self.number())
    }

    fn time(&mut self) -> Timestamp {
        let (min, max) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
        match self.byte() % 4 {
            0 => Timestamp::from_microsecond(1_768_465_800_123_456).unwrap(),
            1 => Timestamp::MIN,
            2 => Timestamp::MAX,
            _ => {
                let second = min + (self.bits() % (max - min).unsigned_abs()).cast_signed();
                let nanosecond = (self.bits() % 1_000_000) as i32 * 1_000;
                Timestamp::new(second, 0).unwrap()
                    + jiff::SignedDuration::from_nanos(i64::from(nanosecond))
            }
        }
    }

    fn event(mut self) -> Event {
        let body = self.body();
        Event {
            event_id: EventId::from_uuid(self.uuid()),
            producer: Producer {
                id: ProducerId::parse(self.pick(&["gateway-1", "!", "~{}\"\\"])).unwrap(),
                epoch: self.number(),
                seq: self.number(),
            },
            time: self.time(),
            schema_version: self.pick(&[SCHEMA_VERSION, "1.7.0"]).to_owned(),
            session_seq: self.option(Self::number),
            context: self.context().into(),
            body,
        }
    }

    fn context(&mut self) -> Context {
        Context {
            session_id: self.option(|s| SessionId::from_uuid(s.uuid())),
            principal: self.option(Self::principal),
            delegation: self.list(|s| Actor { subject: s.text(), issuer: s.option(Self::text) }),
            agent: AgentAttributes {
                model: self.option(Self::text),
                agent: self.option(Self::text),
                task: self.option(Self::text),
                other: self.list(|s| (s.text(), s.text())).into_iter().collect(),
            },
            target: self.option(|s| TargetRef {
                name: s.text(),
                kind: s.pick(TargetKind::ALL),
                database: s.option(Self::text),
            }),
            client: self.option(|s| Endpoint {
                ip: match s.byte() % 4 {
                    0 => std::net::Ipv4Addr::from(s.bits() as u32).to_string(),
                    1 => std::net::Ipv6Addr::from(s.uuid().as_u128()).to_string(),
                    2 => s.pick(&["::1", "::ffff:192.0.2.1", "fe80::1%eth0", "::"]).to_owned(),
                    _ => s.text(),
                },
                port: s.bits() as u16,
            }),
            trace_id: self.option(|s| TraceId::from_uuid(s.uuid())),
            call: self.option(|s| CallRef {
                call_id: s.command_id(),
                server: s.text(),
                tool: s.text(),
            }),
        }
    }

    fn principal(&mut self) -> Principal {
        Principal {
            issuer: self.text(),
            subject: self.text(),
            display_name: self.text(),
            kind: self.pick(PrincipalKind::ALL),
            groups: self.list(Self::text),
            owner: self.option(Self::text),
        }
    }

    fn command_id(&mut self) -> CommandId {
        CommandId::from_uuid(self.uuid())
    }

    fn content(&mut self) -> Content {
        let raw: Vec<u8> = (0..self.byte()).map(|_| self.byte()).collect();
        let mut content = Content::record(&raw.repeat(1 + usize::from(self.byte() % 8))).unwrap();
        content.bytes = self.number();
        content
    }

    fn body(&mut self) -> Body {
        match self.byte() % 10 {
            0 => Body::Integrity(self.integrity()),
            1 => Body::Authentication(self.authentication()),
            2 => Body::Session(self.session()),
            3 => Body::Decision(self.decision()),
            4 => Body::Command(Box::new(self.command())),
            5 => Body::Response(Box::new(self.response())),
            6 => Body::Approval(self.approval()),
            7 => Body::Revocation(self.revocation()),
            8 => Body::Policy(self.policy()),
            _ => Body::Query(self.query()),
        }
    }
}
