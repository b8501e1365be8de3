//! Known events: what happened in one week of March 2024, with every answer worked out by hand.
//!
//! * Monday 4 March, 10:00: the support bot, owned by Ada, reads one customer with the number masked, and is refused a
//!   DELETE. It closes in order.
//! * Tuesday 5 March, 03:00: Eve's agent asks for a number of orders by a condition on the customers' number (slow),
//!   then for a table that does not exist. Its end was never told.
//! * Saturday 9 March, 23:00: bot-2 acts for Ada by delegation, reads three numbers in clear after Grace approved it,
//!   and loses its target.

mod asked;

use asked::asked;
use jiff::Timestamp;
use tallyport_schemas::*;
use uuid::Uuid;

pub const IDP: &str = "https://idp.example";
pub const SSN: &str = "app.customers.ssn";

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub fn session(number: u128) -> SessionId {
    SessionId::from_uuid(id(number))
}

pub fn command_id(number: u128) -> CommandId {
    CommandId::from_uuid(id(number))
}

fn approval_id() -> ApprovalId {
    ApprovalId::from_uuid(id(0xa9))
}

pub fn principal(subject: &str, name: &str, kind: PrincipalKind, owner: Option<&str>) -> Principal {
    Principal {
        issuer: IDP.into(),
        subject: subject.into(),
        display_name: name.into(),
        kind,
        groups: vec!["support-agents".into()],
        owner: owner.map(Into::into),
    }
}

fn context(session_number: u128, principal: Principal, act: &[&str]) -> Context {
    Context {
        session_id: Some(session(session_number)),
        principal: Some(principal),
        delegation: act
            .iter()
            .map(|actor| Actor { subject: (*actor).into(), issuer: None })
            .collect(),
        agent: AgentAttributes {
            model: Some("example-model-1".into()),
            ..AgentAttributes::default()
        },
        target: Some(TargetRef {
            name: "sample".into(),
            kind: TargetKind::Postgresql,
            database: Some("shop".into()),
        }),
        client: Some(Endpoint { ip: "192.0.2.7".into(), port: 4711 }),
        trace_id: Some(TraceId::from_uuid(id(session_number + 0xff00))),
        call: None,
    }
}

/// The drafts of one context, in its own order.
struct Teller {
    context: SharedContext,
    seq: u64,
    drafts: Vec<Draft>,
}

impl Teller {
    fn new(context: Context) -> Self {
        Self { context: context.into(), seq: 0, drafts: Vec::new() }
    }

    /// What has no place in the session's own order.
    fn tell_of_elsewhere(&mut self, time: &str, body: Body) -> &mut Self {
        self.tell(time, body).seq -= 1;
        self.drafts.last_mut().unwrap().session_seq = None;
        self
    }

    fn tell(&mut self, time: &str, body: Body) -> &mut Self {
        let number = u128::from(self.seq) + at(time).as_microsecond() as u128 * 1000;
        self.drafts.push(Draft {
            event_id: EventId::from_uuid(id(number)),
            time: at(time),
            session_seq: self.context.session_id.map(|_| self.seq),
            context: self.context.clone(),
            body,
        });
        self.seq += 1;
        self
    }
}

fn column(text: &str) -> ColumnRef {
    let mut parts = text.split('.').map(str::to_owned);
    ColumnRef { schema: parts.next(), table: parts.next().unwrap(), column: parts.next().unwrap() }
}

fn table(text: &str) -> ObjectRef {
    let (schema, name) = text.split_once('.').unwrap();
    ObjectRef { schema: Some(schema.into()), name: name.into() }
}

pub fn command(
    number: u128,
    disposition: Disposition,
    sql: &str,
    tables: &[&str],
    columns: &[&str],
) -> Body {
    let kind =
        if sql.starts_with("DELETE") { StatementKind::Delete } else { StatementKind::Select };
    Body::Command(Box::new(Command {
        command_id: command_id(number),
        phase: Phase::Query,
        disposition,
        statement: Some(sql.into()),
        statement_sha256: Some("00".into()),
        fingerprint: Some(format!("fp-{}", sql.split('=').next().unwrap().trim().len())),
        kinds: vec![kind],
        tables: tables.iter().map(|name| table(name)).collect(),
        columns: columns.iter().map(|name| column(name)).collect(),
        functions: Vec::new(),
        labels: Vec::new(),
        read_only: kind == StatementKind::Select,
        opaque: false,
        parameters: Vec::new(),
        prepared: None,
        portal: None,
        wire_bytes: sql.len() as u64 + 6,
        wire_sha256: "00".into(),
        content: None,
        chunk: None,
        definition_sha256: None,
    }))
}

