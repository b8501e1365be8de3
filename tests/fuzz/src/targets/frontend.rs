//! The bodies of an agent's messages.

use gateway_core::pg::frontend::{self, Bind, Execute, Parse};
use gateway_core::pg::write;

use super::wire::{counted, value};
use crate::Source;

/// Counts and lengths.
pub const WORDS: &[&[u8]] = &[
    b"\0\0",
    b"\0\x01",
    b"\xff\xff",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x04",
    b"S",
    b"P",
    b"SELECT 1\0",
];

/// One body of every kind, with the byte that says which.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let bind =
        [&b"\x02p\0s\0"[..], &[0, 1, 0, 1], &counted(&[value(b"7"), vec![0xff; 4]]), &[0, 0]];
    vec![
        b"\0SELECT 1\0".to_vec(),
        b"\x01s\0SELECT $1\0\0\x01\0\0\0\x17".to_vec(),
        bind.concat(),
        b"\x03p\0\0\0\0\x0a".to_vec(),
        b"\x04Sname\0".to_vec(),
        b"\x04P\0".to_vec(),
    ]
}

/// What is read lies within the body, and what is written again reads the same.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let kind = source.u8() % 5;
    let body = source.rest();
    match kind {
        0 => {
            let Ok(text) = frontend::query(body) else { return };
            assert_eq!(text.len() + 1, body.len());
            if let Ok(text) = std::str::from_utf8(text) {
                assert_eq!(&write::query(text)[5..], body);
            }
        }
        1 => {
            let Ok(parse) = Parse::read(body) else { return };
            let read = parse.name.len() + parse.text.len() + 4 + parse.types.len();
            assert_eq!(read, body.len(), "every byte has its place");
            if let Ok(text) = std::str::from_utf8(parse.text) {
                let written = write::parse(parse.name, text);
                // What is written names no types.
                let untyped = Parse { types: Vec::new(), ..parse.clone() };
                assert_eq!(Parse::read(&written[5..]).as_ref(), Ok(&untyped));
            }
        }
        2 => {
            let Ok(bind) = Bind::read(body) else { return };
            let values: usize =
                bind.parameters.iter().map(|(_, value)| 4 + value.map_or(0, <[u8]>::len)).sum();
            let names = bind.portal.len() + bind.statement.len() + 2;
            let formats = 2 * bind.result_formats.len();
            assert!(names + values + formats + 6 <= body.len(), "it read more than there is");
            for (index, _) in bind.parameters.iter().enumerate() {
                let _format = frontend::format_at(&bind.result_formats, index);
            }
        }
        3 => {
            let Ok(execute) = Execute::read(body) else { return };
            assert_eq!(execute.portal.len() + 5, body.len());
        }
        _ => {
            let Ok((object, name)) = frontend::object(body) else { return };
            assert_eq!(name.len() + 2, body.len());
            if object == frontend::Object::Portal {
                assert_eq!(&write::describe_portal(name)[5..], body);
            }
        }
    }
}
