//! PostgreSQL messages as bytes, for seeds.

/// One message: tag, length, body.
pub(super) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes();
    [&[tag][..], &length, body].concat()
}

/// One column of a RowDescription.
pub(super) fn field(name: &str, table_oid: u32, attnum: i16, type_oid: u32) -> Vec<u8> {
    [
        name.as_bytes(),
        &[0],
        &table_oid.to_be_bytes(),
        &attnum.to_be_bytes(),
        &type_oid.to_be_bytes(),
        &[0xff, 0xff],
        &[0xff; 4],
        &[0, 0],
    ]
    .concat()
}

/// A body that begins with a count.
pub(super) fn counted(parts: &[Vec<u8>]) -> Vec<u8> {
    let count = u16::try_from(parts.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&count[..], &parts.concat()].concat()
}

/// A value of a DataRow or Bind.
pub(super) fn value(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], bytes].concat()
}

/// An ErrorResponse's body.
pub(super) fn error(fields: &[(u8, &str)]) -> Vec<u8> {
    let mut body: Vec<u8> = fields
        .iter()
        .flat_map(|(code, text)| [&[*code][..], text.as_bytes(), &[0]].concat())
        .collect();
    body.push(0);
    body
}
