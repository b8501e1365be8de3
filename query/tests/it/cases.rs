//! What each named question has to answer about the known story, worked out by hand.

use serde_json::{Value, json};

use crate::story;

/// A question, its parameters, the columns looked at, and the rows that are due.
pub struct Case {
    pub question: &'static str,
    pub parameters: Value,
    pub columns: &'static [&'static str],
    pub rows: Vec<Value>,
}

fn case(
    question: &'static str,
    parameters: Value,
    columns: &'static [&'static str],
    rows: impl Into<Vec<Value>>,
) -> Case {
    Case { question, parameters, columns, rows: rows.into() }
}

const READ_ONE: &str = "SELECT name, ssn FROM app.customers WHERE id = 1";
const READ_TWO: &str = "SELECT ssn FROM app.customers WHERE id = 2";
const COUNT: &str =
    "SELECT count(*) FROM app.orders o JOIN app.customers c USING (id) WHERE c.ssn = '1'";

fn who_read() -> Vec<Case> {
    let columns: &[&str] = &[
        "time",
        "principal_name",
        "actor",
        "on_behalf_of",
        "seen",
        "rows",
        "statement",
        "approved_by",
    ];
    let masked = json!([
        "2024-03-04T10:00:01.000001Z",
        "Support bot",
        "bot-1",
        "ada",
        "masked",
        1,
        READ_ONE,
        null
    ]);
    let indirectly = json!([
        "2024-03-05T03:00:01.000001Z",
        "Eve's agent",
        "eve",
        null,
        "indirectly",
        1,
        COUNT,
        null
    ]);
    let clear = json!([
        "2024-03-09T23:01:02.000001Z",
        "Ada",
        "bot-2",
        "ada",
        "clear",
        3,
        READ_TWO,
        "Grace"
    ]);
    vec![
        case(
            "who-read-column",
            json!({"column": story::SSN, "since": "2024-01-01"}),
            columns,
            [masked, indirectly, clear.clone()],
        ),
        case(
            "who-read-column",
            json!({"column": story::SSN, "since": "2024-03-08"}),
            columns,
            [clear],
        ),
        case(
            "who-read-column",
            json!({"column": "app.customers.email", "since": "2024-01-01"}),
            columns,
            [],
        ),
    ]
}

fn who_did() -> Vec<Case> {
    vec![
        case(
            "principal-activity",
            json!({"principal": "bot-1", "since": "2024-01-01"}),
            &["time", "family", "activity", "statement"],
            [
                json!(["2024-03-04T09:59:59Z", "authentication", "succeeded", null]),
                json!(["2024-03-04T10:00:00Z", "session", "opened", null]),
                json!(["2024-03-04T10:00:01Z", "decision", "allowed", null]),
                json!(["2024-03-04T10:00:01.000001Z", "command", "forwarded", READ_ONE]),
                json!(["2024-03-04T10:00:02Z", "response", "completed", null]),
                json!(["2024-03-04T10:01:00Z", "decision", "denied", null]),
                json!([
                    "2024-03-04T10:01:00.000001Z",
                    "command",
                    "refused",
                    "DELETE FROM app.customers"
                ]),
                json!(["2024-03-04T10:05:00Z", "session", "closed", null]),
            ],
        ),
        case(
            "principal-activity",
            json!({"principal": "Grace", "since": "2024-01-01"}),
            &["family", "activity"],
            [json!(["approval", "granted"])],
        ),
        case(
            "token-activity",
            json!({"token": "tok-1"}),
            &["family", "activity"],
            [
                json!(["authentication", "succeeded"]),
                json!(["session", "opened"]),
                json!(["decision", "allowed"]),
                json!(["command", "forwarded"]),
                json!(["response", "completed"]),
                json!(["decision", "denied"]),
                json!(["command", "refused"]),
                json!(["session", "closed"]),
            ],
        ),
        case("token-activity", json!({"token": "tok-2"}), &["family"], []),
    ]
}

