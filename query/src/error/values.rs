//! What failed while a question ran, said without the value that it failed on: the engine's texts quote it, and it may be
//! one of a row that is not for the reader.

use arrow::datatypes::DataType;

/// Where the engine says what something was to become; what comes before may be anything, so the last of it counts.
const TARGETS: [&str; 4] = [" to value of ", " to type ", " as type ", " to "];

/// What the engine says in front of an error of a filter that a scan of files asked.
pub(super) const IN_A_SCAN: &str = "Error evaluating filter predicate: ";

/// What `message` of the engine's says, without any value.
pub(super) fn without_values(message: &str) -> String {
    let in_a_scan = message.split_once(IN_A_SCAN).and_then(|(_, error)| {
        let (_, text) = error.split_once("Error(\"")?;
        Some(text.rsplit_once("\")")?.0)
    });
    let message = in_a_scan.unwrap_or(message);
    let starts = |known: &str| message.starts_with(known);
    if starts("Divide by zero") || starts("division by zero") {
        return "division by zero".to_owned();
    }
    if starts("Cannot cast") || starts("Can't cast") || starts("Failed to cast") {
        return match target(message) {
            Some(to) => {
                format!("a value cannot be cast to {to}; try_cast gives null where it cannot")
            }
            None => {
                "a value cannot be cast as asked; try_cast gives null where it cannot".to_owned()
            }
        };
    }
    if starts("Error parsing timestamp") || starts("Parser error: Error parsing timestamp") {
        return "a text cannot be read as a time; try_cast gives null where it cannot".to_owned();
    }
    if message.contains("verflow") {
        return "an expression failed on the data: a number is too large for its type".to_owned();
    }
    "an expression failed on the data".to_owned()
}

/// The type of the engine's that `message` names at its end.
fn target(message: &str) -> Option<DataType> {
    let found = TARGETS.iter().find_map(|before| message.rsplit_once(before))?;
    let name = found.1.trim_end_matches(" type").trim_end_matches('.');
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_said_and_no_value() {
        for (message, said) in [
            ("Cannot cast string 'select id' to value of Int32 type", "cast to Int32"),
            ("Cannot cast string 'a' to value of b type' to value of Int64 type", "cast to Int64"),
            (
                "Error evaluating filter predicate: ArrowError(CastError(\"Cannot cast string 'select id' to value of Int32 type\"), None)",
                "cast to Int32",
            ),
            ("Can't cast value 300 to type Int8", "cast to Int8"),
            ("Cannot cast string 'select id", "cast as asked"),
            ("Cannot cast string '1' to value of select id", "cast as asked"),
            ("Error parsing timestamp from 'select id': error parsing date", "read as a time"),
            ("Overflow happened on: 9223372036854775807 + 1", "too large"),
            ("Divide by zero error", "division by zero"),
            ("the row says select id", "failed on the data"),
        ] {
            let told = without_values(message);
            assert!(told.contains(said), "{message}: {told}");
            for value in ["select id", "300", "9223372036854775807"] {
                assert!(!told.contains(value), "{message}: {told}");
            }
        }
    }
}
