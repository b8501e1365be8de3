use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use bytes::Bytes;
use tallyport_eventlog::Position;

use super::*;

const MOST: usize = usize::MAX;

fn entries(offsets: &[u64]) -> Vec<Entry> {
    let entry = |offset: &u64| Entry {
        position: Position { partition: 0, offset: *offset },
        key: Bytes::new(),
        value: Bytes::from_static(b"value"),
        appended_at_ms: 0,
    };
    offsets.iter().map(entry).collect()
}

/// Stands in for the decoder: offset 14 to 19 are no events.
fn decode(group: &Group) -> Option<RecordBatch> {
    let offset = |entry: &Entry| i64::try_from(entry.position.offset).unwrap();
    let offsets: Vec<i64> = group.entries.iter().flat_map(|some| some.iter().map(offset)).collect();
    let offsets: Vec<i64> = offsets.into_iter().filter(|at| !(14..20).contains(at)).collect();
    if offsets.is_empty() {
        return None;
    }
    let offsets: ArrayRef = Arc::new(Int64Array::from(offsets));
    Some(RecordBatch::try_from_iter([("log_offset", offsets)]).unwrap())
}

/// 10, 11, 13 | nothing decodable in 14..20 | 20, 25
fn held() -> Held {
    let mut held = Held::default();
    held.restart(10);
    held.push(14, entries(&[10, 11, 13]));
    held.push(20, entries(&[14, 15, 19]));
    held.push(26, entries(&[20, 25]));
    held
}

/// Decodes what a question for `from..goal` needs, and holds it if there is room.
fn decode_for(held: &mut Held, from: u64, goal: u64, max_bytes: usize) {
    for group in held.slice(from, goal).groups {
        held.adopt(&group, decode(&group), max_bytes);
    }
}

/// What a question gets: rows that are held, and rows that are decoded for it.
fn offsets(slice: &Slice) -> Vec<i64> {
    let of = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    let decoded = slice.groups.iter().filter_map(decode);
    let decoded = decoded.map(|batch| between(&batch, slice.from, slice.goal));
    let mut all: Vec<i64> =
        slice.batches.iter().cloned().chain(decoded).flat_map(|b| of(&b)).collect();
    all.sort_unstable();
    all
}

/// Every form that it can have: a piece may be decoded alone, with others, or not at all.
fn every_form() -> Vec<Held> {
    let mut forms = vec![held()];
    for (from, goal) in [(10, 14), (14, 20), (20, 26), (10, 20), (14, 26), (10, 26), (12, 15)] {
        let mut one = held();
        decode_for(&mut one, from, goal, MOST);
        forms.push(one);
        let mut two = held();
        decode_for(&mut two, from, goal, MOST);
        decode_for(&mut two, 0, 26, MOST);
        assert_eq!(two.undecoded(), 0);
        forms.push(two);
    }
    forms
}

#[test]
fn every_range_has_exactly_its_rows_and_says_what_it_lacks() {
    let all = [10_i64, 11, 13, 20, 25];
    for held in every_form() {
        for from in 0..32_u64 {
            for goal in from..32 {
                let slice = held.slice(from, goal);
                let (begin, end) = (slice.from, slice.goal);
                assert!(from <= begin && begin <= end && end <= goal.max(from), "{from}..{goal}");
                let want: Vec<_> = all
                    .into_iter()
                    .filter(|o| (begin..end).contains(&u64::try_from(*o).unwrap()))
                    .collect();
                assert_eq!(offsets(&slice), want, "{from}..{goal} of {held:?}");
                let in_reach = (from.max(10)..goal.min(26)).count();
                assert_eq!((end - begin) as usize, in_reach, "{from}..{goal} gives all it can");
            }
        }
    }
}

#[test]
fn nothing_is_decoded_twice_and_bytes_are_counted() {
    let mut held = held();
    let raw = held.bytes();
    assert_eq!(held.undecoded(), raw);
    decode_for(&mut held, 20, 26, MOST);
    assert!(held.undecoded() < raw && held.undecoded() > 0);
    decode_for(&mut held, 10, 26, MOST);
    assert_eq!(held.undecoded(), 0);
    assert!(held.slice(10, 26).groups.is_empty());
    held.push(30, entries(&[27]));
    assert_eq!(held.slice(10, 30).groups.len(), 1, "only what is new");
    held.trim(30);
    assert_eq!((held.bytes(), held.undecoded(), held.next()), (0, 0, 30));
}

#[test]
fn rows_that_do_not_fit_are_not_held_and_can_be_decoded_again() {
    let mut held = held();
    let raw = held.bytes();
    decode_for(&mut held, 10, 26, raw);
    assert!(held.bytes() <= raw, "the bound holds");
    assert_eq!(offsets(&held.slice(10, 26)), [10, 11, 13, 20, 25]);
}

#[test]
fn rows_of_what_was_dropped_meanwhile_are_not_held() {
    for upto in [14, 20, 26, 100] {
        let mut held = held();
        let slice = held.slice(10, 26);
        held.trim(upto);
        let before = format!("{held:?}");
        for group in &slice.groups {
            held.adopt(group, decode(group), MOST);
        }
        assert_eq!(format!("{held:?}"), before, "trimmed up to {upto}");
        assert_eq!(offsets(&slice), [10, 11, 13, 20, 25], "the question has what it took");
    }
}

#[test]
fn trimming_drops_whole_pieces_only_and_counts_bytes() {
    for mut held in every_form() {
        let full = held.bytes();
        held.trim(13);
        assert_eq!(
            (held.bytes(), held.slice(13, 26).from),
            (full, 13),
            "offset 13 is still needed"
        );
        held.trim(14);
        assert!(held.bytes() <= full);
        assert_eq!(offsets(&held.slice(14, 26)), [20, 25]);
        held.trim(26);
        assert_eq!((held.bytes(), held.next()), (0, 26));
    }
}

#[test]
fn large_pieces_are_decoded_in_groups_of_bounded_size() {
    let mut held = Held::default();
    held.restart(0);
    for offset in 0..6 {
        let mut one = entries(&[offset]);
        one[0].value = Bytes::from(vec![b'x'; GROUP_BYTES / 3]);
        held.push(offset + 1, one);
    }
    let groups = held.slice(0, 6).groups;
    assert_eq!(groups.len(), 3, "two of a third each, and what an entry weighs");
    assert!(groups.iter().all(|group| group.bytes <= GROUP_BYTES));
    decode_for(&mut held, 0, 6, MOST);
    assert_eq!(offsets(&held.slice(0, 6)), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_snapshot_beyond_what_is_held_moves_the_reader_on() {
    let mut held = held();
    held.trim(100);
    assert_eq!((held.next(), held.bytes()), (100, 0));
    assert!(offsets(&held.slice(100, 120)).is_empty());
}
