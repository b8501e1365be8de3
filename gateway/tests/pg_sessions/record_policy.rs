//! `@record` of policy, through a whole session: the log holds of a response what policy wants, and no more.

use sha2::{Digest as _, Sha256};
use tallyport_schemas::{CommandId, Content, Event, Recording, Response, ResponseSummary};
use tokio::io::DuplexStream;
use tokio::sync::OnceCell;

use crate::harness::{World, commands, responses, world};
use crate::wire::{Message, Wire, bind, error_field, execute, frame, parse, query, sync, tags};

/// One table for each way of recording; `both` is permitted twice, and the fuller one counts.
const POLICY: &str = r#"
    @id("session") permit (principal, action in [Tallyport::Action::"sql:connect", Tallyport::Action::"sql:session", Tallyport::Action::"fn:call"], resource);
    @id("full") @record("full") permit (principal, action == Tallyport::Action::"sql:select", resource == Tallyport::Table::"db/postgres/rec/full");
    @id("head") @record("head:2") permit (principal, action == Tallyport::Action::"sql:select", resource == Tallyport::Table::"db/postgres/rec/head");
    @id("digest") @record("digest") permit (principal, action == Tallyport::Action::"sql:select", resource == Tallyport::Table::"db/postgres/rec/digest");
    @id("both-1") @record("digest") permit (principal, action == Tallyport::Action::"sql:select", resource == Tallyport::Table::"db/postgres/rec/both");
    @id("both-2") @record("head:1") permit (principal, action == Tallyport::Action::"sql:select", resource == Tallyport::Table::"db/postgres/rec/both");
"#;

const ROWS: usize = 5;
/// Rows that fill several events each.
const BODY_BYTES: usize = 300_000;

/// Tests run side by side: the tables are made once.
async fn tables(world: &World) {
    static MADE: OnceCell<()> = OnceCell::const_new();
    let mut setup = "CREATE SCHEMA rec;".to_owned();
    for table in ["full", "head", "digest", "both"] {
        setup.push_str(&format!(
            "CREATE TABLE rec.\"{table}\" (id int PRIMARY KEY, body text); \
             INSERT INTO rec.\"{table}\" SELECT g, 'row ' || g || repeat('.', {BODY_BYTES}) FROM generate_series(1, {ROWS}) g;"
        ));
    }
    let make = async || world.direct().await.batch_execute(&setup).await.unwrap();
    MADE.get_or_init(make).await;
}

/// What the log says of one response.
struct Recorded {
    summary: ResponseSummary,
    /// The bytes of every piece, in order.
    pieces: Vec<Option<Content>>,
}

impl Recorded {
    fn of(events: &[Event], id: CommandId) -> Self {
        let (mut pieces, mut summary) = (Vec::new(), None);
        for response in responses(events) {
            match response {
                Response::Chunk { command_id, content, .. } if *command_id == Some(id) => {
                    pieces.push(content.clone());
                }
                Response::Completed(done) if done.command_id == id => {
                    pieces.push(done.content.clone());
                    summary = Some(done.clone());
                }
                _ => {}
            }
        }
        Self { summary: summary.expect("a summary"), pieces }
    }

    fn bytes(&self) -> Vec<u8> {
        let kept = self.pieces.iter().flatten();
        kept.flat_map(|content| content.replay().unwrap()).collect()
    }
}

fn bytes(messages: &[Message]) -> Vec<u8> {
    messages.iter().flat_map(|(tag, body)| frame(*tag, body)).collect()
}

/// The bytes in front of row `rows`, counted from 0.
fn head(messages: &[Message], rows: usize) -> Vec<u8> {
    let row = |(place, (tag, _)): (usize, &Message)| (*tag == b'D').then_some(place);
    let end = messages.iter().enumerate().filter_map(row).nth(rows).expect("enough rows");
    bytes(&messages[..end])
}

/// Asks, and gives what came and what is on record of it.
async fn ask(
    world: &World,
    wire: &mut Wire<DuplexStream>,
    unit: &[u8],
) -> (Vec<Message>, Recorded) {
    let known: Vec<_> =
        commands(&world.events().await).iter().map(|command| command.command_id).collect();
    wire.send(unit).await;
    let answer = wire.until(b'Z', 1).await;
    let events = world.events().await;
    let asked = commands(&events).into_iter().map(|command| command.command_id);
    let id = asked.rev().find(|id| !known.contains(id)).expect("on record");
    let recorded = Recorded::of(&events, id);
    (answer, recorded)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_each_response_the_log_has_what_policy_wants_and_no_more() {
    let world = world!(policy: POLICY,);
    tables(&world).await;
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    for (table, recording) in [
        ("full", Recording::Full),
        ("head", Recording::Head(2)),
        ("digest", Recording::Digest),
        ("both", Recording::Head(1)),
    ] {
        let sql = format!("SELECT id, body FROM rec.\"{table}\" ORDER BY id");
        let (answer, recorded) = ask(&world, &mut wire, &query(&sql)).await;
        assert_eq!(tags(&answer), "TDDDDDCZ", "{table}");
        let expected = match recording {
            Recording::Full => bytes(&answer),
            Recording::Head(rows) => head(&answer, rows as usize),
            Recording::Digest => Vec::new(),
        };
        assert!(recorded.bytes() == expected, "{table}: {} bytes", recorded.bytes().len());
        // Whatever is kept, all of it is counted and digested.
        let summary = &recorded.summary;
        assert_eq!(summary.recording, recording, "{table}");
        assert_eq!(summary.rows, ROWS as u64, "{table}");
        assert_eq!(summary.bytes, bytes(&answer).len() as u64, "{table}");
        assert_eq!(summary.sha256, hex::encode(Sha256::digest(bytes(&answer))), "{table}");
        assert!(summary.chunks > 4, "{table}: the answer is one of several pieces");
        assert_eq!(summary.chunks, recorded.pieces.len() as u64, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_statement_is_recorded_as_policy_wants_whenever_it_runs() {
    let world = world!(policy: POLICY,);
    let small = "SELECT id, left(body, 5) FROM rec.digest ORDER BY id";
    tables(&world).await;
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&[parse("s", small), sync()].concat()).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "1Z");
    for _ in 0..2 {
        let run = [bind("", "s", &[], 0), execute("", 0), sync()].concat();
        let (answer, recorded) = ask(&world, &mut wire, &run).await;
        assert_eq!(tags(&answer), "2DDDDDCZ");
        assert!(recorded.bytes().is_empty());
        assert_eq!(recorded.summary.sha256, hex::encode(Sha256::digest(bytes(&answer))));
    }
    // An error's text may quote a value: of it, too, nothing is kept but its SQLSTATE.
    let (answer, recorded) =
        ask(&world, &mut wire, &query("SELECT left(body, 5)::int FROM rec.digest")).await;
    assert!(error_field(&answer, b'M').contains("row 1"), "{}", error_field(&answer, b'M'));
    assert_eq!(recorded.summary.sqlstate.as_deref(), Some("22P02"));
    assert!(recorded.bytes().is_empty());
    for event in world.events().await {
        let text = String::from_utf8(tallyport_schemas::ocsf::encode(&event)).unwrap();
        assert!(!text.contains("row 1"), "{text}");
    }
}
