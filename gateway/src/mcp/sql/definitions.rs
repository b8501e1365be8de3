//! What a model reads of the tools: good enough that its first call is right.

use serde_json::{Value, json};

/// The definitions, with these targets to choose from; none where there is nothing to choose.
pub(crate) fn definitions(targets: &[String]) -> Vec<Value> {
    if targets.is_empty() {
        return Vec::new();
    }
    let place = Place::new(targets);
    let mut all = place.reading();
    all.push(place.writing());
    all.extend(asking());
    all
}

/// What the tools on databases take alike.
struct Place {
    target: Value,
    database: Value,
    params: Value,
}

impl Place {
    fn new(targets: &[String]) -> Self {
        let target = json!({
            "type": "string", "enum": targets,
            "description": "The database to ask. May be left out where there is only one."
        });
        let database = json!({ "type": "string", "description": "Another database of the target than its default one." });
        let params = json!({
            "type": "array", "maxItems": 1000, "items": {},
            "description": "Values for $1, $2, ... in the statement; dates, numerics and the like as strings, null for NULL."
        });
        Self { target, database, params }
    }

    fn reading(&self) -> Vec<Value> {
        let Self { target, database, params } = self;
        vec![
            tool(
                ("list_tables", "List tables"),
                "Tables and views of a PostgreSQL target, with their kind, estimated number of rows and comment. Begin here when you do not know \
             the schema, then describe_table.",
                json!({
                    "target": target, "database": database,
                    "schema": { "type": "string", "description": "Only of this schema." },
                    "like": { "type": "string", "description": "Only names that match this SQL LIKE pattern, such as order%." },
                    "cursor": { "type": "string", "description": "Goes on where the last page ended." }
                }),
                &[],
                READS,
            ),
            tool(
                ("describe_table", "Describe a table"),
                "Columns of one table with type, default, comment and, where policy masks them for you, how; keys and constraints; an example \
             statement.",
                json!({
                    "target": target, "database": database,
                    "table": { "type": "string", "description": "schema.table, as list_tables shows it." }
                }),
                &["table"],
                READS,
            ),
            tool(
                ("query", "Read with SQL"),
                "Runs one reading SQL statement (SELECT, VALUES, SHOW) in PostgreSQL's dialect and gives rows as arrays in the order of `columns`. \
             Nothing can be written. bigint beyond 2^53 and numeric come as strings. Columns that are masked for you say so: the values cannot be had by \
             asking otherwise. Where `has_more`, call again with `cursor` alone, within a minute.",
                json!({
                    "target": target, "database": database,
                    "sql": sql("One statement, without a semicolon at its end. Use $1, $2 for values."),
                    "params": params,
                    "max_rows": { "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 },
                    "cursor": { "type": "string", "description": "Goes on where the last page ended; instead of sql and params." }
                }),
                &[],
                READS,
            ),
            tool(
                ("explain", "Explain a plan"),
                "The plan of a reading statement as PostgreSQL makes it (EXPLAIN, FORMAT JSON); with `analyze` it runs and is measured.",
                json!({
                    "target": target, "database": database, "sql": sql("One reading statement."), "params": params,
                    "analyze": { "type": "boolean", "default": false }
                }),
                &["sql"],
                READS,
            ),
        ]
    }

    fn writing(&self) -> Value {
        let Self { target, database, params } = self;
        tool(
            ("execute", "Write with SQL"),
            "Runs one SQL statement that may write (INSERT, UPDATE, DELETE, DDL), by itself in a transaction of its own; gives the command tag and what \
             RETURNING returns. Policy may demand that a human agrees first: then this answers with an approval_id, the statement runs by itself once it is \
             approved, and the same call again gives its result.",
            json!({
                "target": target, "database": database,
                "sql": sql("One statement. Use $1, $2 for values."), "params": params
            }),
            &["sql"],
            WRITES,
        )
    }
}

fn asking() -> Vec<Value> {
    vec![
        tool(
            ("request_access", "Ask for access"),
            "Asks for access to a target for a time, where a tool said grant_required. Somebody else may have to agree; approval_status says how far it is.",
            json!({
                "target": { "type": "string" },
                "minutes": { "type": "integer", "minimum": 1, "maximum": 1440 },
                "reason": { "type": "string", "minLength": 1, "description": "What for: reviewers read it, and it goes on record." }
            }),
            &["target", "minutes", "reason"],
            ASKS,
        ),
        tool(
            ("approval_status", "See an approval"),
            "How far a request for approval is: pending, approved, denied, expired, used, withdrawn; who must agree and who did. Can wait for a change, and \
             can give the request up.",
            json!({
                "approval_id": { "type": "string" },
                "wait_seconds": { "type": "integer", "minimum": 0, "maximum": 25, "default": 0 },
                "withdraw": { "type": "boolean", "default": false, "description": "Give up what was asked for, or give back the access." }
            }),
            &["approval_id"],
            ASKS,
        ),
    ]
}

fn sql(what: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": what })
}

/// Reads only; writes and may destroy; asks people.
const READS: (bool, bool) = (true, false);
const WRITES: (bool, bool) = (false, true);
const ASKS: (bool, bool) = (false, false);

fn tool(
    (name, title): (&str, &str),
    description: &str,
    properties: Value,
    required: &[&str],
    (reads, destroys): (bool, bool),
) -> Value {
    json!({
        "name": name, "title": title, "description": description,
        "inputSchema": {
            "type": "object", "properties": properties, "required": required, "additionalProperties": false
        },
        "outputSchema": { "type": "object" },
        "annotations": {
            "title": title, "readOnlyHint": reads, "destructiveHint": destroys,
            "idempotentHint": reads, "openWorldHint": false
        }
    })
}
