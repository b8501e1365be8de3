use serde_json::json;
use tallyport_detect::{Cards, Rules};

use super::*;

const CARD: &str = "4111 1111 1111 1111";

fn rule(tool: Option<&str>, place: &str, mask: &str) -> MaskRule {
    let tool = tool.map(str::to_owned);
    MaskRule { tool, place: place.parse().unwrap(), mask: mask.parse().unwrap() }
}

fn detectors(rules: &[(&str, &str)]) -> Option<Screen> {
    let rules = Rules::parse(rules.iter().copied()).unwrap();
    Some(Screen::new(rules, Cards::Hidden).unwrap())
}

fn result(result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "result": result })
}

#[test]
fn a_rule_reaches_the_data_in_both_of_its_forms() {
    let data = json!({"rows": [{"email": "ada@example.com", "n": 1}, {"email": null, "n": 22}]});
    let sent = result(json!({
        "content": [{"type": "text", "text": data.to_string()}, {"type": "text", "text": "ada@example.com wrote"}],
        "structuredContent": data,
    }));
    let rules =
        vec![rule(None, "/rows/*/email", "partial:last4"), rule(None, "/rows/1/n", "redact")];
    let screened = Screening::new(rules, None).screen(Some("find"), sent);
    let masked =
        json!({"rows": [{"email": "****.com", "n": 1}, {"email": null, "n": "[redacted]"}]});
    let result = &screened.message["result"];
    assert_eq!(result["structuredContent"], masked);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), masked);
    assert_eq!(result["content"][1]["text"], "[redacted]", "prose may say it again");
    assert_eq!(screened.masked_values, 5);
    assert!(!screened.message.to_string().contains("ada@"));
    assert_eq!(screened.message["id"], 7);
}

/// Of two members with one name a rule would see the last alone; a number or a depth beyond ours it would not see into.
#[test]
fn a_text_that_is_data_in_more_than_one_reading_is_hidden_whole() {
    let deep =
        format!("{{\"email\":\"ada@example.com\",\"n\":{}{}}}", "[".repeat(200), "]".repeat(200));
    for text in [
        r#"{"email":"ada@example.com","email":null}"#,
        r#"{"email":"ada@example.com","\u0065mail":null}"#,
        r#"{"email":"ada@example.com","n":1e999}"#,
        deep.as_str(),
    ] {
        let sent = || result(json!({"content": [{"type": "text", "text": text}]}));
        let screening = Screening::new(vec![rule(Some("find"), "/email", "redact")], None);
        let screened = screening.screen(Some("find"), sent());
        assert_eq!(screened.message["result"]["content"][0]["text"], "[redacted]", "{text}");
        assert_eq!(screened.masked_values, 1);
        assert_eq!(screening.screen(Some("other"), sent()).message, sent(), "no rule is for it");
    }
}

