//! Events as gateways write them: sessions of many principals side by side, each with its statements, decisions and
//! answers. The same number gives the same events, but for the times, which end now.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tallyport_benches::Failure;
use tallyport_benches::figures::spread;
use tallyport_eventlog::{Record, Topic};
use tallyport_schemas::*;
use uuid::Uuid;

/// Sessions that are open at the same time.
const OPEN: u64 = 96;
const STATEMENTS: u64 = 12;
const PER_SESSION: u64 = 3 + 3 * STATEMENTS;
const PRINCIPALS: u64 = 400;
const OWNERS: u64 = 60;
const TARGETS: u64 = 6;
const TABLES: [&str; 12] = [
    "customers",
    "orders",
    "order_lines",
    "invoices",
    "payments",
    "products",
    "suppliers",
    "employees",
    "salaries",
    "shipments",
    "tickets",
    "contracts",
];
const COLUMNS: [&str; 6] = ["id", "name", "email", "ssn", "amount", "status"];
/// Over so long they are spread.
const DAYS: i64 = 7;

/// All events of a run, in the order of their making.
#[derive(Debug)]
pub struct Events {
    count: u64,
    next: u64,
    first: Timestamp,
    producers: [ProducerId; 3],
    epoch: u64,
    seqs: [u64; 3],
}

impl Events {
    /// So many of them.
    ///
    /// # Errors
    /// Never, but for a clock that is out of reason.
    pub fn new(count: u64) -> Result<Self, Failure> {
        let first = Timestamp::now().checked_sub(SignedDuration::from_hours(24 * DAYS))?;
        let producers = [1, 2, 3].map(|n| ProducerId::parse(format!("gateway-{n}")));
        let [a, b, c] = producers;
        let epoch = first.as_microsecond().unsigned_abs();
        Ok(Self { count, next: 0, first, producers: [a?, b?, c?], epoch, seqs: [0; 3] })
    }

    /// The next as records of the log; none when there are no more.
    pub fn records(&mut self, at_most: u64) -> Vec<Record> {
        let until = self.count.min(self.next + at_most);
        let records = (self.next..until).map(|index| self.record(index)).collect();
        self.next = until;
        records
    }

    /// Sessions are interleaved: every one of a block of [`OPEN`] gives an event in turn.
    fn record(&mut self, index: u64) -> Record {
        let (block, within) = (index / (OPEN * PER_SESSION), index % (OPEN * PER_SESSION));
        let (step, session) = (within / OPEN, block * OPEN + within % OPEN);
        let writer = (session % 3) as usize;
        let seq = self.seqs.get_mut(writer).map_or(0, |seq| std::mem::replace(seq, *seq + 1));
        let share = index as f64 / self.count as f64;
        let after = (share * (DAYS * 86_400 * 1_000_000) as f64) as i64;
        let time = self.first.checked_add(SignedDuration::from_micros(after)).unwrap_or(self.first);
        let id = id(time, 1 << 60 | index);
        let who = Who::of(session);
        let event = Event {
            event_id: EventId::from_uuid(id),
            producer: Producer {
                id: self.producers.get(writer).unwrap_or(&self.producers[0]).clone(),
                epoch: self.epoch,
                seq,
            },
            time,
            schema_version: SCHEMA_VERSION.to_owned(),
            session_seq: Some(step),
            context: who.context(self.first).into(),
            body: body(&who, step, self.first),
        };
        let key = who.session_id(self.first).to_string();
        let value = ocsf::encode(&event);
        Record { topic: Topic::Audit, key: key.into_bytes().into(), value: value.into() }
    }
}

/// Whose session it is, and what for.
struct Who {
    session: u64,
    principal: u64,
    owner: u64,
    target: u64,
}

impl Who {
    /// Some principals work much more than others, as they do.
    const fn of(session: u64) -> Self {
        let chance = spread(session);
        let principal = (chance % PRINCIPALS) * ((chance >> 20) % PRINCIPALS) / PRINCIPALS;
        Self { session, principal, owner: principal % OWNERS, target: (chance >> 40) % TARGETS }
    }

    fn session_id(&self, first: Timestamp) -> SessionId {
        SessionId::from_uuid(id(first, 2 << 60 | self.session))
    }

