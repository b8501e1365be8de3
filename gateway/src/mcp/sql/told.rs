//! What a model is told when a statement did not run.

use serde_json::{Map, Value, json};

use super::{Answer, Awaited};
use crate::inside::NotRun;
use crate::session::Waiting;

/// Codes of the gateway's own behind SQLSTATEs.
const DENIED: &str = "42501";

pub(super) fn not_run(why: NotRun) -> Answer {
    let error = match why {
        NotRun::Refused(refusal) => {
            let hint = (refusal.code == "grant_required")
                .then_some("Ask for it with request_access, then call again once it is approved.");
            json!({ "code": refusal.code, "message": refusal.message, "hint": hint })
        }
        NotRun::Failed(failure) => {
            let ours = failure.message.starts_with("tallyport:");
            let code = match failure.sqlstate.as_str() {
                DENIED if ours => "denied_by_policy",
                "25006" if ours => "read_only",
                "42601" => "syntax",
                _ if ours => "refused",
                _ => "target_error",
            };
            let mut error = Map::new();
            for (field, value) in [
                ("code", Some(json!(code))),
                ("sqlstate", Some(json!(failure.sqlstate))),
                ("message", Some(json!(failure.message))),
                ("detail", failure.detail.map(Value::from)),
                ("hint", hint(code).map(Value::from).or(failure.hint.map(Value::from))),
                ("position", failure.position.map(Value::from)),
            ] {
                error.extend(value.map(|value| (field.to_owned(), value)));
            }
            Value::Object(error)
        }
        NotRun::TooLarge => json!({
            "code": "too_large",
            "message": "one page of the answer is larger than 1 MiB, or one row than 2",
            "hint": "Ask for fewer rows (max_rows), or for fewer and smaller columns. A statement that writes may have done so: look before you run it again.",
        }),
        NotRun::Copies => json!({
            "code": "not_here",
            "message": "COPY streams its data, which a tool cannot",
            "hint": "Read with SELECT, write with INSERT.",
        }),
        NotRun::Lost => json!({
            "code": "session_ended",
            "message": "the session ended before its answer: its access was ended, its token ran out, it was withdrawn, or the gateway is shutting down",
            "hint": "A statement that writes may have done so: look before you run it again. whoami says who you are.",
        }),
    };
    error_of(error)
}

fn hint(code: &str) -> Option<&'static str> {
    (code == "read_only").then_some("Only reading runs here; use the tool execute to write.")
}

/// A statement waits for people.
pub(super) fn waits(waiting: &[Waiting], kept: bool) -> Answer {
    let approvals: Vec<Value> = waiting
        .iter()
        .map(|one| {
            json!({
                "approval_id": one.approval_id, "demand": one.demand, "until": one.until,
                "bound_to_this_session": one.session_bound,
            })
        })
        .collect();
    let hint = if kept {
        "It runs by itself as soon as it is approved, once. To get its result, call this tool again with exactly the same \
         arguments; approval_status says how far it is, and with withdraw=true gives it up."
    } else {
        "Too many of your calls wait already: this one does not run by itself. Once it is approved, call again with exactly the \
         same arguments."
    };
    let told = error_of(json!({
        "code": "waits_for_approval",
        "message": "policy demands that somebody else agrees before this runs; they were asked",
        "approvals": approvals, "hint": hint,
    }));
    let awaited = |one: &Waiting| Awaited {
        approval_id: one.approval_id,
        demand: one.demand.clone(),
        until: one.until,
    };
    Answer { waits: waiting.iter().filter(|_| kept).map(awaited).collect(), ..told }
}

/// Somebody else got the result of this very call.
pub(super) fn taken() -> Answer {
    error_of(json!({
        "code": "result_taken",
        "message": "this call ran, and its result was given to another call with the same arguments",
        "hint": "Look at the result of that call; calling again runs it again.",
    }))
}

pub(super) fn error_of(error: Value) -> Answer {
    Answer { structured: json!({ "error": error }), is_error: true, waits: Vec::new() }
}
