use serde_json::{Value as Json, json};

use super::*;
use crate::{SCHEMA_VERSION, TargetKind, samples};

/// A change here is a change of contract: every SIEM that reads the log relies on it.
#[test]
fn every_sample_is_written_as_its_golden_file() {
    for sample in samples::all() {
        let one_line = encode(&sample.event);
        let now = indented(&one_line);
        let parsed = |json: &[u8]| serde_json::from_slice::<Json>(json).unwrap();
        assert_eq!(parsed(&one_line), parsed(&now));
        crate::golden::check(&format!("ocsf/{}.json", sample.name), &now);
    }
    crate::golden::only(
        "ocsf",
        &samples::all().iter().map(|it| format!("{}.json", it.name)).collect(),
    );
}

/// The same JSON in the same order, for people: parts of it are written already, which no serializer indents.
fn indented(json: &[u8]) -> Vec<u8> {
    let (mut out, mut depth, mut in_text, mut escaped) = (Vec::new(), 0, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', 2 * depth));
    };
    for (index, &byte) in json.iter().enumerate() {
        if in_text {
            out.push(byte);
            in_text = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
            continue;
        }
        let closes = |at: usize| matches!(json.get(at), Some(b'}' | b']'));
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                if !closes(index + 1) {
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth -= 1;
                if !matches!(json[index - 1], b'{' | b'[') {
                    line(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                in_text = byte == b'"';
                out.push(byte);
            }
        }
    }
    out.push(b'\n');
    out
}

#[test]
fn every_sample_comes_back() {
    for sample in samples::all() {
        let value = encode(&sample.event);
        assert_eq!(decode(&value).unwrap(), sample.event, "{}", sample.name);
        assert_eq!(encode(&sample.event), value, "the same event, the same bytes");
        assert!(!value.contains(&b'\n'), "one line");
    }
}

#[test]
fn the_view_says_what_a_siem_asks_for() {
    let view = |name: &str| -> Json {
        let sample = samples::all().into_iter().find(|sample| sample.name == name).unwrap();
        serde_json::from_slice(&encode(&sample.event)).unwrap()
    };
    let denied = view("decision.denied");
    assert_eq!(denied["type_uid"], 600_304);
    assert_eq!(denied["action_id"], 2);
    assert_eq!(denied["disposition_id"], 26);
    assert_eq!(denied["actor"]["user"]["uid"], "u-1042");
    assert_eq!(denied["actor"]["app_uid"], "agent-7f3a", "who acts for the user");
    assert_eq!(
        denied["time"],
        1_768_465_800_123_i64 + denied["metadata"]["sequence"].as_i64().unwrap()
    );
    let batch = view("command.forwarded.batch");
    assert_eq!(batch["activity_name"], "Delete", "the gravest statement of a batch");
    assert_eq!(batch.get("table"), None, "two tables are no table");
    assert_eq!(view("command.forwarded.query")["table"], json!({"name": "app.customers"}));
    assert_eq!(view("session.lost")["type_uid"], 300_202);
    assert_eq!(view("response.completed")["action_id"], 4, "masked is modified");
    assert_eq!(view("integrity.gap")["severity_id"], 4);
}

#[test]
fn a_call_of_a_tool_is_api_activity_and_no_datastore() {
    for sample in samples::all() {
        let called = sample
            .event
            .context
            .target
            .as_ref()
            .is_some_and(|it| it.kind != TargetKind::Postgresql);
        let view: Json = serde_json::from_slice(&encode(&sample.event)).unwrap();
        if called {
            assert_eq!(view.get("database"), None, "{}", sample.name);
            assert_ne!(view["class_uid"], 6005, "{}", sample.name);
        }
    }
    let view = |name: &str| -> Json {
        let sample = samples::all().into_iter().find(|sample| sample.name == name).unwrap();
        serde_json::from_slice(&encode(&sample.event)).unwrap()
    };
    let call = view("command.forwarded.call");
    assert_eq!(call["type_uid"], 600_302, "it provably changes nothing");
    assert_eq!(call["api"]["operation"], "search_issues");
    assert_eq!(call["api"]["service"], json!({"name": "github"}));
    let refused = view("command.refused.call");
    assert_eq!(
        (&refused["type_uid"], &refused["activity_name"]),
        (&json!(600_399), &json!("Call"))
    );
    assert_eq!(refused["disposition_id"], 2);
    assert_eq!(view("command.forwarded.prompt")["api"]["operation"], "prompt");
    let answer = view("response.completed.call");
    assert_eq!((&answer["class_uid"], &answer["action_id"]), (&json!(6003), &json!(4)));
    assert_eq!(answer["api"]["request"], call["api"]["request"]);
    assert_eq!(answer["status_detail"], "mask email 3, alert phone 1");
    assert_eq!(view("response.completed.withheld")["disposition"], "Blocked");
    let changed = view("policy.tool_definition.changed");
    assert_eq!((&changed["type_uid"], &changed["severity_id"]), (&json!(300_412), &json!(4)));
    assert_eq!(changed["entity"]["name"], "github/search_issues");
    let accepted = view("policy.tool_definition.accepted");
    assert_eq!(accepted["actor"]["user"]["uid"], "u-1042", "who accepted it");
}

#[test]
fn the_view_of_a_statement_is_cut_and_the_fact_is_not() {
    let mut event =
        samples::all().into_iter().find(|it| it.name == "command.refused").unwrap().event;
    let Body::Command(command) = &mut event.body else { panic!() };
    command.statement = Some("é".repeat(100 * 1024));
    let value = encode(&event);
    assert_eq!(decode(&value).unwrap(), event);
    let value: Json = serde_json::from_slice(&value).unwrap();
    assert_eq!(value["query_info"]["query_string"].as_str().unwrap().len(), 64 * 1024);
}

/// The largest command the gateway may record, every byte of it escaped.
#[test]
fn the_largest_command_fits() {
    let mut event =
        samples::all().into_iter().find(|it| it.name == "command.refused").unwrap().event;
    let Body::Command(command) = &mut event.body else { panic!() };
    command.statement = Some("\u{1}".repeat(crate::Command::MAX_STATEMENT_BYTES));
    let noise: Vec<u8> = (0..crate::Content::MAX_BYTES as u64)
        .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
        .collect();
    command.content = Some(crate::Content {
        encoding: crate::ContentEncoding::Identity,
        ..crate::Content::record(&noise).unwrap()
    });
    let Body::Command(command) = &mut event.body else { panic!() };
    command.content.as_mut().unwrap().data = noise;
    let value = encode(&event);
    assert!(value.len() <= MAX_VALUE_BYTES / 2 + MAX_VALUE_BYTES / 8, "{}", value.len());
    assert_eq!(decode(&value).unwrap(), event);
}

fn refused(value: &[u8]) -> String {
    decode(value).expect_err("it must not decode").to_string()
}

fn ours() -> Json {
    serde_json::from_slice(&encode(&samples::events()[0])).unwrap()
}

#[test]
fn what_is_not_ours_is_refused_by_name() {
    assert!(refused(b"").contains("not an OCSF event"));
    assert!(refused(b"\xff\xfe").contains("not an OCSF event"));
    assert!(refused(b"[1]").contains("not an OCSF event"));
    assert!(refused(b"{}").contains("no `unmapped.tallyport`"));
    assert!(refused(br#"{"unmapped":{"other":1}}"#).contains("no `unmapped.tallyport`"));
    assert!(refused(br#"{"unmapped":{"tallyport":{}}}"#).contains("schema_version"));
    let twice = br#"{"unmapped":{"tallyport":{}},"unmapped":{"tallyport":{}}}"#;
    assert!(refused(twice).contains("duplicate field"));
    let mut cut = encode(&samples::events()[0]);
    cut.pop();
    assert!(refused(&cut).contains("EOF"));
    cut.extend_from_slice(b"}{}");
    assert!(refused(&cut).contains("trailing"));
}

#[test]
fn another_major_version_is_refused_and_a_minor_one_is_read() {
    let mut value = ours();
    value["unmapped"]["tallyport"]["schema_version"] = json!("2.0.0");
    let error = refused(&serde_json::to_vec(&value).unwrap());
    assert!(error.contains("`2.0.0`") && error.contains(SCHEMA_VERSION), "{error}");
    value["unmapped"]["tallyport"]["schema_version"] = json!("1.99.3");
    assert_eq!(decode(&serde_json::to_vec(&value).unwrap()).unwrap().schema_version, "1.99.3");
    value["unmapped"]["tallyport"]["schema_version"] = json!("10.0.0");
    refused(&serde_json::to_vec(&value).unwrap());
}

/// What was written before calls of tools were known is read as it was.
#[test]
fn an_event_of_1_0_0_is_read() {
    let new = ["\"call\":", "\"definition_sha256\":", "\"findings\":", "tool_definition"];
    let mut read = 0;
    for mut event in samples::events() {
        event.schema_version = "1.0.0".to_owned();
        let value = encode(&event);
        let text = std::str::from_utf8(&value).unwrap();
        if !new.iter().any(|fact| text.contains(fact)) {
            assert_eq!(decode(&value).unwrap(), event);
            read += 1;
        }
    }
    assert!(read > 50, "{read}");
}

#[test]
fn broken_facts_are_refused_by_name() {
    let with = |change: &dyn Fn(&mut Json)| {
        let mut value = ours();
        change(&mut value["unmapped"]["tallyport"]);
        refused(&serde_json::to_vec(&value).unwrap())
    };
    assert!(with(&|it| drop(it.as_object_mut().unwrap().remove("event_id"))).contains("event_id"));
    assert!(with(&|it| it["body"]["family"] = json!("gossip")).contains("gossip"));
    assert!(with(&|it| it["body"]["detail"]["surprise"] = json!(1)).contains("surprise"));
    assert!(with(&|it| it["surprise"] = json!(1)).contains("surprise"));
    assert!(with(&|it| it["producer"]["seq"] = json!(-1)).contains("-1"));
    assert!(with(&|it| it["producer"]["id"] = json!("two words")).contains("ProducerId"));
    assert!(with(&|it| it["time"] = json!("yesterday")).contains("is not an event"));
}

#[test]
fn size_and_depth_are_bounded() {
    let mut long = encode(&samples::events()[0]);
    long.resize(MAX_VALUE_BYTES, b' ');
    assert!(decode(&long).is_ok());
    long.push(b' ');
    assert!(refused(&long).contains("bytes"));
    let deep = |levels: usize| {
        let text = String::from_utf8(encode(&samples::events()[0])).unwrap();
        let nest = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        text.replacen('{', &format!(r#"{{"x":{nest},"#), 1).into_bytes()
    };
    assert!(decode(&deep(MAX_DEPTH - 1)).is_ok());
    assert!(refused(&deep(MAX_DEPTH)).contains("deeper"));
    assert!(refused(&deep(100_000)).contains("deeper"));
    // Brackets in a text do not count, also behind an escaped quote.
    let mut value = ours();
    value["message"] = json!("\\\"[[[".repeat(100));
    assert!(decode(&serde_json::to_vec(&value).unwrap()).is_ok());
}

#[test]
fn the_sentence_for_people_is_bounded() {
    let mut event =
        samples::all().into_iter().find(|it| it.name == "decision.denied").unwrap().event;
    let mut context = (*event.context).clone();
    context.principal.as_mut().unwrap().display_name = "é".repeat(10_000);
    event.context = context.into();
    let Body::Decision(decision) = &mut event.body else { panic!() };
    decision.actions = vec!["é".repeat(10_000); 3];
    let value: Json = serde_json::from_slice(&encode(&event)).unwrap();
    assert!(value["message"].as_str().unwrap().len() <= 512);
    assert!(value["api"]["operation"].as_str().unwrap().len() <= 256);
}

/// What a peer's address cannot be is its name, never an address that a SIEM chokes on.
#[test]
fn an_address_that_is_none_is_a_name() {
    let mut event =
        samples::all().into_iter().find(|it| it.name == "session.opened").unwrap().event;
    let mut context = (*event.context).clone();
    context.client = Some(crate::Endpoint { ip: "fe80::1%eth0".into(), port: 1 });
    event.context = context.into();
    let value: Json = serde_json::from_slice(&encode(&event)).unwrap();
    assert_eq!(value["src_endpoint"], json!({"name": "fe80::1%eth0", "port": 1}));
}
