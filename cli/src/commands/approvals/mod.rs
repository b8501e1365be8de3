//! `tallyport approvals list|show|approve|deny|withdraw`.

pub(super) mod print;

use std::io::{IsTerminal as _, Write as _};

use serde_json::{Value, json};

use super::gateway_api::Api;
use crate::args::{ApprovalsCommand, GatewayArgs};
use crate::exit::Failure;
use crate::output::print_text;

/// How long one look at the inbox waits for news.
const WATCH_SECONDS: u64 = 30;
/// A part of an id that is shorter than this could be of many.
const MIN_ID_CHARS: usize = 6;

/// Lists, shows, or answers.
pub async fn run(command: &ApprovalsCommand) -> Result<(), Failure> {
    match command {
        ApprovalsCommand::List { all, limit, watch, args } => {
            let api = Api::new(args).await?;
            if *watch {
                self::watch(&api, args).await
            } else {
                list(&api, *all, *limit, args).await
            }
        }
        ApprovalsCommand::Show { id, args } => {
            let api = Api::new(args).await?;
            let approval = find(&api, id).await?;
            tell(&approval, args)
        }
        ApprovalsCommand::Approve { id, comment, digest, args } => {
            let api = Api::new(args).await?;
            let approval = find(&api, id).await?;
            let digest = match digest {
                Some(digest) => digest.clone(),
                None => confirmed(&approval)?,
            };
            let id = text(&approval, "approval_id");
            let answered = api.answer(&id, "approve", Some(&digest), comment.as_deref()).await?;
            tell_answered(&answered, args)
        }
        ApprovalsCommand::Withdraw { id, args } => {
            let api = Api::new(args).await?;
            let approval = find(&api, id).await?;
            let id = text(&approval, "approval_id");
            let path = format!("/v1/approvals/{id}/withdraw");
            tell_answered(&api.post(&path, &json!({})).await?, args)
        }
        ApprovalsCommand::Deny { id, comment, args } => {
            let api = Api::new(args).await?;
            let approval = find(&api, id).await?;
            let id = text(&approval, "approval_id");
            let answered = api.answer(&id, "deny", None, comment.as_deref()).await?;
            tell_answered(&answered, args)
        }
    }
}

async fn list(api: &Api, all: bool, limit: u32, args: &GatewayArgs) -> Result<(), Failure> {
    let state = if all { "all" } else { "open" };
    let answer = api.get(&format!("/v1/approvals?state={state}&limit={limit}")).await?;
    let approvals = answer.get("approvals").cloned().unwrap_or_default();
    if args.json {
        return print_json(&approvals);
    }
    print_text(&print::table(approvals.as_array().map_or(&[], Vec::as_slice)))
}

/// Prints every request once, when it comes, and again when its state changes, until it is interrupted.
async fn watch(api: &Api, args: &GatewayArgs) -> Result<(), Failure> {
    let mut known: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    let mut path = "/v1/approvals?state=all&limit=1000".to_owned();
    let mut first = true;
    loop {
        let answer = tokio::select! {
            answer = api.get(&path) => answer?,
            () = crate::services::interrupted() => return Ok(()),
        };
        let approvals = answer.get("approvals").and_then(Value::as_array);
        // Newest first from the gateway, oldest first for who watches.
        for approval in approvals.into_iter().flatten().rev() {
            let (id, state) = (text(approval, "approval_id"), text(approval, "state"));
            let before = known.insert(id, state.clone());
            let is_news = before.as_ref() != Some(&state);
            // What was over before is history.
            let is_history = first && !matches!(state.as_str(), "pending" | "approved");
            if !is_news || is_history {
                continue;
            }
            if args.json {
                print_text(&format!("{approval}\n"))?;
            } else {
                print_text(&print::line(approval))?;
            }
        }
        first = false;
        let seen = answer.get("seen").and_then(Value::as_u64).unwrap_or_default();
        path = format!("/v1/approvals?state=all&limit=1000&after={seen}&wait={WATCH_SECONDS}");
    }
}

/// The request that an id, or a part of one from either end, means.
async fn find(api: &Api, id: &str) -> Result<Value, Failure> {
    if id.parse::<tallyport_schemas::ApprovalId>().is_ok() {
        return api.get(&format!("/v1/approvals/{id}")).await;
    }
    let part = id.to_ascii_lowercase();
    if part.len() < MIN_ID_CHARS || !part.bytes().all(|it| it.is_ascii_hexdigit() || it == b'-') {
        return Err(Failure::usage(format!(
            "`{id}` is no approval's id; give the whole id or at least {MIN_ID_CHARS} characters of either end, as \
             `tallyport approvals list` shows them"
        )));
    }
    let mut answer = api.get("/v1/approvals?state=all&limit=1000").await?;
    let all = answer.get_mut("approvals").and_then(Value::as_array_mut).map(std::mem::take);
    let mut found = all.unwrap_or_default();
    found.retain(|approval| {
        let id = text(approval, "approval_id");
        id.starts_with(&part) || id.ends_with(&part)
    });
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(Failure::usage(format!(
            "no approval's id begins or ends with `{id}`; see `tallyport approvals list --all`"
        ))),
        (Some(_), more) => Err(Failure::usage(format!(
            "{} ids begin or end with `{id}`; give more of it",
            more + 1
        ))),
    }
}

/// Shows what would be approved and asks; gives the digest of what was shown.
fn confirmed(approval: &Value) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "without a terminal to ask on, say what you approve: --digest DIGEST, as `tallyport approvals show ID --json` \
             gives it",
        ));
    }
    print_text(&print::whole(approval))?;
    print_text("\nApprove exactly this? Type yes: ")?;
    std::io::stdout().flush().map_err(Failure::failed)?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(Failure::failed)?;
    if line.trim() == "yes" {
        Ok(text(approval, "digest"))
    } else {
        Err(Failure::failed("not approved, and not denied: the request waits on"))
    }
}

fn tell(approval: &Value, args: &GatewayArgs) -> Result<(), Failure> {
    if args.json { print_json(approval) } else { print_text(&print::whole(approval)) }
}

fn tell_answered(approval: &Value, args: &GatewayArgs) -> Result<(), Failure> {
    if args.json { print_json(approval) } else { print_text(&print::outcome(approval)) }
}

fn print_json(value: &Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    print_text(&format!("{text}\n"))
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
