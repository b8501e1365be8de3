//! The server's own relations that tell of structure and never of rows, other sessions, or secrets.

use crate::sql::catalog::{Relation, STANDARD_SCHEMA};

/// What clients read to describe tables, types, functions, roles and settings. Not here: statistics (`pg_stats`,
/// `pg_statistic*`), activity and statements of others (`pg_stat_*`, `pg_locks`), large objects, passwords, mappings and
/// subscriptions with their secrets, files of the server.
const READABLE: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_database",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_group",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_init_privs",
    "pg_language",
    "pg_matviews",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_parameter_acl",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_publication_tables",
    "pg_range",
    "pg_rewrite",
    "pg_roles",
    "pg_rules",
    "pg_seclabel",
    "pg_seclabels",
    "pg_sequence",
    "pg_sequences",
    "pg_settings",
    "pg_shdepend",
    "pg_shdescription",
    "pg_shseclabel",
    "pg_tables",
    "pg_tablespace",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
    "pg_user",
    "pg_views",
    "pg_statistic_ext",
];

/// Views of the SQL standard that show secrets.
const STANDARD_SECRETS: &[&str] = &["user_mapping_options", "user_mappings", "_pg_user_mappings"];

/// Whether a system relation tells of structure alone.
pub(super) fn is_readable(relation: &Relation) -> bool {
    if relation.schema == STANDARD_SCHEMA {
        return !STANDARD_SECRETS.contains(&relation.name.as_str());
    }
    READABLE.contains(&relation.name.as_str())
}
