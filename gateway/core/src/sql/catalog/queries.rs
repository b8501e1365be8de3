//! What is read of a database, as plain statements that work on PostgreSQL 13 to 17 for any role.
//!
//! Objects of `pg_catalog` and `information_schema` are read by name only; which of them are safe is decided by
//! committed lists, not by what a server says of itself.

/// One statement to run, and the name under which its rows are handed to [`super::CatalogRows::insert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogQuery {
    /// Names the rows.
    pub name: &'static str,
    /// One statement without parameters; run it with the simple protocol, values in text format.
    pub sql: &'static str,
}

/// All of them; run in one `REPEATABLE READ, READ ONLY` transaction, so that they tell of one moment.
pub const QUERIES: &[CatalogQuery] = &[
    CatalogQuery { name: "database", sql: DATABASE },
    CatalogQuery { name: "path", sql: PATH },
    CatalogQuery { name: "schemas", sql: SCHEMAS },
    CatalogQuery { name: "relations", sql: RELATIONS },
    CatalogQuery { name: "columns", sql: COLUMNS },
    CatalogQuery { name: "inherits", sql: INHERITS },
    CatalogQuery { name: "views", sql: VIEWS },
    CatalogQuery { name: "view_uses", sql: VIEW_USES },
    CatalogQuery { name: "functions", sql: FUNCTIONS },
    CatalogQuery { name: "operators", sql: OPERATORS },
    CatalogQuery { name: "types", sql: TYPES },
    CatalogQuery { name: "casts", sql: CASTS },
    CatalogQuery { name: "triggers", sql: TRIGGERS },
    CatalogQuery { name: "expressions", sql: EXPRESSIONS },
    CatalogQuery { name: "foreign_keys", sql: FOREIGN_KEYS },
    CatalogQuery { name: "derived", sql: DERIVED },
    CatalogQuery { name: "keys", sql: KEYS },
    CatalogQuery { name: SIZES_NAME, sql: SIZES },
];

/// Names the rows that are estimates: they differ from time to time without a change of anything.
pub(super) const SIZES_NAME: &str = "sizes";

const DATABASE: &str = "\
SELECT pg_catalog.current_database(), current_user, pg_catalog.current_setting('server_version_num'), \
pg_catalog.current_setting('search_path')";

/// The path under which `pg_get_viewdef` leaves schemas away, in order, `pg_catalog` included.
const PATH: &str = "\
SELECT s.name FROM pg_catalog.unnest(pg_catalog.current_schemas(true)) WITH ORDINALITY AS s(name, place) ORDER BY s.place";

const SCHEMAS: &str = "\
SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n \
WHERE n.nspname !~ '^pg_(toast|temp_|toast_temp_)' ORDER BY n.oid";

const RELATIONS: &str = "\
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relrowsecurity, c.relhasrules \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)' ORDER BY c.oid";

const COLUMNS: &str = "\
SELECT a.attrelid, a.attnum, a.attname, a.atttypid \
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)' ORDER BY a.attrelid, a.attnum";

const INHERITS: &str = "\
SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid \
WHERE c.relkind IN ('r', 'p', 'f') ORDER BY 1, 2";

const VIEWS: &str = "\
SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid) \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('v', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)' ORDER BY c.oid";

const VIEW_USES: &str = "\
SELECT DISTINCT r.ev_class, d.refobjid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid \
WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass \
AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class ORDER BY 1, 2";

/// Of `pg_catalog` the names alone; of the rest also what runs them and where they come from.
const FUNCTIONS: &str = "\
SELECT DISTINCT n.nspname, p.proname, \
CASE WHEN n.nspname = 'pg_catalog' THEN '' ELSE l.lanname END, \
CASE WHEN n.nspname = 'pg_catalog' THEN '' ELSE p.provolatile::text END, \
CASE WHEN n.nspname = 'pg_catalog' THEN '' ELSE coalesce(x.extname, '') END \
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid \
AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
LEFT JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid \
WHERE n.nspname !~ '^pg_(toast|temp_|toast_temp_)' ORDER BY 1, 2, 3, 4, 5";

const OPERATORS: &str = "\
SELECT DISTINCT n.nspname, o.oprname, l.lanname, coalesce(x.extname, '') \
FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace \
JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid \
AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
LEFT JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid \
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2, 3, 4";

