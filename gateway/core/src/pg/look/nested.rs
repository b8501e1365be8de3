//! Values of values: arrays in both formats, records in binary format (`src/backend/utils/adt/arrayfuncs.c`, `rowtypes.c`).

use super::{Column, Form, Looker, Seen, Unreadable};
use crate::pg::read::{Malformed, Reader};

/// The most dimensions of an array.
const MAX_DIMENSIONS: usize = 6;
/// The most fields of a record.
const MAX_FIELDS: usize = 1_664;
/// A value that is NULL, by its length.
const NULL: i32 = -1;
/// The flag of an array that has a NULL.
const HAS_NULL: i32 = 1;

impl Looker<'_> {
    /// An array as text: `{a,"b c",NULL}`, with its bounds before it where they are not from 1.
    pub(super) fn array_text(
        &mut self,
        element: &Column,
        value: &[u8],
        depth: usize,
    ) -> Result<Seen, Unreadable> {
        let begins = value.iter().position(|byte| *byte == b'{').ok_or(Unreadable::Malformed)?;
        let (bounds, mut rest) = value.split_at_checked(begins).ok_or(Unreadable::Malformed)?;
        let mut out = bounds.to_vec();
        let mut changed = false;
        while let Some((first, behind)) = rest.split_first() {
            if matches!(first, b'{' | b'}' | b',') {
                out.push(*first);
                rest = behind;
                continue;
            }
            let (raw, plain, behind) = element_of(rest).ok_or(Unreadable::Malformed)?;
            rest = behind;
            let seen = match raw {
                b"NULL" => Seen::Same,
                _ => self.nested(element, &plain, depth + 1)?,
            };
            changed |= seen != Seen::Same;
            match seen {
                Seen::Same => out.extend_from_slice(raw),
                Seen::Null => out.extend_from_slice(b"NULL"),
                Seen::Value(seen) => put_quoted(&mut out, &seen),
            }
        }
        Ok(if changed { Seen::Value(out) } else { Seen::Same })
    }

    /// What tells by its bytes what it is. Characters have no zero byte; lengths and counts have.
    pub(super) fn binary(
        &mut self,
        it: &Column,
        value: &[u8],
        depth: usize,
    ) -> Result<Seen, Unreadable> {
        if let Ok(array) = Array::read(value) {
            return self.array(it, value, &array, depth);
        }
        if let Ok(fields) = record(value) {
            return self.record(it, &fields, depth);
        }
        if value.contains(&0) { Err(Unreadable::Binary) } else { Ok(self.or_null(value, it.given)) }
    }

    fn array(
        &mut self,
        it: &Column,
        value: &[u8],
        array: &Array<'_>,
        depth: usize,
    ) -> Result<Seen, Unreadable> {
        let element = Column { type_oid: array.element, ..*it };
        if matches!(Form::of(array.element, it.format, it.given), Form::Nothing) {
            return Ok(Seen::Same);
        }
        let header = value.get(..array.header_bytes).unwrap_or_default();
        let mut out = header.to_vec();
        let (mut changed, mut nulls) = (false, false);
        for value in &array.elements {
            let seen = match value {
                Some(value) => self.nested(&element, value, depth + 1)?,
                None => Seen::Same,
            };
            changed |= seen != Seen::Same;
            nulls |= seen == Seen::Null;
            match (seen, value) {
                (Seen::Value(seen), _) => put_value(&mut out, &seen),
                (Seen::Same, Some(value)) => put_value(&mut out, value),
                (Seen::Null, _) | (Seen::Same, None) => out.extend_from_slice(&NULL.to_be_bytes()),
            }
        }
        if nulls && let Some(flags) = out.get_mut(4..8) {
            flags.copy_from_slice(&HAS_NULL.to_be_bytes());
        }
        Ok(if changed { Seen::Value(out) } else { Seen::Same })
    }

    /// A record is NULL where a part of it may not be seen, as it is in text format.
    fn record(
        &mut self,
        it: &Column,
        fields: &[TypedValue<'_>],
        depth: usize,
    ) -> Result<Seen, Unreadable> {
        let mut hides = false;
        for (type_oid, value) in fields {
            let Some(value) = value else { continue };
            let field = Column { type_oid: *type_oid, ..*it };
            hides |= self.nested(&field, value, depth + 1)? != Seen::Same;
        }
        Ok(if hides { Seen::Null } else { Seen::Same })
    }
}

/// An array in binary format.
struct Array<'a> {
    element: u32,
    header_bytes: usize,
    elements: Vec<Option<&'a [u8]>>,
}

impl<'a> Array<'a> {
    fn read(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(value, "array");
        let dimensions = usize::try_from(reader.i32()?).unwrap_or(usize::MAX);
        let flags = reader.i32()?;
        let element = reader.u32()?;
        // A record would have the oid of a type where the flags are, and there is none of 0 and 1.
        if dimensions > MAX_DIMENSIONS || !matches!(flags, 0 | HAS_NULL) {
            return Err(reader.malformed());
        }
        let mut wanted = usize::from(dimensions > 0);
        for _ in 0..dimensions {
            let (length, _from) = (reader.i32()?, reader.i32()?);
            let length = usize::try_from(length).map_err(|_| reader.malformed())?;
            wanted = wanted.checked_mul(length).ok_or(reader.malformed())?;
        }
        let header_bytes = value.len() - reader.rest().len();
        let mut elements = Vec::new();
        while !reader.rest().is_empty() {
            elements.push(reader.value()?);
        }
        if elements.len() != wanted {
            return Err(reader.malformed());
        }
        Ok(Self { element, header_bytes, elements })
    }
}

/// A field of a record: its type and its value.
type TypedValue<'a> = (u32, Option<&'a [u8]>);

/// The fields of a record in binary format.
fn record(value: &[u8]) -> Result<Vec<TypedValue<'_>>, Malformed> {
    let mut reader = Reader::new(value, "record");
    let count = usize::try_from(reader.i32()?).unwrap_or(usize::MAX);
    if count > MAX_FIELDS {
        return Err(reader.malformed());
    }
    let mut fields = Vec::new();
    for _ in 0..count {
        fields.push((reader.u32()?, reader.value()?));
    }
    reader.end()?;
    Ok(fields)
}

/// The element that begins here: as it is written, what it means, and what follows it.
fn element_of(text: &[u8]) -> Option<(&[u8], Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| matches!(byte, b'{' | b'}' | b','));
        let (raw, behind) = text.split_at_checked(end.unwrap_or(text.len()))?;
        return Some((raw, raw.to_vec(), behind));
    };
    let mut plain = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let (raw, behind) = text.split_at_checked(at + 2)?;
                return Some((raw, plain, behind));
            }
            b'\\' => plain.push(*bytes.next()?.1),
            other => plain.push(*other),
        }
    }
    None
}

fn put_quoted(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&i32::try_from(value.len()).unwrap_or(i32::MAX).to_be_bytes());
    out.extend_from_slice(value);
}
