//! The event reference is what the code does: its tables are generated here and compared with the committed page.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fmt::Write as _;

use serde_json::Value;
use tallyport_schemas::{arrow, json_schema, ocsf, samples};

/// A change here is a change of what SIEM people rely on.
#[test]
fn the_event_reference_is_current() {
    let path = dev_services::repo_root().join("docs/reference/events.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut now = page.clone();
    for (name, text) in [
        ("classes", classes()),
        ("facts", facts()),
        ("columns", columns()),
        ("denied", example("decision.denied")),
        ("gap", example("integrity.gap")),
    ] {
        now = with_block(&now, name, &text);
    }
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        std::fs::write(&path, now).unwrap();
        return;
    }
    assert!(
        page == now,
        "docs/reference/events.md is not what the code does any more: a change here is a change of contract. If it \
         is meant, run the tests with UPDATE_GOLDEN=1"
    );
}

fn with_block(page: &str, name: &str, text: &str) -> String {
    let (open, close) = (format!("<!-- generated: {name} -->\n"), "<!-- end -->");
    let (before, rest) = page.split_once(&open).unwrap_or_else(|| panic!("no block {name}"));
    let (_, after) = rest.split_once(close).unwrap_or_else(|| panic!("block {name} has no end"));
    format!("{before}{open}\n{text}\n{close}{after}")
}

/// Which event is of which class. Samples that differ in nothing shown here share a line.
fn classes() -> String {
    let mut lines = Vec::new();
    for sample in samples::all() {
        let event: Value = serde_json::from_slice(&ocsf::encode(&sample.event)).unwrap();
        let word = |key: &str| event[key].as_str().unwrap_or("-").to_owned();
        let control = match event["action"].as_str() {
            Some(action) => format!("{action} / {}", word("disposition")),
            None => "-".to_owned(),
        };
        let line = format!(
            "| `{}` | {} {} | {} ({}) | {} | {} | {control} |",
            event["metadata"]["event_code"].as_str().unwrap(),
            event["class_uid"],
            word("class_name"),
            word("activity_name"),
            event["type_uid"],
            word("status"),
            word("severity"),
        );
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let head = "| `metadata.event_code` | Class | Activity (`type_uid`) | Status | Severity | Action / disposition |";
    format!("{head}\n|---|---|---|---|---|---|\n{}\n", lines.join("\n"))
}

fn columns() -> String {
    let mut text = "| Column | Type | Null |\n|---|---|---|\n".to_owned();
    for field in arrow::schema().fields() {
        let kind = match field.data_type() {
            ::arrow::datatypes::DataType::List(_) => "list of text".to_owned(),
            ::arrow::datatypes::DataType::Utf8 => "text".to_owned(),
            other => other.to_string(),
        };
        let null = if field.is_nullable() { "may be" } else { "never" };
        writeln!(text, "| `{}` | {kind} | {null} |", field.name()).unwrap();
    }
    text
}

fn example(name: &str) -> String {
    let path = dev_services::repo_root().join(format!("schemas/golden/ocsf/{name}.json"));
    format!("```json\n{}```\n", std::fs::read_to_string(path).unwrap())
}

/// Every type of the own facts: the envelope, then the rest in alphabetical order.
fn facts() -> String {
    let schema = json_schema::schema();
    let mut text = definition("Event", &schema);
    let mut others: Vec<_> = schema["$defs"].as_object().unwrap().iter().collect();
    others.sort_by_key(|(name, _)| *name);
    for (name, schema) in others {
        text += "\n";
        text += &definition(name, schema);
    }
    text
}

fn definition(name: &str, schema: &Value) -> String {
    let mut text = format!("#### {name}\n\n{}\n", said(schema));
    if schema["properties"].is_object() {
        text += &fields(schema);
    }
    let variants = schema["oneOf"].as_array();
    if variants.is_some_and(|all| all.iter().any(|variant| variant["const"].is_string())) {
        text.push('\n');
    }
    for variant in variants.into_iter().flatten() {
        if let Some(word) = variant["const"].as_str() {
            writeln!(text, "* `{word}`: {}", said(variant)).unwrap();
        } else {
            writeln!(text, "\n{} {}\n{}", tag(variant), said(variant), fields(variant).trim_end())
                .unwrap();
        }
    }
    text
}

/// The constant that tells a variant from the others, such as **activity `requested`**.
fn tag(variant: &Value) -> String {
    let constants = variant["properties"].as_object().unwrap().iter();
    let words = constants.filter_map(|(key, it)| Some((key, it["const"].as_str()?)));
    words.map(|(key, word)| format!("**{key} `{word}`.**")).collect::<Vec<_>>().join(" ")
}

fn fields(schema: &Value) -> String {
    let required = schema["required"].as_array();
    let mut fields: Vec<_> = schema["properties"].as_object().unwrap().iter().collect();
    fields.retain(|(_, field)| field["const"].is_null());
    fields.sort_by_key(|(name, _)| *name);
    if fields.is_empty() {
        return String::new();
    }
    let mut text = "\n| Fact | Type | Present | Meaning |\n|---|---|---|---|\n".to_owned();
    for (name, field) in fields {
        let always = required.is_some_and(|all| all.iter().any(|it| it.as_str() == Some(name)));
        let present = if always { "always" } else { "where known" };
        writeln!(text, "| `{name}` | {} | {present} | {} |", kind(field), said(field)).unwrap();
    }
    text
}

fn said(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

fn kind(field: &Value) -> String {
    if let Some(name) = field["$ref"].as_str().and_then(|to| to.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(one) = field["anyOf"].as_array().and_then(|all| all.first()) {
        return kind(one);
    }
    let name = field["type"].as_str().or_else(|| field["type"][0].as_str());
    match name {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") => format!("map of {}", kind(&field["additionalProperties"])),
        Some("string") => "text".to_owned(),
        Some(other) => other.to_owned(),
        None => panic!("a fact of no known type: {field}"),
    }
}
