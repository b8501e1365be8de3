//! What PostgreSQL brings along that is known to compute from its arguments alone.
//!
//! Allow-lists: a name that is not here is not known, however harmless it sounds.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a known function does beside computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// It moves a sequence, takes an advisory lock, assigns a transaction id.
    Some,
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Effect>> = LazyLock::new(|| {
    lines(include_str!("functions.txt"))
        .map(|line| match line.strip_suffix(" !") {
            Some(name) => (name, Effect::Some),
            None => (line, Effect::None),
        })
        .collect()
});

static OPERATORS: LazyLock<std::collections::HashSet<&'static str>> =
    LazyLock::new(|| lines(include_str!("operators.txt")).collect());

/// A line that starts with `#` and a space is a comment; `#` alone is an operator.
fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "))
}

/// Helpers of `information_schema` that drivers call; each computes from its arguments and the catalog.
const STANDARD_FUNCTIONS: &[&str] = &[
    "_pg_char_max_length",
    "_pg_char_octet_length",
    "_pg_datetime_precision",
    "_pg_expandarray",
    "_pg_index_position",
    "_pg_interval_type",
    "_pg_numeric_precision",
    "_pg_numeric_precision_radix",
    "_pg_numeric_scale",
    "_pg_truetypid",
    "_pg_truetypmod",
];

/// Extensions whose C code computes from its arguments alone wherever it is declared immutable.
const PURE_EXTENSIONS: &[&str] = &[
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "postgis",
    "seg",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// The types of `pg_catalog`.
const TYPES: &[&str] = &[
    "aclitem",
    "bit",
    "bool",
    "box",
    "bpchar",
    "bytea",
    "char",
    "cid",
    "cidr",
    "circle",
    "date",
    "datemultirange",
    "daterange",
    "float4",
    "float8",
    "gtsvector",
    "inet",
    "int2",
    "int2vector",
    "int4",
    "int4multirange",
    "int4range",
    "int8",
    "int8multirange",
    "int8range",
    "interval",
    "json",
    "jsonb",
    "jsonpath",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "money",
    "name",
    "numeric",
    "nummultirange",
    "numrange",
    "oid",
    "oidvector",
    "path",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "pg_dependencies",
    "pg_lsn",
    "pg_mcv_list",
    "pg_ndistinct",
    "pg_node_tree",
    "pg_snapshot",
    "point",
    "polygon",
    "refcursor",
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "text",
    "tid",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsmultirange",
    "tsquery",
    "tsrange",
    "tstzmultirange",
    "tstzrange",
    "tsvector",
    "txid_snapshot",
    "uuid",
    "varbit",
    "varchar",
    "xid",
    "xid8",
    "xml",
];

/// What is known of the function `schema.name`; None when nothing is.
pub(crate) fn function(schema: &str, name: &str) -> Option<Effect> {
    match schema {
        "pg_catalog" => FUNCTIONS.get(name).copied(),
        "information_schema" => STANDARD_FUNCTIONS.contains(&name).then_some(Effect::None),
        _ => None,
    }
}

/// Whether `pg_catalog` has an operator of this name.
pub(crate) fn is_operator(name: &str) -> bool {
    OPERATORS.contains(name)
}

/// Whether `pg_catalog` has a type of this name.
pub(crate) fn is_type(name: &str) -> bool {
    TYPES.contains(&name)
}

/// Whether an extension's immutable C code computes from its arguments alone.
pub(crate) fn extension_is_pure(name: &str) -> bool {
    PURE_EXTENSIONS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Families that must never be on the list, whatever a server says of their volatility.
    const NEVER: &[&str] = &[
        "query_to_xml",
        "table_to_xml",
        "schema_to_xml",
        "database_to_xml",
        "cursor_to_xml",
        "ts_stat",
        "ts_rewrite",
        "set_config",
        "pg_read_file",
        "pg_read_binary_file",
        "pg_ls_dir",
        "pg_ls_logdir",
        "pg_ls_waldir",
        "pg_stat_file",
        "lo_get",
        "lo_import",
        "lo_export",
        "loread",
        "lo_open",
        "pg_logical_slot_get_changes",
        "pg_logical_emit_message",
        "pg_notify",
        "pg_stat_get_activity",
        "pg_stat_get_backend_activity",
        "pg_terminate_backend",
        "pg_cancel_backend",
        "pg_get_functiondef",
        "pg_mcv_list_items",
        "pg_promote",
        "pg_reload_conf",
        "setval",
        "pg_input_is_valid",
        "pg_input_error_info",
        "currtid2",
        "pg_export_snapshot",
        "pg_cursor",
        "pg_prepared_statement",
        "pg_hba_file_rules",
        "pg_show_all_file_settings",
        "dblink",
        "crosstab",
        "xpath_table",
        "pg_stat_reset",
    ];

    #[test]
    fn nothing_that_reads_or_runs_is_listed() {
        for name in NEVER {
            assert_eq!(function("pg_catalog", name), None, "{name}");
        }
    }

    #[test]
    fn the_everyday_is_listed() {
        for name in [
            "lower",
            "count",
            "sum",
            "now",
            "coalesce_is_no_function",
            "format_type",
            "pg_get_viewdef",
        ] {
            let listed = function("pg_catalog", name).is_some();
            assert_eq!(listed, name != "coalesce_is_no_function", "{name}");
        }
        assert_eq!(function("pg_catalog", "nextval"), Some(Effect::Some));
        assert_eq!(function("public", "lower"), None, "another schema's function of the same name");
        assert!(is_operator("#") && is_operator("=") && !is_operator("==="));
        assert!(is_type("text") && !is_type("customers"));
    }
}
