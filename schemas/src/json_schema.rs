//! The published contract of the own facts, `unmapped.tallyport`: JSON Schema 2020-12, generated from the types.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::Event;

/// The JSON Schema of an [`Event`].
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Event>();
    schema.insert("title".to_owned(), "Tallyport event, under unmapped.tallyport".into());
    schema.to_value()
}

/// [`schema`] as the text that is published: indented, keys sorted, with a line break at the end.
#[must_use]
pub fn text() -> String {
    // Sorted here, so that no feature of serde_json somewhere in a build can change the published text.
    format!("{:#}\n", sorted(schema()))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(all) => {
            let in_order: BTreeMap<_, _> = all.into_iter().collect();
            in_order.into_iter().map(|(key, value)| (key, sorted(value))).collect()
        }
        Value::Array(all) => all.into_iter().map(sorted).collect(),
        leaf => leaf,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A change here is a change of contract.
    #[test]
    fn the_schema_is_the_golden_one() {
        crate::golden::check("tallyport.schema.json", text().as_bytes());
    }

    /// Samples of all variants are what the schema is validated with, so there must be one of each.
    #[test]
    fn every_activity_of_the_schema_has_a_sample() {
        fn walk(value: &Value, into: &mut BTreeSet<String>) {
            if let Some(word) = value.pointer("/properties/activity/const").and_then(Value::as_str)
            {
                into.insert(word.to_owned());
            }
            match value {
                Value::Object(all) => all.values().for_each(|value| walk(value, into)),
                Value::Array(all) => all.iter().for_each(|value| walk(value, into)),
                _ => {}
            }
        }
        let mut tags = BTreeSet::new();
        walk(&schema(), &mut tags);
        assert!(tags.len() > 15, "{tags:?}");
        let seen: BTreeSet<_> =
            crate::samples::events().iter().map(|it| it.body.activity().to_owned()).collect();
        let missing: Vec<_> = tags.difference(&seen).collect();
        assert!(missing.is_empty(), "no sample of {missing:?}");
    }
}
