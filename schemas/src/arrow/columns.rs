//! The list of columns: from it come the schema, the row and the builders, so that they cannot disagree.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Int32Builder,
    Int64Builder, ListBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, TimeUnit};

/// A kind of column: what a row gives it and how it is built.
pub(super) trait Kind {
    type Value<'a>: Default;
    type Builder: ArrayBuilder;
    fn data_type() -> DataType;
    /// `bytes` are about what all values of a large column come to.
    fn builder(bytes: usize) -> Self::Builder;
    fn append(builder: &mut Self::Builder, value: Self::Value<'_>);
    /// What the value weighs in the batch, in bytes.
    fn bytes(value: &Self::Value<'_>) -> usize;
}

macro_rules! columns {
    ($($name:ident: $kind:ident $(, $not_null:ident)?;)+) => {
        /// One event, flat.
        #[derive(Default)]
        pub(super) struct Row<'a> {
            $(pub(super) $name: <$kind as Kind>::Value<'a>,)+
        }

        impl Row<'_> {
            /// What the row weighs in the batch, in bytes.
            pub(super) fn bytes(&self) -> usize {
                0 $(+ <$kind as Kind>::bytes(&self.$name))+
            }
        }

        /// One builder per column.
        #[derive(Debug)]
        pub(super) struct Columns {
            $($name: <$kind as Kind>::Builder,)+
        }

        impl Columns {
            pub(super) fn fields() -> Vec<Field> {
                vec![$(
                    Field::new(stringify!($name), $kind::data_type(), columns!(@nullable $($not_null)?)),
                )+]
            }

            pub(super) fn with_capacity(bytes: usize) -> Self {
                Self { $($name: $kind::builder(bytes),)+ }
            }

            pub(super) fn append(&mut self, row: Row<'_>) {
                $($kind::append(&mut self.$name, row.$name);)+
            }

            pub(super) fn finish(mut self) -> Vec<ArrayRef> {
                vec![$(Arc::new(self.$name.finish()) as ArrayRef,)+]
            }
        }
    };
    (@nullable) => { true };
    (@nullable not_null) => { false };
}

columns! {
    // Its place
    ingest_date: Day, not_null;
    log_partition: Int32, not_null;
    log_offset: Int64, not_null;
    event_id: Text, not_null;
    time: Instant, not_null;
    appended_at: Instant, not_null;
    family: Text, not_null;
    activity: Text, not_null;
    schema_version: Text, not_null;
    producer_id: Text, not_null;
    producer_epoch: Int64, not_null;
    producer_seq: Int64, not_null;
    session_id: Text;
    session_seq: Int64;
    trace_id: Text;
    // Who, on whose behalf, to where
    principal_issuer: Text;
    principal_subject: Text;
    principal_name: Text;
    principal_kind: Text;
    principal_groups: Texts;
    principal_owner: Text;
    delegation: Texts;
    actor: Text;
    on_behalf_of: Text;
    agent_model: Text;
    agent_name: Text;
    agent_task: Text;
    target: Text;
    target_kind: Text;
    database: Text;
    client_ip: Text;
    client_port: Int32;
    call_id: Text;
    call_server: Text;
    call_tool: Text;
    // What came of it
    outcome: Text;
    failure: Text;
    reason: Text;
    // Authentication
    auth_method: Text;
    front: Text;
    token_id: Text;
    key_id: Text;
    expires_at: Instant;
    // Decision
    actions: Texts;
    resources: Texts;
    policy_ids: Texts;
    policy_version: Text;
    obligations: Texts;
    // Command
    command_id: Text;
    phase: Text;
    statement: Text;
    statement_sha256: Text;
    fingerprint: Text;
    kinds: Texts;
    tables: Texts;
    columns: Texts;
    functions: Texts;
    labels: Texts;
    read_only: Flag;
    opaque: Flag;
    parameters: Text;
    prepared: Text;
    portal: Text;
    wire_bytes: Int64;
    wire_sha256: Text;
    chunk: Int64;
    content_sha256: Text;
    command_definition_sha256: Text;
    // Response
    tag: Text;
    sqlstate: Text;
    rows: Int64;
    bytes: Int64;
    masked_columns: Texts;
    masked_values: Int64;
    recording: Text;
    chunks: Int64;
    duration_us: Int64;
    findings: Texts;
    // The rest
    face: Text;
    snapshot_version: Int64;
    approval_id: Text;
    revocation_id: Text;
    digest: Text;
    reviewer_issuer: Text;
    reviewer_subject: Text;
    reviewer_name: Text;
    application: Text;
    raw: Bytes, not_null;
}

pub(super) struct Text;
pub(super) struct Texts;
pub(super) struct Int32;
pub(super) struct Int64;
pub(super) struct Flag;
/// Microseconds since the epoch, UTC.
pub(super) struct Instant;
/// Days since the epoch.
pub(super) struct Day;
pub(super) struct Bytes;

/// Rows that a builder has room for before it grows.
const ROWS: usize = 1_024;

/// An offset and a validity bit, rounded up.
const SLOT_BYTES: usize = 5;

impl Kind for Text {
    type Value<'a> = Option<Cow<'a, str>>;
    type Builder = StringBuilder;
    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn builder(_: usize) -> Self::Builder {
        StringBuilder::new()
    }
    fn append(builder: &mut Self::Builder, value: Self::Value<'_>) {
        builder.append_option(value);
    }
    fn bytes(value: &Self::Value<'_>) -> usize {
        SLOT_BYTES + value.as_ref().map_or(0, |text| text.len())
    }
}

impl Texts {
    /// The name Parquet's LIST and Delta give an item.
    fn item() -> Field {
        Field::new("element", DataType::Utf8, true)
    }
}

impl Kind for Texts {
    type Value<'a> = Vec<Cow<'a, str>>;
    type Builder = ListBuilder<StringBuilder>;
    fn data_type() -> DataType {
        DataType::List(Arc::new(Self::item()))
    }
    fn builder(_: usize) -> Self::Builder {
        ListBuilder::new(StringBuilder::new()).with_field(Self::item())
    }
    fn append(builder: &mut Self::Builder, value: Self::Value<'_>) {
        let present = !value.is_empty();
        for text in value {
            builder.values().append_value(text);
        }
        builder.append(present);
    }
    fn bytes(value: &Self::Value<'_>) -> usize {
        SLOT_BYTES + value.iter().map(|text| SLOT_BYTES + text.len()).sum::<usize>()
    }
}

impl Kind for Bytes {
    type Value<'a> = Option<&'a [u8]>;
    type Builder = BinaryBuilder;
    fn data_type() -> DataType {
        DataType::Binary
    }
    fn builder(bytes: usize) -> Self::Builder {
        BinaryBuilder::with_capacity(ROWS, bytes)
    }
    fn append(builder: &mut Self::Builder, value: Self::Value<'_>) {
        builder.append_option(value);
    }
    fn bytes(value: &Self::Value<'_>) -> usize {
        SLOT_BYTES + value.map_or(0, <[u8]>::len)
    }
}

macro_rules! fixed {
    ($kind:ident, $native:ty, $builder:ty, $data_type:expr, $new:expr) => {
        impl Kind for $kind {
            type Value<'a> = Option<$native>;
            type Builder = $builder;
            fn data_type() -> DataType {
                $data_type
            }
            fn builder(_: usize) -> Self::Builder {
                $new
            }
            fn append(builder: &mut Self::Builder, value: Self::Value<'_>) {
                builder.append_option(value);
            }
            fn bytes(_: &Self::Value<'_>) -> usize {
                1 + size_of::<$native>()
            }
        }
    };
}

fixed!(Int32, i32, Int32Builder, DataType::Int32, Int32Builder::new());
fixed!(Int64, i64, Int64Builder, DataType::Int64, Int64Builder::new());
fixed!(Flag, bool, BooleanBuilder, DataType::Boolean, BooleanBuilder::new());
fixed!(Day, i32, Date32Builder, DataType::Date32, Date32Builder::new());
fixed!(
    Instant,
    i64,
    TimestampMicrosecondBuilder,
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    TimestampMicrosecondBuilder::new().with_timezone("UTC")
);