pub fn decision(number: u128, effect: Effect, action: &str, reason: Option<&str>) -> Body {
    Body::Decision(Decision {
        effect,
        actions: vec![action.into()],
        resources: vec!["sample/shop/app/customers".into()],
        policy_ids: if effect == Effect::Allow { vec!["support-reads".into()] } else { Vec::new() },
        policy_version: "v1".into(),
        obligations: Vec::new(),
        reasons: reason.map(Into::into).into_iter().collect(),
        command_id: Some(command_id(number)),
    })
}

/// `origins`: the columns of the result; a mask is written behind a `!`.
pub fn response(
    number: u128,
    rows: u64,
    bytes: u64,
    duration_us: u64,
    origins: &[&str],
) -> ResponseSummary {
    let output = |text: &&str| {
        let (origin, mask) = text.split_once('!').map_or((*text, None), |(o, m)| (o, Some(m)));
        OutputColumn {
            name: origin.rsplit('.').next().unwrap().into(),
            type_oid: 25,
            origin: Some(column(origin)),
            mask: mask.map(Into::into),
            labels: Vec::new(),
        }
    };
    let masked = origins.iter().filter(|origin| origin.contains('!')).count() as u64;
    ResponseSummary {
        command_id: command_id(number),
        status: ResponseStatus::Ok,
        tag: Some(format!("SELECT {rows}")),
        sqlstate: None,
        rows,
        bytes,
        sha256: "00".into(),
        columns: origins.iter().map(output).collect(),
        masked_values: masked * rows,
        recording: Recording::Digest,
        chunks: 1,
        wire_bytes: bytes,
        wire_sha256: "00".into(),
        content: None,
        duration_us,
        findings: Vec::new(),
    }
}

fn completed(summary: ResponseSummary) -> Body {
    Body::Response(Box::new(Response::Completed(summary)))
}

fn opened(expires_at: &str) -> Body {
    Body::Session(Session::Opened {
        expires_at: Some(at(expires_at)),
        application: Some("psql".into()),
        parameters: std::collections::BTreeMap::new(),
    })
}

fn stats(commands: u64, refused: u64, rows: u64, bytes: u64) -> SessionStats {
    SessionStats { commands, refused, rows, bytes_to_target: 1, bytes_to_agent: bytes }
}

fn authenticated(
    outcome: Outcome,
    failure: Option<&str>,
    issuer: &str,
    token: Option<&str>,
) -> Body {
    Body::Authentication(Authentication {
        outcome,
        method: AuthMethod::Oidc,
        front: Front::Quic,
        failure: failure.map(Into::into),
        message: None,
        issuer: Some(issuer.into()),
        token_id: token.map(Into::into),
        key_id: None,
        binding: None,
        expires_at: None,
    })
}

/// The whole story, in the order in which it is on the log.
pub fn drafts() -> Vec<Draft> {
    let mut drafts = refused_tokens();
    drafts.extend(policy());
    drafts.extend(monday());
    drafts.extend(tuesday());
    drafts.extend(saturday());
    drafts
}

fn refused_tokens() -> Vec<Draft> {
    let from = |ip: &str| Context {
        client: Some(Endpoint { ip: ip.into(), port: 1 }),
        ..Context::default()
    };
    let expired = || authenticated(Outcome::Failure, Some("expired"), IDP, None);
    let mut one = Teller::new(from("192.0.2.1"));
    one.tell("2024-03-04T08:00:00Z", expired());
    let mut two = Teller::new(from("192.0.2.2"));
    two.tell("2024-03-04T08:01:00Z", expired());
    let unknown =
        authenticated(Outcome::Failure, Some("unknown_issuer"), "https://evil.example", None);
    two.tell("2024-03-04T08:02:00Z", unknown);
    [one.drafts, two.drafts].concat()
}

fn policy() -> Vec<Draft> {
    let mut teller = Teller::new(Context::default());
    teller
        .tell(
            "2024-03-04T07:00:00Z",
            Body::Policy(PolicyChange::Loaded {
                kind: PolicyKind::Policy,
                version: "v1".into(),
                previous: None,
                source: "policy.cedar".into(),
            }),
        )
        .tell(
            "2024-03-04T07:30:00Z",
            Body::Policy(PolicyChange::Rejected {
                kind: PolicyKind::Masking,
                kept: "m1".into(),
                source: "masking.toml".into(),
                error: "unknown label".into(),
            }),
        );
    teller.drafts
}

