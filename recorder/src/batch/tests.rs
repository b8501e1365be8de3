use arrow::array::{AsArray as _, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use tallyport_eventlog::Position;
use tallyport_schemas::{
    Body, Context, Draft, Integrity, Principal, PrincipalKind, Producer, ProducerId,
};

use super::*;

const POLICY: CommitPolicy =
    CommitPolicy { max_rows: 3, max_bytes: 1_000_000, max_age: std::time::Duration::from_secs(1) };

fn entry(offset: u64, value: Vec<u8>) -> Entry {
    Entry {
        position: Position { partition: 5, offset },
        key: Bytes::from_static(b"key"),
        value: value.into(),
        appended_at_ms: 1_700_000_000_000 + i64::try_from(offset).unwrap(),
    }
}

fn event(offset: u64, subject: &str) -> Entry {
    let context = Context {
        principal: Some(Principal {
            issuer: "https://issuer".to_owned(),
            subject: subject.to_owned(),
            display_name: subject.to_owned(),
            kind: PrincipalKind::Agent,
            groups: Vec::new(),
            owner: None,
        }),
        ..Context::default()
    };
    let body = Body::Integrity(Integrity::ProducerStopped { events: offset });
    let producer = Producer { id: ProducerId::parse("p").unwrap(), epoch: 1, seq: offset };
    let event = Draft::new(context.into(), None, body).at(producer);
    entry(offset, ocsf::encode(&event))
}

fn offsets(rows: &Rows) -> Vec<i64> {
    // In pieces, as they are written.
    let pieces = (0..rows.len()).step_by(3).flat_map(|start| piece(&rows.piece(start, 3).unwrap()));
    pieces.collect()
}

fn piece(batch: &RecordBatch) -> Vec<i64> {
    let column: &Int64Array =
        batch.column_by_name("log_offset").unwrap().as_primitive::<Int64Type>();
    column.values().to_vec()
}

#[test]
fn takes_everything_events_and_the_rest() {
    let mut pending = Pending::new(5, 10, 1_000);
    assert!(pending.is_empty());
    pending.absorb(vec![event(10, "a"), entry(11, b"no event".to_vec()), event(14, "a")]).unwrap();
    assert_eq!((pending.next, pending.rows()), (15, 3));
    assert_eq!(pending.oldest_ms, Some(1_700_000_000_010));
    let letter = &pending.dead[0];
    assert_eq!((letter.entry.position.offset, &letter.entry.value[..]), (11, &b"no event"[..]));
    assert!(!letter.error.is_empty());
    assert_eq!(offsets(&pending.into_events().unwrap()), [10, 14]);
}

#[test]
fn is_full_by_rows_and_by_bytes() {
    let mut pending = Pending::new(5, 0, 1_000);
    pending.absorb(vec![event(0, "a"), entry(1, b"?".to_vec())]).unwrap();
    assert!(!pending.is_full(&POLICY));
    pending.absorb(vec![event(2, "a")]).unwrap();
    assert!(pending.is_full(&POLICY), "three rows, whichever table they go to");

    let mut pending = Pending::new(5, 0, 1_000);
    pending.absorb(vec![entry(0, vec![b'?'; 2_000_000])]).unwrap();
    assert!(pending.is_full(&POLICY), "dead letters have weight too");
    let mut pending = Pending::new(5, 0, 1_000);
    pending.absorb(vec![event(0, &"s".repeat(1_000_000))]).unwrap();
    assert!(pending.is_full(&POLICY));
}

#[test]
fn rows_are_sorted_by_principal_then_time() {
    let mut pending = Pending::new(5, 0, 1_000);
    pending.absorb(vec![event(0, "b"), event(1, "a"), event(2, "b"), event(3, "a")]).unwrap();
    assert_eq!(offsets(&pending.into_events().unwrap()), [1, 3, 0, 2], "over the ends of pieces");
}

#[test]
fn a_log_that_goes_back_is_damaged() {
    let mut pending = Pending::new(5, 10, 1_000);
    let early = pending.absorb(vec![event(9, "a")]).unwrap_err();
    assert_eq!(early, IntegrityError::OutOfOrder { partition: 5, offset: 9, expected: 10 });
    let mut pending = Pending::new(5, 10, 1_000);
    assert!(pending.absorb(vec![event(12, "a"), event(12, "a")]).is_err(), "twice");
}

#[test]
fn nothing_becomes_an_empty_batch() {
    assert_eq!(Pending::new(5, 0, 1_000).into_events().unwrap().len(), 0);
}
