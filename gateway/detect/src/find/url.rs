//! URLs with a password (RFC 3986, 3.2.1).

use super::edges::is_word;
use super::{Found, Window, byte};
use crate::kind::{Kind, Kinds};

/// Schemes whose URLs carry passwords; a `jdbc:` may stand before.
const SCHEMES: &[&[u8]] = &[
    b"postgres",
    b"postgresql",
    b"mysql",
    b"mariadb",
    b"mongodb",
    b"mongodb+srv",
    b"redis",
    b"rediss",
    b"amqp",
    b"amqps",
    b"mssql",
    b"sqlserver",
    b"oracle",
    b"clickhouse",
    b"cockroachdb",
    b"cassandra",
    b"neo4j",
    b"bolt",
    b"nats",
    b"kafka",
    b"mqtt",
    b"mqtts",
    b"ldap",
    b"ldaps",
    b"smtp",
    b"smtps",
    b"imap",
    b"imaps",
    b"ftp",
    b"ftps",
    b"sftp",
    b"ssh",
    b"http",
    b"https",
    b"ws",
    b"wss",
    b"git",
    b"elasticsearch",
    b"couchdb",
    b"snowflake",
    b"mysqlx",
    b"postgresql+psycopg",
    b"postgresql+psycopg2",
    b"postgresql+asyncpg",
    b"mysql+pymysql",
    b"redis+sentinel",
    b"tds",
];

/// The longest of them.
const MAX_SCHEME_BYTES: usize = 24;

/// Bytes of user, password and host, at most.
const MAX_AUTHORITY_BYTES: usize = 512;

pub(super) fn verify(window: Window<'_>, _: Kinds, found: &mut Found<'_>) {
    let Window { bytes, anchor } = window;
    let start = anchor + "://".len();
    let Some(rest) = bytes.get(start..bytes.len().min(start + MAX_AUTHORITY_BYTES)) else { return };
    let length = rest.iter().take_while(|byte| is_authority(**byte)).count();
    let authority = rest.get(..length).unwrap_or_default();
    // A password may have an `@` of its own, against the RFC: the last one counts that a host follows.
    let host = |at: usize| authority.iter().skip(at + 1).take_while(|byte| is_host(**byte)).count();
    let Some(at) = memchr::memrchr_iter(b'@', authority).find(|at| host(*at) > 0) else { return };
    let Some(colon) = memchr::memchr(b':', authority.get(..at).unwrap_or_default()) else { return };
    let password = authority.get(colon + 1..at).unwrap_or_default();
    let end = start + at + 1 + host(at);
    // A mark behind the host changes nothing: with what was there, this was found as well.
    if has_scheme(bytes, anchor) && is_password(password) {
        found.push(Kind::UrlPassword, start..end);
    }
}

fn has_scheme(bytes: &[u8], colon: usize) -> bool {
    let before = bytes.get(colon.saturating_sub(MAX_SCHEME_BYTES)..colon).unwrap_or_default();
    let length = before.iter().rev().take_while(|byte| is_word(**byte) || **byte == b'+').count();
    let scheme = before.get(before.len() - length..).unwrap_or_default().to_ascii_lowercase();
    SCHEMES.iter().any(|known| {
        // Behind another word, `DATABASE_URL_postgres://`, the scheme is still one.
        scheme.strip_suffix(*known).is_some_and(|rest| {
            rest.last().is_none_or(|last| !last.is_ascii_alphanumeric() || rest.ends_with(b"n"))
        })
    })
}

/// Templates and what was masked elsewhere are no passwords.
fn is_password(password: &[u8]) -> bool {
    !password.is_empty()
        && !password.iter().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.'))
        && !matches!(byte(password, 0), b'{' | b'<')
        && !password.starts_with(b"${")
        && !password.starts_with(b"$(")
        && !password.starts_with(b"%s")
        && !password.starts_with(b"%(")
}

/// What may stand before the path: no blank, no quote, no bracket (a mark has some).
const fn is_authority(byte: u8) -> bool {
    byte > b' '
        && byte != 0x7f
        && !matches!(
            byte,
            b'/' | b'"' | b'\'' | b'`' | b'[' | b']' | b'<' | b'>' | b'\\' | b'?' | b'#' | b'|'
        )
}

const fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}