const TYPES: &str = "\
SELECT t.oid, n.nspname, t.typname, t.typtype, coalesce(x.extname, ''), \
EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c') \
OR EXISTS (SELECT FROM pg_catalog.pg_type b WHERE b.oid = t.typbasetype AND b.typtype = 'd'), \
CASE WHEN t.typlen = -1 AND t.typtype = 'b' THEN t.typelem ELSE 0 END \
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.objid = t.oid \
AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
LEFT JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid \
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)' \
ORDER BY t.oid";

/// Casts that run code outside `pg_catalog`: asked for, without being asked for, or by `to_json`.
const CASTS: &str = "\
SELECT c.castsource, c.casttarget, l.lanname, coalesce(x.extname, '') \
FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc \
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid \
AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass \
LEFT JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid \
WHERE n.nspname <> 'pg_catalog' ORDER BY 1, 2";

const TRIGGERS: &str = "\
SELECT DISTINCT t.tgrelid FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' ORDER BY 1";

/// Expressions that a write evaluates: defaults and generated columns, checks, index expressions and predicates.
const EXPRESSIONS: &str = "\
SELECT e.relation, e.text FROM (\
SELECT d.adrelid AS relation, pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS text FROM pg_catalog.pg_attrdef d \
UNION ALL SELECT k.conrelid, pg_catalog.pg_get_expr(k.conbin, k.conrelid) FROM pg_catalog.pg_constraint k \
WHERE k.contype = 'c' AND k.conrelid <> 0 \
UNION ALL SELECT i.indrelid, 'ROW(' || pg_catalog.pg_get_expr(i.indexprs, i.indrelid) || ')' \
FROM pg_catalog.pg_index i WHERE i.indexprs IS NOT NULL \
UNION ALL SELECT i.indrelid, pg_catalog.pg_get_expr(i.indpred, i.indrelid) \
FROM pg_catalog.pg_index i WHERE i.indpred IS NOT NULL) AS e \
JOIN pg_catalog.pg_class c ON c.oid = e.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)' \
ORDER BY 1, 2";

const FOREIGN_KEYS: &str = "\
SELECT k.conrelid, k.confrelid, u.attnum, u.own FROM pg_catalog.pg_constraint k, \
ROWS FROM (pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conkey)) AS u(attnum, own) \
WHERE k.contype = 'f' ORDER BY 1, 2, 3, 4";

/// Columns whose values come from other columns: generated ones, whose dependencies hang on the column up to PostgreSQL
/// 14 and on its expression from 15 on, and those that refer to another table.
const DERIVED: &str = "\
SELECT a.attrelid, a.attnum, d.refobjid, d.refobjsubid \
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum \
JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = a.attrelid \
AND d.refobjsubid > 0 AND d.refobjsubid <> a.attnum \
AND (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = a.attrelid AND d.objsubid = a.attnum \
OR d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = x.oid) \
WHERE a.attgenerated <> '' \
UNION SELECT k.conrelid, u.own, k.confrelid, u.other FROM pg_catalog.pg_constraint k, \
ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) AS u(own, other) WHERE k.contype = 'f' \
ORDER BY 1, 2, 3, 4";

/// The columns of unique indexes that hold for every row that an UPDATE or DELETE of the table may meet: not partial, not
/// deferrable, and not of a table with children of its own, whose rows no index of it knows. Nor of one whose rows take
/// rows of other tables with them: a key then names one row, and more than that goes.
const KEYS: &str = "\
SELECT i.indrelid, i.indexrelid, u.attnum FROM pg_catalog.pg_index i \
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, \
pg_catalog.unnest(i.indkey::pg_catalog.int2[]) WITH ORDINALITY AS u(attnum, place) \
WHERE i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL \
AND u.place <= i.indnkeyatts AND (c.relkind = 'p' OR NOT c.relhassubclass) \
AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' AND k.confrelid = i.indrelid \
AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))) \
AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)' ORDER BY 1, 2, 3";

/// How many rows tables have, of their own and as far as the statistics tell; NULL where they tell nothing.
const SIZES: &str = "\
SELECT s.oid, CASE WHEN s.rows > 0 OR s.pages = 0 AND s.analyzed THEN s.rows END FROM (\
SELECT c.oid, GREATEST(c.reltuples::pg_catalog.int8, pg_catalog.pg_stat_get_live_tuples(c.oid), 0) AS rows, \
c.relpages AS pages, c.reltuples >= 0 AND pg_catalog.pg_stat_get_last_analyze_time(c.oid) IS NOT NULL AS analyzed \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema') \
AND n.nspname !~ '^pg_(toast|temp_|toast_temp_)') AS s ORDER BY s.oid";
