//! Settings as a PostgreSQL server has them: none can be changed here to anything that would change an answer.

/// What clients are told they talk to: they choose their catalog queries by it.
pub(crate) const SERVER_VERSION: &str = concat!("16.6 (tallyport ", env!("CARGO_PKG_VERSION"), ")");

/// By name, in lower case.
pub(crate) const SETTINGS: [(&str, &str); 20] = [
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    // PostgreSQL's own: a driver asks for it before it asks for keys, of which there are none.
    ("max_index_keys", "32"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("timezone", "UTC"),
    ("transaction_isolation", "repeatable read"),
    ("transaction_read_only", "on"),
];

/// What it is set to.
pub(crate) fn setting(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}