    fn context(&self, first: Timestamp) -> Context {
        let issuer = "https://issuer.example".to_owned();
        let agent = format!("agent-{:04}", self.principal);
        let delegated = self.principal.is_multiple_of(3);
        let person = || format!("u-{:04}", self.owner);
        Context {
            session_id: Some(self.session_id(first)),
            principal: Some(Principal {
                issuer: issuer.clone(),
                subject: if delegated { person() } else { agent.clone() },
                display_name: if delegated {
                    format!("Person {}", self.owner)
                } else {
                    format!("agent {}", self.principal)
                },
                kind: if delegated { PrincipalKind::Human } else { PrincipalKind::Agent },
                groups: vec!["agents".to_owned(), format!("team-{:02}", self.owner % 12)],
                owner: (!delegated).then(person),
            }),
            delegation: if delegated {
                vec![Actor { subject: agent, issuer: Some(issuer) }]
            } else {
                Vec::new()
            },
            agent: AgentAttributes {
                model: Some(format!("example-model-{}", self.principal % 4)),
                agent: Some(format!("agent/1.{}", self.principal % 10)),
                task: Some(format!("task {}", self.session % 1000)),
                other: BTreeMap::new(),
            },
            target: Some(TargetRef {
                name: format!("orders-db-{}", self.target),
                kind: TargetKind::Postgresql,
                database: Some("orders".to_owned()),
            }),
            client: Some(Endpoint {
                ip: format!("192.0.2.{}", self.principal % 250),
                port: 40_000 + (self.session % 20_000) as u16,
            }),
            trace_id: Some(TraceId::from_uuid(id(first, 3 << 60 | self.session))),
            call: None,
        }
    }

    /// The statement that a step is about.
    fn statement(&self, number: u64) -> Statement {
        let chance = spread(self.session * STATEMENTS + number);
        let table = (chance % 12) as usize * ((chance >> 8) % 12) as usize / 12;
        let table = TABLES.get(table).copied().unwrap_or_default();
        let denied = (chance >> 16).is_multiple_of(50);
        let failed = (chance >> 24).is_multiple_of(40);
        let wide = (chance >> 32).is_multiple_of(4);
        let columns = if wide { &COLUMNS[..] } else { &COLUMNS[..3] };
        Statement { chance, table, columns, denied, failed }
    }
}

struct Statement {
    chance: u64,
    table: &'static str,
    columns: &'static [&'static str],
    denied: bool,
    failed: bool,
}

fn body(who: &Who, step: u64, first: Timestamp) -> Body {
    let last = PER_SESSION - 1;
    match step {
        0 => Body::Decision(connect(who)),
        1 => Body::Session(Session::Opened {
            expires_at: first.checked_add(SignedDuration::from_hours(24 * DAYS + 1)).ok(),
            application: Some("psql".to_owned()),
            parameters: [("client_encoding".to_owned(), "UTF8".to_owned())].into(),
        }),
        step if step == last => Body::Session(end(who)),
        step => {
            let number = (step - 2) / 3;
            let statement = who.statement(number);
            let command =
                CommandId::from_uuid(id(first, 4 << 60 | (who.session * STATEMENTS + number)));
            match (step - 2) % 3 {
                0 => Body::Decision(decision(who, &statement, command)),
                1 => Body::Command(Box::new(sent(&statement, command))),
                _ => Body::Response(Box::new(Response::Completed(answer(&statement, command)))),
            }
        }
    }
}

fn connect(who: &Who) -> Decision {
    Decision {
        effect: Effect::Allow,
        actions: vec!["sql:connect".to_owned()],
        resources: vec![format!("orders-db-{}", who.target)],
        policy_ids: vec!["agents-connect".to_owned()],
        policy_version: hex(7),
        obligations: Vec::new(),
        reasons: Vec::new(),
        command_id: None,
    }
}

fn end(who: &Who) -> Session {
    let stats = SessionStats {
        commands: STATEMENTS,
        refused: 0,
        rows: 240,
        bytes_to_target: 1_200,
        bytes_to_agent: 24_000,
    };
    if spread(who.session).is_multiple_of(97) {
        let cause = "target_unreachable".to_owned();
        return Session::Lost {
            cause,
            message: "the target closed the connection".to_owned(),
            stats,
        };
    }
    Session::Closed { end: SessionEnd::Client, stats }
}

