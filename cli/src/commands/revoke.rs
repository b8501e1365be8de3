//! `tallyport revoke ...`, and `tallyport sessions kill`.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tallyport_schemas::{ApprovalId, SessionId};

use super::approvals::print::{escaped, moment};
use super::gateway_api::Api;
use crate::answer::Answer;
use crate::args::{Format, GatewayArgs, ReasonArgs, RevokeArgs, RevokeCommand};
use crate::exit::Failure;
use crate::output::print_line;

/// Revokes, lists or lifts.
pub async fn run(command: &RevokeCommand) -> Result<(), Failure> {
    match command {
        RevokeCommand::Principal { principal, order } => {
            let Some((issuer, subject)) = principal.split_once('#') else {
                return Err(Failure::usage(format!(
                    "`{principal}` is no principal; write ISSUER#SUBJECT, such as https://idp.example#agent-7"
                )));
            };
            let revoked = json!({"kind": "principal", "issuer": issuer, "subject": subject});
            ordered(order, revoked).await
        }
        RevokeCommand::Agent { agent, order } => {
            // An issuer is a URL without a fragment (OpenID Connect Discovery 1.0, section 2).
            let revoked = match agent.split_once('#') {
                Some((issuer, subject)) if issuer.contains("://") => {
                    json!({"kind": "agent", "issuer": issuer, "subject": subject})
                }
                _ => json!({"kind": "agent", "subject": agent}),
            };
            ordered(order, revoked).await
        }
        RevokeCommand::Issuer { revoked_issuer, order } => {
            let revoked = json!({"kind": "issuer", "issuer": revoked_issuer});
            ordered(order, revoked).await
        }
        RevokeCommand::Grant { id, order } => grant(*id, order).await,
        RevokeCommand::List { args } => list(args).await,
        RevokeCommand::Lift { id, order } => {
            let api = Api::new(&order.args).await?;
            let path = format!("/v1/revocations/{id}/lift");
            let lifted = api.post(&path, &json!({"reason": order.reason})).await?;
            tell(&order.args, &lifted, "lifted")
        }
    }
}

/// Ends one session.
pub async fn kill(session: SessionId, order: &ReasonArgs) -> Result<(), Failure> {
    let revoked = json!({"kind": "session", "session_id": session});
    let body = json!({"revoked": revoked, "reason": order.reason});
    revoke(&order.args, &body).await
}

async fn grant(id: ApprovalId, order: &ReasonArgs) -> Result<(), Failure> {
    let revoked = json!({"kind": "grant", "grant_id": id});
    let body = json!({"revoked": revoked, "reason": order.reason});
    revoke(&order.args, &body).await
}

/// With what such orders may say besides.
async fn ordered(order: &RevokeArgs, revoked: Value) -> Result<(), Failure> {
    let mut fields = json!({"revoked": revoked, "reason": order.reason});
    if let (Some(period), Some(fields)) = (order.period, fields.as_object_mut()) {
        let until = SignedDuration::try_from(period)
            .ok()
            .and_then(|period| Timestamp::now().checked_add(period).ok())
            .ok_or_else(|| Failure::usage("--for is too long; leave it out"))?;
        fields.insert("until".to_owned(), json!(until));
    }
    if let (true, Some(fields)) = (order.unknown_issuer, fields.as_object_mut()) {
        fields.insert("unknown_issuer".to_owned(), json!(true));
    }
    revoke(&order.args, &fields).await
}

async fn revoke(args: &GatewayArgs, order: &Value) -> Result<(), Failure> {
    let api = Api::new(args).await?;
    let answer = api.post("/v1/revocations", order).await?;
    tell(args, &answer, "revoked")
}

fn tell(args: &GatewayArgs, revocation: &Value, verb: &str) -> Result<(), Failure> {
    if args.json {
        return print_line(format_args!("{revocation:#}"));
    }
    let id = text(revocation, "/revocation_id");
    if text(revocation, "/revoked/kind") == "session" {
        // No gateway knows the sessions of all.
        let session = text(revocation, "/revoked/session_id");
        return print_line(format_args!(
            "ordered the end of session {session}  ({id}); the gateway that has it ends it at once, and \
             `tallyport sessions show {session}` says so. Nothing happens where none has it"
        ));
    }
    print_line(format_args!("{verb} {}  ({id})", revoked(revocation)))
}

async fn list(args: &GatewayArgs) -> Result<(), Failure> {
    let answer = Api::new(args).await?.get("/v1/revocations").await?;
    let all = answer.get("revocations").and_then(Value::as_array).cloned().unwrap_or_default();
    if args.json {
        return print_line(format_args!("{:#}", Value::Array(all)));
    }
    if all.is_empty() {
        return print_line("nothing is revoked");
    }
    table(&all).print(Format::Table)
}

fn table(all: &[Value]) -> Answer {
    let row = |one: &Value| {
        let until = text(one, "/until");
        [
            text(one, "/revocation_id"),
            revoked(one),
            text(one, "/reason"),
            text(one, "/by/display_name"),
            moment(&text(one, "/revoked_at")),
            if until.is_empty() { "no end".to_owned() } else { moment(&until) },
        ]
    };
    Answer::of(["id", "revoked", "reason", "by", "since", "until"], all.iter().map(row).collect())
}

/// `agent billing-bot`, `principal agent-7 of https://idp`.
fn revoked(revocation: &Value) -> String {
    let of = |key: &str| text(revocation, &format!("/revoked/{key}"));
    let (kind, issuer) = (of("kind"), of("issuer"));
    let subject = of("subject");
    let name = match (subject.is_empty(), issuer.is_empty()) {
        (false, false) => format!("{subject} of {issuer}"),
        (false, true) => subject,
        (true, false) => issuer,
        (true, true) => of("session_id") + &of("grant_id"),
    };
    format!("{kind} {name}")
}

fn text(value: &Value, pointer: &str) -> String {
    escaped(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_is_named_and_acts_on_no_terminal() {
        let one = |revoked: Value| json!({"revocation_id": "01a2", "revoked": revoked, "reason": "leaked\u{1b}[2J", "revoked_at": "2026-01-01T00:00:00Z"});
        let all = [
            one(json!({"kind": "principal", "issuer": "https://idp", "subject": "agent-7"})),
            one(json!({"kind": "agent", "subject": "billing-bot"})),
            one(json!({"kind": "issuer", "issuer": "https://idp"})),
            one(json!({"kind": "session", "session_id": "01b3"})),
        ];
        let names = [
            "principal agent-7 of https://idp",
            "agent billing-bot",
            "issuer https://idp",
            "session 01b3",
        ];
        for (one, name) in all.iter().zip(names) {
            assert_eq!(revoked(one), name);
        }
        let shown = table(&all);
        let texts =
            |row: &[Value]| row.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
        let first = texts(&shown.rows[0]);
        assert!(first.ends_with("leaked\\u{1b}[2J  2026-01-01T00:00:00Z no end"), "{first}");
    }
}
