//! A command: the intent, on record before the target sees a byte of it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{CommandId, Content};

/// What part of the protocol it is. The spans of all forwarded commands partition the bytes sent to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A simple query: one text with one or more statements.
    Query,
    /// A statement is prepared.
    Parse,
    /// A prepared statement runs (its Bind and Describe are part of the same span).
    Execute,
    /// Data of a COPY into the target.
    CopyData,
    /// Messages without a statement of their own: Describe, Close, Flush, Sync alone.
    Control,
    /// Cancellation of what runs.
    Cancel,
    /// A tool is called.
    Call,
    /// A resource is read.
    Read,
    /// A prompt is got.
    Prompt,
    /// An argument is completed.
    Complete,
    /// The client answers what the server asked.
    Answer,
    /// A request of HTTP.
    Request,
    /// Bytes for what runs already, such as the input of a program in a container.
    Input,
}

words!(Phase { Query => "query", Parse => "parse", Execute => "execute", CopyData => "copy_data", Control => "control", Cancel => "cancel", Call => "call", Read => "read", Prompt => "prompt", Complete => "complete", Answer => "answer", Request => "request", Input => "input" });

/// Whether the target gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// It goes to the target once this event is durable.
    Forwarded,
    /// It was refused; the target never sees it.
    Refused,
    /// The agent left before it was decided; the target never sees it.
    Abandoned,
}

words!(Disposition { Forwarded => "forwarded", Refused => "refused", Abandoned => "abandoned" });

/// What a statement does, as far as policy asks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum StatementKind {
    /// Reads.
    Select,
    /// Adds rows.
    Insert,
    /// Changes rows.
    Update,
    /// Removes rows.
    Delete,
    /// `MERGE`.
    Merge,
    /// `COPY ... FROM`.
    CopyIn,
    /// `COPY ... TO`.
    CopyOut,
    /// `TRUNCATE`.
    Truncate,
    /// Changes the schema or who may use it.
    Ddl,
    /// `SET`, `RESET`, `DISCARD`.
    Set,
    /// `SHOW`.
    Show,
    /// `BEGIN`, `COMMIT`, `ROLLBACK`, `SAVEPOINT` and their like.
    Transaction,
    /// `DECLARE`, `FETCH`, `MOVE`, `CLOSE`.
    Cursor,
    /// SQL-level `PREPARE`, `EXECUTE`, `DEALLOCATE`.
    Prepare,
    /// `EXPLAIN`.
    Explain,
    /// `CALL`, `DO`: code whose effect cannot be seen.
    Call,
    /// `VACUUM`, `ANALYZE`, `CHECKPOINT`, `REINDEX` and their like.
    Maintenance,
    /// `LISTEN`, `NOTIFY`, `UNLISTEN`.
    Notify,
    /// `LOCK`.
    Lock,
    /// Nothing (an empty query).
    Empty,
    /// Anything else.
    Other,
}

words!(StatementKind { Select => "select", Insert => "insert", Update => "update", Delete => "delete", Merge => "merge", CopyIn => "copy_in", CopyOut => "copy_out", Truncate => "truncate", Ddl => "ddl", Set => "set", Show => "show", Transaction => "transaction", Cursor => "cursor", Prepare => "prepare", Explain => "explain", Call => "call", Maintenance => "maintenance", Notify => "notify", Lock => "lock", Empty => "empty", Other => "other" });

/// A relation by schema and name.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct ObjectRef {
    /// The schema; absent where it could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The relation.
    pub name: String,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

/// A column by schema, relation and name.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct ColumnRef {
    /// The schema; absent where it could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The relation.
    pub table: String,
    /// The column.
    pub column: String,
}

impl fmt::Display for ColumnRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        write!(f, "{}.{}", self.table, self.column)
    }
}

/// The value of a bound parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "form", content = "value", rename_all = "snake_case", deny_unknown_fields)]
pub enum ParameterValue {
    /// SQL NULL.
    Null,
    /// Text format.
    Text(String),
    /// Binary format, or text that is not UTF-8: base64.
    Base64(String),
    /// Too long to repeat here: SHA-256 of the bytes, lower-case hexadecimal.
    Sha256(String),
}

/// One bound parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Length of the value, in bytes.
    pub bytes: u64,
    /// The value.
    pub value: ParameterValue,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Names it; its decision and response carry the same.
    pub command_id: CommandId,
    /// What part of the protocol it is.
    pub phase: Phase,
    /// Whether the target gets it.
    pub disposition: Disposition,
    /// The statement's text. Cut at 256 KiB; the rest is in `content` chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// SHA-256 of the whole statement's text, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement_sha256: Option<String>,
    /// The statement without its constants, as libpg_query fingerprints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What its statements do, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<StatementKind>,
    /// The relations it names or reaches through views; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<ObjectRef>,
    /// The columns it names; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnRef>,
    /// The functions it calls; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// The labels of what it touches; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Whether it provably changes nothing.
    pub read_only: bool,
    /// Whether it runs code whose effect cannot be seen from its text.
    pub opaque: bool,
    /// Bound parameters, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// The prepared statement's name; empty for the unnamed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<String>,
    /// The portal's name; empty for the unnamed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub portal: Option<String>,
    /// Length of the exact bytes this command is, in bytes.
    pub wire_bytes: u64,
    /// SHA-256 over the exact bytes, lower-case hexadecimal.
    pub wire_sha256: String,
    /// Recorded bytes: COPY data, or what of the statement did not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// Place of `content` among the chunks of this command, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<u64>,
    /// SHA-256 of the canonical pinned definition of the tool that is called, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition_sha256: Option<String>,
}

impl Command {
    /// The most of a statement's text that one event carries.
    pub const MAX_STATEMENT_BYTES: usize = 256 * 1024;

    pub(crate) const fn activity(&self) -> &'static str {
        match self.disposition {
            Disposition::Forwarded => "forwarded",
            Disposition::Refused => "refused",
            Disposition::Abandoned => "abandoned",
        }
    }
}
