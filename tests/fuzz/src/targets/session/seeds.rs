//! Scripts to start from.

use crate::targets::wire::{counted, error, field, message, value};

/// Steps, messages and statements.
pub const WORDS: &[&[u8]] = &[
    b"\x02Q\0\x09SELECT 1\0",
    b"\x02S\0\0",
    b"\x02H\0\0",
    b"\x02X\0\0",
    b"\x02E\0\x05\0\0\0\0\0",
    b"\x02D\0\x02P\0",
    b"\x02D\0\x02S\0",
    b"\x02C\0\x02S\0",
    b"\x02B\0\x08\0\0\0\0\0\0\0\0",
    b"\x02P\0\x0c\0SELECT 1\0\0\0",
    b"\x02d\0\x02xy",
    b"\x02c\0\0",
    b"\x02f\0\x02x\0",
    b"\x02F\0\x01x",
    b"\x02Q\0\x06BEGIN\0",
    b"\x02Q\0\x07COMMIT\0",
    b"\x03Z\0\x01I",
    b"\x03Z\0\x01T",
    b"\x03Z\0\x01E",
    b"\x03C\0\x09SELECT 1\0",
    b"\x031\0\0",
    b"\x032\0\0",
    b"\x033\0\0",
    b"\x03n\0\0",
    b"\x03t\0\x02\0\0",
    b"\x03s\0\0",
    b"\x03I\0\0",
    b"\x03G\0\x03\0\0\0",
    b"\x03H\0\x03\0\0\0",
    b"\x03D\0\x02\0\0",
    b"\x03E\0\x08C23505\0\0",
    b"\x03S\0\x04a\0b\0",
    b"\x03N\0\x01\0",
    b"\x04",
    b"\x05",
    b"\x06",
    b"COPY app.orders FROM STDIN\0",
    b"SELECT ssn FROM customers\0",
    b"DEALLOCATE ALL\0",
    b"4111111111111111",
    b"ann@example.org",
];

/// Conversations as drivers have them, and as they should not be.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let plain = [simple(), extended(), out_of_turn()].concat();
    let looked_into = plain.iter().cloned().map(|mut script| {
        script[0] |= super::LOOKS_FROM;
        script
    });
    plain.iter().cloned().chain(looked_into).collect()
}

/// A script: who judges, then the steps.
fn script(bench: u8, steps: &[Vec<u8>]) -> Vec<u8> {
    [&[bench][..], &steps.concat()].concat()
}

/// A message of the agent.
fn a(tag: u8, body: &[u8]) -> Vec<u8> {
    step(2, tag, body)
}

/// A message of the target.
fn t(tag: u8, body: &[u8]) -> Vec<u8> {
    step(3, tag, body)
}

fn step(op: u8, tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[op, tag][..], &length, body].concat()
}

/// One row, and ready again.
fn done() -> Vec<u8> {
    [t(b'C', b"SELECT 1\0"), t(b'Z', b"I"), vec![FLUSH]].concat()
}

fn id() -> Vec<u8> {
    t(b'T', &counted(&[field("id", 18_364, 1, 23)]))
}

fn row() -> Vec<u8> {
    t(b'D', &counted(&[value(b"1")]))
}

fn failed(code: &str) -> Vec<u8> {
    t(b'E', &error(&[(b'C', code)]))
}

const FLUSH: u8 = 4;
const HONEST_ROW: u8 = 5;
const HONEST_ERROR: u8 = 6;

fn simple() -> Vec<Vec<u8>> {
    let insert = b"INSERT INTO app.customers (id) VALUES (1)\0";
    vec![
        script(1, &[a(b'Q', b"SELECT 1\0"), id(), row(), done(), a(b'X', b"")]),
        script(0, &[a(b'Q', b"SELECT ssn FROM app.customers\0"), vec![HONEST_ROW], done()]),
        script(0, &[a(b'Q', b"SELECT upper(ssn) FROM app.customers\0"), vec![FLUSH]]),
        script(0, &[a(b'Q', insert), vec![HONEST_ERROR], t(b'Z', b"E"), vec![FLUSH]]),
        script(
            2,
            &[
                a(b'Q', b"SELECT id FROM app.orders\0"),
                [id(), row(), row(), row(), row()].concat(),
                [failed("57014"), t(b'Z', b"I"), vec![FLUSH]].concat(),
            ],
        ),
        script(
            1,
            &[
                a(b'Q', b"COPY app.orders FROM STDIN\0"),
                t(b'G', b"\0\0\0"),
                [a(b'd', b"1\t2\n"), a(b'c', b""), done()].concat(),
            ],
        ),
        script(
            1,
            &[
                [a(b'Q', b"BEGIN\0"), t(b'C', b"BEGIN\0"), t(b'Z', b"T")].concat(),
                a(b'Q', b"not sql at all\0"),
                [failed("42601"), t(b'Z', b"E"), vec![FLUSH]].concat(),
            ],
        ),
    ]
}

fn extended() -> Vec<Vec<u8>> {
    let bind = [&b"\0\0\0\0"[..], &counted(&[value(b"7")]), &[0, 0]].concat();
    let select = b"\0SELECT ssn FROM app.customers WHERE id = $1\0\0\0";
    vec![
        script(
            0,
            &[
                [a(b'P', select), a(b'B', &bind), a(b'E', b"\0\0\0\0\0"), a(b'S', b"")].concat(),
                [t(b'1', b""), t(b'2', b""), vec![HONEST_ROW], done()].concat(),
            ],
        ),
        script(
            2,
            &[
                a(b'P', b"s\0SELECT 1\0\0\0"),
                a(b'P', b"t\0DELETE FROM app.orders\0\0\0"),
                [a(b'H', b""), t(b'1', b""), a(b'S', b""), t(b'Z', b"I"), vec![FLUSH]].concat(),
            ],
        ),
        script(
            1,
            &[
                [a(b'P', b"s\0SELECT 1\0\0\0"), a(b'D', b"Ss\0"), a(b'S', b"")].concat(),
                [t(b'1', b""), t(b't', b"\0\0"), id(), t(b'Z', b"I")].concat(),
                [a(b'C', b"Ss\0"), a(b'S', b""), t(b'3', b""), t(b'Z', b"I"), vec![FLUSH]].concat(),
            ],
        ),
    ]
}

fn out_of_turn() -> Vec<Vec<u8>> {
    let notice = t(b'N', &error(&[(b'M', "hello")]));
    let queries = [message(b'Q', b"SELECT 1\0"), message(b'Q', b"SELECT\0")].concat();
    vec![
        script(1, &[t(b'S', b"client_encoding\0LATIN1\0"), notice, t(b'A', b"\0\0\0\x01c\0p\0")]),
        [&[1, 0, 0, 27][..], &queries, &[1, 0, 6], &message(b'Z', b"I")].concat(),
    ]
}
