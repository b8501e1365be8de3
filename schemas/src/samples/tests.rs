use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

#[test]
fn names_are_unique_and_say_family_and_activity() {
    let all = all();
    let names: BTreeSet<_> = all.iter().map(|sample| sample.name).collect();
    assert_eq!(names.len(), all.len());
    for Sample { name, event } in &all {
        let expected = format!("{}.{}", event.body.family().as_str(), event.body.activity());
        assert!(
            name.strip_prefix(&expected)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
            "{name}: {expected}"
        );
    }
}

#[test]
fn recorded_bytes_replay() {
    for Sample { name, event } in all() {
        let content = match &event.body {
            Body::Command(command) => command.content.clone(),
            Body::Response(response) => match &**response {
                Response::Chunk { content, .. } | Response::Unsolicited { content, .. } => {
                    content.clone()
                }
                Response::Completed(summary) => summary.content.clone(),
            },
            _ => None,
        };
        if let Some(content) = content {
            content.replay().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

/// All texts of all samples, each with the key it stands under.
fn words() -> BTreeSet<(String, String)> {
    fn walk(key: &str, value: &Value, into: &mut BTreeSet<(String, String)>) {
        match value {
            Value::String(text) => drop(into.insert((key.to_owned(), text.clone()))),
            Value::Array(all) => all.iter().for_each(|value| walk(key, value, into)),
            Value::Object(all) => all.iter().for_each(|(key, value)| walk(key, value, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut all = BTreeSet::new();
    for event in events() {
        walk("", &serde_json::to_value(event).unwrap(), &mut all);
    }
    all
}

#[test]
fn every_value_of_every_closed_set_appears() {
    let words = words();
    let assert_all = |key: &str, all: &[&str]| {
        for word in all {
            assert!(
                words.contains(&(key.to_owned(), (*word).to_owned())),
                "no sample has {key} {word}"
            );
        }
    };
    macro_rules! closed {
        ($($key:literal: $type:ident),+ $(,)?) => {
            $(assert_all($key, &$type::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>());)+
        };
    }
    closed! {
        "family": Family, "kind": PrincipalKind, "kind": TargetKind, "encoding": ContentEncoding,
        "outcome": Outcome, "method": AuthMethod, "front": Front, "phase": Phase,
        "disposition": Disposition, "kinds": StatementKind, "effect": Effect, "outcome": GapOutcome,
        "kind": PolicyKind, "face": Face, "status": ResponseStatus, "end": SessionEnd,
        "state": DefinitionState, "action": FindingAction,
    }
    assert_all("mode", &["full", "head", "digest"]);
    assert_all("form", &["null", "text", "base64", "sha256"]);
}
