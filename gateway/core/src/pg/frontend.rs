//! What an agent's messages say.

use super::read::{Malformed, Reader};

/// The kinds of message that an agent may send once its session runs.
const KINDS: &[u8] = b"QPBEDCSHXFdcf";

/// Whether PostgreSQL knows messages of this kind from a client (PostgreSQL documentation, "Message Formats").
#[must_use]
pub fn is_known(tag: u8) -> bool {
    KINDS.contains(&tag)
}

/// What a Describe or Close is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// Query: one text.
///
/// # Errors
/// When it is malformed.
pub fn query(body: &[u8]) -> Result<&[u8], Malformed> {
    let mut reader = Reader::new(body, "Query");
    let text = reader.cstr()?;
    reader.end()?;
    Ok(text)
}

/// Parse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The prepared statement's name; empty for the unnamed one.
    pub name: &'a [u8],
    /// The text.
    pub text: &'a [u8],
    /// The types it gives its parameters, as it gives them: four bytes each.
    pub types: Vec<u8>,
}

impl<'a> Parse<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "Parse");
        let (name, text) = (reader.cstr()?, reader.cstr()?);
        let mut types = Vec::new();
        for _ in 0..reader.count()? {
            types.extend_from_slice(&reader.u32()?.to_be_bytes());
        }
        reader.end()?;
        Ok(Self { name, text, types })
    }
}

/// Bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name; empty for the unnamed one.
    pub portal: &'a [u8],
    /// The prepared statement's name.
    pub statement: &'a [u8],
    /// The values, with their format: 0 text, 1 binary.
    pub parameters: Vec<(i16, Option<&'a [u8]>)>,
    /// The formats of result columns: none for all text, one for all, or one each.
    pub result_formats: Vec<i16>,
}

impl<'a> Bind<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "Bind");
        let (portal, statement) = (reader.cstr()?, reader.cstr()?);
        let formats = read_formats(&mut reader)?;
        let count = reader.count()?;
        if formats.len() > 1 && formats.len() != count {
            return Err(reader.malformed());
        }
        let mut parameters = Vec::with_capacity(count.min(1024));
        for index in 0..count {
            parameters.push((format_at(&formats, index), reader.value()?));
        }
        let result_formats = read_formats(&mut reader)?;
        reader.end()?;
        Ok(Self { portal, statement, parameters, result_formats })
    }
}

fn read_formats(reader: &mut Reader<'_>) -> Result<Vec<i16>, Malformed> {
    (0..reader.count()?).map(|_| reader.i16()).collect()
}

/// The format of column or parameter `index`, by the protocol's short forms.
#[must_use]
pub fn format_at(formats: &[i16], index: usize) -> i16 {
    match formats {
        [] => 0,
        [all] => *all,
        each => each.get(index).copied().unwrap_or(0),
    }
}

/// Execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal's name.
    pub portal: &'a [u8],
    /// The most rows wanted; 0 for all.
    pub max_rows: i32,
}

impl<'a> Execute<'a> {
    /// Reads the body.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, "Execute");
        let (portal, max_rows) = (reader.cstr()?, reader.i32()?);
        reader.end()?;
        Ok(Self { portal, max_rows })
    }
}

/// Describe or Close: what, and its name.
///
/// # Errors
/// When it is malformed.
pub fn object(body: &[u8]) -> Result<(Object, &[u8]), Malformed> {
    let mut reader = Reader::new(body, "Describe or Close");
    let object = match reader.u8()? {
        b'S' => Object::Statement,
        b'P' => Object::Portal,
        _ => return Err(reader.malformed()),
    };
    let name = reader.cstr()?;
    reader.end()?;
    Ok((object, name))
}

/// The names of prepared statements and portals that a message of kind `tag` bears.
///
/// # Errors
/// When it ends before them.
pub fn names(tag: u8, body: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let (what, skipped, count) = match tag {
        b'P' => ("Parse", 0, 1),
        b'B' => ("Bind", 0, 2),
        b'E' => ("Execute", 0, 1),
        b'D' | b'C' => ("Describe or Close", 1, 1),
        _ => return Ok(Vec::new()),
    };
    let mut reader = Reader::new(body, what);
    reader.bytes(skipped)?;
    (0..count).map(|_| reader.cstr()).collect()
}
