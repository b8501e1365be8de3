//! What a target's messages say.

use bytes::{BufMut as _, Bytes};

use super::read::{Malformed, Reader};
use super::write::{message, put_cstr};

/// One column of a RowDescription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The table it comes from; 0 for an expression.
    pub table_oid: u32,
    /// The column of that table, from 1; 0 for an expression, negative for system columns.
    pub attnum: i16,
    /// The type.
    pub type_oid: u32,
    /// 0 text, 1 binary; before Bind always 0.
    pub format: i16,
}

/// The columns of a RowDescription.
///
/// # Errors
/// When it is malformed.
pub fn row_description(body: &[u8]) -> Result<Vec<Field>, Malformed> {
    let mut reader = Reader::new(body, "RowDescription");
    let mut fields = Vec::new();
    for _ in 0..reader.count()? {
        let name = String::from_utf8_lossy(reader.cstr()?).into_owned();
        let (table_oid, attnum, type_oid) = (reader.u32()?, reader.i16()?, reader.u32()?);
        let (_size, _modifier, format) = (reader.i16()?, reader.i32()?, reader.i16()?);
        fields.push(Field { name, table_oid, attnum, type_oid, format });
    }
    reader.end()?;
    Ok(fields)
}

/// The values of a DataRow.
///
/// # Errors
/// When it is malformed.
pub fn data_row(body: &[u8]) -> Result<Vec<Option<&[u8]>>, Malformed> {
    let mut reader = Reader::new(body, "DataRow");
    let count = reader.count()?;
    let mut values = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        values.push(reader.value()?);
    }
    reader.end()?;
    Ok(values)
}

/// The tag of a CommandComplete.
///
/// # Errors
/// When it is malformed.
pub fn command_tag(body: &[u8]) -> Result<String, Malformed> {
    let mut reader = Reader::new(body, "CommandComplete");
    let tag = reader.cstr()?;
    reader.end()?;
    Ok(String::from_utf8_lossy(tag).into_owned())
}

/// The transaction status of a ReadyForQuery.
///
/// # Errors
/// When it is malformed or the status is unknown.
pub fn ready_status(body: &[u8]) -> Result<u8, Malformed> {
    let mut reader = Reader::new(body, "ReadyForQuery");
    let status = reader.u8()?;
    reader.end()?;
    if matches!(status, b'I' | b'T' | b'E') { Ok(status) } else { Err(reader.malformed()) }
}

/// Name and value of a ParameterStatus.
///
/// # Errors
/// When it is malformed.
pub fn parameter_status(body: &[u8]) -> Result<(String, String), Malformed> {
    let mut reader = Reader::new(body, "ParameterStatus");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (name, value) = (text(reader.cstr()?), text(reader.cstr()?));
    reader.end()?;
    Ok((name, value))
}

/// Process id and secret key of a BackendKeyData.
///
/// # Errors
/// When it is malformed.
pub fn key_data(body: &[u8]) -> Result<(u32, u32), Malformed> {
    let mut reader = Reader::new(body, "BackendKeyData");
    let key = (reader.u32()?, reader.u32()?);
    reader.end()?;
    Ok(key)
}

/// The fields of an ErrorResponse or NoticeResponse.
///
/// # Errors
/// When it is malformed.
pub fn error_fields(body: &[u8]) -> Result<Vec<(u8, &[u8])>, Malformed> {
    let mut reader = Reader::new(body, "ErrorResponse");
    let mut fields = Vec::new();
    loop {
        match reader.u8()? {
            0 => break,
            code => fields.push((code, reader.cstr()?)),
        }
    }
    reader.end()?;
    Ok(fields)
}

/// The SQLSTATE of an ErrorResponse; `XX000` where it has none.
///
/// # Errors
/// When it is malformed.
pub fn sqlstate(body: &[u8]) -> Result<String, Malformed> {
    let fields = error_fields(body)?;
    let code = fields.iter().find(|(code, _)| *code == b'C').map_or(&b"XX000"[..], |field| field.1);
    Ok(String::from_utf8_lossy(code).into_owned())
}

/// Classes of SQLSTATE whose messages name objects and states, never values: connection, transaction state,
/// authorization, syntax and access, resources, operator intervention.
const MESSAGES_WITHOUT_VALUES: [&[u8]; 9] =
    [b"08", b"0A", b"25", b"28", b"40", b"42", b"53", b"55", b"57"];

/// An ErrorResponse or NoticeResponse without what may carry a value: detail, hint, context, internal query and
/// object names go, and the message too unless its SQLSTATE is of a class that quotes none.
///
/// # Errors
/// When it is malformed.
pub fn scrubbed(tag: u8, body: &[u8]) -> Result<Bytes, Malformed> {
    let fields = error_fields(body)?;
    let code = fields.iter().find(|(code, _)| *code == b'C').map_or(&b""[..], |field| field.1);
    // 42 holds 42804 and its like, whose messages quote types; 42P and cast errors of 22 quote values: 22 is not kept.
    let keeps_message = MESSAGES_WITHOUT_VALUES.iter().any(|class| code.starts_with(class));
    Ok(message(tag, |out| {
        for (kind, text) in &fields {
            let text: &[u8] = match kind {
                b'S' | b'V' | b'C' | b'P' => text,
                b'M' if keeps_message => text,
                b'M' => b"the target's message is withheld: the statement touches masked columns",
                _ => continue,
            };
            out.put_u8(*kind);
            put_cstr(out, text);
        }
        out.put_u8(0);
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(fields: &[(u8, &str)]) -> Bytes {
        message(b'E', |out| {
            for (code, text) in fields {
                out.put_u8(*code);
                put_cstr(out, text.as_bytes());
            }
            out.put_u8(0);
        })
    }

    #[test]
    fn scrubbing_keeps_the_code_and_drops_what_may_quote_a_value() {
        let fields = [
            (b'S', "ERROR"),
            (b'C', "23505"),
            (b'M', "duplicate key value 123-45-6789"),
            (b'D', "Key (ssn)=(123-45-6789) already exists."),
            (b'W', "SQL statement with 123-45-6789"),
            (b'q', "SELECT '123-45-6789'"),
            (b'P', "8"),
        ];
        let scrubbed = scrubbed(b'E', &error(&fields)[5..]).unwrap();
        let text = String::from_utf8_lossy(&scrubbed).into_owned();
        assert!(text.contains("23505") && !text.contains("123-45"));
        let codes: Vec<u8> =
            error_fields(&scrubbed[5..]).unwrap().into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, b"SCMP");
    }

    #[test]
    fn scrubbing_keeps_messages_that_name_objects_only() {
        let fields = [(b'C', "42703"), (b'M', "column \"x\" does not exist"), (b'H', "hint")];
        let scrubbed = scrubbed(b'E', &error(&fields)[5..]).unwrap();
        let text = String::from_utf8_lossy(&scrubbed).into_owned();
        assert!(text.contains("column \"x\" does not exist") && !text.contains("hint"));
    }
}