fn monday() -> Vec<Draft> {
    let bot = principal("bot-1", "Support bot", PrincipalKind::Agent, Some("ada"));
    let mut teller = Teller::new(context(1, bot, &[]));
    let read = "SELECT name, ssn FROM app.customers WHERE id = 1";
    teller
        .tell("2024-03-04T09:59:59Z", authenticated(Outcome::Success, None, IDP, Some("tok-1")))
        .tell("2024-03-04T10:00:00Z", opened("2024-03-04T11:00:00Z"))
        .tell("2024-03-04T10:00:01Z", decision(1, Effect::Allow, "sql:select", None))
        .tell(
            "2024-03-04T10:00:01.000001Z",
            command(
                1,
                Disposition::Forwarded,
                read,
                &["app.customers"],
                &["app.customers.name", SSN],
            ),
        )
        .tell(
            "2024-03-04T10:00:02Z",
            completed(response(
                1,
                1,
                100,
                900,
                &["app.customers.name", "app.customers.ssn!redact"],
            )),
        )
        .tell(
            "2024-03-04T10:01:00Z",
            decision(2, Effect::Deny, "sql:delete", Some("writing is not permitted")),
        )
        .tell(
            "2024-03-04T10:01:00.000001Z",
            command(2, Disposition::Refused, "DELETE FROM app.customers", &["app.customers"], &[]),
        )
        .tell(
            "2024-03-04T10:05:00Z",
            Body::Session(Session::Closed { end: SessionEnd::Client, stats: stats(1, 1, 1, 100) }),
        );
    teller.drafts
}

fn tuesday() -> Vec<Draft> {
    let eve = principal("eve", "Eve's agent", PrincipalKind::Agent, None);
    let mut teller = Teller::new(context(3, eve, &[]));
    let count =
        "SELECT count(*) FROM app.orders o JOIN app.customers c USING (id) WHERE c.ssn = '1'";
    let tables = ["app.customers", "app.orders"];
    let missing = ResponseSummary {
        status: ResponseStatus::Error,
        tag: None,
        sqlstate: Some("42P01".into()),
        ..response(5, 0, 80, 700, &[])
    };
    teller
        .tell("2024-03-05T03:00:00Z", opened("2024-03-05T04:00:00Z"))
        .tell("2024-03-05T03:00:01Z", decision(4, Effect::Allow, "sql:select", None))
        .tell(
            "2024-03-05T03:00:01.000001Z",
            command(4, Disposition::Forwarded, count, &tables, &[SSN, "app.orders.id"]),
        )
        .tell("2024-03-05T03:00:07Z", completed(response(4, 1, 10, 5_000_000, &[])))
        .tell(
            "2024-03-05T03:01:00Z",
            command(5, Disposition::Forwarded, "SELECT * FROM app.secrets", &["app.secrets"], &[]),
        )
        .tell("2024-03-05T03:01:01Z", completed(missing));
    teller.drafts
}

fn saturday() -> Vec<Draft> {
    let ada = principal("ada", "Ada", PrincipalKind::Human, None);
    let mut teller = Teller::new(context(2, ada, &["bot-2"]));
    let grace = principal("grace", "Grace", PrincipalKind::Human, None);
    let read = "SELECT ssn FROM app.customers WHERE id = 2";
    teller
        .tell("2024-03-09T23:00:00Z", opened("2024-03-10T01:00:00Z"))
        .tell("2024-03-09T23:00:01Z", Body::Approval(Approval::Requested(Box::new(asked(read)))))
        .tell_of_elsewhere(
            "2024-03-09T23:01:00Z",
            Body::Approval(Approval::Granted {
                approval_id: approval_id(),
                reviewer: grace,
                comment: None,
                webhook: None,
            }),
        )
        .tell(
            "2024-03-09T23:01:01Z",
            Body::Approval(Approval::Used {
                approval_id: approval_id(),
                command_id: command_id(3),
                digest: "00".into(),
            }),
        )
        .tell("2024-03-09T23:01:02Z", decision(3, Effect::Allow, "sql:select", None))
        .tell(
            "2024-03-09T23:01:02.000001Z",
            command(3, Disposition::Forwarded, read, &["app.customers"], &[SSN]),
        )
        .tell("2024-03-09T23:01:03Z", completed(response(3, 3, 300, 1_500_000, &[SSN])))
        .tell(
            "2024-03-09T23:10:00Z",
            Body::Session(Session::Lost {
                cause: "target_unreachable".into(),
                message: "the target closed the connection".into(),
                stats: stats(1, 0, 3, 300),
            }),
        );
    teller.drafts
}