fn timelines() -> Vec<Case> {
    vec![
        case(
            "session-timeline",
            json!({"session": story::session(3).to_string()}),
            &["session_seq", "family", "activity", "sqlstate"],
            [
                json!([0, "session", "opened", null]),
                json!([1, "decision", "allowed", null]),
                json!([2, "command", "forwarded", null]),
                json!([3, "response", "completed", null]),
                json!([4, "command", "forwarded", null]),
                json!([5, "response", "completed", "42P01"]),
            ],
        ),
        case(
            "session-timeline",
            json!({"session": story::session(2).to_string()}),
            &["session_seq", "family", "activity", "reviewer_name"],
            [
                json!([0, "session", "opened", null]),
                json!([1, "approval", "requested", null]),
                json!([null, "approval", "granted", "Grace"]),
                json!([2, "approval", "used", null]),
                json!([3, "decision", "allowed", null]),
                json!([4, "command", "forwarded", null]),
                json!([5, "response", "completed", null]),
                json!([6, "session", "lost", null]),
            ],
        ),
    ]
}

fn statements() -> Vec<Case> {
    let since = || json!({"since": "2024-01-01"});
    vec![
        case(
            "denied",
            since(),
            &[
                "time",
                "principal_name",
                "on_behalf_of",
                "actions",
                "statement",
                "reason",
                "policy_ids",
                "policy_version",
            ],
            [json!([
                "2024-03-04T10:01:00Z",
                "Support bot",
                "ada",
                ["sql:delete"],
                "DELETE FROM app.customers",
                "writing is not permitted",
                null,
                "v1"
            ])],
        ),
        case("denied", json!({"since": "2024-03-05"}), &["time"], []),
        case(
            "statements",
            since(),
            &["fingerprint", "example", "runs", "principals", "rows", "bytes"],
            [
                json!(["fp-25", "SELECT * FROM app.secrets", 1, 1, 0, 80]),
                json!(["fp-38", READ_TWO, 1, 1, 3, 300]),
                json!(["fp-44", READ_ONE, 1, 1, 1, 100]),
                json!(["fp-77", COUNT, 1, 1, 1, 10]),
            ],
        ),
        case(
            "statements",
            json!({"since": "2024-01-01", "principal": "ada"}),
            &["example", "runs"],
            [json!([READ_TWO, 1])],
        ),
        case(
            "slow-statements",
            json!({"since": "2024-01-01", "longer_than_ms": 1000}),
            &["duration_ms", "principal_name", "statement"],
            [json!([5000, "Eve's agent", COUNT]), json!([1500, "Ada", READ_TWO])],
        ),
        case(
            "target-errors",
            since(),
            &["principal_name", "target", "sqlstate", "errors", "example"],
            [json!(["Eve's agent", "sample", "42P01", 1, "SELECT * FROM app.secrets"])],
        ),
    ]
}

fn tables() -> Vec<Case> {
    let since = || json!({"since": "2024-01-01"});
    vec![
        case(
            "volume-by-table",
            since(),
            &["target", "database", "table", "reads", "principals", "rows", "bytes"],
            [
                json!(["sample", "shop", "app.customers", 3, 3, 5, 410]),
                json!(["sample", "shop", "app.orders", 1, 1, 1, 10]),
            ],
        ),
        case(
            "masked-columns",
            since(),
            &["column", "answers", "principals", "rows"],
            [json!([story::SSN, 1, 1, 1])],
        ),
        case(
            "first-use",
            json!({"since": "2024-03-05"}),
            &["first_used", "principal_name", "table", "uses"],
            [
                json!(["2024-03-05T03:00:01.000001Z", "Eve's agent", "app.customers", 1]),
                json!(["2024-03-05T03:00:01.000001Z", "Eve's agent", "app.orders", 1]),
                json!(["2024-03-05T03:01:00Z", "Eve's agent", "app.secrets", 1]),
                json!(["2024-03-09T23:01:02.000001Z", "Ada", "app.customers", 1]),
            ],
        ),
        case(
            "first-use",
            json!({"since": "2024-01-01", "table": "app.customers", "principal": "bot-1"}),
            &["first_used", "table"],
            [json!(["2024-03-04T10:00:01.000001Z", "app.customers"])],
        ),
    ]
}