fn decision(who: &Who, statement: &Statement, command: CommandId) -> Decision {
    let resources = vec![format!("orders-db-{}/app.{}", who.target, statement.table)];
    let denied = statement.denied;
    Decision {
        effect: if denied { Effect::Deny } else { Effect::Allow },
        actions: vec!["sql:select".to_owned(), "col:readMasked".to_owned()],
        policy_ids: if denied {
            Vec::new()
        } else {
            vec!["agents-read".to_owned(), "mask-pii".to_owned()]
        },
        policy_version: hex(7),
        obligations: if denied {
            Vec::new()
        } else {
            vec![Obligation {
                kind: "mask".to_owned(),
                value: "partial:last4".to_owned(),
                on: Some(format!("app.{}.ssn", statement.table)),
            }]
        },
        reasons: if denied {
            vec![format!("no policy permits sql:select on app.{}", statement.table)]
        } else {
            Vec::new()
        },
        resources,
        command_id: Some(command),
    }
}

fn sent(statement: &Statement, command: CommandId) -> Command {
    let list = statement.columns.join(", ");
    let table = statement.table;
    Command {
        command_id: command,
        phase: Phase::Query,
        disposition: if statement.denied { Disposition::Refused } else { Disposition::Forwarded },
        statement: Some(format!(
            "SELECT {list} FROM app.{table} WHERE id = {} LIMIT 20",
            statement.chance % 1_000_000
        )),
        statement_sha256: Some(hex(statement.chance)),
        fingerprint: Some(format!("{:016x}", spread(table.len() as u64))),
        kinds: vec![StatementKind::Select],
        tables: vec![ObjectRef { schema: Some("app".to_owned()), name: table.to_owned() }],
        columns: statement.columns.iter().map(|column| reference(table, column)).collect(),
        functions: Vec::new(),
        labels: if statement.columns.len() > 3 { vec!["pii".to_owned()] } else { Vec::new() },
        read_only: true,
        opaque: false,
        parameters: Vec::new(),
        prepared: None,
        portal: None,
        wire_bytes: 90,
        wire_sha256: hex(statement.chance ^ 1),
        content: None,
        chunk: None,
        definition_sha256: None,
    }
}

fn answer(statement: &Statement, command: CommandId) -> ResponseSummary {
    let rows = if statement.denied || statement.failed { 0 } else { 1 + statement.chance % 20 };
    let masked = |column: &&str| *column == "ssn";
    ResponseSummary {
        command_id: command,
        status: if statement.failed || statement.denied {
            ResponseStatus::Error
        } else {
            ResponseStatus::Ok
        },
        tag: Some(format!("SELECT {rows}")),
        sqlstate: (statement.failed || statement.denied)
            .then(|| if statement.denied { "42501" } else { "57014" }.to_owned()),
        rows,
        bytes: 120 + rows * 96,
        sha256: hex(statement.chance ^ 2),
        columns: statement
            .columns
            .iter()
            .map(|column| OutputColumn {
                name: (*column).to_owned(),
                type_oid: 25,
                origin: Some(reference(statement.table, column)),
                mask: masked(column).then(|| "partial:last4".to_owned()),
                labels: if masked(column) { vec!["pii".to_owned()] } else { Vec::new() },
            })
            .collect(),
        masked_values: if statement.columns.iter().any(masked) { rows } else { 0 },
        recording: Recording::Digest,
        chunks: 1,
        wire_bytes: 120 + rows * 96,
        wire_sha256: hex(statement.chance ^ 2),
        content: None,
        duration_us: 200 + (statement.chance >> 12) % 5_000 * ((statement.chance >> 50) % 50),
        findings: Vec::new(),
    }
}

fn reference(table: &str, column: &str) -> ColumnRef {
    ColumnRef { schema: Some("app".to_owned()), table: table.to_owned(), column: column.to_owned() }
}

/// As hard to compress as a digest.
fn hex(of: u64) -> String {
    [0, 1, 2, 3].map(|part| format!("{:016x}", spread(of.wrapping_mul(4) + part))).concat()
}

/// A UUIDv7 of this time with these last bits.
fn id(time: Timestamp, last: u64) -> Uuid {
    let ms = u128::from(time.as_millisecond().unsigned_abs());
    Uuid::from_u128(
        ms << 80 | 0x7000 << 64 | 0x8000_0000_0000_0000 | u128::from(last & 0x3fff_ffff_ffff_ffff),
    )
}