/// A model reads what a parser does not.
#[test]
fn a_text_that_is_nearly_data_is_hidden_whole() {
    let screening = Screening::new(vec![rule(Some("find"), "/email", "redact")], None);
    let shown = |text: &str| {
        let sent = result(json!({"content": [{"type": "text", "text": text}]}));
        let screened = screening.screen(Some("find"), sent);
        let text = screened.message["result"]["content"][0]["text"].as_str().map(str::to_owned);
        (text.unwrap(), screened.masked_values)
    };
    let hidden = |text: &str| (text.to_owned(), 1);
    for text in [
        r#"{"email":"ada@example.com",}"#,
        r#"{"email":"ada@example.com""#,
        r#"{"email":"ada@example.com"} // of two"#,
        r#"{"email":"ada@example.com"}{"email":"bob@example.com"}"#,
        "\u{feff} {'email': 'ada@example.com'}",
        "{\"email\":\"ada@example.com\"}\nand more",
        r#"[{"email":"ada@example.com"}, ..."#,
    ] {
        assert_eq!(shown(text), hidden("[redacted]"), "{text}");
    }
    let marked = "\u{feff}\n {\"email\":\"ada@example.com\"}";
    assert_eq!(shown(marked), hidden(r#"{"email":"[redacted]"}"#));
    let lines = "{\"email\":\"a@example.com\",\"n\":1}\r\n\n{\"n\":2}\n";
    assert_eq!(shown(lines), hidden("{\"email\":\"[redacted]\",\"n\":1}\n{\"n\":2}"));
    for text in ["{\"n\":1}\n{\"n\":2}\n", "no data: {", "[redacted]"] {
        assert_eq!(shown(text), (text.to_owned(), 0), "nothing to hide");
    }
}

#[test]
fn a_rule_of_one_tool_leaves_the_others_alone() {
    let rules = vec![rule(Some("find"), "/email", "redact")];
    let screening = Screening::new(rules, None);
    let sent = || {
        result(
            json!({"structuredContent": {"email": "x"}, "content": [{"type": "text", "text": "a word"}]}),
        )
    };
    assert_eq!(screening.screen(Some("find"), sent()).masked_values, 2);
    for other in [Some("found"), None] {
        let screened = screening.screen(other, sent());
        assert_eq!((screened.masked_values, screened.message), (0, sent()), "{other:?}");
    }
}

#[test]
fn what_has_parts_is_hidden_whole_and_numbers_become_texts() {
    let rules =
        ["/a", "/b/c", "/gone", "/list/*", "/flag"].map(|place| rule(None, place, "redact"));
    let sent = result(
        json!({"structuredContent": {"a": {"secret": "s"}, "b": {"c": [1, 2]}, "list": [1.5, "x", null], "flag": true}}),
    );
    let screened = Screening::new(rules.to_vec(), None).screen(None, sent);
    let hidden = "[redacted]";
    let data = &screened.message["result"]["structuredContent"];
    assert_eq!(
        *data,
        json!({"a": hidden, "b": {"c": hidden}, "list": [hidden, hidden, null], "flag": hidden})
    );
}

#[test]
fn resources_messages_and_errors_are_data_too() {
    let screening = Screening::new(vec![rule(None, "/pin", "redact")], None);
    let text = r#"{"pin":"1234"}"#;
    for sent in [
        result(json!({"contents": [{"uri": "a:b", "text": text}]})),
        result(json!({"messages": [{"role": "user", "content": {"type": "text", "text": text}}]})),
        result(
            json!({"content": [{"type": "resource", "resource": {"uri": "a:b", "text": text}}]}),
        ),
        json!({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "no", "data": {"pin": "1234"}}}),
    ] {
        let screened = screening.screen(None, sent);
        assert_eq!(screened.masked_values, 1, "{}", screened.message);
        assert!(!screened.message.to_string().contains("1234"), "{}", screened.message);
    }
}

#[test]
fn detectors_look_into_texts_numbers_and_names() {
    let screening =
        Screening::new(Vec::new(), detectors(&[("payment_card", "mask"), ("us_ssn", "mask")]));
    let sent = result(json!({
        "content": [{"type": "text", "text": format!("card {CARD}.")}, {"type": "image", "data": "QUJD", "mimeType": "image/png"}],
        "structuredContent": {"number": 4111111111111111_u64, CARD: 1, "ssn": "536-90-4399", "n": 7},
        "requestState": CARD,
    }));
    let screened = screening.screen(Some("find"), sent);
    let result = &screened.message["result"];
    assert_eq!(result["content"][0]["text"], "card [payment_card].");
    assert_eq!(result["content"][1]["data"], "QUJD");
    assert_eq!(
        result["structuredContent"],
        json!({"number": "[payment_card]", "[payment_card]": 1, "ssn": "[us_ssn]", "n": 7})
    );
    assert_eq!(result["requestState"], CARD, "the client could not give it back");
    let found: Vec<String> = screened.findings.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["mask payment_card 3", "mask us_ssn 1"]);
    assert_eq!((screened.masked_values, screened.withheld), (4, false));
}