fn sessions() -> Vec<Case> {
    let since = || json!({"since": "2024-01-01"});
    vec![
        case(
            "sessions-on-behalf-of",
            json!({"person": "ada", "since": "2024-01-01"}),
            &["opened_at", "actor", "principal_name", "state", "commands", "rows"],
            [
                json!(["2024-03-04T10:00:00Z", "bot-1", "Support bot", "closed", 1, 1]),
                json!(["2024-03-09T23:00:00Z", "bot-2", "Ada", "lost", 1, 3]),
            ],
        ),
        case(
            "sessions-on-behalf-of",
            json!({"person": "eve", "since": "2024-01-01"}),
            &["actor"],
            [],
        ),
        case(
            "abnormal-sessions",
            since(),
            &["state", "cause", "principal_name", "ended_at"],
            [
                json!(["vanished", null, "Eve's agent", null]),
                json!(["lost", "target_unreachable", "Ada", "2024-03-09T23:10:00Z"]),
            ],
        ),
        case(
            "top-talkers",
            since(),
            &["principal_name", "sessions", "commands", "refused", "rows", "bytes"],
            [
                json!(["Ada", 1, 1, 0, 3, 300]),
                json!(["Support bot", 1, 1, 1, 1, 100]),
                json!(["Eve's agent", 1, 2, 0, 1, 90]),
            ],
        ),
        case(
            "off-hours",
            since(),
            &["day", "principal_name", "commands", "first"],
            [
                json!(["2024-03-05", "Eve's agent", 2, "2024-03-05T03:00:01.000001Z"]),
                json!(["2024-03-09", "Ada", 1, "2024-03-09T23:01:02.000001Z"]),
            ],
        ),
        case(
            // In a shift over midnight Eve's hour is one of work.
            "off-hours",
            json!({"since": "2024-01-01", "from_hour": 20, "to_hour": 8}),
            &["day", "principal_name", "commands"],
            [json!(["2024-03-04", "Support bot", 1]), json!(["2024-03-09", "Ada", 1])],
        ),
        case(
            // Eight hours further east it is eleven in the morning for Eve, and Sunday for Ada.
            "off-hours",
            json!({"since": "2024-01-01", "utc_offset": "+08:00"}),
            &["day", "principal_name", "commands"],
            [json!(["2024-03-10", "Ada", 1])],
        ),
    ]
}

fn service() -> Vec<Case> {
    let since = || json!({"since": "2024-01-01"});
    vec![
        case(
            "failed-authentications",
            json!({"since": "2024-01-01"}),
            &["claimed_issuer", "failure", "front", "failures", "addresses", "first", "last"],
            [
                json!([
                    story::IDP,
                    "expired",
                    "quic",
                    2,
                    2,
                    "2024-03-04T08:00:00Z",
                    "2024-03-04T08:01:00Z"
                ]),
                json!([
                    "https://evil.example",
                    "unknown_issuer",
                    "quic",
                    1,
                    1,
                    "2024-03-04T08:02:00Z",
                    "2024-03-04T08:02:00Z"
                ]),
            ],
        ),
        case(
            "policy-changes",
            since(),
            &["activity", "kind", "source", "policy_version", "error"],
            [
                json!(["loaded", "policy", "policy.cedar", "v1", null]),
                json!(["rejected", "masking", "masking.toml", "m1", "unknown label"]),
            ],
        ),
    ]
}

/// All of them.
pub fn all() -> Vec<Case> {
    let all = [who_read(), who_did(), timelines(), statements(), tables(), sessions(), service()];
    all.into_iter().flatten().collect()
}
