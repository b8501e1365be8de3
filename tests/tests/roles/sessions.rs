//! `tallyport sessions list`, `show` and `replay` tell what happened in a session that psql had.

use serde_json::Value;
use tallyport_tests::{AGENT, Site, eventually, psql, rows, said};

const ALLOWED: &str = "SELECT id, name, ssn FROM app.customers ORDER BY id";
const REFUSED: &str = "SELECT name, salary FROM hr.staff";

/// Has a session through this port: rows with masked values, then a refusal. Then reads it in the audit.
pub fn happen_and_are_told(site: &Site, port: u16) {
    let seen = psql(port, "anyone", "postgres")
        .args(["-At", "-F", " | ", "-c", ALLOWED, "-c", REFUSED])
        .output()
        .expect("psql runs");
    let received: Vec<String> =
        String::from_utf8_lossy(&seen.stdout).lines().map(str::to_owned).collect();
    assert_eq!(received.len(), 5, "{}", said(&seen));
    assert_eq!(received[0], "1 | Ada Example | ****001");
    assert!(!said(&seen).contains("900-"), "{received:?}");
    assert!(said(&seen).contains("denied by policy"), "{}", said(&seen));

    let newest = || rows(&site.ask(&["sessions", "list", "--limit", "1", "--json"]));
    let ended = || {
        let sessions = newest();
        sessions.first().is_some_and(|one| one["state"] == "closed" && one["refused"] == 1)
    };
    assert!(eventually(ended), "the session ends: {:?}", newest());
    let session = newest().remove(0);
    let id = session["session_id"].as_str().expect("an id").to_owned();
    assert_eq!(session["actor"], AGENT, "{session}");
    assert_eq!(session["on_behalf_of"], "ada@example.com", "{session}");
    assert_eq!(session["target"], "sample", "{session}");
    assert_eq!(session["database"], "postgres", "{session}");
    assert_eq!(session["rows"], 5, "{session}");
    listed(site, &id);
    shown(site, &id);
    replayed(site, &id, &received);
}

/// For people: the id is in one piece, so that it can be copied.
fn listed(site: &Site, id: &str) {
    let list = said(&site.ask(&["sessions", "list", "--limit", "1"]));
    for part in [id, AGENT, "ada@example.com", "sample", "closed", "(1 row)"] {
        assert!(list.contains(part), "the list should say `{part}`:\n{list}");
    }
}

fn shown(site: &Site, id: &str) {
    let steps = rows(&site.ask(&["sessions", "show", id, "--json"]));
    let step = |family: &str, statement: &str| -> Value {
        let is = |row: &&Value| row["family"] == family && row["statement"] == statement;
        steps.iter().find(is).unwrap_or_else(|| panic!("no {family} of {statement}")).clone()
    };
    let numbers: Vec<i64> = steps.iter().filter_map(|row| row["seq"].as_i64()).collect();
    assert!(numbers.is_sorted() && numbers.len() == steps.len(), "{numbers:?}");
    assert_eq!(step("command", ALLOWED)["activity"], "forwarded");
    assert_eq!(step("command", REFUSED)["activity"], "refused");
    let answer = steps.iter().find(|row| row["family"] == "response" && row["rows"] == 5);
    let masked = &answer.expect("the answer with its rows")["masked_columns"];
    assert!(masked.to_string().contains("app.customers.ssn"), "{masked}");

    let people = said(&site.ask(&["sessions", "show", id]));
    for part in [id, AGENT, "ada@example.com", "app.customers.ssn", "refused", "closed"] {
        assert!(people.contains(part), "the session should say `{part}`:\n{people}");
    }
}

fn replayed(site: &Site, id: &str, received: &[String]) {
    let steps = rows(&site.ask(&["sessions", "replay", id, "--json"]));
    let command = steps
        .iter()
        .position(|step| {
            step["kind"] == "command"
                && step["text"].as_str().unwrap_or_default().ends_with(ALLOWED)
        })
        .expect("the statement is replayed");
    let answer =
        steps[command..].iter().find(|step| step["kind"] == "response").expect("an answer");
    let lines: Vec<&str> =
        answer["lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(lines[0], "id | name | ssn");
    assert_eq!(lines[1..], *received, "the rows as the agent saw them");
    let text = said(&site.ask(&["sessions", "replay", id, "--rows", "2"]));
    for part in
        [ALLOWED, REFUSED, &received[1], "deny by", "(5 rows, 5 values masked)", "more rows"]
    {
        assert!(text.contains(part), "the replay should say `{part}`:\n{text}");
    }
    assert!(!text.contains(&received[2]), "two rows were asked for:\n{text}");
}