#[test]
fn an_alert_changes_nothing_and_a_denial_keeps_all_back() {
    let sent = || {
        result(
            json!({"resultType": "complete", "content": [{"type": "text", "text": format!("{CARD} a@example.com")}]}),
        )
    };
    let alert = Screening::new(Vec::new(), detectors(&[("payment_card", "alert")]));
    let screened = alert.screen(None, sent());
    assert_eq!((screened.message, screened.masked_values), (sent(), 0));
    assert_eq!(screened.findings[0].to_string(), "alert payment_card 1");

    let deny =
        Screening::new(Vec::new(), detectors(&[("payment_card", "deny"), ("email", "mask")]));
    let screened = deny.screen(None, sent());
    assert!(screened.withheld && screened.is_error());
    let told = screened.message.to_string();
    assert!(
        told.contains("payment_card (1)") && !told.contains("1111") && !told.contains("example"),
        "{told}"
    );
    assert_eq!(screened.message["result"]["resultType"], "complete");
    let question = json!({"jsonrpc": "2.0", "id": 3, "method": "sampling/createMessage", "params": {"text": CARD}});
    let kept = deny.screen(None, question);
    assert!(kept.withheld && kept.message["error"]["code"] == -32000 && kept.message["id"] == 3);
}

#[test]
fn two_names_with_one_mark_stay_two() {
    let screening = Screening::new(Vec::new(), detectors(&[("email", "mask")]));
    let sent = result(json!({"structuredContent": {"a@example.com": 1, "b@example.com": 2}}));
    let screened = screening.screen(None, sent);
    assert_eq!(
        screened.message["result"]["structuredContent"],
        json!({"[email]": 1, "[email]'": 2})
    );
}

#[test]
fn a_place_is_a_pointer() {
    let place: Place = "/a~1b/~0/*".parse().unwrap();
    let parts = place.parts();
    assert_eq!(parts, ["a/b", "~", "*"]);
    assert!("rows/email".parse::<Place>().is_err() && "".parse::<Place>().is_err());
}

/// Servers say one thing in two shapes, of which a rule knows one.
#[test]
fn what_is_hidden_in_one_shape_is_not_shown_in_another() {
    let screened = |places: &[&str], message: Value| {
        let rules = places.iter().map(|place| rule(Some("rows"), place, "redact")).collect();
        Screening::new(rules, None).screen(Some("rows"), message).message.to_string()
    };
    let rows = r#"{"rows": [{"id": 7, "email": "ada@secret.example"}]}"#;
    // As data that is one text.
    let seen = screened(
        &["/rows/*/email"],
        result(json!({
            "content": [{"type": "text", "text": rows}], "structuredContent": {"result": rows, "title": "[draft] of it"},
        })),
    );
    assert!(!seen.contains("ada@") && seen.contains("[draft] of it"), "{seen}");
    assert_eq!(seen.matches("[redacted]").count(), 2, "and nothing else: {seen}");
    // As an element each, which the place does not lead to.
    let element = r#"{"id": 7, "email": "ada@secret.example"}"#;
    let told = json!({
        "content": [{"type": "text", "text": element}, {"type": "text", "text": "{\"email\": null}"}],
        "structuredContent": {"result": [{"id": 7, "email": "ada@secret.example"}]},
    });
    let seen = screened(&["/result/*/email"], result(told.clone()));
    assert!(!seen.contains("ada@") && !seen.contains("null"), "{seen}");
    let seen = screened(&["/result/*/email", "/email"], result(told));
    assert!(
        !seen.contains("ada@") && seen.contains("\\\"id\\\":7") && seen.contains("null"),
        "{seen}"
    );
    // As bytes, as a text in a text, as a message, and cut.
    let blob = STANDARD.encode(rows);
    for other in [
        json!({"contents": [{"uri": "a:b", "blob": blob}]}),
        json!({"content": [{"type": "text", "text": serde_json::to_string(rows).unwrap()}]}),
        json!({"structuredContent": {"result": serde_json::to_string(rows).unwrap()}}),
        json!({"structuredContent": {"result": rows.replace("]}", "")}}),
        json!({"structuredContent": {"result": rows.replace('"', "'")}}),
        json!({"data": rows}),
    ] {
        let seen = screened(&["/rows/*/email"], result(other.clone()));
        let hidden = [STANDARD.encode("ada@secret.example"), blob.clone(), "ada@".to_owned()];
        assert!(hidden.iter().all(|it| !seen.contains(it.as_str())), "{other}: {seen}");
    }
    let picture =
        json!({"content": [{"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}]});
    assert!(screened(&["/rows/*/email"], result(picture)).contains("iVBORw0KGgo="));
}
