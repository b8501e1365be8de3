//! Compares the columns of a table with those of this build. No IO.

use deltalake::kernel::{Metadata, Protocol, StructField, StructType};
use url::Url;

use super::INGEST_DATE;
use crate::error::LakeError;

/// Delta features that do not change what this recorder writes.
const KNOWN_FEATURES: [&str; 2] = ["appendOnly", "invariants"];

/// The newest protocol without named features that this recorder writes.
const PLAIN_READER: i32 = 1;
const PLAIN_WRITER: i32 = 2;
/// The protocol whose features are named one by one.
const NAMED_READER: i32 = 3;
const NAMED_WRITER: i32 = 7;

/// A property under which positions expire: with it, exactly-once ends silently.
const POSITIONS_EXPIRE: &str = "delta.setTransactionRetentionDuration";

/// Refuses a table that this build must not write to; else the columns of `ours` that it lacks.
pub(super) fn writable(
    url: &Url,
    ours: &StructType,
    protocol: &Protocol,
    metadata: &Metadata,
    theirs: &StructType,
) -> Result<Vec<StructField>, LakeError> {
    check_protocol(url, protocol, |key| metadata.configuration().contains_key(key))?;
    if metadata.partition_columns() != [INGEST_DATE] {
        let details = format!("it is not partitioned by {INGEST_DATE} alone");
        return Err(LakeError::SchemaMismatch { url: url.clone(), details });
    }
    missing_columns(url, ours, theirs)
}

/// The columns that `ours` has and `theirs` lacks; they can be added.
///
/// # Errors
/// When a column has another type, when a column that must not be null is missing, or when the table has a column
/// that this build does not know.
fn missing_columns(
    url: &Url,
    ours: &StructType,
    theirs: &StructType,
) -> Result<Vec<StructField>, LakeError> {
    let unknown: Vec<&str> = theirs
        .fields()
        .filter(|field| ours.field(field.name()).is_none())
        .map(|field| field.name().as_str())
        .collect();
    if !unknown.is_empty() {
        return Err(LakeError::NewerSchema { url: url.clone(), columns: unknown.join(", ") });
    }
    let mut missing = Vec::new();
    let mut differences = Vec::new();
    for field in ours.fields() {
        match theirs.field(field.name()) {
            None if field.is_nullable() => missing.push(field.clone()),
            None => differences.push(format!("column {} is missing", field.name())),
            Some(other) if other.data_type() != field.data_type() => differences.push(format!(
                "column {} is {}, not {}",
                field.name(),
                other.data_type(),
                field.data_type()
            )),
            Some(other) if field.is_nullable() && !other.is_nullable() => {
                differences.push(format!("column {} takes no null", field.name()));
            }
            Some(_) => {}
        }
    }
    if differences.is_empty() {
        Ok(missing)
    } else {
        Err(LakeError::SchemaMismatch { url: url.clone(), details: differences.join("; ") })
    }
}

/// Refuses a table that was altered to need more than this recorder does.
fn check_protocol(
    url: &Url,
    protocol: &Protocol,
    configured: impl Fn(&str) -> bool,
) -> Result<(), LakeError> {
    let unsupported =
        |feature: String| Err(LakeError::UnsupportedFeature { url: url.clone(), feature });
    if configured(POSITIONS_EXPIRE) {
        return unsupported(format!("{POSITIONS_EXPIRE} (recorded positions would expire)"));
    }
    match protocol.min_writer_version() {
        ..=PLAIN_WRITER => {}
        NAMED_WRITER => {
            let features = protocol.writer_features().unwrap_or_default();
            let unknown = features
                .iter()
                .map(ToString::to_string)
                .find(|name| !KNOWN_FEATURES.contains(&name.as_str()));
            if let Some(name) = unknown {
                return unsupported(name);
            }
        }
        version => return unsupported(format!("writer version {version}")),
    }
    match protocol.min_reader_version() {
        ..=PLAIN_READER => Ok(()),
        NAMED_READER if protocol.reader_features().unwrap_or_default().is_empty() => Ok(()),
        version => unsupported(format!("reader version {version}")),
    }
}

#[cfg(test)]
mod tests {
    use deltalake::kernel::DataType;

    use super::*;

    fn url() -> Url {
        Url::parse("file:///lake/events/").unwrap()
    }

    fn columns(fields: &[(&str, DataType, bool)]) -> StructType {
        let fields =
            fields.iter().map(|(name, kind, null)| StructField::new(*name, kind.clone(), *null));
        StructType::try_new(fields).unwrap()
    }

    fn protocol(value: serde_json::Value) -> Protocol {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn nullable_columns_are_added() {
        let theirs = columns(&[("a", DataType::STRING, false)]);
        let ours = columns(&[("a", DataType::STRING, false), ("b", DataType::LONG, true)]);
        let missing = missing_columns(&url(), &ours, &theirs).unwrap();
        assert_eq!(missing.iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["b"]);
        assert!(missing_columns(&url(), &ours, &ours).unwrap().is_empty());
    }

    #[test]
    fn each_contradiction_is_named() {
        let theirs = columns(&[("a", DataType::STRING, false), ("n", DataType::LONG, false)]);
        let ours = columns(&[
            ("a", DataType::LONG, false),
            ("b", DataType::LONG, false),
            ("n", DataType::LONG, true),
        ]);
        let error = missing_columns(&url(), &ours, &theirs).unwrap_err().to_string();
        for part in ["a is string, not long", "column b is missing", "column n takes no null"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_newer_table_is_refused() {
        let ours = columns(&[("a", DataType::STRING, false)]);
        let theirs = columns(&[("a", DataType::STRING, false), ("new", DataType::LONG, true)]);
        let error = missing_columns(&url(), &ours, &theirs).unwrap_err();
        assert!(matches!(&error, LakeError::NewerSchema { columns, .. } if columns == "new"));
        assert!(error.to_string().contains("upgrade this recorder"));
    }

    #[test]
    fn features_that_change_writing_are_refused() {
        let plain = protocol(serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 2}));
        check_protocol(&url(), &plain, |_| false).unwrap();
        let known = protocol(serde_json::json!({
            "minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": ["appendOnly"],
        }));
        check_protocol(&url(), &known, |_| false).unwrap();
        let vectors = protocol(serde_json::json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"],
        }));
        let error = check_protocol(&url(), &vectors, |_| false).unwrap_err().to_string();
        assert!(error.contains("deletionVectors"), "{error}");
        let old = protocol(serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 4}));
        assert!(check_protocol(&url(), &old, |_| false).is_err());
    }

    #[test]
    fn a_table_whose_positions_expire_is_refused() {
        let plain = protocol(serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 2}));
        let error = check_protocol(&url(), &plain, |key| key == POSITIONS_EXPIRE).unwrap_err();
        assert!(error.to_string().contains("would expire"));
    }
}
