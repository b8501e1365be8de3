use super::*;
use serde_json::json;

fn approval() -> Value {
    json!({
        "approval_id": "01a20635-5f36-74df-bd6e-bebe288245d9",
        "state": "pending",
        "digest": "ab",
        "asked_at": "2026-01-01T00:00:00Z",
        "expires_at": "2026-01-01T00:15:00Z",
        "stands_until": "2026-01-01T00:15:00Z",
        "principal": {"issuer": "https://idp", "subject": "agent-7", "display_name": "billing-bot", "kind": "agent", "owner": "dana"},
        "delegation": [],
        "agent": {"model": "m-2"},
        "target": {"name": "orders-db", "kind": "postgresql", "database": "shop"},
        "session_bound": false,
        "scope": "once",
        "requirements": [{"group": "dba", "quorum": 2}],
        "missing": [{"group": "dba", "quorum": 1}],
        "reasons": ["sql:delete on app.orders needs 2 of dba"],
        "policy_ids": ["deletes"],
        "command": {
            "statement": "DELETE FROM app.orders\n-- \u{1b}[2Jnothing to see\u{202e}",
            "parameters": [{"bytes": 1, "value": {"form": "text", "value": "7"}}, {"bytes": 0, "value": {"form": "null"}}],
            "kinds": ["delete"],
            "tables": [{"schema": "app", "name": "orders"}],
            "columns": [{"schema": "app", "table": "orders", "column": "id"}],
            "functions": [], "labels": [], "read_only": false, "opaque": false, "has_where": false, "by_key": false,
            "estimated_rows": 1200,
        },
        "answers": [{"reviewer": {"display_name": "Eli"}, "agrees": true, "comment": "fine\r\nlike this"}],
        "you": {"may_answer": false, "why_not": "the owner of who asks may not answer: somebody else must"},
    })
}

#[test]
fn a_reviewer_sees_everything_and_no_text_acts_on_the_terminal() {
    let shown = whole(&approval());
    for part in [
        "billing-bot (agent agent-7 of https://idp)",
        "dana (its owner)",
        "orders-db/shop",
        "2 of dba",
        "1 of dba",
        "app.orders.id",
        "up to about 1200 rows",
        "it changes every row: there is no WHERE",
        "                | DELETE FROM app.orders\n                | -- \\u{1b}[2Jnothing to see\\u{202e}\n",
        "$1  '7'",
        "$2  NULL",
        "Eli agrees: fine\\u{d}\\u{a}like this",
        "You cannot answer it: the owner",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    assert!(shown.chars().all(|it| it == '\n' || !it.is_control()));
}

#[test]
fn access_is_shown_as_what_it_is() {
    let mut asked = approval();
    asked.as_object_mut().unwrap().remove("command");
    asked["access"] = json!({"seconds": 1800, "reason": "FIN-311\u{1b}"});
    asked["scope"] = json!("period");
    let shown = whole(&asked);
    assert!(shown.contains("30m") && shown.contains("FIN-311\\u{1b}"), "{shown}");
    assert!(!shown.contains("statement") && !shown.contains("runs"), "{shown}");
    assert!(line(&asked).contains("access for 30m: FIN-311"));
    assert!(grant(&asked).starts_with("asked for orders-db/shop: waits for 1 of dba until"));
    asked["state"] = json!("approved");
    assert!(grant(&asked).starts_with("granted: sessions to orders-db/shop until 2026-01"));
    asked["state"] = json!("denied");
    assert!(grant(&asked).starts_with("denied: orders-db/shop"));
    asked["stands_until"] = json!("2126-01-01T00:00:00Z");
    assert!(!whole(&asked).contains(" left)"), "what is over is in no hurry");
    asked["state"] = json!("pending");
    assert!(whole(&asked).contains(" left)"));
}

#[test]
fn a_list_fits_and_names_an_approval_by_the_end_of_its_id() {
    let shown = table(&[approval()]);
    assert!(shown.contains("bebe288245d9") && shown.contains("billing-bot"), "{shown}");
    assert!(!shown.contains('\u{1b}'));
    assert_eq!(table(&[]), "nothing waits for an approval\n");
    assert!(
        line(&approval())
            .ends_with("DELETE FROM app.orders -- \\u{1b}[2Jnothing to see\\u{202e}\n")
    );
}

#[test]
fn what_is_no_sql_is_not_called_so() {
    let mut asked = approval();
    asked["command"]["opaque"] = json!(true);
    asked["command"]["functions"] = json!(["crm/refund"]);
    asked["command"]["kinds"] = json!([]);
    assert!(whole(&asked).contains("it runs code whose effect"));
    for (kind, called) in [("http", "operation  crm/refund"), ("mcp", "tool  crm/refund")] {
        asked["target"]["kind"] = json!(kind);
        let shown = whole(&asked);
        assert!(shown.contains("beware  it may change what is there\n"), "{shown}");
        assert!(shown.contains(called) && !shown.contains("functions"), "{shown}");
    }
}

#[test]
fn without_room_for_a_table_rows_are_records() {
    let shown = record(&approval());
    assert!(shown.starts_with("       id  bebe288245d9\n    state  pending\n"), "{shown}");
    assert!(shown.contains("\n     what  DELETE FROM app.orders"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}
