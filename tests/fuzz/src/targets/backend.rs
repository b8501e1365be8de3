//! The bodies of a target's messages.

use gateway_core::pg::backend;

use super::wire::{counted, error, field, value};
use crate::Source;

/// Counts, lengths and field codes.
pub const WORDS: &[&[u8]] = &[
    b"\0\0",
    b"\0\x01",
    b"\xff\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x04",
    b"C23505\0",
    b"C42703\0",
    b"M",
    b"D",
    b"H",
    b"\0",
];

/// One body of every kind, with the byte that says which.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let kind = |kind: u8, body: &[u8]| [&[kind], body].concat();
    vec![
        kind(0, &counted(&[field("id", 16_384, 1, 23), field("?column?", 0, 0, 25)])),
        kind(1, &counted(&[value(b"1"), vec![0xff; 4], value(b"text")])),
        kind(2, b"SELECT 1\0"),
        kind(3, b"I"),
        kind(4, b"client_encoding\0UTF8\0"),
        kind(5, b"\0\0\0\x07\0\0\0\x09"),
        kind(6, &error(&[(b'S', "ERROR"), (b'C', "23505"), (b'M', "key 1"), (b'D', "(1)")])),
        kind(6, &error(&[(b'C', "42703"), (b'M', "column \"x\" does not exist"), (b'P', "8")])),
    ]
}

/// What is read lies within the body; scrubbing leaves only what carries no value, and scrubbing twice is once.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let kind = source.u8() % 7;
    let body = source.rest();
    match kind {
        0 => {
            let Ok(fields) = backend::row_description(body) else { return };
            assert!(fields.len() * 19 + 2 <= body.len(), "a column takes 19 bytes and its name");
        }
        1 => {
            let Ok(values) = backend::data_row(body) else { return };
            let bytes: usize = values.iter().map(|value| 4 + value.map_or(0, <[u8]>::len)).sum();
            assert_eq!(bytes + 2, body.len());
        }
        2 => drop(backend::command_tag(body)),
        3 => {
            let Ok(status) = backend::ready_status(body) else { return };
            assert!(b"ITE".contains(&status) && body.len() == 1);
        }
        4 => drop(backend::parameter_status(body)),
        5 => assert_eq!(backend::key_data(body).is_ok(), body.len() == 8),
        _ => scrub(body),
    }
}

fn scrub(body: &[u8]) {
    let Ok(scrubbed) = backend::scrubbed(b'E', body) else {
        assert!(backend::sqlstate(body).is_err(), "what has a code can be scrubbed");
        return;
    };
    let length = u32::from_be_bytes(scrubbed[1..5].try_into().expect("four bytes"));
    assert_eq!(length as usize + 1, scrubbed.len());
    let kept = backend::error_fields(&scrubbed[5..]).expect("what is written can be read");
    assert!(kept.iter().all(|(code, _)| b"SVCPM".contains(code)), "{kept:?}");
    let given = backend::error_fields(body).expect("it was scrubbed");
    let code = |fields: &[(u8, &[u8])]| {
        fields.iter().find(|(code, _)| *code == b'C').map(|field| field.1.to_vec())
    };
    assert_eq!(code(&kept), code(&given), "the code stays");
    let again = backend::scrubbed(b'E', &scrubbed[5..]).expect("what is written can be read");
    assert_eq!(again, scrubbed);
}
