//! Arbitrary events, grown from bytes: proptest shrinks the bytes, and with them the event.

#![allow(dead_code, reason = "each test that includes this uses its own part of it")]

use std::sync::Arc;

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
            context: Arc::new(self.context()),
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
        match self.byte() % 9 {
            0 => Body::Integrity(self.integrity()),
            1 => Body::Authentication(self.authentication()),
            2 => Body::Session(self.session()),
            3 => Body::Decision(self.decision()),
            4 => Body::Command(Box::new(self.command())),
            5 => Body::Response(Box::new(self.response())),
            6 => Body::Approval(self.approval()),
            7 => Body::Policy(self.policy()),
            _ => Body::Query(self.query()),
        }
    }

    fn integrity(&mut self) -> Integrity {
        match self.byte() % 4 {
            0 => Integrity::ProducerStopped { events: self.number() },
            1 => Integrity::ProducerStarted { version: self.text(), role: self.text() },
            2 => Integrity::Gap {
                first_seq: self.number(),
                last_seq: self.number(),
                outcome: self.pick(GapOutcome::ALL),
                reason: self.text(),
            },
            _ => Integrity::Checkpoint {
                tree_size: self.number(),
                root: self.text(),
                key_id: self.text(),
                signature: self.text(),
            },
        }
    }

    fn authentication(&mut self) -> Authentication {
        Authentication {
            outcome: self.pick(Outcome::ALL),
            method: self.pick(AuthMethod::ALL),
            front: self.pick(Front::ALL),
            failure: self.option(Self::text),
            message: self.option(Self::text),
            issuer: self.option(Self::text),
            token_id: self.option(Self::text),
            key_id: self.option(Self::text),
            expires_at: self.option(Self::time),
        }
    }

    fn session(&mut self) -> Session {
        let stats = SessionStats {
            commands: self.number(),
            refused: self.number(),
            rows: self.number(),
            bytes_to_target: self.number(),
            bytes_to_agent: self.number(),
        };
        match self.byte() % 6 {
            0 => Session::Closed { end: self.pick(SessionEnd::ALL), stats },
            1 => Session::Opened {
                expires_at: self.option(Self::time),
                application: self.option(Self::text),
                parameters: self.list(|s| (s.text(), s.text())).into_iter().collect(),
            },
            2 => Session::Granted { grant_id: self.text(), expires_at: self.time() },
            3 => Session::Expired { cause: self.text(), stats },
            4 => Session::Revoked { by: self.text(), reason: self.text(), stats },
            _ => Session::Lost { cause: self.text(), message: self.text(), stats },
        }
    }

    fn decision(&mut self) -> Decision {
        const ACTIONS: &[&str] = &[
            "sql:connect",
            "sql:select",
            "sql:insert",
            "sql:update",
            "sql:delete",
            "col:read",
            "",
        ];
        Decision {
            effect: self.pick(Effect::ALL),
            actions: self.list(|s| s.pick(ACTIONS).to_owned()),
            resources: self.list(Self::text),
            policy_ids: self.list(Self::text),
            policy_version: self.text(),
            obligations: self.list(|s| Obligation {
                kind: s.text(),
                value: s.text(),
                on: s.option(Self::text),
            }),
            reasons: self.list(Self::text),
            command_id: self.option(Self::command_id),
        }
    }

    fn column(&mut self) -> ColumnRef {
        ColumnRef { schema: self.option(Self::text), table: self.text(), column: self.text() }
    }

    fn parameter(&mut self) -> Parameter {
        let value = match self.byte() % 4 {
            0 => ParameterValue::Null,
            1 => ParameterValue::Text(self.text()),
            2 => ParameterValue::Base64(self.text()),
            _ => ParameterValue::Sha256(self.text()),
        };
        Parameter { bytes: self.number(), value }
    }

    fn command(&mut self) -> Command {
        Command {
            command_id: self.command_id(),
            phase: self.pick(Phase::ALL),
            disposition: self.pick(Disposition::ALL),
            statement: self.option(Self::text),
            statement_sha256: self.option(Self::text),
            fingerprint: self.option(Self::text),
            kinds: self.list(|s| s.pick(StatementKind::ALL)),
            tables: self.list(|s| ObjectRef { schema: s.option(Self::text), name: s.text() }),
            columns: self.list(Self::column),
            functions: self.list(Self::text),
            labels: self.list(Self::text),
            read_only: self.bool(),
            opaque: self.bool(),
            parameters: self.list(Self::parameter),
            prepared: self.option(Self::text),
            portal: self.option(Self::text),
            wire_bytes: self.number(),
            wire_sha256: self.text(),
            content: self.option(Self::content),
            chunk: self.option(Self::number),
        }
    }

    fn response(&mut self) -> Response {
        match self.byte() % 3 {
            0 => Response::Chunk {
                command_id: self.option(Self::command_id),
                chunk: self.number(),
                rows: self.number(),
                wire_bytes: self.number(),
                wire_sha256: self.text(),
                content: self.option(Self::content),
            },
            1 => Response::Completed(self.summary()),
            _ => Response::Unsolicited {
                kinds: self.list(Self::text),
                wire_bytes: self.number(),
                wire_sha256: self.text(),
                content: self.option(Self::content),
            },
        }
    }

    fn summary(&mut self) -> ResponseSummary {
        let rows = self.number();
        ResponseSummary {
            command_id: self.command_id(),
            status: self.pick(ResponseStatus::ALL),
            tag: self.option(|s| s.pick(&["SELECT 1", "", "DELETE", "odd\0tag"]).to_owned()),
            sqlstate: self.option(Self::text),
            rows,
            bytes: self.number(),
            sha256: self.text(),
            columns: self.list(|s| OutputColumn {
                name: s.text(),
                type_oid: s.bits() as u32,
                origin: s.option(Self::column),
                mask: s.option(Self::text),
                labels: s.list(Self::text),
            }),
            masked_values: self.number(),
            recording: self.pick(&[Recording::Full, Recording::Head(rows), Recording::Digest]),
            chunks: self.number(),
            wire_bytes: self.number(),
            wire_sha256: self.text(),
            content: self.option(Self::content),
            duration_us: self.number(),
        }
    }

    fn approval(&mut self) -> Approval {
        let approval_id = self.text();
        match self.byte() % 5 {
            0 => Approval::Expired { approval_id },
            1 => Approval::Requested(ApprovalRequest {
                approval_id,
                command_id: self.option(Self::command_id),
                digest: self.text(),
                group: self.text(),
                quorum: self.bits() as u32,
                reason: self.text(),
                expires_at: self.time(),
            }),
            2 => Approval::Granted {
                approval_id,
                reviewer: self.principal(),
                comment: self.option(Self::text),
            },
            3 => Approval::Denied {
                approval_id,
                reviewer: self.principal(),
                comment: self.option(Self::text),
            },
            _ => Approval::Used { approval_id, command_id: self.command_id() },
        }
    }

    fn policy(&mut self) -> PolicyChange {
        let kind = self.pick(PolicyKind::ALL);
        match self.byte() % 2 {
            0 => PolicyChange::Loaded {
                kind,
                version: self.text(),
                previous: self.option(Self::text),
                source: self.text(),
            },
            _ => PolicyChange::Rejected {
                kind,
                kept: self.text(),
                source: self.text(),
                error: self.text(),
            },
        }
    }

    fn query(&mut self) -> Query {
        let phase = match self.byte() % 4 {
            0 => QueryPhase::Started,
            1 => QueryPhase::Completed { rows: self.number(), duration_us: self.number() },
            2 => QueryPhase::Denied { reason: self.text() },
            _ => QueryPhase::Failed { error: self.text() },
        };
        Query {
            query_id: self.command_id(),
            face: self.pick(Face::ALL),
            phase,
            sql: self.text(),
            relations: self.list(Self::text),
            snapshot_version: self.option(Self::number),
        }
    }
}
